// Package usagetest tests stores of the ledger, whatever database they have.
package usagetest

import (
	"context"
	"strconv"
	"sync"
	"testing"
	"time"

	"zitadel-v1-adapter/adapter"
	"zitadel-v1-adapter/internal/usage"
)

// TestStore tests a kind of store. fresh makes an empty database, and returns its address.
func TestStore(t *testing.T, fresh func(t *testing.T) (address string)) {
	t.Helper()
	for name, test := range map[string]func(t *testing.T, address string){
		"keeps": keeps, "replicas add up": replicasAddUp, "forgets": forgets, "shares the key": sharesKey, "adds callers up": addsCallersUp,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			test(t, fresh(t))
		})
	}
}

func keeps(t *testing.T, address string) {
	t.Helper()
	began := time.Now().Add(-time.Second)
	for range 2 { // the second one finds what the first one wrote
		ledger, stop := Start(t, address)
		for range 3 {
			ledger.Observe(Call("7"))
		}
		ledger.Observe(Call("8"))
		stop()
	}
	rows := Rows(t, address)
	if len(rows) != 2 || rows[0].Caller != "7" || rows[0].Calls != 6 || rows[1].Calls != 2 {
		t.Fatalf("got %+v, want 6 calls of caller 7, and 2 of 8", rows)
	}
	if rows[0].First.Before(began) || rows[0].Last.Before(rows[0].First) || time.Now().Before(rows[0].Last) {
		t.Errorf("got calls from %v to %v, want them since %v", rows[0].First, rows[0].Last, began)
	}
}

func replicasAddUp(t *testing.T, address string) {
	t.Helper()
	const replicas, callers, each = 4, 50, 40
	var all sync.WaitGroup
	for range replicas {
		all.Go(func() {
			ledger, stop := Start(t, address)
			for i := range callers * each {
				ledger.Observe(Call(strconv.Itoa(i % callers)))
			}
			stop()
		})
	}
	all.Wait()
	for _, row := range Rows(t, address) {
		if row.Calls != replicas*each {
			t.Errorf("caller %s: got %d calls, want %d", row.Caller, row.Calls, replicas*each)
		}
	}
}

// What is not written yet counts too.
func addsCallersUp(t *testing.T, address string) {
	t.Helper()
	early, late := Call("7"), Call("7")
	early.Started = late.Started.AddDate(0, 0, -3)
	ledger, stop := Start(t, address)
	ledger.Observe(early)
	ledger.Observe(Call("8"))
	stop()
	store, err := usage.OpenStore(address)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = store.Close(t.Context()) }()
	second := usage.NewLedger(usage.Config{Store: store})
	second.Observe(late)
	callers, err := second.Callers(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	want := usage.Span{First: early.Started.UTC().Truncate(time.Millisecond), Last: late.Started.UTC().Truncate(time.Millisecond)}
	if len(callers) != 2 || callers["7"] != want {
		t.Errorf("got %v, want caller 7 with %v, and 8", callers, want)
	}
}

func forgets(t *testing.T, address string) {
	t.Helper()
	old := Call("7")
	old.Started = old.Started.AddDate(0, 0, -40)
	ledger, stop := Start(t, address)
	ledger.Observe(old)
	ledger.Observe(Call("8"))
	stop()
	if rows := Rows(t, address); len(rows) != 1 || rows[0].Caller != "8" {
		t.Errorf("got %+v, want what is not older than 30 days", rows)
	}
}

func sharesKey(t *testing.T, address string) {
	t.Helper()
	first, second := Open(t, address), Open(t, address)
	a, err := first.CallerKey(t.Context(), [32]byte{1})
	if err != nil {
		t.Fatal(err)
	}
	if b, err := second.CallerKey(t.Context(), [32]byte{2}); err != nil || a != b || a != [32]byte{1} {
		t.Errorf("got %x and %x (%v), want the first one's for both", a, b, err)
	}
}

// Call is a call of a caller's.
func Call(caller string) adapter.Event {
	return adapter.Event{
		Method: "SetHumanInitialPassword", Protocol: "grpc", Route: adapter.RouteTranslated, Code: "ok",
		Caller: caller, Organization: "1001", UserAgent: "legacy's \"client\" ü", Started: time.Now(),
	}
}

// Open opens a store until the end of the test.
func Open(t *testing.T, address string) *usage.Store {
	t.Helper()
	store, err := usage.OpenStore(address)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = store.Close(context.Background()) })
	return store
}

// Start runs a ledger that keeps 30 days; stop returns when it has written everything it can.
func Start(t *testing.T, address string) (ledger *usage.Ledger, stop func()) {
	t.Helper()
	const month = 30 * 24 * time.Hour
	ledger = usage.NewLedger(usage.Config{Store: Open(t, address), Retention: month})
	ctx, cancel := context.WithCancel(context.Background())
	var running sync.WaitGroup
	running.Go(func() { ledger.Run(ctx) })
	return ledger, func() {
		cancel()
		running.Wait()
		finishing, cancel := context.WithTimeout(context.Background(), time.Minute)
		defer cancel()
		if err := ledger.Finish(finishing); err != nil {
			t.Error(err)
		}
	}
}

// Rows reads all rows of a database.
func Rows(t *testing.T, address string) []usage.Row {
	t.Helper()
	rows, err := Open(t, address).Rows(t.Context(), time.Time{})
	if err != nil {
		t.Fatal(err)
	}
	return usage.Merge(rows)
}
