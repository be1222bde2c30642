package usage_test

import (
	"math/rand/v2"
	"path/filepath"
	"slices"
	"strconv"
	"testing"
	"time"

	"zitadel-v1-adapter/adapter"
	"zitadel-v1-adapter/internal/usage"
	"zitadel-v1-adapter/internal/usage/usagetest"
	"zitadel-v1-adapter/internal/v1api"
)

// strangers are the kinds of calls that anybody can make. Each has a number of its own.
var strangers = []func(e *adapter.Event, own string){
	func(e *adapter.Event, _ string) { e.Caller = "" },
	func(e *adapter.Event, own string) { e.Caller, e.Code = "token:"+own, "401" },
	func(e *adapter.Event, own string) { e.Caller = "token:" + own }, // which nobody judged
	func(e *adapter.Event, _ string) { e.Caller = "6" },              // who names itself anew each time
}

// An hour of strangers at full speed leaves no more rows than docs/operations.md says, counts every
// call, and takes the name of no caller who was there before.
func TestFloodIsBounded(t *testing.T) {
	t.Parallel()
	const mostRows, calls = 24_000, 200_000
	if testing.Short() {
		t.Skip("takes minutes under the race detector")
	}
	catalogue, err := v1api.Load()
	if err != nil {
		t.Fatal(err)
	}
	methods := slices.Collect(catalogue.All())
	for name, open := range map[string]func(t *testing.T) *usage.Store{
		"in memory": func(*testing.T) *usage.Store { return nil },
		"in a file": func(t *testing.T) *usage.Store {
			t.Helper()
			return usagetest.Open(t, "sqlite:"+filepath.Join(t.TempDir(), "usage.db"))
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			random := rand.New(rand.NewPCG(1, 2)) // the same calls each time
			clock := time.Date(2027, 1, 31, 10, 0, 0, 0, time.UTC)
			unnamed := int64(0)
			ledger := newLedger(t, usage.Config{
				Store: open(t), Now: func() time.Time { return clock }, OnOverflow: func(calls int64) { unnamed += calls },
			})
			for i := range calls {
				if i%(calls/5) == 0 { // strangers are faster than the store
					if err := ledger.Finish(t.Context()); err != nil {
						t.Fatal(err)
					}
					known := call("7")
					known.Started = clock
					ledger.Observe(known)
				}
				own, method := strconv.Itoa(i), methods[random.IntN(len(methods))]
				event := adapter.Event{
					API: method.API, Method: method.Name, Protocol: "grpc", Route: adapter.RouteNative, Organization: own, UserAgent: own, Started: clock,
					Code: []string{"ok", "permission_denied", "unavailable"}[random.IntN(3)],
				}
				strangers[i%len(strangers)](&event, own)
				ledger.Observe(event)
				clock = clock.Add(time.Hour / time.Duration(calls))
			}
			if err := ledger.Finish(t.Context()); err != nil {
				t.Fatal(err)
			}
			rows, err := ledger.Rows(t.Context(), usage.Query{})
			if err != nil || len(rows) > mostRows || total(rows) != int64(calls)+5 {
				t.Errorf("got %d rows with %d calls, %v, want at most %d with %d", len(rows), total(rows), err, mostRows, calls+5)
			}
			byCaller, err := ledger.Rows(t.Context(), usage.Query{
				By: []string{"caller"}, Where: map[string][]string{"caller": {"7", usage.CallerOthers, usage.CallerStranger}}, Order: "calls",
			})
			if err != nil || len(byCaller) != 3 || byCaller[0].Calls != 5 || byCaller[1].Calls+byCaller[2].Calls != unnamed+int64(calls)/2 {
				t.Errorf("got %+v, %v, want five calls of caller 7, %d of others, %d of strangers", byCaller, err, unnamed, calls/2)
			}
			t.Logf("%d rows, %d calls without a name", len(rows), unnamed)
		})
	}
}
