package usage

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"zitadel-v1-adapter/internal/duration"
)

// defaultSince is how far back a report goes that is asked for nothing else.
const defaultSince = 30 * duration.Day

// ParseSince reads how far back a report goes: a day such as 2027-01-31, or a number of days
// such as 30d, or a duration such as 12h; "" is 30 days.
func ParseSince(text string, now time.Time) (time.Time, error) {
	if text == "" {
		return now.Add(-defaultSince), nil
	}
	if day, err := time.Parse(time.DateOnly, text); err == nil {
		return day, nil
	}
	ago, err := ParseDays(text)
	if err != nil {
		return now, fmt.Errorf("%q: use a day such as 2027-01-31, a number of days such as 30d, or a duration such as 12h", text)
	}
	return now.Add(-ago), nil
}

// ParseDays reads a number of days such as 30d, or a duration such as 12h.
func ParseDays(text string) (time.Duration, error) {
	if parsed, err := duration.Parse(text); err == nil && parsed >= 0 {
		return parsed, nil
	}
	return 0, fmt.Errorf("%q: use a number of days such as 30d, or a duration such as 12h", text)
}

const (
	// defaultLimit is how many rows /usage answers with, and maxLimit how many it may be asked for.
	defaultLimit = 1000
	maxLimit     = 10_000
)

// parseQuery reads the parameters of /usage: since (see ParseSince), by (parts of a [Key], with
// commas), limit, offset, and each part's wanted values.
func parseQuery(parameters url.Values, now time.Time) (q Query, err error) {
	number := func(name string, fallback, most int) (n int) {
		text := parameters.Get(name)
		if text == "" {
			return fallback
		}
		n, parseErr := strconv.Atoi(text)
		if parseErr != nil || n < 1 || n > most {
			err = fmt.Errorf("%s: %q: use a number from 1 to %d", name, text, most)
		}
		return n
	}
	q = Query{Where: map[string][]string{}}
	q.Limit = number("limit", defaultLimit, maxLimit)
	q.Offset = number("offset", 0, 1<<30)
	if by := parameters.Get("by"); by != "" {
		q.By = strings.Split(by, ",")
	}
	known := append(Parts(), "since", "by", "limit", "offset", "format")
	for name, values := range parameters {
		switch {
		case !slices.Contains(known, name):
			return q, fmt.Errorf("%q is no parameter: use %s", name, strings.Join(known, ", "))
		case slices.Contains(Parts(), name):
			q.Where[name] = values
		}
	}
	if err != nil {
		return q, err
	}
	if format := parameters.Get("format"); format != "" && format != "json" && format != "csv" {
		return q, fmt.Errorf("format: %q: use json or csv", format)
	}
	if q.Since, err = ParseSince(parameters.Get("since"), now); err != nil {
		return q, err
	}
	if err = q.check(); err != nil {
		return q, fmt.Errorf("by: %w", err)
	}
	return q, nil
}

// ServeHTTP answers GET /usage with a [Report] as JSON. Parameters: see parseQuery.
func (l *Ledger) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	now := l.config.Now()
	q, err := parseQuery(r.URL.Query(), now)
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	report, err := l.Report(r.Context(), q, now)
	if err != nil {
		l.config.Log.WarnContext(r.Context(), "the usage store did not answer", "cause", err.Error())
		http.Error(w, "usage.store does not answer: see the log", http.StatusServiceUnavailable)
		return
	}
	w.Header().Set("Cache-Control", "no-store")
	if r.URL.Query().Get("format") == "csv" {
		w.Header().Set("Content-Type", "text/csv; charset=UTF-8")
		w.Header().Set("Content-Disposition", `attachment; filename="usage.csv"`)
		_ = WriteCSV(w, q.By, report.Rows, l.config.Successor) // a client that is gone needs no answer
		return
	}
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(report) //nolint:errchkjson // a client that is gone needs no answer
}
