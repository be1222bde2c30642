package adapter_test

import (
	"net/http"
	"strings"
	"testing"
	"time"

	"zitadel-v1-adapter/v2client"
)

// After enough failures the breaker is open: calls are refused at once, with no
// upstream call, in v1's shape.
func TestOpenBreaker(t *testing.T) {
	t.Parallel()
	s := newStack(t, ownHost, func(c *stackConfig) {
		c.upstream = http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusBadGateway) })
	})
	for range 20 {
		bodyOf(t, sendRaw(t, s.address, aCall()))
	}
	s.upstream.calls(t)
	response := sendRaw(t, s.address, aCall())
	if got := bodyOf(t, response); response.StatusCode != http.StatusServiceUnavailable || got != `{"code":14,"message":"ZITADEL is unavailable, try again later"}` {
		t.Errorf("%d %s", response.StatusCode, got)
	}
	if got := response.Header.Get("Retry-After"); got != "60" {
		t.Errorf("Retry-After %q, want breaker.openFor", got)
	}
	if calls := s.upstream.calls(t); len(calls) != 0 {
		t.Errorf("upstream calls %v", calls)
	}
}

// A deadline that a caller set shorter than usual does not open the breaker for
// the others; upstream.timeout does.
func TestWhoseDeadlineOpensTheBreaker(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		handler http.Handler
		own     bool // the deadline is upstream.timeout
	}{
		"client's deadline":                     {hanging(), false},
		"upstream.timeout":                      {hanging(), true},
		"client's deadline, noticed by ZITADEL": {impatient(), false},
		"upstream.timeout, noticed by ZITADEL":  {impatient(), true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			call := aCall()
			s := newStack(t, ownHost, func(c *stackConfig) {
				c.upstream = test.handler
				if test.own {
					c.timeout = 30 * time.Millisecond
				}
			})
			if !test.own {
				call.Headers["Grpc-Timeout"] = "30m"
			}
			for range 25 {
				response := sendRaw(t, s.address, call)
				if got := bodyOf(t, response); response.StatusCode != http.StatusGatewayTimeout && !test.own {
					t.Fatalf("%d %s", response.StatusCode, got)
				}
			}
			if opened := strings.Contains(s.log.String(), `"to":"open"`); opened != test.own {
				t.Errorf("breaker opened: %v", opened)
			}
		})
	}
}

// Calls that say nothing are no good calls: they do not keep the breaker shut.
func TestWhatSaysNothingKeepsNothingShut(t *testing.T) {
	t.Parallel()
	s := newStack(t, ownHost, func(c *stackConfig) {
		c.upstream = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if r.Header.Get("Authorization") == "Bearer stranger" {
				hanging().ServeHTTP(w, r)
				return
			}
			w.WriteHeader(http.StatusBadGateway)
		})
	})
	for range 40 {
		call := aCall()
		call.Headers["Authorization"], call.Headers["Grpc-Timeout"] = "Bearer stranger", "1m"
		bodyOf(t, sendRaw(t, s.address, call))
	}
	for range 20 {
		bodyOf(t, sendRaw(t, s.address, aCall()))
	}
	if !strings.Contains(s.log.String(), `"to":"open"`) {
		t.Error("the breaker is shut")
	}
}

// Calls that take as long as the window is count at their end. (gobreaker counts them at
// their beginning, and would have forgotten them.)
func TestHangsAsLongAsTheWindow(t *testing.T) {
	t.Parallel()
	s := newStack(t, ownHost, func(c *stackConfig) {
		c.upstream = hanging()
		c.timeout, c.breaker.Window = 200*time.Millisecond, 100*time.Millisecond
	})
	answers := make(chan string)
	for range 25 {
		go func() { answers <- bodyOf(t, sendRaw(t, s.address, aCall())) }()
	}
	for range 25 {
		if got := <-answers; got != `{"code":4,"message":"context deadline exceeded"}` {
			t.Error(got)
		}
	}
	if !strings.Contains(s.log.String(), `"to":"open"`) {
		t.Error("the breaker is shut")
	}
}

// A caller's mistakes never open the breaker for the others: COMMAND-CahN2 with
// its HTTP 500, bad tokens, userinfo's refusals.
func TestCallersCannotOpenTheBreaker(t *testing.T) {
	t.Parallel()
	zitadel := http.Handler(nil)
	s := newStack(t, ownHost, func(c *stackConfig) {
		c.upstream = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if strings.HasSuffix(r.URL.Path, "/userinfo") && r.Header.Get("Authorization") == "Bearer pat-none-a" {
				w.WriteHeader(http.StatusTooManyRequests)
				return
			}
			zitadel.ServeHTTP(w, r)
		})
	})
	zitadel = s.zitadel
	long := `{"password":"` + strings.Repeat("ä", 68) + `A1!y"}`
	for range 30 {
		call := aCall()
		call.Text = &long
		if response := sendRaw(t, s.address, call); response.StatusCode != http.StatusInternalServerError {
			t.Fatalf("status %d", response.StatusCode)
		}
		call = aCall()
		call.Headers["Authorization"] = "Bearer bad"
		sendRaw(t, s.address, call)
		call = aCall()
		call.Headers["Authorization"] = "Bearer pat-none-a"
		if response := sendRaw(t, s.address, call); response.StatusCode != http.StatusTooManyRequests {
			t.Fatalf("status %d", response.StatusCode)
		}
	}
	if response := sendRaw(t, s.address, aCall()); response.StatusCode != http.StatusOK {
		t.Errorf("status %d: %s", response.StatusCode, bodyOf(t, response))
	}
}

// What stands before ZITADEL may refuse a caller's request, as for its large
// headers. That does not open the breaker for the others either.
func TestRefusalsBeforeZITADELDoNotOpenTheBreaker(t *testing.T) {
	t.Parallel()
	for _, protocol := range []v2client.Protocol{v2client.ProtocolConnect, v2client.ProtocolGRPC} {
		for status, want := range map[int]int{400: 503, 403: 503, 413: 503, 429: 429, 431: 503} {
			s := newStack(t, ownHost, func(c *stackConfig) {
				c.protocol = protocol
				c.upstream = http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(status) })
			})
			for range 25 {
				if response := sendRaw(t, s.address, aCall()); response.StatusCode != want {
					t.Fatalf("%s, %d: status %d, want %d", protocol, status, response.StatusCode, want)
				}
			}
			if strings.Contains(s.log.String(), `"to":"open"`) {
				t.Errorf("%s, %d: the breaker opened", protocol, status)
			}
		}
	}
}

// Over HTTP/2 anything may be called an :authority. It is no instance, and not
// the upstream's fault.
func TestHostThatIsNone(t *testing.T) {
	t.Parallel()
	s := newStack(t)
	for range 25 {
		response := sendH2C(t, s.address, "a b", userAPath, `{"password":"Sup3rPassw0rd!"}`)
		if response != "404" {
			t.Fatalf("status %s", response)
		}
	}
	if calls := s.upstream.calls(t); len(calls) != 0 || strings.Contains(s.log.String(), `"to":"open"`) {
		t.Errorf("upstream calls %v, log %s", calls, s.log.String())
	}
}

// Nor are headers that no upstream would take.
func TestHugeHeaders(t *testing.T) {
	t.Parallel()
	for _, protocol := range []v2client.Protocol{v2client.ProtocolConnect, v2client.ProtocolGRPC} {
		s := newStack(t, ownHost, func(c *stackConfig) { c.protocol = protocol })
		for size, want := range map[int]int{100 << 10: 401, 900 << 10: 429} {
			for range 25 {
				call := aCall()
				call.Headers["Authorization"] = "Bearer " + strings.Repeat("x", size)
				if response := sendRaw(t, s.address, call); response.StatusCode != want {
					t.Fatalf("%s, %d bytes: status %d, want %d", protocol, size, response.StatusCode, want)
				}
			}
		}
		if strings.Contains(s.log.String(), `"to":"open"`) {
			t.Errorf("%s: the breaker opened", protocol)
		}
	}
}
