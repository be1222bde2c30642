package ingress_test

import (
	"bufio"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"zitadel-v1-adapter/internal/ingress"
	"zitadel-v1-adapter/internal/refusals"
	"zitadel-v1-adapter/internal/wiretest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// The time for one answer is over for the next one on the same connection: a client that
// comes back later is still told to go on (100 Continue), which net/http writes itself.
func TestWriteTimeoutEndsWithItsAnswer(t *testing.T) {
	t.Parallel()
	const timeout = 300 * time.Millisecond // enough for an answer, on a busy machine
	handler, err := ingress.New(ingress.Config{WriteTimeout: timeout}, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			t.Error(err)
		}
		_, _ = w.Write(body)
	}))
	if err != nil {
		t.Fatal(err)
	}
	conn, err := net.Dial("tcp", wiretest.Listen(t, handler))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close() }()
	answers := bufio.NewReader(conn)
	for _, pause := range []time.Duration{0, timeout + timeout/5} {
		time.Sleep(pause)
		_, _ = io.WriteString(conn, "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\nExpect: 100-continue\r\n\r\n")
		if line, err := answers.ReadString('\n'); !strings.HasPrefix(line, "HTTP/1.1 100") {
			t.Fatalf("got %q, %v, want 100 Continue", line, err)
		}
		_, _ = answers.ReadString('\n')
		_, _ = io.WriteString(conn, "ok")
		response, err := http.ReadResponse(answers, nil)
		if err != nil {
			t.Fatal(err)
		}
		if body, err := io.ReadAll(response.Body); string(body) != "ok" || err != nil {
			t.Errorf("got %q, %v, want ok", body, err)
		}
	}
}

// A target that is none is refused before anything else looks at it; upgrades to anything
// but WebSocket do not go on; the client's own request is left as it was.
func TestRequestIsCopied(t *testing.T) {
	t.Parallel()
	var got *http.Request
	handler, err := ingress.New(ingress.Config{WriteTimeout: time.Minute}, http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { got = r }))
	if err != nil {
		t.Fatal(err)
	}
	for upgrade, want := range map[string]string{"h2c": "", "WebSocket": "WebSocket", "websocket, h2c": ""} {
		request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "/a", http.NoBody)
		if err != nil {
			t.Fatal(err)
		}
		request.RequestURI, request.RemoteAddr = "/a", "192.0.2.1:1"
		request.Header.Set("Upgrade", upgrade)
		request.Header.Set("HTTP2-Settings", "AAMAAABkAARAAAAAAAIAAAAA")
		request.Header.Set("X-Forwarded-For", "203.0.113.1")
		handler.ServeHTTP(discard{http.Header{}}, request)
		if got.Header.Get("Upgrade") != want || got.Header.Get("HTTP2-Settings") != "" || got.Header.Get("X-Forwarded-For") != "192.0.2.1" {
			t.Errorf("%s: headers %q, want Upgrade %q", upgrade, got.Header, want)
		}
		if request.Header.Get("X-Forwarded-For") != "203.0.113.1" || request.Header.Get("Upgrade") != upgrade {
			t.Errorf("the request that came in has headers %q now", request.Header)
		}
	}
}

type discard struct{ header http.Header }

func (d discard) Header() http.Header            { return d.header }
func (discard) Write(data []byte) (int, error)   { return len(data), nil }
func (discard) WriteHeader(int)                  {}
func (discard) SetWriteDeadline(time.Time) error { return nil }

// A request that has passed through this adapter is refused in its own protocol with 508,
// one that has passed through another goes on, and "check" learns that this is an adapter.
// A method that is no token is refused.
func TestLoopsAreRefused(t *testing.T) {
	t.Parallel()
	var recorded []refusals.Reason
	handled := false
	handler, err := ingress.New(ingress.Config{
		WriteTimeout: time.Minute, ID: "MINE",
		Refusals: refusals.NewRecorder(func(reason refusals.Reason) { recorded = append(recorded, reason) }, slog.New(slog.DiscardHandler)),
	}, http.HandlerFunc(func(http.ResponseWriter, *http.Request) { handled = true }))
	if err != nil {
		t.Fatal(err)
	}
	for _, test := range []struct {
		method, contentType string
		via                 []string
		handled             bool
		status              int
		answer              string
	}{
		{method: "GET", handled: true, status: 200},
		{method: "GET", via: []string{"OTHER"}, handled: true, status: 200},
		{method: "GET", via: []string{"?"}, handled: true, status: 200},
		{method: "GET", via: []string{"OTHER, MINE"}, status: 508, answer: `{"code":13,"message":"loop detected: `},
		{method: "POST", via: []string{"OTHER", "MINE"}, contentType: "application/grpc-web+proto", status: 200},
	} {
		handled = false
		request := httptest.NewRequest(http.MethodGet, "/a", http.NoBody)
		request.Method = test.method
		request.Header[ingress.ViaHeader] = test.via
		if test.via == nil {
			delete(request.Header, ingress.ViaHeader)
		}
		request.Header.Set("Content-Type", test.contentType)
		recorder := httptest.NewRecorder()
		handler.ServeHTTP(recorder, request)
		if handled != test.handled || recorder.Code != test.status || !strings.HasPrefix(recorder.Body.String(), test.answer) {
			t.Errorf("%s via %q: handled %v, answered %d %s; want %v, %d %s", test.method, test.via, handled, recorder.Code, recorder.Body, test.handled, test.status, test.answer)
		}
		if asked := slices.Equal(test.via, []string{ingress.ViaQuestion}); asked != (recorder.Header()[ingress.ViaHeader] != nil) {
			t.Errorf("via %q: answer has %q", test.via, recorder.Header()[ingress.ViaHeader])
		}
	}
	if want := []refusals.Reason{refusals.Loop, refusals.Loop}; !slices.Equal(recorded, want) {
		t.Errorf("recorded %v, want %v", recorded, want)
	}
}
