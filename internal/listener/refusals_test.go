package listener_test

import (
	"cmp"
	"crypto/tls"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptrace"
	"slices"
	"strings"
	"testing"
	"time"

	"zitadel-v1-adapter/internal/listener"
	"zitadel-v1-adapter/internal/refusals"
	"zitadel-v1-adapter/internal/wiretest"
)

// What net/http answers itself is recorded once, by its reason and with the rule that was broken, and
// nothing that a handler answers. HTTP/1.1 where ALPN has chosen h2 is refused.
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
	const get = "GET / HTTP/1.1\r\nHost: x\r\n"
	for name, test := range map[string]struct {
		sent   string
		plain  bool     // to a port with TLS
		alpn   []string // with TLS
		answer string   // default: HTTP/1.1 4xx
		want   refusals.Reason
		rule   string
	}{
		"malformed":         {sent: get + "no field\r\n\r\n", want: refusals.Framing, rule: "RFC 9112 sections 3 to 7"},
		"unknown coding":    {sent: "POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: gzip\r\n\r\n", answer: "HTTP/1.1 501", want: refusals.Framing, rule: "RFC 9112 section 6.1"},
		"no Host":           {sent: "GET / HTTP/1.1\r\n\r\n", want: refusals.Framing, rule: "RFC 9112 section 3.2"},
		"bad Host":          {sent: "GET / HTTP/1.1\r\nHost: a b\r\n\r\n", want: refusals.Framing, rule: "RFC 9112 section 3.2"},
		"version":           {sent: "GET / HTTP/3.0\r\nHost: x\r\n\r\n", answer: "HTTP/1.1 505", want: refusals.Framing, rule: "RFC 9112 section 2.3"},
		"bare LF":           {sent: "GET / HTTP/1.1\nHost: x\nConnection: close\n\n"},
		"large headers":     {sent: get + "X-A: " + strings.Repeat("x", 20<<10) + "\r\n\r\n", want: refusals.Headers, rule: "limits.headerBytes"},
		"handled":           {sent: get + "Connection: close\r\n\r\n"},
		"HTTP/1.1 after h2": {sent: get + "\r\n", alpn: []string{"h2"}, want: refusals.Framing, rule: "RFC 9113 section 3.2"},
		"no TLS protocol":   {alpn: []string{strings.Repeat("x", 200)}, want: refusals.TLS, rule: "RFC 7301 section 3.2"},
		"plain HTTP":        {sent: get + "\r\n", plain: true, answer: "HTTP/1.0 400", want: refusals.TLS, rule: "server.tls.certFile"},
		"no TLS":            {sent: "SSH-2.0-x\r\n", plain: true, want: refusals.TLS, rule: "server.tls.certFile"},
	} {
		recorded := make(chan refusals.Reason, 10)
		var log wiretest.Buffer
		config := listener.Config{
			Handler: handler, HeaderBytes: 8 << 10,
			Refusals: refusals.NewRecorder(func(reason refusals.Reason) { recorded <- reason }, slog.New(slog.NewJSONHandler(&log, nil))),
		}
		if test.alpn != nil || test.plain {
			config.Certificates = certificates
		}
		raw, err := net.Dial("tcp", startWith(t, "127.0.0.1:0", config).Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		_ = raw.SetDeadline(time.Now().Add(time.Minute))
		conn := raw
		if test.alpn != nil {
			conn = tls.Client(raw, &tls.Config{RootCAs: ca.Pool(), ServerName: "127.0.0.1", NextProtos: test.alpn})
		}
		_, _ = io.WriteString(conn, test.sent)
		answer, _ := io.ReadAll(conn)
		if want := cmp.Or(test.answer, "HTTP/1.1 4"); (test.want != refusals.TLS || test.answer != "") && !strings.HasPrefix(string(answer), want) {
			t.Errorf("%s: got %q, want %q", name, answer, want)
		}
		_, _ = io.Copy(io.Discard, raw) // the server may close it after its last word
		_ = conn.Close()
		var got, want []refusals.Reason
		for len(recorded) > 0 { // all are there
			got = append(got, <-recorded)
		}
		if test.want != "" {
			want = []refusals.Reason{test.want}
		}
		if !slices.Equal(got, want) {
			t.Errorf("%s: got %q, want %q", name, got, want)
		}
		if rule := `"rule":"` + test.rule + `"`; test.rule != "" && !strings.Contains(log.String(), rule) {
			t.Errorf("%s: got %s, want %s", name, log.String(), rule)
		}
	}
}

// A handshake that fails names the rule that it broke.
func TestFailedHandshakesNameTheirRule(t *testing.T) {
	t.Parallel()
	ca := wiretest.NewCA(t)
	dir := t.TempDir()
	cert, key := ca.Issue(t, 2)
	files := listener.TLSFiles{
		CertFiles: []string{wiretest.WriteFile(t, dir, "cert", cert)}, KeyFiles: []string{wiretest.WriteFile(t, dir, "key", key)},
		ClientCAFile: wiretest.WriteFile(t, dir, "ca", ca.PEM),
	}
	certificates, err := listener.LoadCertificates(files)
	if err != nil {
		t.Fatal(err)
	}
	for rule, client := range map[string]*tls.Config{
		"server.tls.minVersion":   {MinVersion: tls.VersionTLS10, MaxVersion: tls.VersionTLS11, InsecureSkipVerify: true},
		"server.tls.clientCAFile": {InsecureSkipVerify: true},
		"RFC 8446 section 6.2":    {ServerName: "127.0.0.1"}, // the client refuses the server's certificate
		"RFC 8446 section 4.1":    {MaxVersion: tls.VersionTLS12, CipherSuites: []uint16{tls.TLS_RSA_WITH_AES_128_CBC_SHA}, InsecureSkipVerify: true},
		"limits.headerTimeout":    nil, // says nothing
	} {
		var log wiretest.Buffer
		config := listener.Config{
			Handler: http.HandlerFunc(describe), Certificates: certificates, HeaderTimeout: time.Minute,
			Refusals: refusals.NewRecorder(func(refusals.Reason) {}, slog.New(slog.NewJSONHandler(&log, nil))),
		}
		if client == nil {
			config.HeaderTimeout = time.Millisecond
		}
		raw, err := net.Dial("tcp", startWith(t, "127.0.0.1:0", config).Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		_ = raw.SetDeadline(time.Now().Add(time.Minute))
		if client != nil {
			conn := tls.Client(raw, client)
			_ = conn.HandshakeContext(t.Context())
			_, _ = conn.Read(make([]byte, 1)) // TLS 1.3 tells of a client certificate only now
		}
		_, _ = io.Copy(io.Discard, raw)
		_ = raw.Close()
		if want := `"rule":"` + rule + `"`; !strings.Contains(log.String(), want) {
			t.Errorf("got %s, want %s", log.String(), want)
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
