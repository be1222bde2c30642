package adapter_test

import (
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"zitadel-v1-adapter/internal/upstream"
	"zitadel-v1-adapter/internal/wiretest"
	"zitadel-v1-adapter/v2client"
)

// An upstream that sends back the secrets it received. Errors of net/http and connect-go
// quote what they cannot read, and such errors are logged.

// reflections are answers over HTTP/1.1 that hold a secret at %s. Most of them make net/http
// or connect-go fail with an error that quotes them.
var reflections = map[string]string{
	"status line":        "%s\r\n\r\n",
	"status code":        "HTTP/1.1 %s\r\n\r\n",
	"reason":             "HTTP/1.1 500 %s\r\nContent-Length: 0\r\n\r\n",
	"reason of a 401":    "HTTP/1.1 401 %s\r\nContent-Length: 0\r\n\r\n",
	"first header":       "HTTP/1.1 200 OK\r\n %s\r\n\r\n",
	"header":             "HTTP/1.1 200 OK\r\n%s\r\n\r\n",
	"header name":        "HTTP/1.1 200 OK\r\n%s: x\r\n\r\n",
	"Content-Type":       "HTTP/1.1 200 OK\r\nContent-Type: %s\r\nContent-Length: 0\r\n\r\n",
	"Content-Encoding":   "HTTP/1.1 200 OK\r\nContent-Type: application/proto\r\nContent-Encoding: %s\r\nContent-Length: 0\r\n\r\n",
	"Content-Length":     "HTTP/1.1 200 OK\r\nContent-Type: application/proto\r\nContent-Length: %s\r\n\r\n",
	"two lengths":        "HTTP/1.1 200 OK\r\nContent-Type: application/proto\r\nContent-Length: 1\r\nContent-Length: %s\r\n\r\n",
	"Transfer-Encoding":  "HTTP/1.1 200 OK\r\nContent-Type: application/proto\r\nTransfer-Encoding: %s\r\n\r\n",
	"Location":           "HTTP/1.1 302 Found\r\nLocation: http://x/%s\r\nContent-Length: 0\r\n\r\n",
	"Trailer":            "HTTP/1.1 200 OK\r\nContent-Type: application/proto\r\nTransfer-Encoding: chunked\r\nTrailer: %s\r\n\r\n0\r\n\r\n",
	"trailer":            "HTTP/1.1 200 OK\r\nContent-Type: application/proto\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n%s\r\n\r\n",
	"chunk":              "HTTP/1.1 200 OK\r\nContent-Type: application/proto\r\nTransfer-Encoding: chunked\r\n\r\n%s\r\n",
	"switched protocols": "HTTP/1.1 101 %s\r\nUpgrade: %[1]s\r\nConnection: Upgrade\r\n\r\n",
	"JSON code":          "HTTP/1.1 500 x\r\nConnection: close\r\nContent-Type: application/json\r\n\r\n" + `{"code":"%s"}`,
	"JSON":               "HTTP/1.1 500 x\r\nConnection: close\r\nContent-Type: application/json\r\n\r\n" + `{%s`,
	"JSON for userinfo":  "HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Type: application/json\r\n\r\n" + `%s`,
	"message":            "HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Type: application/proto\r\n\r\n%s",
}

// The upstream may send a password or a token back, to a translated call or to a request
// that passes through. It stays out of the log.
func TestSecretsReflectedByUpstreamStayOutOfLog(t *testing.T) {
	t.Parallel()
	for name, answer := range reflections {
		for part, sent := range map[string]func(*http.Request) string{"token": tokenOf, "body": lineOf} {
			t.Run(name+"/"+part, func(t *testing.T) {
				t.Parallel()
				reflect := reflecting(t, answer, sent)
				s := newStack(t, func(c *stackConfig) { c.upstream, c.native = reflect, reflect })
				for _, path := range []string{userAPath, "/passes/through"} {
					sendSecrets(t, "http://"+s.address+path)
				}
				checkReflected(t, s.logged())
			})
		}
	}
}

// reflecting is an upstream that answers every request with answer, a format for what sent
// finds in the request.
func reflecting(t *testing.T, answer string, sent func(*http.Request) string) http.HandlerFunc {
	t.Helper()
	return func(w http.ResponseWriter, r *http.Request) {
		back := sent(r)
		conn, _, err := http.NewResponseController(w).Hijack()
		if err != nil {
			t.Error(err)
			return
		}
		_, _ = fmt.Fprintf(conn, answer, back)
		_ = conn.Close()
	}
}

// The same holds over HTTP/2, when the upstream is asked by gRPC.
func TestSecretsReflectedOverHTTP2StayOutOfLog(t *testing.T) {
	t.Parallel()
	for _, where := range []string{
		"Content-Type", "Grpc-Encoding", "Grpc-Status", "Grpc-Message", "Grpc-Status-Details-Bin", "GOAWAY",
	} {
		for part, sent := range map[string]func(*http.Request) string{"token": tokenOf, "body": lineOf} {
			t.Run(where+"/"+part, func(t *testing.T) {
				t.Parallel()
				proxy := wiretest.NewHTTP2FaultProxy(t, http.NotFoundHandler())
				proxy.Choose(func(r *http.Request) wiretest.HTTP2Fault {
					back := sent(r)
					return func(stream *wiretest.FaultyStream, answer func() *httptest.ResponseRecorder) {
						if stream.Debug = back; where == "GOAWAY" {
							answer()
							stream.GoAway(true)
							stream.Close()
							return
						}
						page := httptest.NewRecorder()
						page.Header().Set("Content-Type", "application/grpc")
						page.Header().Set("Grpc-Status", "x")
						page.Header().Set(where, back)
						stream.Send(page, wiretest.AnswerWithoutTrailers)
					}
				})
				s := newStack(t, func(c *stackConfig) {
					c.protocol = v2client.ProtocolGRPC
					c.to = upstream.Config{URL: "http://" + proxy.Address(), Host: upstream.HostClient}
				})
				sendSecrets(t, "http://"+s.address+userAPath)
				checkReflected(t, s.logged())
			})
		}
	}
}

// sendSecrets sends a request with a token and a password. It ignores the answer, which may
// be malformed.
func sendSecrets(t *testing.T, url string) {
	t.Helper()
	request, err := http.NewRequestWithContext(t.Context(), http.MethodPost, url, strings.NewReader(good))
	if err != nil {
		t.Fatal(err)
	}
	request.Header.Set("Authorization", "Bearer s3cret-t0ken")
	if response, err := newTransport(t, false).RoundTrip(request); err == nil {
		_, _ = io.Copy(io.Discard, response.Body)
		_ = response.Body.Close()
	}
}

func tokenOf(r *http.Request) string {
	return strings.TrimPrefix(r.Header.Get("Authorization"), "Bearer ")
}

// lineOf returns a request's body without control characters.
func lineOf(r *http.Request) string {
	body, _ := io.ReadAll(r.Body) // a body that breaks off counts as far as it goes
	return strings.Map(func(c rune) rune {
		if c < ' ' {
			return -1
		}
		return c
	}, string(body))
}

// checkReflected checks that a call was logged, and that no secret was.
func checkReflected(t *testing.T, logged string) {
	t.Helper()
	if !strings.Contains(logged, `"msg":"SetHumanInitialPassword"`) {
		t.Fatalf("the log: got %q, want a line of the call", logged)
	}
	for _, secret := range []string{"s3cret", "Sup3r", "Passw0rd"} {
		if strings.Contains(logged, secret) {
			t.Errorf("the log: got %q in %s, want no secret", secret, logged)
		}
	}
}
