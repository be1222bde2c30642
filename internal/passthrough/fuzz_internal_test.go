package passthrough

import (
	"bufio"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	"zitadel-v1-adapter/adapter"
	"zitadel-v1-adapter/internal/ingress"
	"zitadel-v1-adapter/v2client"
)

// The upstream's request line is the client's, and what passes through is not the
// translated call, even if it is read again.
func FuzzTarget(f *testing.F) {
	for _, target := range []string{
		"/", "/a%2Fb?c", "//a//b", "/%2e%2E/a", "/a|b^c", "/ä", "*", "http://h/a?b", "/management/v1/users/1/password/_initialize",
		"/management/v1/users/%31/password/%5finitialize", "/x/../management/v1/users/1/password/_initialize", "//management/v1/users/1/password/_initialize",
		"/management/v1/users/a%2Fb/password/_initialize", "http://h//a|b", "/?//x", "http:/a", "http:///a",
	} {
		f.Add(target)
	}
	base, err := url.Parse("https://zitadel.example/base%2Fd")
	if err != nil {
		f.Fatal(err)
	}
	answers := newAnswers(f)
	f.Fuzz(func(t *testing.T, target string) {
		read := func(target string) *http.Request {
			request, err := http.ReadRequest(bufio.NewReader(strings.NewReader("GET " + target + " HTTP/1.1\r\nHost: h\r\n\r\n")))
			if err != nil {
				return nil
			}
			return request
		}
		in := read(target)
		if in == nil || answers(in) != 0 {
			return
		}
		for _, base := range []*url.URL{{Scheme: "https", Host: "zitadel.example"}, base} {
			sent := targetURL(base, "h", in)
			line := sent.RequestURI()
			line = strings.TrimPrefix(line, "https://h") // absolute-form, of paths that net/url would misread
			want := base.EscapedPath() + target
			if in.URL.Scheme != "" {
				want = base.EscapedPath() + originForm(in)
			}
			if target != "*" && line != want {
				t.Fatalf("%q went on as %q, want %q", target, line, want)
			}
		}
		again := read(targetURL(&url.URL{Scheme: "https", Host: "h"}, "h", in).RequestURI())
		if again != nil && answers(again) != 0 && answers(again) != http.StatusMovedPermanently {
			t.Fatalf("%q passes, and is a call", target)
		}
	})
}

// newAnswers makes a function that returns the status with which the adapter or the edge
// answers a request, 0 if it passes through.
func newAnswers(tb testing.TB) func(r *http.Request) int {
	tb.Helper()
	passed := false
	facade, err := adapter.New(adapter.Config{
		ZITADEL: new(v2client.Client), OrgScope: adapter.OrgScopeStrict, Timeout: time.Minute, Rollout: adapter.RolloutAll,
		Limits:      adapter.Limits{BodyTimeout: time.Minute},
		Passthrough: http.HandlerFunc(func(http.ResponseWriter, *http.Request) { passed = true }),
	})
	if err != nil {
		tb.Fatal(err)
	}
	edge, err := ingress.New(ingress.Config{WriteTimeout: time.Minute}, facade)
	if err != nil {
		tb.Fatal(err)
	}
	return func(r *http.Request) int {
		passed = false
		recorder := httptest.NewRecorder()
		edge.ServeHTTP(recorder, r)
		if passed {
			return 0
		}
		return recorder.Code
	}
}
