package page_test

import (
	"errors"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"zitadel-v1-adapter/adapter"
	"zitadel-v1-adapter/internal/usage"
)

// busy is a configuration of an adapter in the middle of it all, with a ledger that knows a
// month.
func busy(t *testing.T) string {
	t.Helper()
	store := "sqlite:" + filepath.Join(t.TempDir(), "usage.db")
	fill(t, store, 0)
	now := time.Now().UTC()
	monday := now.Truncate(24*time.Hour).AddDate(0, 0, 9)
	return fmt.Sprintf(`usage: {store: "%s"}
rollout: {percent: 80}
deprecation:
  since: %s
  sunset: %s
  afterSunset: refuse
  link: https://status.example.com/v1-ends
  brownouts: ["%s/%s", "%s/%s"]
  brownoutPercent: 25
  exempt: ["2009"]
`, store, now.AddDate(0, -4, 0).Format(time.DateOnly), now.AddDate(0, 0, 96).Format(time.DateOnly),
		monday.Add(9*time.Hour).Format(time.RFC3339), monday.Add(10*time.Hour).Format(time.RFC3339),
		monday.AddDate(0, 0, 14).Add(9*time.Hour).Format(time.RFC3339), monday.AddDate(0, 0, 14).Add(11*time.Hour).Format(time.RFC3339))
}

// done is a configuration of an adapter that nobody has called for long.
func done(t *testing.T) string {
	t.Helper()
	store := "sqlite:" + filepath.Join(t.TempDir(), "usage.db")
	fill(t, store, 45)
	return fmt.Sprintf("usage: {store: %q}\n", store)
}

// source is a caller as the ledger may know it.
type source struct {
	caller, name, organization, client, method, protocol string
	perDay                                               float64 // at first; they become fewer
	until                                                int     // days ago; 0: still
}

func sources() []source {
	const first, second = "SetHumanInitialPassword", "SetHumanPassword"
	return []source{
		{"318745029384756001", "billing@acme.example", "318744918273645002", "okhttp/4.12.0", first, "rest", 140, 0},
		{"318745029384756001", "billing@acme.example", "318744918273645002", "grpc-java-okhttp/1.58.0", second, "grpc", 22, 0},
		{"318745110298374003", "nightly-import", "318744918273645002", "python-requests/2.31.0", first, "rest", 64, 0},
		{"318745230192837004", "portal@globex.example", "318744990182736005", "grpc-go/1.62.1", second, "grpc", 48, 0},
		{"318745340918273006", "onboarding@initech.example", "318745001928374007", "zitadel-node/2.0.37 grpc-node-js/1.9.14", second, "grpc", 31, 0},
		{"318745450192837008", "j.doe@initech.example", "318745001928374007", "curl/7.88.1", first, "rest", 2, 0},
		{"token:9c41d7e20ab35f68", "", "318744990182736005", "grpc-web-javascript/0.1", first, "grpc-web", 7, 12},
		{"318745560918273009", "hr-sync", "318745112837465010", "Apache-HttpClient/5.2.1 (Java/17.0.9)", second, "rest", 18, 17},
	}
}

// fill writes forty days of calls to a store. They become fewer, and the last is ended days ago.
func fill(t *testing.T, address string, ended int) {
	t.Helper()
	clock := time.Now().AddDate(0, 0, -40-ended)
	ledger := open(t, address, &clock)
	now := time.Now().AddDate(0, 0, -ended)
	for ago := 40; ago >= -ended; ago-- { // it counts every day, also when nobody calls any more
		ledger.Request()
		if err := ledger.Finish(t.Context()); err != nil {
			t.Fatal(err)
		}
		clock = clock.AddDate(0, 0, 1)
		if ago < 0 {
			continue
		}
		day := now.Truncate(24*time.Hour).AddDate(0, 0, -ago)
		for i, from := range sources() {
			if ago < from.until {
				continue
			}
			share := 0.2 + 0.8*float64(ago)/40 + 0.15*math.Sin(float64(ago*(i+2)))
			if weekday := day.Weekday(); weekday == time.Saturday || weekday == time.Sunday {
				share *= 0.35
			}
			for n := range int(math.Round(from.perDay * share)) {
				at := day.Add(time.Duration(n*577%1400) * time.Minute)
				if at.After(now) {
					continue
				}
				ledger.Observe(event(from, at, ago, n))
			}
		}
	}
	clock = time.Now()
	if err := errors.Join(ledger.Finish(t.Context()), ledger.Close(t.Context())); err != nil {
		t.Fatal(err)
	}
}

// open opens the ledger in a store.
func open(t *testing.T, address string, clock *time.Time) *usage.Ledger {
	t.Helper()
	store, err := usage.OpenStore(address)
	if err != nil {
		t.Fatal(err)
	}
	ledger, err := usage.NewLedger(usage.Config{Store: store, Names: true, Now: func() time.Time { return *clock }})
	if err != nil {
		t.Fatal(err)
	}
	return ledger
}

// crowd is a configuration of an adapter that many have called in the last month, each on one day and
// up to three methods.
func crowd(t *testing.T, callers int) string {
	t.Helper()
	catalogue, err := os.ReadFile("../../internal/v1api/methods.tsv")
	if err != nil {
		t.Fatal(err)
	}
	methods := strings.Split(strings.TrimSpace(string(catalogue)), "\n")[1:]
	store := "sqlite:" + filepath.Join(t.TempDir(), "usage.db")
	now := time.Now()
	clock := now.AddDate(0, 0, -30)
	ledger := open(t, store, &clock)
	for ago := 30; ago >= 0; ago-- {
		clock = now.AddDate(0, 0, -ago)
		ledger.Request()
		for i := ago; i < callers; i += 31 {
			for n := range 1 + i%3 {
				method := strings.Split(methods[(i*7+n*31)%400], "\t")
				from := source{
					caller: fmt.Sprintf("3187450%011d", i), name: fmt.Sprintf("service-%d@team-%d.example", i, i%40),
					organization: fmt.Sprintf("3187449%011d", i%40), client: fmt.Sprintf("team-%d-client/1.%d", i%40, n), method: method[1], protocol: "rest",
				}
				call := event(from, clock, ago, i)
				call.API = method[0]
				ledger.Observe(call)
			}
		}
		if err := ledger.Finish(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	if err := ledger.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	return fmt.Sprintf("usage: {store: %q}\n", store)
}

// event is a call, a few of which do not go well. Half of the month native v1 answered half
// of them.
func event(from source, at time.Time, ago, n int) adapter.Event {
	e := adapter.Event{
		API: "management", Method: from.method, Protocol: from.protocol, Route: adapter.RouteTranslated, Code: "ok", Caller: from.caller, LoginName: from.name,
		Organization: from.organization, UserAgent: from.client, Started: at,
	}
	if n%10 < (ago-8)/4 {
		e.Route = adapter.RouteNative
	}
	switch {
	case n%17 == 3:
		e.Code = "permission_denied"
	case ago == 5 && n%6 == 1:
		e.Code, e.RefusedBy, e.Route = "unavailable", adapter.RefusedByBrownout, adapter.RouteTranslated
	case ago == 3 && n%9 == 2, ago == 19 && n%5 == 2:
		e.Code = "unavailable"
	}
	return e
}
