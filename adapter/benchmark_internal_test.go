package adapter

import (
	"context"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	objectv2 "zitadel-v1-adapter/gen/zitadel/object/v2"
	"zitadel-v1-adapter/internal/ingress"
	"zitadel-v1-adapter/internal/v1api"
	"zitadel-v1-adapter/v2client"
)

const benchmarkedUser = "400850336480234534"

// BenchmarkClassification is how a request's path becomes a method, or none.
func BenchmarkClassification(b *testing.B) {
	a := newBenchmarked(b)
	for _, each := range []struct{ name, path string }{
		{"REST", "/management/v1/users/" + benchmarkedUser + "/password/_initialize"},
		{"gRPC", "/zitadel.management.v1.ManagementService/SetHumanInitialPassword"},
		{"other", "/management/v1/users/" + benchmarkedUser + "/profile"},
	} {
		b.Run(each.name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if clean := cleanPath(each.path); (a.find(clean).method == nil) != (each.name == "other") {
					b.Fatal("not what it is")
				}
			}
		})
	}
}

// BenchmarkOrganizationRule is the rule alone, for a ZITADEL that takes no time: hot with all
// remembered, cold with nothing.
func BenchmarkOrganizationRule(b *testing.B) {
	for _, each := range []string{"hot", "cold"} {
		b.Run(each, func(b *testing.B) {
			a := newBenchmarked(b)
			caller := v2client.NewCaller("localhost", http.Header{"Authorization": {"Bearer abcdefghijklmnopqrstuvwxyz"}, "X-Zitadel-Orgid": {"1001"}})
			token := hashToken(caller)
			method := setHumanInitialPassword()
			request := method.newRequest(benchmarkedUser, "Sup3rPassw0rd!")
			b.ReportAllocs()
			for b.Loop() {
				if each == "cold" {
					a.identities.entries.Purge()
				}
				c := call{reads: a.config.ZITADEL, write: func(ctx context.Context) (*objectv2.Details, error) {
					return method.execute(ctx, a.config.ZITADEL, caller, request)
				}, identities: a.identities, caller: caller, token: token, method: &method, request: request}
				if _, err := c.inOrganization(b.Context()); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

func newBenchmarked(b *testing.B) *Adapter {
	b.Helper()
	a, err := New(Config{ZITADEL: promptZITADEL{}, OrgScope: OrgScopeStrict, Timeout: time.Second, Rollout: RolloutAll, Limits: Limits{BodyTimeout: time.Second}})
	if err != nil {
		b.Fatal(err)
	}
	return a
}

// promptZITADEL allows everything, at once.
type promptZITADEL struct{}

func (promptZITADEL) SetPassword(context.Context, v2client.Caller, string, string, bool) (*objectv2.Details, error) {
	return &objectv2.Details{ResourceOwner: "1001"}, nil
}

func (promptZITADEL) UserOrganization(context.Context, v2client.Caller, string) (string, error) {
	return "1001", nil
}

func (promptZITADEL) Identify(context.Context, v2client.Caller) (v2client.Identity, error) {
	return v2client.Identity{UserID: "7", Organization: "1001"}, nil
}

func (promptZITADEL) Authorize(_ context.Context, _ v2client.Caller, known v2client.Identity) (v2client.Grant, v2client.Identity, error) {
	return v2client.GrantUserWrite, known, nil
}

func (promptZITADEL) IsHuman(context.Context, v2client.Caller, string) (bool, error) {
	return true, nil
}

func (promptZITADEL) DefaultLanguage(context.Context, v2client.Caller) (string, error) {
	return "en", nil
}

// BenchmarkPassThrough is what the adapter adds to a request that ZITADEL answers: one of no API,
// and one of v1, which is counted.
func BenchmarkPassThrough(b *testing.B) {
	catalogue, err := v1api.Load()
	if err != nil {
		b.Fatal(err)
	}
	for _, path := range []string{"/ui/console/", "/management/v1/orgs/me"} {
		b.Run(path, func(b *testing.B) {
			a := newBenchmarked(b)
			a.config.Catalogue, a.config.Count, a.config.Identify = catalogue, func(Event) {}, true
			a.config.Passthrough = http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusOK) })
			r := httptest.NewRequestWithContext(b.Context(), http.MethodGet, path, nil)
			r.Header = http.Header{
				"Authorization": {"Bearer abcdefghijklmnopqrstuvwxyz0123456789"}, "Accept": {"*/*"}, "Accept-Encoding": {"gzip"},
				"User-Agent": {"curl/8.0"}, "X-Request-Id": {"0123456789"}, "X-Forwarded-For": {"192.0.2.1"}, "X-Forwarded-Proto": {"http"},
			}
			w := httptest.NewRecorder()
			x, r := ingress.ExchangeOf(w, r)
			a.ServeHTTP(x, r)
			a.Finish(b.Context()) // the caller is known now
			b.ReportAllocs()
			for b.Loop() {
				a.ServeHTTP(x, r)
			}
		})
	}
}
