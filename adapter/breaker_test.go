package adapter_test

import (
	"net/http"
	"strings"
	"testing"
	"time"

	"zitadel-v1-adapter/adapter"
)

// The circuit breaker, seen by v1 callers: what opens it, and what must not. The faults
// that one caller can provoke are in breaker_provocations_test.go, a flood of failing
// calls in breaker_flood_test.go; how the breaker itself works is tested in v2client.

// An open breaker refuses calls at once, in v1's form, without a call upstream.
func TestOpenBreakerRefusesCallsAtOnce(t *testing.T) {
	t.Parallel()
	s := newStack(t, fixedHost, func(c *stackConfig) {
		c.upstream = http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusBadGateway) })
	})
	for range 20 {
		bodyOf(t, sendRaw(t, s.address, aCall()))
	}
	s.upstream.calls(t)
	response := sendRaw(t, s.address, aCall())
	checkREST(t, "breaker open", response, http.StatusServiceUnavailable, `{"code":14,"message":"ZITADEL is unavailable, try again later"}`)
	if got, want := response.Header.Get("Retry-After"), "60"; got != want {
		t.Errorf("Retry-After: got %q, want breaker.openFor, %q", got, want)
	}
	if calls := s.upstream.calls(t); len(calls) != 0 {
		t.Errorf("upstream calls: got %v, want none", calls)
	}
}

// A client that sets a short deadline does not open the breaker for other callers when
// it passes; upstream.timeout does.
func TestUpstreamTimeoutOpensBreakerButClientDeadlineDoesNot(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		handler         http.Handler
		upstreamTimeout bool // upstream.timeout passes, not a deadline of the client's
	}{
		"client's deadline":                     {hanging(), false},
		"upstream.timeout":                      {hanging(), true},
		"client's deadline, noticed by ZITADEL": {reportsDeadline(), false},
		"upstream.timeout, noticed by ZITADEL":  {reportsDeadline(), true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			call := aCall()
			s := newStack(t, fixedHost, func(c *stackConfig) {
				c.upstream, c.scope = test.handler, adapter.OrgScopeOff
				if test.upstreamTimeout {
					c.timeout = 30 * time.Millisecond
				}
			})
			if test.upstreamTimeout { // on a busy machine, it may pass before ZITADEL has the request
				eventually(t, "an open breaker", func() bool {
					bodyOf(t, sendRaw(t, s.address, call))
					return s.breakerOpened()
				})
				return
			}
			call.Headers["Grpc-Timeout"] = "30m"
			for range 25 {
				checkREST(t, name, sendRaw(t, s.address, call), http.StatusGatewayTimeout, `{"code":4,"message":"context deadline exceeded"}`)
			}
			if s.breakerOpened() {
				t.Error("breaker: got open, want closed")
			}
		})
	}
}

// A call whose client's deadline passes says nothing about ZITADEL. It does not count as
// a success either, which would keep the breaker closed while all other calls fail.
func TestExpiredClientDeadlinesDoNotKeepBreakerClosed(t *testing.T) {
	t.Parallel()
	s := newStack(t, fixedHost, func(c *stackConfig) {
		c.upstream = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if r.Header.Get("Authorization") == "Bearer hurried" {
				hanging().ServeHTTP(w, r)
				return
			}
			w.WriteHeader(http.StatusBadGateway)
		})
	})
	for range 40 {
		call := aCall()
		call.Headers["Authorization"], call.Headers["Grpc-Timeout"] = "Bearer hurried", "1m"
		bodyOf(t, sendRaw(t, s.address, call))
	}
	for range 20 {
		bodyOf(t, sendRaw(t, s.address, aCall()))
	}
	if !s.breakerOpened() {
		t.Error("breaker: got closed, want open")
	}
}

// A call that takes longer than breaker.window counts when it ends. (gobreaker counts calls
// when they begin, and would have dropped this one from its window by then.)
func TestCallsLongerThanBreakerWindowCountAtTheirEnd(t *testing.T) {
	t.Parallel()
	const window = 100 * time.Millisecond
	s := newStack(t, fixedHost, func(c *stackConfig) {
		c.breaker.MinimumCalls, c.breaker.Window = 1, window
		c.upstream = http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			time.Sleep(2 * window) // longer does no harm
			w.WriteHeader(http.StatusBadGateway)
		})
	})
	bodyOf(t, sendRaw(t, s.address, aCall()))
	if !s.breakerOpened() {
		t.Error("breaker: got closed, want open")
	}
}

// Errors that a caller brings about never open the breaker for other callers: ZITADEL's
// COMMAND-CahN2 with its HTTP 500, invalid tokens, and refusals by userinfo.
func TestCallerErrorsNeverOpenBreaker(t *testing.T) {
	t.Parallel()
	zitadel := http.Handler(nil)
	s := newStack(t, fixedHost, func(c *stackConfig) {
		c.zitadel.WithoutAuthAPI = true // so that userinfo is asked
		c.upstream = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if strings.HasSuffix(r.URL.Path, "/userinfo") && r.Header.Get("Authorization") == "Bearer pat-none-a" {
				w.WriteHeader(http.StatusTooManyRequests)
				return
			}
			zitadel.ServeHTTP(w, r)
		})
	})
	zitadel = s.zitadel
	tooLong := `{"password":"` + strings.Repeat("ä", 68) + `A1!y"}`
	for range 30 {
		call := aCall()
		call.Text = &tooLong
		if got := sendRaw(t, s.address, call).StatusCode; got != http.StatusInternalServerError {
			t.Fatalf("password longer than bcrypt takes: got HTTP %d, want 500", got)
		}
		call = aCall()
		call.Headers["Authorization"] = "Bearer bad"
		sendRaw(t, s.address, call)
		call = aCall()
		call.Headers["Authorization"] = "Bearer pat-none-a"
		if got := sendRaw(t, s.address, call).StatusCode; got != http.StatusTooManyRequests {
			t.Fatalf("userinfo refuses: got HTTP %d, want 429", got)
		}
	}
	if response := sendRaw(t, s.address, aCall()); response.StatusCode != http.StatusOK {
		t.Errorf("another caller: got HTTP %d %s, want 200", response.StatusCode, bodyOf(t, response))
	}
}

// A gateway in front of ZITADEL may refuse one caller's requests, for example because of
// their large headers. That does not open the breaker for other callers.
func TestGatewayRefusalsNeverOpenBreaker(t *testing.T) {
	t.Parallel()
	for _, protocol := range upstreamProtocols {
		for status, want := range map[int]int{400: 503, 403: 503, 413: 503, 429: 429, 431: 503} {
			s := newStack(t, fixedHost, func(c *stackConfig) {
				c.protocol = protocol
				c.upstream = http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(status) })
			})
			for range 25 {
				if got := sendRaw(t, s.address, aCall()).StatusCode; got != want {
					t.Fatalf("%s, gateway's %d: got HTTP %d, want %d", protocol, status, got, want)
				}
			}
			if s.breakerOpened() {
				t.Errorf("%s, gateway's %d: breaker: got open, want closed", protocol, status)
			}
		}
	}
}

// HTTP/2 allows anything as :authority. One that is no host name belongs to no instance:
// the call is refused without a call upstream, and does not count as a failure.
func TestInvalidHostNeverOpensBreaker(t *testing.T) {
	t.Parallel()
	s := newStack(t)
	for range 25 {
		if got := sendH2C(t, s.address, "a b", userAPath, good); got != "404" {
			t.Fatalf("got status %s, want 404", got)
		}
	}
	if calls := s.upstream.calls(t); len(calls) != 0 {
		t.Errorf("upstream calls: got %v, want none", calls)
	}
	if s.breakerOpened() {
		t.Errorf("breaker: got open, want closed; the log: %s", s.logged())
	}
}

// Headers larger than an upstream accepts do not open the breaker.
func TestHugeHeadersNeverOpenBreaker(t *testing.T) {
	t.Parallel()
	for _, protocol := range upstreamProtocols {
		s := newStack(t, fixedHost, func(c *stackConfig) { c.protocol = protocol })
		for size, want := range map[int]int{100 << 10: 401, 900 << 10: 429} {
			for range 25 {
				call := aCall()
				call.Headers["Authorization"] = "Bearer " + strings.Repeat("x", size)
				if got := sendRaw(t, s.address, call).StatusCode; got != want {
					t.Fatalf("%s, %d bytes: got HTTP %d, want %d", protocol, size, got, want)
				}
			}
		}
		if s.breakerOpened() {
			t.Errorf("%s: breaker: got open, want closed", protocol)
		}
	}
}
