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

// Nor are those at which a load balancer ends the connection; and over HTTP/2, where
// that ends all that is under way there, others do not share it.
func TestHeadersThatEndConnections(t *testing.T) {
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
		return func(stream *wiretest.FaultyStream, _ func() *httptest.ResponseRecorder) { stream.Close() }
	})
	s := newStack(t, ownHost, func(c *stackConfig) {
		c.protocol, c.to = v2client.ProtocolGRPC, upstream.Config{URL: "http://" + proxy.Address(), Host: upstream.HostUpstream}
	})
	another := make(chan int)
	go func() { another <- sendRaw(t, s.address, aCall()).StatusCode }()
	<-arrived
	for range 25 {
		large := aCall()
		large.Headers["Authorization"] = "Bearer " + strings.Repeat("x", 9<<10)
		if got := bodyOf(t, sendRaw(t, s.address, large)); got != `{"code":14,"message":"ZITADEL cannot be reached"}` {
			t.Fatal(got)
		}
	}
	release()
	if got := <-another; got != http.StatusOK {
		t.Errorf("another's call: %d", got)
	}
	if strings.Contains(s.log.String(), `"to":"open"`) {
		t.Error("the breaker opened")
	}
}

// So do what passes through with a long target, or with trailers.
func TestPassthroughThatEndsConnections(t *testing.T) {
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
				return func(stream *wiretest.FaultyStream, _ func() *httptest.ResponseRecorder) { stream.Close() }
			})
			address := newPassing(t, "http://"+proxy.Address(), nil)
			send := func(change func(*http.Request)) string {
				request, err := http.NewRequestWithContext(t.Context(), http.MethodPost, "http://"+address+"/another.Service/Call", bytes.NewReader(make([]byte, 5)))
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
				t.Errorf("a stranger's: %s", got)
			}
			release()
			if got := <-another; got != "0" {
				t.Errorf("another's: %s", got)
			}
		})
	}
}

// A space at the end of a header, which HTTP/2 does not allow and Go's server lets pass,
// does not go on: the upstream would have to reset the request.
func TestSpacesDoNotGoOn(t *testing.T) {
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
	s := newStack(t, ownHost, func(c *stackConfig) {
		c.protocol, c.to.URL = v2client.ProtocolGRPC, "http://"+proxy.Address()
	})
	if got := sendH2C(t, s.address, "localhost:8088", userAPath, good, [2]string{"x-b3-flags", "1 "}); got != "200" {
		t.Errorf("status %s: %s", got, s.log.String())
	}
}
