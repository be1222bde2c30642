package listener_test

import (
	"bufio"
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"zitadel-v1-adapter/internal/listener"
	"zitadel-v1-adapter/internal/wiretest"
)

// net/http keeps a connection for 500 ms after it has refused a request.
func TestMain(m *testing.M) {
	goleak.VerifyTestMain(m, goleak.IgnoreAnyFunction("net/http.(*conn).closeWriteAndWait"))
}

// start serves handler on an address until the test ends. certificates is nil for plain
// text.
func start(t *testing.T, address string, handler http.Handler, certificates *listener.Certificates, log io.Writer) *listener.Server {
	t.Helper()
	return startWith(t, address, listener.Config{Handler: handler, Certificates: certificates, Log: slog.New(slog.NewTextHandler(log, nil))})
}

func startWith(t *testing.T, address string, config listener.Config) *listener.Server {
	t.Helper()
	on, err := listener.Listen(t.Context(), address)
	if err != nil {
		t.Fatal(err)
	}
	return serveOn(t, on, config)
}

// serveOn is startWith, on a listener made by the caller.
func serveOn(t *testing.T, on net.Listener, config listener.Config) *listener.Server {
	t.Helper()
	s := listener.New(on, config)
	done := make(chan error, 1)
	go func() { done <- s.Serve() }()
	t.Cleanup(func() {
		ended, cancel := context.WithCancel(context.Background())
		cancel()
		_ = s.Drain(ended)
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
	return s
}

// describe answers with the protocol, and the TLS state, that the request was made with.
func describe(w http.ResponseWriter, r *http.Request) {
	text := r.Proto
	if r.TLS != nil {
		text += " " + r.TLS.NegotiatedProtocol
		if len(r.TLS.PeerCertificates) > 0 {
			text += " with client certificate"
		}
	}
	_, _ = io.WriteString(w, text)
}

// get makes a request on a new connection and returns the body of the response.
func get(t *testing.T, url string, http2 bool, config *tls.Config) (string, *tls.ConnectionState, error) {
	t.Helper()
	protocols := new(http.Protocols)
	protocols.SetHTTP1(!http2)
	protocols.SetHTTP2(http2)
	protocols.SetUnencryptedHTTP2(http2)
	transport := &http.Transport{Protocols: protocols, TLSClientConfig: config.Clone()} // net/http writes into it
	defer transport.CloseIdleConnections()
	response, err := (&http.Client{Transport: transport, Timeout: time.Minute}).Get(url)
	if err != nil {
		return "", nil, err
	}
	defer func() { _ = response.Body.Close() }()
	body, err := io.ReadAll(response.Body)
	return string(body), response.TLS, err
}

// HTTP/1.1 and HTTP/2 work on the same port, in plain text and with TLS 1.2 or later. A
// client that sends plain HTTP to a TLS port is told so.
func TestServesHTTP1AndHTTP2OnOnePort(t *testing.T) {
	t.Parallel()
	ca := wiretest.NewCA(t)
	dir := t.TempDir()
	cert, key := ca.Issue(t, 2)
	files := listener.TLSFiles{CertFiles: []string{wiretest.WriteFile(t, dir, "cert", cert)}, KeyFiles: []string{wiretest.WriteFile(t, dir, "key", key)}}
	certificates, err := listener.LoadCertificates(files)
	if err != nil {
		t.Fatal(err)
	}
	var log bytes.Buffer
	plain := "http://" + start(t, "127.0.0.1:0", http.HandlerFunc(describe), nil, io.Discard).Addr().String()
	encrypted := "https://" + start(t, "127.0.0.1:0", http.HandlerFunc(describe), certificates, &log).Addr().String()
	trust := &tls.Config{RootCAs: ca.Pool()}
	for _, test := range []struct {
		url   string
		http2 bool
		want  string
	}{
		{url: plain, want: "HTTP/1.1"},
		{url: plain, http2: true, want: "HTTP/2.0"},
		{url: encrypted, want: "HTTP/1.1 "}, // net/http's client sends no ALPN here
		{url: encrypted, http2: true, want: "HTTP/2.0 h2"},
	} {
		if got, _, err := get(t, test.url, test.http2, trust); got != test.want || err != nil {
			t.Errorf("%s, HTTP/2 %v: got %q, %v, want %q", test.url, test.http2, got, err, test.want)
		}
	}
	if _, _, err := get(t, encrypted, false, &tls.Config{RootCAs: ca.Pool(), MaxVersion: tls.VersionTLS11}); err == nil {
		t.Error("TLS 1.1: got a response, want an error")
	}
	if got, _, err := get(t, strings.Replace(encrypted, "https", "http", 1), false, nil); !strings.Contains(got, "use an https:// URL") {
		t.Errorf("plain HTTP to the TLS port: got %q, %v, want a hint to use https://", got, err)
	}
}

// With ClientCAFile, only clients with a certificate of that CA are accepted.
func TestClientCertificatesAreRequired(t *testing.T) {
	t.Parallel()
	ca, other := wiretest.NewCA(t), wiretest.NewCA(t)
	dir := t.TempDir()
	cert, key := ca.Issue(t, 2)
	certificates, err := listener.LoadCertificates(listener.TLSFiles{
		CertFiles: []string{wiretest.WriteFile(t, dir, "cert", cert)}, KeyFiles: []string{wiretest.WriteFile(t, dir, "key", key)},
		ClientCAFile: wiretest.WriteFile(t, dir, "ca", ca.PEM),
	})
	if err != nil {
		t.Fatal(err)
	}
	url := "https://" + start(t, "127.0.0.1:0", http.HandlerFunc(describe), certificates, io.Discard).Addr().String()
	with := func(issuer *wiretest.CA) *tls.Config {
		cert, key := issuer.Issue(t, 2)
		pair, err := tls.X509KeyPair(cert, key)
		if err != nil {
			t.Fatal(err)
		}
		return &tls.Config{RootCAs: ca.Pool(), Certificates: []tls.Certificate{pair}}
	}
	if got, _, err := get(t, url, true, with(ca)); got != "HTTP/2.0 h2 with client certificate" {
		t.Errorf("certificate of the CA: got %q, %v, want a response", got, err)
	}
	if got, _, err := get(t, url, false, with(other)); err == nil {
		t.Errorf("certificate of another CA: got %q, want an error", got)
	}
	if got, _, err := get(t, url, false, &tls.Config{RootCAs: ca.Pool()}); err == nil {
		t.Errorf("no certificate: got %q, want an error", got)
	}
}

// A renewed certificate is used from the next handshake on. An invalid one is never used,
// and the error says what is wrong with it.
func TestInvalidRenewalKeepsOldCertificate(t *testing.T) {
	t.Parallel()
	ca := wiretest.NewCA(t)
	dir := t.TempDir()
	write := func(serial int64) listener.TLSFiles {
		cert, key := ca.Issue(t, serial)
		return listener.TLSFiles{CertFiles: []string{wiretest.WriteFile(t, dir, "cert", cert)}, KeyFiles: []string{wiretest.WriteFile(t, dir, "key", key)}}
	}
	files := write(2)
	certificates, err := listener.LoadCertificates(files)
	if err != nil {
		t.Fatal(err)
	}
	expires := certificates.Expires()
	url := "https://" + start(t, "127.0.0.1:0", http.HandlerFunc(describe), certificates, io.Discard).Addr().String()
	serial := func() int64 {
		t.Helper()
		_, state, err := get(t, url, false, &tls.Config{RootCAs: ca.Pool()})
		if err != nil {
			t.Fatal(err)
		}
		return state.PeerCertificates[0].SerialNumber.Int64()
	}
	if got := serial(); got != 2 {
		t.Errorf("at first: got serial %d, want 2", got)
	}
	write(3)
	reload := func() error {
		fresh, err := listener.LoadCertificates(files)
		certificates.Adopt(fresh)
		return err
	}
	if err := reload(); err != nil || serial() != 3 || !certificates.Expires().After(expires) {
		t.Errorf("after the renewal: got serial %d, %v, want 3 and a later expiry", serial(), err)
	}
	wiretest.WriteFile(t, dir, "cert", []byte("not a certificate"))
	if err := reload(); err == nil || !strings.HasPrefix(err.Error(), `server.tls.certFile: "`+files.CertFiles[0]+`"`) || serial() != 3 {
		t.Errorf("after an invalid renewal: got serial %d, error %v, want 3 and an error with key and file", serial(), err)
	}
}

// The error for invalid files names the configuration key and what would be valid.
func TestInvalidCertificateFilesAreRejected(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	cert, key := wiretest.NewCA(t).Issue(t, 2)
	_, otherKey := wiretest.NewCA(t).Issue(t, 2)
	certFile, keyFile := wiretest.WriteFile(t, dir, "cert", cert), wiretest.WriteFile(t, dir, "key", key)
	other, empty := wiretest.WriteFile(t, dir, "other", otherKey), wiretest.WriteFile(t, dir, "empty", nil)
	for want, files := range map[string]listener.TLSFiles{
		"server.tls.certFile, server.tls.keyFile: one is set without the other":               {CertFiles: []string{certFile}},
		"server.tls.clientCAFile: client certificates need TLS":                               {ClientCAFile: certFile},
		"private key does not match public key: use a PEM certificate and its key":            {CertFiles: []string{certFile}, KeyFiles: []string{other}},
		"no such file or directory":                                                           {CertFiles: []string{"/none"}, KeyFiles: []string{keyFile}},
		`server.tls.clientCAFile: "` + empty + `" holds no certificate: use a PEM file of CA`: {CertFiles: []string{certFile}, KeyFiles: []string{keyFile}, ClientCAFile: empty},
	} {
		if _, err := listener.LoadCertificates(files); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("got %v, want %s", err, want)
		}
	}
}

// The first line of an HTTP/2 preface without the rest is answered with 400 and does not
// reach the handler.
func TestIncompletePrefaceIsRejected(t *testing.T) {
	t.Parallel()
	s := start(t, "127.0.0.1:0", http.HandlerFunc(func(http.ResponseWriter, *http.Request) { t.Error("the request was handled") }), nil, io.Discard)
	conn, err := net.Dial("tcp", s.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close() }()
	_, _ = io.WriteString(conn, "PRI * HTTP/2.0\r\n\r\nGET / HTTP/1.1\r\nHost: x\r\n\r\n")
	if answer, err := io.ReadAll(conn); !strings.HasPrefix(string(answer), "HTTP/1.1 400") {
		t.Errorf("got %q, %v, want status 400", answer, err)
	}
}

// Drain waits for hijacked connections to be closed, but closes them itself when its
// context ends.
func TestDrainWaitsForHijackedConnections(t *testing.T) {
	t.Parallel()
	release := make(chan struct{})
	hijack := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		conn, _, err := http.NewResponseController(w).Hijack()
		if err != nil {
			t.Error(err)
			return
		}
		defer func() { _ = conn.Close() }()
		_, _ = io.WriteString(conn, "hijacked\n")
		select {
		case <-release:
			_, _ = io.WriteString(conn, "released\n")
		case <-r.Context().Done():
		}
	})
	connect := func(s *listener.Server) *bufio.Reader {
		conn, err := net.Dial("tcp", s.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = conn.Close() })
		_, _ = io.WriteString(conn, "GET / HTTP/1.1\r\nHost: x\r\n\r\n")
		reader := bufio.NewReader(conn)
		if line, err := reader.ReadString('\n'); line != "hijacked\n" {
			t.Fatalf("got %q, %v, want %q", line, err, "hijacked\n")
		}
		return reader
	}

	s := start(t, "127.0.0.1:0", hijack, nil, io.Discard)
	reader := connect(s)
	drained := make(chan error, 1)
	go func() { drained <- s.Drain(t.Context()) }()
	for { // wait until the listener is closed
		conn, err := net.Dial("tcp", s.Addr().String())
		if err != nil {
			break
		}
		_ = conn.Close()
	}
	select {
	case err := <-drained:
		t.Errorf("Drain returned %v while a connection was in use, want it to wait", err)
	default:
	}
	close(release)
	if rest, err := io.ReadAll(reader); string(rest) != "released\n" {
		t.Errorf("got %q, %v, want %q", rest, err, "released\n")
	}
	if err := <-drained; err != nil {
		t.Errorf("Drain: got %v, want nil", err)
	}

	release = nil
	s = start(t, "127.0.0.1:0", hijack, nil, io.Discard)
	reader = connect(s)
	soon, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if err := s.Drain(soon); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("Drain: got %v, want %v", err, context.DeadlineExceeded)
	}
	if rest, err := io.ReadAll(reader); len(rest) > 0 {
		t.Errorf("got %q, %v, want the connection closed without further data", rest, err)
	}
}

// The handler of a request that is aborted can still tell of it, in the log: Drain waits for
// it.
func TestDrainWaitsForAbortedHandlers(t *testing.T) {
	t.Parallel()
	began, told := make(chan struct{}), make(chan struct{})
	s := start(t, "127.0.0.1:0", http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		close(began)
		<-r.Context().Done()
		time.Sleep(20 * time.Millisecond) // for a Drain that does not wait
		close(told)
	}), nil, io.Discard)
	go func() { _, _, _ = get(t, "http://"+s.Addr().String(), false, nil) }()
	<-began
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	if err := s.Drain(ended); !errors.Is(err, context.Canceled) {
		t.Errorf("Drain: got %v, want %v", err, context.Canceled)
	}
	select {
	case <-told:
	default:
		t.Error("Drain has returned before the handler")
	}
}

// Streams of HTTP/2 may begin while Drain waits for the last ones: no data race (with -race).
func TestStreamsMayBeginDuringDrain(t *testing.T) {
	t.Parallel()
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	for range 20 {
		var first sync.Once
		called := make(chan struct{})
		s := start(t, "127.0.0.1:0", http.HandlerFunc(func(http.ResponseWriter, *http.Request) {
			first.Do(func() { close(called) })
			time.Sleep(time.Millisecond) // so that one is in flight when Drain is called
		}), nil, io.Discard)
		var calling sync.WaitGroup
		for range 4 {
			calling.Go(func() {
				protocols := new(http.Protocols)
				protocols.SetUnencryptedHTTP2(true)
				transport := &http.Transport{Protocols: protocols}
				defer transport.CloseIdleConnections()
				for err := error(nil); err == nil; { // until the server is gone
					var answer *http.Response
					if answer, err = (&http.Client{Transport: transport}).Get("http://" + s.Addr().String()); err == nil {
						err = answer.Body.Close()
					}
				}
			})
		}
		<-called
		_ = s.Drain(ended)
		calling.Wait()
	}
}

// A connection ends if a client is slow with its headers or its TLS handshake, or says nothing more after an answer.
func TestSlowAndIdleConnectionsEnd(t *testing.T) {
	t.Parallel()
	certificates := wiretest.NewCA(t).Certificates(t)
	const request = "GET / HTTP/1.1\r\nHost: x\r\n"
	for name, test := range map[string]struct {
		config listener.Config
		sent   string
		answer string // how the answer begins
	}{
		"nothing":          {listener.Config{HeaderTimeout: time.Millisecond}, "", ""},
		"slow headers":     {listener.Config{HeaderTimeout: time.Millisecond}, request, ""},
		"slow preface":     {listener.Config{HeaderTimeout: time.Millisecond}, "PRI * HTTP/2.0\r\n", ""},
		"slow handshake":   {listener.Config{HeaderTimeout: time.Millisecond, Certificates: certificates}, "\x16\x03\x01", ""},
		"idle":             {listener.Config{IdleTimeout: time.Millisecond}, request + "\r\n", "HTTP/1.1 200"},
		"idle over HTTP/2": {listener.Config{IdleTimeout: time.Millisecond}, "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\x00\x00\x00\x04\x00\x00\x00\x00\x00", "\x00\x00"},
	} {
		test.config.Handler = http.HandlerFunc(describe)
		conn := dialFrom(t, "127.0.0.1", startWith(t, "127.0.0.1:0", test.config))
		_, _ = io.WriteString(conn, test.sent)
		answer, err := io.ReadAll(conn)
		if timeout, ok := errors.AsType[net.Error](err); ok && timeout.Timeout() || !strings.HasPrefix(string(answer), test.answer) {
			t.Errorf("%s: got %q, %v, want an answer %q and the end", name, answer, err, test.answer)
		}
	}
}
