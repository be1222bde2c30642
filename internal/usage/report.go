package usage

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"zitadel-v1-adapter/internal/printable"
)

// Report is what a ledger answers to a [Query], and /usage in JSON.
type Report struct {
	// Ledger names the ledger. Adapters that share a store answer with the same one.
	Ledger string `json:"ledger"`
	// Since is the first day.
	Since string `json:"since"`
	// Evidence is what the ledger knows of the time since then, of the calls that pass the
	// query's Where. Only the report with the first rows has it.
	Evidence Evidence `json:"evidence,omitzero"`
	Rows     []Row    `json:"rows"`
	// Next is the offset of the rows after these, or 0 if there are none.
	Next int `json:"next,omitempty"`
	// Shadow is what shadow mode found, whatever the days.
	Shadow []ShadowRow `json:"shadow,omitempty"`
}

// Source is where a Report comes from: a [Ledger], a [Store], or a [Remote].
type Source interface {
	// Report has at most as many rows as the query's limit, if that is not 0.
	Report(ctx context.Context, q Query, now time.Time) (Report, error)
}

// Report implements [Source].
func (s *Store) Report(ctx context.Context, q Query, now time.Time) (report Report, err error) {
	report.Since = dayOf(q.Since)
	limit := q.Limit
	if limit > 0 {
		q.Limit++ // is there more?
	}
	if report.Rows, err = s.Rows(ctx, q); err != nil {
		return report, err
	}
	if limit > 0 && len(report.Rows) > limit {
		report.Rows, report.Next = report.Rows[:limit], q.Offset+limit
	}
	if q.Offset == 0 { // a reader of further rows got it with the first ones
		if report.Evidence, err = s.Evidence(ctx, q.Since, now, q.Where); err != nil {
			return report, err
		}
	}
	report.Ledger, err = s.ID(ctx)
	return report, err
}

// Report implements [Source].
func (l *Ledger) Report(ctx context.Context, q Query, now time.Time) (Report, error) {
	l.writeForReader(ctx)
	report, err := l.config.Store.Report(ctx, q, now)
	report.Evidence.Unwritten, report.Shadow = l.unwritten(), l.Shadows()
	return report, err
}

// Remote is the ledger of an adapter that runs elsewhere.
type Remote struct {
	// URL is the adapter's admin address, such as "http://127.0.0.1:9090" or "unix:/run/admin.sock".
	URL string
	// Token is that of admin.tokenFile, or "".
	Token string
	// Client asks, but not by a Unix socket. Required.
	Client *http.Client
}

// Report implements [Source]. It asks for one page after the other.
func (r Remote) Report(ctx context.Context, q Query, now time.Time) (Report, error) {
	if socket, ok := strings.CutPrefix(r.URL, "unix:"); ok && strings.HasPrefix(socket, "/") {
		transport := &http.Transport{DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			return new(net.Dialer).DialContext(ctx, "unix", socket)
		}}
		defer transport.CloseIdleConnections()
		r.URL, r.Client = "http://localhost", &http.Client{Transport: transport}
	}
	if err := checkRemote(r.URL); err != nil {
		return Report{}, err
	}
	parameters := url.Values{"since": {now.Sub(q.Since).String()}, "limit": {strconv.Itoa(maxLimit)}}
	maps.Copy(parameters, q.Where)
	if len(q.By) > 0 {
		parameters.Set("by", strings.Join(q.By, ","))
	}
	if q.Limit > 0 {
		parameters.Set("limit", strconv.Itoa(q.Limit))
	}
	all, err := r.page(ctx, parameters)
	for next := all.Next; err == nil && next > 0 && q.Limit == 0; {
		parameters.Set("offset", strconv.Itoa(next))
		var page Report
		page, err = r.page(ctx, parameters)
		all.Rows, next = append(all.Rows, page.Rows...), page.Next
	}
	return all, err
}

// checkRemote says what is wrong with an address that is no URL of an adapter.
func checkRemote(text string) error {
	address, err := url.Parse(text)
	if err == nil && address.Host != "" && (address.Scheme == "http" || address.Scheme == "https") {
		return nil
	}
	if host, port, err := net.SplitHostPort(text); err == nil && host != "unix" && !strings.Contains(port, "/") {
		return fmt.Errorf("it has no http:// before it: use %q, or https:// if the adapter has admin.tls", "http://"+text)
	}
	return fmt.Errorf("not the address of an adapter: use one such as %q, or %q for a Unix socket", "http://127.0.0.1:9090", "unix:/run/admin.sock")
}

// page asks for some rows.
func (r Remote) page(ctx context.Context, parameters url.Values) (report Report, err error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, strings.TrimSuffix(r.URL, "/")+"/usage?"+parameters.Encode(), http.NoBody)
	if err != nil {
		return report, err
	}
	if r.Token != "" {
		request.Header.Set("Authorization", "Bearer "+r.Token)
	}
	response, err := r.Client.Do(request)
	if err != nil {
		return report, err
	}
	defer func() { _ = response.Body.Close() }()
	if response.StatusCode != http.StatusOK {
		return report, fmt.Errorf("answered %s: %s", response.Status, printable.ReadExcerpt(response.Body))
	}
	if err = json.NewDecoder(response.Body).Decode(&report); err == nil && report.Ledger == "" {
		err = errors.New("its answer names no ledger: it is older than this program")
	}
	if err != nil {
		return report, fmt.Errorf("is this the admin address of an adapter? %w", err)
	}
	return report, nil
}

// Collect asks all sources, and counts each ledger once, as the last source knows it. The error of
// the i-th source is the function's of i.
func Collect(ctx context.Context, sources []Source, q Query, now time.Time, failed func(i int, err error) error) ([]Report, error) {
	var reports []Report
	for i, source := range sources {
		report, err := source.Report(ctx, q, now)
		if err != nil {
			return nil, failed(i, err)
		}
		reports = append(slices.DeleteFunc(reports, func(other Report) bool { return other.Ledger == report.Ledger }), report)
	}
	return reports, nil
}

// Merge adds up the rows of several ledgers. Callers of two ledgers count twice in Row.Callers.
func Merge(reports []Report) []Row {
	if len(reports) == 1 {
		return reports[0].Rows
	}
	var all []Row
	for _, report := range reports {
		all = append(all, report.Rows...)
	}
	merged := sum(all)
	slices.SortFunc(merged, func(a, b Row) int {
		return cmp.Or(cmp.Compare(b.Day, a.Day), cmp.Compare(b.Calls, a.Calls), compareKeys(a.Key, b.Key))
	})
	return merged
}

// sum adds up the rows of the same Key. It returns them in no order.
func sum(rows []Row) []Row {
	byKey := map[Key]*Row{}
	for _, row := range rows {
		if known := byKey[row.Key]; known != nil {
			known.add(row)
			continue
		}
		byKey[row.Key] = &row
	}
	summed := make([]Row, 0, len(byKey))
	for _, row := range byKey {
		summed = append(summed, *row)
	}
	return summed
}
