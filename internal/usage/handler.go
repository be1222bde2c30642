package usage

import (
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Report is what /usage answers.
type Report struct {
	// Since is the first day.
	Since string `json:"since"`
	// LastCall is when a v1 call was made last, within the days; zero is never.
	LastCall time.Time `json:"last_call,omitzero"`
	Rows     []Row     `json:"rows"`
	// Shadow is what shadow mode found, whatever the days.
	Shadow []ShadowRow `json:"shadow,omitempty"`
}

// NewReport is the report of merged rows.
func NewReport(since time.Time, rows []Row) Report {
	report := Report{Since: since.UTC().Format(time.DateOnly), Rows: rows}
	for _, row := range rows {
		if row.Last.After(report.LastCall) {
			report.LastCall = row.Last
		}
	}
	return report
}

// defaultSince is how far back a report goes that is asked for nothing else.
const defaultSince = 30 * 24 * time.Hour

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
	return now.Add(-ago), err
}

// ParseDays reads a number of days such as 30d, or a duration such as 12h.
func ParseDays(text string) (time.Duration, error) {
	if days, ok := strings.CutSuffix(text, "d"); ok {
		if n, err := strconv.ParseUint(days, 10, 16); err == nil {
			return time.Duration(n) * 24 * time.Hour, nil
		}
	}
	if duration, err := time.ParseDuration(text); err == nil && duration >= 0 {
		return duration, nil
	}
	return 0, fmt.Errorf("%q: use a number of days such as 30d, or a duration such as 12h", text)
}

// part is the part of a Key that a parameter of /usage names.
func (k Key) part(parameter string) (value string, known bool) {
	switch parameter {
	case "method":
		return k.Method, true
	case "caller":
		return k.Caller, true
	case "organization":
		return k.Organization, true
	case "client":
		return k.Client, true
	case "protocol":
		return k.Protocol, true
	case "way":
		return k.Way, true
	case "outcome":
		return k.Outcome, true
	}
	return "", false
}

// ServeHTTP answers GET /usage: a Report as JSON, of the days since "since" (see ParseSince),
// and of the rows that have each other parameter's value.
func (l *Ledger) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	query := r.URL.Query()
	since, err := ParseSince(query.Get("since"), time.Now())
	for name := range query {
		if _, known := (Key{}).part(name); !known && name != "since" {
			err = fmt.Errorf("%q is no parameter: use since, method, caller, organization, client, protocol, way or outcome", name)
		}
	}
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	rows, err := l.Rows(r.Context(), since)
	if err != nil {
		l.log.WarnContext(r.Context(), "the usage store did not answer", "cause", err.Error())
		http.Error(w, "usage.store does not answer: see the log", http.StatusServiceUnavailable)
		return
	}
	rows = slices.DeleteFunc(rows, func(row Row) bool {
		for name := range query {
			if value, known := row.part(name); known && !slices.Contains(query[name], value) {
				return true
			}
		}
		return false
	})
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Cache-Control", "no-store")
	encoder := json.NewEncoder(w)
	encoder.SetIndent("", "  ")
	report := NewReport(since, rows)
	report.Shadow = l.Shadows()
	_ = encoder.Encode(report) //nolint:errchkjson // a client that is gone needs no answer
}
