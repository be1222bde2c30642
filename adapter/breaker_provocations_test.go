package adapter_test

import (
	"bytes"
	"cmp"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"

	"golang.org/x/net/http2"

	"zitadel-v1-adapter/internal/upstream"
	"zitadel-v1-adapter/internal/wiretest"
	"zitadel-v1-adapter/v2client"
	"zitadel-v1-adapter/v2client/v2test"
)

// Faults between the adapter and ZITADEL that a single caller can provoke. They must
// neither open the breaker nor fail another caller's call. Over HTTP/2 callers could share
// a connection that one of them makes the upstream close: suspect requests, such as those
// with large headers, go upstream on connections of their own.

// provocation is a fault that calls with the token "provoker" bring about.
type provocation struct {
	protocol v2client.Protocol
	zitadel  v2test.Config
	host     string    // upstream.host
	header   [2]string // sent by the provoking calls
	want     string    // their answer

	// upstream answers a request in ZITADEL's place, or returns false.
	upstream func(w http.ResponseWriter, r *http.Request) (answered bool)
}

func isProvoker(r *http.Request) bool { return r.Header.Get("Authorization") == "Bearer provoker" }

// provocations are the faults, by name.
func provocations() map[string]provocation {
	const (
		unavailable     = `503 {"code":14,"message":"ZITADEL cannot be reached"}`
		tooManyRequests = `429 {"code":8,"message":"too many requests, try again later"}`
		unknownHost     = "unknown.example"
	)
	// answers gives the provoker the same answer to every request whose path ends with path.
	answers := func(path string, status int, body string) func(http.ResponseWriter, *http.Request) bool {
		return func(w http.ResponseWriter, r *http.Request) bool {
			if !isProvoker(r) || !strings.HasSuffix(r.URL.Path, path) {
				return false
			}
			answerJSON(w, status, body)
			return true
		}
	}
	withoutAuthAPI := v2test.Config{WithoutAuthAPI: true}
	largeMetadata := `{"sub":"1","urn:zitadel:iam:user:metadata":{"a":"` + strings.Repeat("A", 1100<<10) + `"}}`
	return map[string]provocation{
		"a gateway limits the caller's rate, in JSON": {
			host: upstream.HostUpstream, want: tooManyRequests,
			upstream: answers("", http.StatusTooManyRequests, `{"message":"API rate limit exceeded"}`),
		},
		"Envoy limits the caller's rate, in gRPC": {
			protocol: v2client.ProtocolGRPC, host: upstream.HostUpstream, want: tooManyRequests,
			upstream: func(w http.ResponseWriter, r *http.Request) bool {
				if !isProvoker(r) {
					return false
				}
				w.Header().Set("X-Envoy-Ratelimited", "true")
				if r.Header.Get("Content-Type") != "application/grpc" {
					w.WriteHeader(http.StatusTooManyRequests)
					return true
				}
				w.Header().Set("Content-Type", "application/grpc")
				w.Header().Set("Grpc-Status", "14")
				return true
			},
		},
		"a gateway refuses the caller, in JSON": {
			host: upstream.HostUpstream, want: `503 {"code":14,"message":"the proxy in front of ZITADEL answered HTTP 403"}`,
			upstream: answers("", http.StatusForbidden, `{"message":"Forbidden"}`),
		},
		"a user has megabytes of metadata": {
			zitadel: withoutAuthAPI, host: upstream.HostUpstream, want: unavailable,
			upstream: answers("/userinfo", http.StatusOK, largeMetadata),
		},
		"an action fails": {
			zitadel: withoutAuthAPI, host: upstream.HostUpstream, want: unavailable,
			upstream: answers("/userinfo", http.StatusInternalServerError, `{"error":"server_error"}`),
		},
		"a load balancer does not know the host": {
			host: upstream.HostClient, want: unavailable, header: [2]string{"Host", unknownHost},
			upstream: func(w http.ResponseWriter, r *http.Request) bool {
				if r.Host == unknownHost {
					http.Error(w, "Application is not available", http.StatusServiceUnavailable)
				}
				return r.Host == unknownHost
			},
		},
		"the host is too long": {
			host: upstream.HostClient, header: [2]string{"Host", strings.Repeat("!", 9<<10)},
			want: `404 {"code":5,"message":"Instance not found: the request's host is not a host name"}`,
		},
	}
}

// A fault that one caller provokes, however often, neither opens the breaker nor fails
// another caller's call.
func TestFaultsOneCallerProvokesFailNoOtherCall(t *testing.T) {
	t.Parallel()
	for name, test := range provocations() {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			zitadel := wiretest.NewZITADELOf(t, wiretest.Fixture(t), test.zitadel)
			s := newStack(t, func(c *stackConfig) {
				c.to.Host, c.protocol = test.host, cmp.Or(test.protocol, v2client.ProtocolConnect)
				c.upstream = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
					if test.upstream != nil && test.upstream(w, r) {
						return
					}
					if isProvoker(r) && !strings.HasSuffix(r.URL.Path, "/userinfo") {
						r.Header.Set("Authorization", "Bearer pat-org-owner-a") // may see the user, and is another one
					}
					zitadel.ServeHTTP(w, r)
				})
			})
			for range 25 {
				call := aCall()
				call.Headers["Authorization"] = "Bearer provoker"
				if test.header[0] != "" {
					call.Headers[test.header[0]] = test.header[1]
				}
				response := sendRaw(t, s.address, call)
				if got := fmt.Sprint(response.StatusCode, " ", bodyOf(t, response)); got != test.want {
					t.Fatalf("got %s, want %s", got, test.want)
				}
			}
			if got := sendRaw(t, s.address, aCall()).StatusCode; got != http.StatusOK {
				t.Errorf("another caller: got HTTP %d, want 200", got)
			}
			if s.breakerOpened() {
				t.Error("breaker: got open, want closed")
			}
		})
	}
}

// Large headers may make a load balancer close the connection. That neither opens the
// breaker nor, over HTTP/2, fails calls of other callers, which use another connection.
func TestConnectionClosedOverLargeHeadersFailsNoOtherCall(t *testing.T) {
	t.Parallel()
	arrived, released := make(chan struct{}, 100), make(chan struct{})
	release := sync.OnceFunc(func() { close(released) })
	zitadel := wiretest.NewZITADEL(t, wiretest.Fixture(t))
	proxy := wiretest.NewHTTP2FaultProxy(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if isSetPassword(r) {
			arrived <- struct{}{}
			<-released
		}
		zitadel.ServeHTTP(w, r)
	}))
	t.Cleanup(release)
	proxy.Choose(func(r *http.Request) wiretest.HTTP2Fault {
		if len(r.Header.Get("Authorization")) <= 8<<10 {
			return nil
		}
		return closesConnection
	})
	s := newStack(t, fixedHost, func(c *stackConfig) {
		c.protocol, c.to = v2client.ProtocolGRPC, upstream.Config{URL: "http://" + proxy.Address(), Host: upstream.HostUpstream}
	})
	another := make(chan int)
	go func() { another <- sendRaw(t, s.address, aCall()).StatusCode }()
	<-arrived
	for range 25 {
		large := aCall()
		large.Headers["Authorization"] = "Bearer " + strings.Repeat("x", 9<<10)
		if got := bodyOf(t, sendRaw(t, s.address, large)); got != restUnreachable {
			t.Fatalf("large headers: got %s, want %s", got, restUnreachable)
		}
	}
	release()
	if got := <-another; got != http.StatusOK {
		t.Errorf("another caller: got HTTP %d, want 200", got)
	}
	if s.breakerOpened() {
		t.Error("breaker: got open, want closed")
	}
}

func closesConnection(stream *wiretest.FaultyStream, _ func() *httptest.ResponseRecorder) {
	stream.Close()
}

// The same holds for requests that pass through with a long target, long headers or
// long trailers.
func TestConnectionClosedOverLargePassthroughFailsNoOtherRequest(t *testing.T) {
	t.Parallel()
	long := strings.Repeat("x", 9<<10)
	for name, change := range map[string]func(*http.Request){
		"path":    func(r *http.Request) { r.URL.Path = "/" + long },
		"query":   func(r *http.Request) { r.URL.RawQuery = long },
		"header":  func(r *http.Request) { r.Header.Set("X-Long", long) },
		"trailer": func(r *http.Request) { r.Trailer = http.Header{"X-Long": {long}} },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			arrived, released := make(chan struct{}, 1), make(chan struct{})
			release := sync.OnceFunc(func() { close(released) })
			proxy := wiretest.NewHTTP2FaultProxy(t, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
				arrived <- struct{}{}
				<-released
				w.Header().Set("Content-Type", "application/grpc")
				w.Header().Set(http.TrailerPrefix+"Grpc-Status", "0")
			}))
			t.Cleanup(release)
			proxy.Choose(func(r *http.Request) wiretest.HTTP2Fault {
				if r.URL.Path == "/another.Service/Call" {
					return nil
				}
				return closesConnection
			})
			address := newPassing(t, "http://"+proxy.Address(), nil)
			send := func(change func(*http.Request)) string {
				url := "http://" + address + "/another.Service/Call"
				request, err := http.NewRequestWithContext(t.Context(), http.MethodPost, url, bytes.NewReader(make([]byte, 5)))
				if err != nil {
					t.Error(err)
					return ""
				}
				request.Header.Set("Content-Type", "application/grpc")
				change(request)
				return statusOf(t, request)
			}
			another := make(chan string)
			go func() { another <- send(func(*http.Request) {}) }()
			<-arrived
			if got := send(func(r *http.Request) { r.URL.Path = "/x.Y/Z"; change(r) }); got != "14" {
				t.Errorf("the request that is cut off: got gRPC status %q, want 14", got)
			}
			release()
			if got := <-another; got != "0" {
				t.Errorf("another client's request: got gRPC status %q, want 0", got)
			}
		})
	}
}

// HTTP/2 does not allow a space at the end of a header, which Go's server lets pass. It is
// not forwarded: the upstream would have to reset the request.
func TestTrailingSpaceInHeaderIsNotForwarded(t *testing.T) {
	t.Parallel()
	zitadel := wiretest.NewZITADEL(t, wiretest.Fixture(t))
	proxy := wiretest.NewHTTP2FaultProxy(t, zitadel)
	proxy.Choose(func(r *http.Request) wiretest.HTTP2Fault {
		for _, values := range r.Header {
			if strings.Trim(values[0], " \t") != values[0] {
				return func(stream *wiretest.FaultyStream, _ func() *httptest.ResponseRecorder) {
					stream.Reset(http2.ErrCodeProtocol)
				}
			}
		}
		return nil
	})
	s := newStack(t, fixedHost, func(c *stackConfig) {
		c.protocol, c.to.URL = v2client.ProtocolGRPC, "http://"+proxy.Address()
	})
	if got := sendH2C(t, s.address, "localhost:8088", userAPath, good, [2]string{"x-b3-flags", "1 "}); got != "200" {
		t.Errorf("got status %s, want 200; the log: %s", got, s.logged())
	}
}
