// Package usagetest tests stores of the ledger, whatever database they have.
package usagetest

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"strconv"
	"strings"
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
		"keeps": keeps, "replicas add up": replicasAddUp, "forgets": forgets, "folds": folds,
		"shares the key": sharesKey, "bounds days": boundsDays, "covers": covers, "adds up": addsUp, "is read only": isReadOnly, "names": names,
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

// Old days are added up: those of hashed tokens first, then all by month.
func folds(t *testing.T, address string) {
	t.Helper()
	ledger, stop := Run(t, usage.Config{Store: Open(t, address)})
	for i, ago := range []int{0, 1, 10, 11, 100, 101} {
		for _, caller := range []string{"7", "token:" + strconv.Itoa(i)} {
			call := Call(caller)
			call.Started = call.Started.AddDate(0, 0, -ago)
			call.UserAgent = strconv.Itoa(i)
			ledger.Observe(call)
		}
	}
	stop()
	got := map[string]int{}
	months := map[string]int64{}
	for _, row := range Rows(t, address) {
		got[row.Caller]++
		if len(row.Day) == len("2027-01") {
			months[row.Caller] += row.Calls
			if row.Client != "" {
				t.Errorf("got a month of client %q, want all added up", row.Client)
			}
		}
	}
	// Days 100 and 101 ago may be of two months.
	if months["7"] != 2 || months[usage.CallerOldTokens] != 2 || got["token:0"] != 1 || got["token:1"] != 1 || got["token:2"] != 0 || got["7"] < 5 || got["7"] > 6 {
		t.Errorf("got %v rows, %v calls in months", got, months)
	}
}

// A day has a bounded number of rows, however many callers there are. No call is lost, and a caller
// whose row is there before the day is full keeps it.
func boundsDays(t *testing.T, address string) {
	t.Helper()
	const most, callers = 20_000, 21_500
	if testing.Short() {
		t.Skip("takes a minute under the race detector")
	}
	ledger, stop := Run(t, usage.Config{Store: Open(t, address)})
	ledger.Observe(Call("first"))
	stop()
	ledger, stop = Run(t, usage.Config{Store: Open(t, address)})
	for i := range callers {
		ledger.Observe(Call(strconv.Itoa(i)))
	}
	stop()
	ledger, stop = Run(t, usage.Config{Store: Open(t, address)})
	ledger.Observe(Call("first"))
	stop()
	rows := Rows(t, address)
	calls := int64(0)
	for _, row := range rows {
		calls += row.Calls
	}
	if len(rows) > most+1 || len(rows) < most-1000 || calls != callers+2 {
		t.Errorf("got %d rows with %d calls, want about %d with %d", len(rows), calls, most, callers+2)
	}
	if rows[1].Caller != "first" || rows[1].Calls != 2 {
		t.Errorf("got %+v, want two calls of the first caller", rows[1])
	}
}

// The ledger knows since when and on which days it counted, and how many requests came.
func covers(t *testing.T, address string) {
	t.Helper()
	began := time.Now().Add(-time.Second)
	ledger, stop := Start(t, address)
	for range 5 {
		ledger.Request()
	}
	if e, err := ledger.Evidence(t.Context(), began, nil); err != nil || e.Requests != 5 || e.Began.Before(began) || e.Replicas != 1 || len(e.Gaps) != 0 {
		t.Errorf("got %+v, %v, want five requests since %v", e, err, began)
	}
	ledger.Request()
	stop()
	if e, err := Open(t, address).Evidence(t.Context(), began, time.Now(), nil); err != nil || e.Requests > 6 || e.Requests < 5 {
		t.Errorf("got %+v, %v, want up to six requests", e, err)
	}
}

// The database adds up, searches, sorts and cuts.
func addsUp(t *testing.T, address string) {
	t.Helper()
	ledger, stop := Start(t, address)
	for caller, methods := range map[string][]string{"7": {"GetUserByID", "AddOrg"}, "8": {"AddOrg", "AddOrg", "AddOrg"}, "": {"AddOrg"}} {
		for _, method := range methods {
			call := Call(caller)
			call.Method, call.UserAgent = method, "Client_"+caller+"%"
			ledger.Observe(call)
		}
	}
	stop()
	reader := Open(t, address)
	for name, test := range map[string]struct {
		query usage.Query
		want  string
	}{
		"by caller":        {usage.Query{By: []string{"caller"}}, "8=3/1 7=2/1 (no valid token)=1/1"},
		"by method":        {usage.Query{By: []string{"method"}}, "AddOrg=5/3 GetUserByID=1/1"},
		"of one caller":    {usage.Query{By: []string{"method"}, Where: map[string][]string{"caller": {"8", "nobody"}}}, "AddOrg=3/1"},
		"of no caller":     {usage.Query{By: []string{"method"}, Where: map[string][]string{"caller": {"nobody"}}}, ""},
		"search":           {usage.Query{By: []string{"caller"}, Search: "client_7%"}, "7=2/1"},
		"search all parts": {usage.Query{By: []string{"caller"}, Search: "getUSER"}, "7=2/1"},
		"nothing found":    {usage.Query{By: []string{"caller"}, Search: "client.7"}, ""},
		"least calls":      {usage.Query{By: []string{"caller"}, Order: "calls"}, "(no valid token)=1/1 7=2/1 8=3/1"},
		"names backwards":  {usage.Query{By: []string{"caller"}, Order: "-caller"}, "8=3/1 7=2/1 (no valid token)=1/1"},
		"by client":        {usage.Query{By: []string{"caller"}, Order: "client"}, "(no valid token)=1/1 7=2/1 8=3/1"},
		"second":           {usage.Query{By: []string{"caller"}, Limit: 1, Offset: 1}, "7=2/1"},
		"of the future":    {usage.Query{By: []string{"caller"}, Since: time.Now().AddDate(0, 0, 2)}, ""},
	} {
		rows, err := reader.Rows(t.Context(), test.query)
		got := make([]string, 0, len(rows))
		for _, row := range rows {
			got = append(got, fmt.Sprintf("%s%s=%d/%d", row.Caller, row.Method, row.Calls, row.Callers))
		}
		if err != nil || strings.Join(got, " ") != test.want {
			t.Errorf("%s: got %q, %v, want %q", name, got, err, test.want)
		}
	}
	if a, err := reader.Active(t.Context(), time.Now().Add(-time.Hour), time.Now(), nil); err != nil || a.Callers != 2 || a.Week != 2 || a.Calls != 5 || time.Since(a.Last) > time.Minute || a.AtLeast {
		t.Errorf("got %+v, %v, want two callers with five calls", a, err)
	}
	if a, err := reader.Active(t.Context(), time.Now().Add(-time.Hour), time.Now(), map[string][]string{"method": {"GetUserByID"}}); err != nil || a.Callers != 1 {
		t.Errorf("got %+v, %v, want one caller", a, err)
	}
}

// A reader makes nothing.
func isReadOnly(t *testing.T, address string) {
	t.Helper()
	empty := func() error {
		reader, err := usage.ReadStore(address)
		if err != nil {
			return err
		}
		defer func() { _ = reader.Close(context.Background()) }()
		_, err = reader.Rows(t.Context(), usage.Query{})
		return err
	}
	for range 2 {
		if err := empty(); !errors.Is(err, usage.ErrNoLedger) && !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("nothing there: got %v, want %v or that the file is not there", err, usage.ErrNoLedger)
		}
	}
	ledger, stop := Start(t, address)
	ledger.Observe(Call("7"))
	stop()
	reader, err := usage.ReadStore(address)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = reader.Close(context.Background()) }()
	if rows, err := reader.Rows(t.Context(), usage.Query{}); err != nil || len(rows) != 1 {
		t.Errorf("got %+v, %v, want a row", rows, err)
	}
	written := usage.Config{Store: reader}
	writer, err := usage.NewLedger(written)
	if err != nil {
		t.Fatal(err)
	}
	writer.Observe(Call("8"))
	ctx, cancel := context.WithTimeout(t.Context(), time.Second)
	defer cancel()
	if err := writer.Finish(ctx); err == nil {
		t.Error("a store to read from was written to")
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

// The login names of callers are there as long as their rows; without Config.Names, none is.
func names(t *testing.T, address string) {
	t.Helper()
	got := func(q usage.Query) (got []string) {
		t.Helper()
		q.By = []string{"caller"}
		rows, err := Open(t, address).Rows(t.Context(), q)
		if err != nil {
			t.Fatal(err)
		}
		for _, row := range rows {
			got = append(got, row.Caller+"="+row.Name)
		}
		return got
	}
	day := time.Now()
	at := func(caller, name string) adapter.Event {
		call := Call(caller)
		call.LoginName, call.Started = name, day
		return call
	}
	want := func(when string, q usage.Query, want ...string) {
		t.Helper()
		if got := got(q); !slices.Equal(got, want) {
			t.Errorf("%s: got %q, want %q", when, got, want)
		}
	}
	now := func() time.Time { return day }
	ledger, stop := Run(t, usage.Config{Store: Open(t, address), Names: true, Retention: 24 * time.Hour, Now: now})
	ledger.Observe(at("7", "was@acme.example"))
	ledger.Observe(at("", "stranger@acme.example"))
	stop()
	ledger, stop = Run(t, usage.Config{Store: Open(t, address), Names: true, Now: now})
	for caller, name := range map[string]string{"7": "Zoe@acme.example", "8": "adam@acme.example", "9": ""} {
		ledger.Observe(at(caller, name))
	}
	stop()
	want("all", usage.Query{Order: "caller"}, "(no valid token)=", "9=", "7=Zoe@acme.example", "8=adam@acme.example")
	want("search", usage.Query{Search: "ZOE@"}, "7=Zoe@acme.example")
	day = day.AddDate(0, 0, 3)
	ledger, stop = Run(t, usage.Config{Store: Open(t, address), Names: true, Retention: 24 * time.Hour, Now: now})
	ledger.Observe(at("8", ""))
	stop()
	ledger, stop = Run(t, usage.Config{Store: Open(t, address), Names: true, Now: now})
	ledger.Observe(at("7", ""))
	stop()
	want("after their rows", usage.Query{Order: "caller"}, "7=", "8=adam@acme.example")
	ledger, stop = Run(t, usage.Config{Store: Open(t, address), Now: now})
	ledger.Observe(at("7", "zoe@acme.example"))
	stop()
	want("off", usage.Query{Order: "caller"}, "7=", "8=")
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
		API: "management", Method: "SetHumanInitialPassword", Protocol: "grpc", Route: adapter.RouteTranslated, Code: "ok",
		Caller: caller, Organization: "1001", UserAgent: "legacy's \"client\" ü", Started: time.Now(),
	}
}

// Open opens a store until the end of the test.
func Open(tb testing.TB, address string) *usage.Store {
	tb.Helper()
	store, err := usage.OpenStore(address)
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() { _ = store.Close(context.Background()) })
	return store
}

// Start runs a ledger that keeps 30 days, as Run does.
func Start(t *testing.T, address string) (ledger *usage.Ledger, stop func()) {
	t.Helper()
	const month = 30 * 24 * time.Hour
	return Run(t, usage.Config{Store: Open(t, address), Retention: month})
}

// Run runs a ledger; stop returns when it has written everything.
func Run(t *testing.T, config usage.Config) (ledger *usage.Ledger, stop func()) {
	t.Helper()
	ledger, err := usage.NewLedger(config)
	if err != nil {
		t.Fatal(err)
	}
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
	rows, err := Open(t, address).Rows(t.Context(), usage.Query{})
	if err != nil {
		t.Fatal(err)
	}
	return rows
}
