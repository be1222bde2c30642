package usage_test

import (
	"context"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"zitadel-v1-adapter/adapter"
	"zitadel-v1-adapter/internal/usage"
)

// call is a translated call of a caller's that went well.
func call(caller string) adapter.Event {
	return adapter.Event{
		API: "management", Method: "SetHumanInitialPassword", Protocol: "rest", Route: adapter.RouteTranslated, Code: "ok",
		Caller: caller, Organization: "1001", UserAgent: "legacy/1.0", Started: time.Now(),
	}
}

// newLedger is a ledger in memory.
func newLedger(tb testing.TB, config usage.Config) *usage.Ledger {
	tb.Helper()
	ledger, err := usage.NewLedger(config)
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() { _ = ledger.Close(context.Background()) })
	return ledger
}

// total is the number of calls in rows.
func total(rows []usage.Row) (calls int64) {
	for _, row := range rows {
		calls += row.Calls
	}
	return calls
}

// Calls are counted by what they have in common, with the time of the first and of the last.
func TestCallsAreCounted(t *testing.T) {
	t.Parallel()
	ledger := newLedger(t, usage.Config{})
	first, last := call("7"), call("7")
	last.Started = first.Started.Add(time.Millisecond)
	other := call("8")
	other.UserAgent, other.Organization = strings.Repeat("x", 1000)+"\x00", "a\nb\xff"
	for _, event := range []adapter.Event{last, first, other} {
		ledger.Observe(event)
	}
	rows, err := ledger.Rows(t.Context(), usage.Query{Since: time.Now().AddDate(0, 0, -1)})
	if err != nil || len(rows) != 2 {
		t.Fatalf("got %+v, %v, want two rows", rows, err)
	}
	want := usage.Row{
		Key: usage.Key{
			Day: first.Started.UTC().Format(time.DateOnly), API: "management", Method: "SetHumanInitialPassword", Caller: "7", Organization: "1001",
			Client: "legacy/1.0", Protocol: "rest", Way: "v2", Outcome: adapter.OutcomeOK,
		},
		Calls: 2, Callers: 1, First: first.Started.UTC().Truncate(time.Millisecond), Last: last.Started.UTC().Truncate(time.Millisecond),
	}
	if rows[0] != want {
		t.Errorf("got %+v\nwant %+v", rows[0], want)
	}
	if got := rows[1]; len(got.Client) != 100 || got.Organization != "a b" {
		t.Errorf("texts of a client: got %q, %q, want them bounded", got.Client, got.Organization)
	}
}

// A code and who refused a call say how it ended.
func TestOutcomes(t *testing.T) {
	t.Parallel()
	for want, events := range map[string][]adapter.Event{
		adapter.OutcomeOK:       {{Code: "ok"}, {Code: "200", Route: "v1"}},
		adapter.OutcomeRefused:  {{Code: "permission_denied"}, {Code: "404"}, {Code: "resource_exhausted", RefusedBy: adapter.RefusedByRate}},
		adapter.OutcomeFailed:   {{Code: "unavailable"}, {Code: "deadline_exceeded"}, {Code: "503"}, {Code: "0"}, {Code: "unavailable", RefusedBy: adapter.RefusedByBreaker}},
		adapter.OutcomeBrownout: {{Code: "unavailable", RefusedBy: adapter.RefusedByBrownout}},
		adapter.OutcomeSunset:   {{Code: "unimplemented", RefusedBy: adapter.RefusedBySunset}},
	} {
		ledger := newLedger(t, usage.Config{})
		for _, event := range events {
			event.Started, event.Caller = time.Now(), "7"
			ledger.Observe(event)
		}
		rows, _ := ledger.Rows(t.Context(), usage.Query{})
		for _, row := range rows {
			if row.Outcome != want {
				t.Errorf("got %s, want %s", row.Outcome, want)
			}
		}
		if total(rows) != int64(len(events)) {
			t.Errorf("%s: got %d calls, want %d", want, total(rows), len(events))
		}
	}
}

// What shadow mode finds is counted by what differs, and bounded.
func TestShadowsAreCounted(t *testing.T) {
	t.Parallel()
	ledger := newLedger(t, usage.Config{})
	for i := range 300 {
		ledger.ObserveShadow(adapter.Shadow{Method: "SetHumanPassword", Result: adapter.ShadowAgrees, Native: strconv.Itoa(i), RequestID: strconv.Itoa(i)})
		ledger.ObserveShadow(adapter.Shadow{Method: "SetHumanPassword", Result: adapter.ShadowDiffers, Native: "ok", Verdict: "COMMAND-" + strconv.Itoa(i/2)})
	}
	rows := ledger.Shadows()
	calls := int64(0)
	for _, row := range rows {
		calls += row.Calls
	}
	if len(rows) > 101 || calls != 600 || rows[0] != (usage.ShadowRow{Method: "SetHumanPassword", Result: adapter.ShadowAgrees, Calls: 300}) {
		t.Errorf("got %d calls in %d rows, the first %+v, want 600 in at most 101", calls, len(rows), rows[0])
	}
	merged := usage.MergeShadows(rows, rows)
	if len(merged) != len(rows) || merged[0].Calls != 600 {
		t.Errorf("merged: got %d rows, the first %+v, want twice as many calls in each", len(merged), merged[0])
	}
}

// BenchmarkObserve is what a call pays, and the memory of a full ledger.
func BenchmarkObserve(b *testing.B) {
	t := b
	b.Run("known caller", func(b *testing.B) {
		ledger := newLedger(t, usage.Config{})
		event := call("7")
		b.ReportAllocs()
		for b.Loop() {
			ledger.Observe(event)
		}
	})
	b.Run("full ledger", func(b *testing.B) {
		var before, after runtime.MemStats
		runtime.GC()
		runtime.ReadMemStats(&before)
		ledger := newLedger(t, usage.Config{})
		event := call("")
		for i := range 1_000_000 {
			event.Caller = "40085033770" + strconv.Itoa(i)
			ledger.Observe(event)
		}
		runtime.GC()
		runtime.ReadMemStats(&after)
		for b.Loop() {
			ledger.Observe(event)
		}
		b.ReportMetric(float64(after.HeapAlloc-before.HeapAlloc)/(1<<20), "MiB")
	})
}

// Many at once lose nothing.
func TestConcurrentCallsAreCounted(t *testing.T) {
	t.Parallel()
	ledger := newLedger(t, usage.Config{})
	var all sync.WaitGroup
	for i := range 8 {
		all.Go(func() {
			for range 1000 {
				ledger.Observe(call(strconv.Itoa(i % 3)))
			}
		})
	}
	all.Wait()
	if rows, _ := ledger.Rows(t.Context(), usage.Query{}); total(rows) != 8000 || len(rows) != 3 {
		t.Errorf("got %d calls in %d rows, want 8000 in 3", total(rows), len(rows))
	}
}

// Strangers have a row a method and day, whatever they send; ZITADEL's own pages have theirs.
func TestStrangersAreNoCallers(t *testing.T) {
	t.Parallel()
	ledger := newLedger(t, usage.Config{})
	for i := range 1000 {
		stranger := call("")
		stranger.UserAgent, stranger.Organization, stranger.Protocol = strconv.Itoa(i), strconv.Itoa(i), strconv.Itoa(i)
		ledger.Observe(stranger)
		refused := call("token:" + strconv.Itoa(i))
		refused.Code = []string{"unauthenticated", "401"}[i%2]
		ledger.Observe(refused)
	}
	own := call("7")
	own.ZITADEL = "console"
	ledger.Observe(own)
	rows, err := ledger.Rows(t.Context(), usage.Query{})
	if err != nil || len(rows) != 2 || rows[0].Caller != usage.CallerStranger || rows[0].Calls != 2000 || rows[0].Client != "" {
		t.Fatalf("got %+v, %v, want one row of strangers and one of ZITADEL's own", rows, err)
	}
	if rows[1].Caller != usage.CallerZITADEL || rows[1].Client != "console" {
		t.Errorf("got %+v, want ZITADEL's own with the fact", rows[1])
	}
	if e, err := ledger.Evidence(t.Context(), time.Time{}, nil); err != nil || e.Callers != 0 {
		t.Errorf("got %+v, %v, want no callers whom a team could move", e, err)
	}
}

// A caller that names itself anew with each call has a few rows, and all its calls.
func TestClientsOfACallerAreBounded(t *testing.T) {
	t.Parallel()
	ledger := newLedger(t, usage.Config{})
	for i := range 1000 {
		event := call("7")
		event.UserAgent, event.Organization = strconv.Itoa(i), strconv.Itoa(i%7)
		ledger.Observe(event)
	}
	rows, _ := ledger.Rows(t.Context(), usage.Query{})
	if len(rows) != 6 || total(rows) != 1000 || rows[0].Client != usage.Others || rows[0].Organization != usage.Others || rows[0].Caller != "7" {
		t.Errorf("got %d rows with %d calls, the first %+v, want five and the others", len(rows), total(rows), rows[0])
	}
}

// /usage tells the rows that are asked for, and what is wrong with a question.
func TestUsageAnswersAsJSON(t *testing.T) {
	t.Parallel()
	ledger := newLedger(t, usage.Config{})
	for _, caller := range []string{"7", "7", "8"} {
		ledger.Observe(call(caller))
		ledger.Request()
	}
	ask := func(query string) (int, string) {
		recorder := httptest.NewRecorder()
		ledger.ServeHTTP(recorder, httptest.NewRequest(http.MethodGet, "/usage"+query, nil))
		return recorder.Code, recorder.Body.String()
	}
	for query, want := range map[string][]string{
		"": {"7", "8"}, "?caller=7": {"7"}, "?caller=7&caller=8&way=v2": {"7", "8"}, "?way=v1": {}, "?since=1d&outcome=ok": {"7", "8"}, "?since=2999-01-01": {},
		"?by=caller": {"7", "8"}, "?by=api,method": {""}, "?by=caller&limit=1": {"7"}, "?by=caller&limit=1&offset=1": {"8"},
	} {
		status, body := ask(query)
		var report usage.Report
		if err := json.Unmarshal([]byte(body), &report); err != nil || status != http.StatusOK {
			t.Errorf("%q: got HTTP %d %s", query, status, body)
		}
		got := make([]string, 0, len(report.Rows))
		for _, row := range report.Rows {
			got = append(got, row.Caller)
		}
		if !slices.Equal(got, want) || report.Ledger == "" {
			t.Errorf("%q: got callers %q in %+v, want %q", query, got, report, want)
		}
		if further := strings.Contains(query, "offset"); further != report.Evidence.Began.IsZero() || further == (report.Evidence.Replicas == 1) {
			t.Errorf("%q: got %+v, want it with the first rows only", query, report.Evidence)
		}
		if more := query == "?by=caller&limit=1"; more != (report.Next == 1) {
			t.Errorf("%q: got next %d", query, report.Next)
		}
	}
	for query, want := range map[string]string{
		"?user=7":      `"user" is no parameter: use day, caller, api, method,`,
		"?since=foo":   `"foo": use a day such as 2027-01-31, a number of days such as 30d`,
		"?by=password": `by: "password": use day, caller, api, method,`,
		"?format=xml":  `format: "xml": use json or csv`,
		"?limit=no":    `limit: "no": use a number from 1 to 10000`,
		"?limit=99999": `limit: "99999": use a number from 1 to 10000`,
	} {
		if status, body := ask(query); status != http.StatusBadRequest || !strings.HasPrefix(body, want) {
			t.Errorf("%q: got HTTP %d %s, want 400 %s", query, status, body, want)
		}
	}
}

// A caller's own CSV says what takes the place of its methods, and holds no formulas.
func TestUsageAnswersAsCSV(t *testing.T) {
	t.Parallel()
	ledger := newLedger(t, usage.Config{Successor: func(api, method string) string { return "v2 of " + api + "/" + method }})
	event := call("7")
	event.UserAgent = "=1+1"
	ledger.Observe(event)
	ledger.Observe(call("8"))
	recorder := httptest.NewRecorder()
	ledger.ServeHTTP(recorder, httptest.NewRequest(http.MethodGet, "/usage?format=csv&by=api,method,client&caller=7", nil))
	at := event.Started.UTC().Format(time.RFC3339)
	want := "api,method,client,calls,first,last,successor\nmanagement,SetHumanInitialPassword,'=1+1,1," + at + "," + at + ",v2 of management/SetHumanInitialPassword\n"
	if got := recorder.Body.String(); got != want || recorder.Header().Get("Content-Type") != "text/csv; charset=UTF-8" {
		t.Errorf("got %s %q, want %q", recorder.Header().Get("Content-Type"), got, want)
	}
}
