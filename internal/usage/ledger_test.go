package usage_test

import (
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
		Method: "SetHumanInitialPassword", Protocol: "rest", Route: adapter.RouteTranslated, Code: "ok",
		Caller: caller, Organization: "1001", UserAgent: "legacy/1.0", Started: time.Now(),
	}
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
	ledger := usage.NewLedger(usage.Config{})
	first, last := call("7"), call("7")
	last.Started = first.Started.Add(time.Millisecond)
	other := call("8")
	other.UserAgent, other.Organization = strings.Repeat("x", 1000)+"\x00", "a\nb\xff"
	for _, event := range []adapter.Event{last, first, other} {
		ledger.Observe(event)
	}
	rows, err := ledger.Rows(t.Context(), time.Now().AddDate(0, 0, -1))
	if err != nil || len(rows) != 2 {
		t.Fatalf("got %+v, %v, want two rows", rows, err)
	}
	want := usage.Row{
		Key: usage.Key{
			Day: first.Started.UTC().Format(time.DateOnly), Method: "SetHumanInitialPassword", Caller: "7", Organization: "1001",
			Client: "legacy/1.0", Protocol: "rest", Way: "v2", Outcome: usage.OutcomeOK,
		},
		Calls: 2, First: first.Started.UTC().Truncate(time.Millisecond), Last: last.Started.UTC().Truncate(time.Millisecond),
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
		usage.OutcomeOK:       {{Code: "ok"}, {Code: "200", Route: "v1"}},
		usage.OutcomeRefused:  {{Code: "permission_denied"}, {Code: "404"}, {Code: "resource_exhausted", RefusedBy: adapter.RefusedByRate}},
		usage.OutcomeFailed:   {{Code: "unavailable"}, {Code: "deadline_exceeded"}, {Code: "503"}, {Code: "0"}, {Code: "unavailable", RefusedBy: adapter.RefusedByBreaker}},
		usage.OutcomeBrownout: {{Code: "unavailable", RefusedBy: adapter.RefusedByBrownout}},
		usage.OutcomeSunset:   {{Code: "unimplemented", RefusedBy: adapter.RefusedBySunset}},
	} {
		ledger := usage.NewLedger(usage.Config{})
		for _, event := range events {
			event.Started = time.Now()
			ledger.Observe(event)
		}
		rows, _ := ledger.Rows(t.Context(), time.Time{})
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
	ledger := usage.NewLedger(usage.Config{})
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

// A million callers take no more room than the bound allows; no call is forgotten.
func TestMillionCallersStayWithinBound(t *testing.T) {
	t.Parallel()
	const callers, most = 1_000_000, 20_001
	var unnamed int64
	ledger := usage.NewLedger(usage.Config{OnOverflow: func() { unnamed++ }})
	event := call("")
	for i := range callers {
		event.Caller = "40085033770" + strconv.Itoa(i)
		ledger.Observe(event)
	}
	rows, _ := ledger.Rows(t.Context(), time.Time{})
	if len(rows) > most || total(rows) != callers {
		t.Errorf("got %d rows and %d calls, want at most %d rows and %d calls", len(rows), total(rows), most, callers)
	}
	if got := rows[0]; got.Caller != usage.Others || got.Calls != unnamed || got.Client != "" {
		t.Errorf("the rest: got %+v, want the %d calls without names", got, unnamed)
	}
	runtime.KeepAlive(ledger)
}

// BenchmarkObserve is what a call pays, and the memory of a full ledger.
func BenchmarkObserve(b *testing.B) {
	b.Run("known caller", func(b *testing.B) {
		ledger := usage.NewLedger(usage.Config{})
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
		ledger := usage.NewLedger(usage.Config{})
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
	ledger := usage.NewLedger(usage.Config{})
	var all sync.WaitGroup
	for i := range 8 {
		all.Go(func() {
			for range 1000 {
				ledger.Observe(call(strconv.Itoa(i % 3)))
			}
		})
	}
	all.Wait()
	if rows, _ := ledger.Rows(t.Context(), time.Time{}); total(rows) != 8000 || len(rows) != 3 {
		t.Errorf("got %d calls in %d rows, want 8000 in 3", total(rows), len(rows))
	}
}

// /usage tells the rows that are asked for, and what is wrong with a question.
func TestUsageAnswersAsJSON(t *testing.T) {
	t.Parallel()
	ledger := usage.NewLedger(usage.Config{})
	for _, caller := range []string{"7", "7", "8"} {
		ledger.Observe(call(caller))
	}
	ask := func(query string) (int, string) {
		recorder := httptest.NewRecorder()
		ledger.ServeHTTP(recorder, httptest.NewRequest(http.MethodGet, "/usage"+query, nil))
		return recorder.Code, recorder.Body.String()
	}
	for query, want := range map[string][]string{
		"": {"7", "8"}, "?caller=7": {"7"}, "?caller=7&caller=8&way=v2": {"7", "8"}, "?way=v1": {}, "?since=1d&outcome=ok": {"7", "8"}, "?since=2999-01-01": {},
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
		if !slices.Equal(got, want) || report.LastCall.IsZero() != (len(want) == 0) {
			t.Errorf("%q: got callers %q, last call %v, want %q", query, got, report.LastCall, want)
		}
	}
	for query, want := range map[string]string{
		"?user=7": `"user" is no parameter: use since,`, "?since=yesterday": `"yesterday": use a number of days such as 30d`,
	} {
		if status, body := ask(query); status != http.StatusBadRequest || !strings.HasPrefix(body, want) {
			t.Errorf("%q: got HTTP %d %s, want 400 %s", query, status, body, want)
		}
	}
}
