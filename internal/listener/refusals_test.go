package listener_test

import (
	"cmp"
	"crypto/tls"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptrace"
	"strings"
	"testing"
	"time"

	"zitadel-v1-adapter/internal/listener"
	"zitadel-v1-adapter/internal/refusals"
	"zitadel-v1-adapter/internal/wiretest"
)

// What net/http answers itself is recorded by its reason, and nothing that a handler
// answers. HTTP/1.1 where ALPN has chosen h2 is refused.
func TestRefusedRequestsAreRecorded(t *testing.T) {
	t.Parallel()
	ca := wiretest.NewCA(t)
	certificates := ca.Certificates(t)
	handler := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.ProtoMajor == 1 && r.TLS != nil {
			t.Error("HTTP/1.1 on a connection of HTTP/2 was handled")
		}
		http.Error(w, "the handler's own", http.StatusBadRequest)
	})
	for name, test := range map[string]struct {
		sent   string
		alpn   []string // with TLS
		answer string   // default: HTTP/1.1 4xx
		want   refusals.Reason
	}{
		"malformed":         {sent: "GET / HTTP/1.1\r\nHost: x\r\nno field\r\n\r\n", want: refusals.Framing},
		"unknown coding":    {sent: "POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: gzip\r\n\r\n", answer: "HTTP/1.1 501", want: refusals.Framing},
		"bare LF":           {sent: "GET / HTTP/1.1\nHost: x\nConnection: close\n\n"},
		"large headers":     {sent: "GET / HTTP/1.1\r\nHost: x\r\nX-A: " + strings.Repeat("x", 20<<10) + "\r\n\r\n", want: refusals.Headers},
		"handled":           {sent: "GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"},
		"HTTP/1.1 after h2": {sent: "GET / HTTP/1.1\r\nHost: x\r\n\r\n", alpn: []string{"h2"}, want: refusals.Framing},
		"no TLS protocol":   {alpn: []string{strings.Repeat("x", 200)}, want: refusals.TLS},
	} {
		recorded := make(chan refusals.Reason, 2)
		config := listener.Config{
			Handler: handler, HeaderBytes: 8 << 10,
			Refusals: refusals.NewRecorder(func(reason refusals.Reason) { recorded <- reason }, slog.New(slog.DiscardHandler)),
		}
		if test.alpn != nil {
			config.Certificates = certificates
		}
		conn, err := net.Dial("tcp", startWith(t, "127.0.0.1:0", config).Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		_ = conn.SetDeadline(time.Now().Add(time.Minute))
		if test.alpn != nil {
			conn = tls.Client(conn, &tls.Config{RootCAs: ca.Pool(), ServerName: "127.0.0.1", NextProtos: test.alpn})
		}
		_, _ = io.WriteString(conn, test.sent)
		answer, _ := io.ReadAll(conn)
		if want := cmp.Or(test.answer, "HTTP/1.1 4"); test.want != refusals.TLS && !strings.HasPrefix(string(answer), want) {
			t.Errorf("%s: got %q, want %q", name, answer, want)
		}
		_ = conn.Close()
		var got refusals.Reason
		wait := time.Minute // the alert of a failed handshake may come before it is recorded
		if test.want == "" {
			wait = 0
		}
		select {
		case got = <-recorded:
		case <-time.After(wait):
		}
		if got != test.want {
			t.Errorf("%s: got %q, want %q", name, got, test.want)
		}
	}
}

// From Announce on, each answer tells its client to go elsewhere, and connections without
// a request stay open.
func TestAnnouncedEndComesWithAnswers(t *testing.T) {
	t.Parallel()
	s := start(t, "127.0.0.1:0", http.HandlerFunc(describe), nil, io.Discard)
	url := "http://" + s.Addr().String()
	protocols := new(http.Protocols)
	protocols.SetUnencryptedHTTP2(true)
	http2 := &http.Transport{Protocols: protocols}
	defer http2.CloseIdleConnections()
	http1 := &http.Transport{}
	defer http1.CloseIdleConnections()
	exchange := func(transport *http.Transport) (response *http.Response, reused bool) {
		t.Helper()
		trace := &httptrace.ClientTrace{GotConn: func(got httptrace.GotConnInfo) { reused = got.Reused }}
		request, err := http.NewRequestWithContext(httptrace.WithClientTrace(t.Context(), trace), http.MethodGet, url, http.NoBody)
		if err != nil {
			t.Fatal(err)
		}
		response, err = transport.RoundTrip(request)
		if err != nil {
			t.Fatal(err)
		}
		_, _ = io.Copy(io.Discard, response.Body)
		_ = response.Body.Close()
		return response, reused
	}
	for name, transport := range map[string]*http.Transport{"HTTP/1.1": http1, "HTTP/2": http2} {
		if response, _ := exchange(transport); response.Close {
			t.Errorf("%s, before: the answer closes the connection", name)
		}
	}
	s.Announce()
	for name, transport := range map[string]*http.Transport{"HTTP/1.1": http1, "HTTP/2": http2} {
		if response, reused := exchange(transport); !reused || transport == http1 && !response.Close {
			t.Errorf("%s: got connection reused %v, Connection: close %v; want both", name, reused, response.Close)
		}
		for deadline := time.Now().Add(time.Minute); ; { // GOAWAY may come after the answer
			if _, reused := exchange(transport); !reused {
				break
			}
			if time.Now().After(deadline) {
				t.Fatalf("%s: the connection is still used", name)
			}
		}
	}
}
