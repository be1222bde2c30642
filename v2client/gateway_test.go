package v2client_test

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"connectrpc.com/connect"

	"zitadel-v1-adapter/internal/upstream"
	"zitadel-v1-adapter/internal/wiretest"
	"zitadel-v1-adapter/v2client"
)

// Answers of load balancers and other proxies in front of ZITADEL.

// page answers every request with an HTML page.
func page(status int) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/html")
		w.WriteHeader(status)
		_, _ = w.Write([]byte("<html>proxy</html>"))
	}
}

// callsOf are a write, a read over RPC, one over REST, and userinfo where the Auth API is gone.
func callsOf(ctx context.Context, client *v2client.Client) map[string]error {
	_, write := client.SetPassword(ctx, callerWith("t"), userA, "x", true)
	_, read := client.UserOrganization(ctx, callerWith("t"), userA)
	_, rest := client.DefaultLanguage(ctx, callerWith("t"))
	_, identity := client.Identify(ctx, callerWith("t"))
	return map[string]error{"SetPassword": write, "GetUserByID": read, "settings": rest, "userinfo": identity}
}

var protocols = []v2client.Protocol{v2client.ProtocolConnect, v2client.ProtocolGRPC, v2client.ProtocolAuto}

// A proxy that refuses a call did not hand it on: the error names the HTTP status, in the
// log too, and does not say that the outcome of a write is unknown. The call is made once.
func TestGatewayRefusalNamesItsStatus(t *testing.T) {
	t.Parallel()
	for _, protocol := range protocols {
		for _, status := range []int{300, 301, 302, 303, 307, 308, 400, 401, 403, 404, 405, 408, 409, 413, 414, 418, 421, 422, 431, 451} {
			t.Run(fmt.Sprintf("%s/%d", protocol, status), func(t *testing.T) {
				t.Parallel()
				var arrived atomic.Int32
				client := newClient(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
					arrived.Add(1)
					w.Header().Set("Location", "/elsewhere")
					w.Header().Set("Retry-After", "7")
					page(status)(w, r)
				}), func(c *v2client.Config) {
					c.Protocol, c.Retry.Attempts, c.Retry.Budget = protocol, 3, 1
				})
				want := fmt.Sprintf("the proxy in front of ZITADEL answered HTTP %d", status)
				for name, err := range callsOf(t.Context(), client) {
					failure := asError(t, err)
					if failure.Message != want || failure.Code != connect.CodeUnavailable || failure.Origin != v2client.OriginTransport {
						t.Errorf("%s: got %v, code %v, origin %v; want %s, unavailable, transport", name, failure.Message, failure.Code, failure.Origin, want)
					}
					if failure.RetryAfter != 7*time.Second {
						t.Errorf("%s: RetryAfter: got %v, want 7s", name, failure.RetryAfter)
					}
					if text := failure.Error(); !strings.Contains(text, strconv.Itoa(status)) || strings.Contains(text, "frame") {
						t.Errorf("%s: for the log: got %s, want the status", name, text)
					}
				}
				most := int32(4)
				if status == http.StatusNotFound {
					most += 2 // userinfo, after the Auth API, and UpdateUser, after SetPassword
					if protocol == v2client.ProtocolAuto {
						most += 3 // gRPC is tried too
					}
				}
				if got := arrived.Load(); got != most {
					t.Errorf("got %d requests, want %d", got, most)
				}
			})
		}
	}
}

// A proxy that answers 500 to 599, or 200 with a page of its own, may have handed a write
// on: its outcome is unknown.
func TestGatewayFailureLeavesOutcomeUnknown(t *testing.T) {
	t.Parallel()
	for _, protocol := range protocols {
		for _, status := range []int{200, 204, 500, 501, 502, 503, 504, 505, 520, 529, 599} {
			client := newClient(t, page(status), func(c *v2client.Config) { c.Protocol, c.Breaker.MinimumCalls = protocol, 100 })
			_, err := client.SetPassword(t.Context(), callerWith("t"), userA, "x", true)
			if failure := asError(t, err); !strings.Contains(failure.Message, "is unknown") || failure.Code != connect.CodeUnavailable {
				t.Errorf("%s, HTTP %d: got %v, want unavailable and an unknown outcome", protocol, status, failure)
			}
		}
	}
}

// Retry-After of a proxy's answer, in seconds or as a date, reaches the caller; so does
// that of a refusal of ZITADEL's own. What is not valid, or has passed, does not.
func TestRetryAfterIsKept(t *testing.T) {
	t.Parallel()
	for _, row := range []struct {
		value       string
		least, most time.Duration
	}{
		{"120", 2 * time.Minute, 2 * time.Minute},
		{time.Now().Add(time.Hour).UTC().Format(http.TimeFormat), 50 * time.Minute, time.Hour},
		{time.Now().Add(time.Hour).UTC().Format(time.RFC850), 50 * time.Minute, time.Hour},
		{time.Now().Add(-time.Hour).UTC().Format(http.TimeFormat), 0, 0},
		{"0", 0, 0},
		{"-5", 0, 0},
		{"soon", 0, 0},
		{"1.5", 0, 0},
		{"99999999999999999999", 0, 0},
	} {
		for _, status := range []int{403, 429, 503} {
			client := newClient(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				w.Header().Set("Retry-After", row.value)
				page(status)(w, r)
			}), nil)
			for name, err := range callsOf(t.Context(), client) {
				if got := asError(t, err).RetryAfter; got < row.least || got > row.most {
					t.Errorf("HTTP %d, Retry-After %q, %s: got %v, want %v to %v", status, row.value, name, got, row.least, row.most)
				}
			}
		}
	}
}

// No redirect is followed: what it leads to must not be sent a token or a password.
func TestRedirectsAreNotFollowed(t *testing.T) {
	t.Parallel()
	var followed atomic.Int32
	elsewhere := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { followed.Add(1) }))
	t.Cleanup(elsewhere.Close)
	for _, protocol := range protocols {
		for _, status := range []int{301, 302, 303, 307, 308} {
			client := newClient(t, http.RedirectHandler(elsewhere.URL, status), func(c *v2client.Config) { c.Protocol = protocol })
			callsOf(t.Context(), client)
		}
	}
	if got := followed.Load(); got != 0 {
		t.Errorf("got %d requests at a redirect's target, want none", got)
	}
}

// A proxy that speaks HTTP/1.1 only answers gRPC's HTTP/2 with something that is no frame.
// The error names its status, and no write is made or its outcome unknown.
func TestHTTP1GatewayRefusalNamesItsStatus(t *testing.T) {
	t.Parallel()
	for _, protocol := range protocols {
		for _, status := range []int{400, 404} {
			client := newClient(t, http.NotFoundHandler(), func(c *v2client.Config) {
				c.Upstream = wiretest.Upstream(t, "http://"+saying(t, fmt.Sprintf(http1Page, status)), upstream.HostUpstream)
				c.Protocol = protocol
			})
			for name, err := range callsOf(t.Context(), client) {
				failure := asError(t, err)
				if want := fmt.Sprintf("the proxy in front of ZITADEL answered HTTP %d", status); failure.Message != want || strings.Contains(failure.Error(), "frame") {
					t.Errorf("%s: %s: got %s, want %s", protocol, name, failure.Error(), want)
				}
			}
		}
	}
}

// What is no HTTP at all is called so: a page without a status is how HTTP/1.1 servers may
// answer a version that they do not know.
func TestAnswerWithoutStatusIsNotCalledAFrame(t *testing.T) {
	t.Parallel()
	client := newClient(t, http.NotFoundHandler(), func(c *v2client.Config) {
		c.Upstream = wiretest.Upstream(t, "http://"+saying(t, "<!DOCTYPE HTML>\n<html>Unsupported version</html>"), upstream.HostUpstream)
		c.Protocol = v2client.ProtocolGRPC
	})
	_, err := client.UserOrganization(t.Context(), callerWith("t"), userA)
	if got := asError(t, err).Error(); !strings.HasSuffix(got, "answered, but not over HTTP/2") {
		t.Errorf("got %s, want answered, but not over HTTP/2", got)
	}
}

const http1Page = "HTTP/1.1 %d Sorry\r\nContent-Type: text/html\r\nContent-Length: 4\r\nConnection: close\r\n\r\npage"

// saying is a server that answers whatever it is sent with text.
func saying(t *testing.T, text string) (address string) {
	t.Helper()
	listening, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = listening.Close() })
	go func() {
		for {
			conn, err := listening.Accept()
			if err != nil {
				return
			}
			go func() {
				defer func() { _ = conn.Close() }()
				if _, err := conn.Read(make([]byte, 4<<10)); err != nil {
					return
				}
				_, _ = io.WriteString(conn, text)
				_, _ = io.Copy(io.Discard, conn)
			}()
		}
	}()
	return listening.Addr().String()
}
