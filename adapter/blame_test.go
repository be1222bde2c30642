package adapter_test

import (
	"cmp"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"zitadel-v1-adapter/internal/upstream"
	"zitadel-v1-adapter/internal/wiretest"
	"zitadel-v1-adapter/v2client"
)

// What one caller can bring about, between here and ZITADEL, neither opens the breaker
// nor has another caller's call fail.
func TestWhatACallerProvokes(t *testing.T) {
	t.Parallel()
	type provocation struct {
		protocol v2client.Protocol
		host     string // upstream.host
		header   [2]string
		upstream func(w http.ResponseWriter, r *http.Request) (answered bool)
		want     string
	}
	ofStranger := func(r *http.Request) bool { return r.Header.Get("Authorization") == "Bearer stranger" }
	const unavailable = `503 {"code":14,"message":"ZITADEL cannot be reached"}`
	for name, test := range map[string]provocation{
		"a gateway limits its rate, in JSON": {
			host: upstream.HostUpstream, want: `429 {"code":8,"message":"too many requests, try again later"}`,
			upstream: func(w http.ResponseWriter, r *http.Request) bool {
				if ofStranger(r) {
					answerJSON(w, http.StatusTooManyRequests, `{"message":"API rate limit exceeded"}`)
				}
				return ofStranger(r)
			},
		},
		"Envoy limits its rate, to gRPC": {
			protocol: v2client.ProtocolGRPC, host: upstream.HostUpstream, want: `429 {"code":8,"message":"too many requests, try again later"}`,
			upstream: func(w http.ResponseWriter, r *http.Request) bool {
				if ofStranger(r) {
					w.Header().Set("Content-Type", "application/grpc")
					w.Header().Set("X-Envoy-Ratelimited", "true")
					w.Header().Set("Grpc-Status", "14")
				}
				return ofStranger(r)
			},
		},
		"a gateway does not let it in, in JSON": {
			host: upstream.HostUpstream, want: unavailable,
			upstream: func(w http.ResponseWriter, r *http.Request) bool {
				if ofStranger(r) {
					answerJSON(w, http.StatusForbidden, `{"message":"Forbidden"}`)
				}
				return ofStranger(r)
			},
		},
		"a user with megabytes of metadata": {
			host: upstream.HostUpstream, want: unavailable,
			upstream: func(w http.ResponseWriter, r *http.Request) bool {
				if !ofStranger(r) || !strings.HasSuffix(r.URL.Path, "/userinfo") {
					return false
				}
				answerJSON(w, http.StatusOK, `{"sub":"1","urn:zitadel:iam:user:metadata":{"a":"`+strings.Repeat("A", 1100<<10)+`"}}`)
				return true
			},
		},
		"an action that fails": {
			host: upstream.HostUpstream, want: unavailable,
			upstream: func(w http.ResponseWriter, r *http.Request) bool {
				if !ofStranger(r) || !strings.HasSuffix(r.URL.Path, "/userinfo") {
					return false
				}
				answerJSON(w, http.StatusInternalServerError, `{"error":"server_error"}`)
				return true
			},
		},
		"a host that a load balancer does not know": {
			host: upstream.HostClient, want: unavailable, header: [2]string{"Host", "nobody.example"},
			upstream: func(w http.ResponseWriter, r *http.Request) bool {
				if r.Host == "nobody.example" {
					http.Error(w, "Application is not available", http.StatusServiceUnavailable)
				}
				return r.Host == "nobody.example"
			},
		},
		"a host that is too long": {
			host: upstream.HostClient, want: `404 {"code":5,"message":"Instance not found: the request's host is not a host name"}`,
			header: [2]string{"Host", strings.Repeat("!", 9<<10)},
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			zitadel := wiretest.NewZITADEL(t, wiretest.Fixture(t))
			s := newStack(t, func(c *stackConfig) {
				c.to.Host, c.protocol = test.host, cmp.Or(test.protocol, v2client.ProtocolConnect)
				c.upstream = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
					if test.upstream == nil || !test.upstream(w, r) {
						if strings.HasSuffix(r.URL.Path, "/userinfo") || !ofStranger(r) {
							zitadel.ServeHTTP(w, r)
							return
						}
						r.Header.Set("Authorization", "Bearer pat-org-owner-a") // who may see the user, but is somebody else
						zitadel.ServeHTTP(w, r)
					}
				})
			})
			for range 25 {
				call := aCall()
				call.Headers["Authorization"] = "Bearer stranger"
				if test.header[0] != "" {
					call.Headers[test.header[0]] = test.header[1]
				}
				response := sendRaw(t, s.address, call)
				if got := fmt.Sprint(response.StatusCode, " ", bodyOf(t, response)); got != test.want {
					t.Fatalf("%s, want %s", got, test.want)
				}
			}
			if got := sendRaw(t, s.address, aCall()).StatusCode; got != http.StatusOK {
				t.Errorf("another's call: %d", got)
			}
			if strings.Contains(s.log.String(), `"to":"open"`) {
				t.Error("the breaker opened")
			}
		})
	}
}

func answerJSON(w http.ResponseWriter, status int, body string) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_, _ = io.WriteString(w, body)
}

// A gateway that answers instead of ZITADEL, in JSON too, does not know whether the
// write was made.
func TestJSONInsteadOfZITADEL(t *testing.T) {
	t.Parallel()
	for status, body := range map[int]string{
		500: `{"message":"Internal server error"}`,
		502: `{"message":"The upstream server is timing out"}`,
		503: `{"message":"failure to get a peer from the ring-balancer"}`,
		504: `{"code":"gateway_timeout"}`,
	} {
		zitadel := wiretest.NewZITADEL(t, wiretest.Fixture(t))
		s := newStack(t, func(c *stackConfig) {
			c.upstream = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				if !isSetPassword(r) {
					zitadel.ServeHTTP(w, r)
					return
				}
				zitadel.ServeHTTP(httptest.NewRecorder(), r)
				answerJSON(w, status, body)
			})
		})
		response := sendRaw(t, s.address, aCall())
		if got := bodyOf(t, response); response.StatusCode != http.StatusServiceUnavailable || got != `{"code":14,"message":"ZITADEL did not answer: whether the change was made is unknown"}` {
			t.Errorf("%d: %d %s", status, response.StatusCode, got)
		}
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
