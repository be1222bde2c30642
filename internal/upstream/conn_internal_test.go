package upstream

import (
	"context"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"syscall"
	"testing"
)

// minimalRequest is as short as a request can be, and longer than maxCloseNotify.
var minimalRequest = []byte("GET / HTTP/1.1\r\nHost: localhost\r\n\r\n")

// acceptOne accepts one connection and serves it. ended receives the error of serve, or
// nil, after the connection has been closed.
func acceptOne(t *testing.T, serve func(conn net.Conn) error) (address string, ended <-chan error) {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = listener.Close() })
	outcome := make(chan error, 1)
	go func() {
		conn, err := listener.Accept()
		if err == nil {
			err = serve(conn)
			_ = conn.Close()
		}
		outcome <- err
	}()
	return listener.Addr().String(), outcome
}

// readAll reads until the connection ends.
func readAll(conn net.Conn) error {
	_, err := io.Copy(io.Discard, conn)
	return err
}

// Close resets a connection if data was sent that has not been answered, and only then.
func TestCloseResetsOnlyUnansweredConnections(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		use   func(conn net.Conn)
		reset bool
	}{
		"unanswered": {func(conn net.Conn) { _, _ = conn.Write(minimalRequest) }, true},
		"answered": {func(conn net.Conn) {
			_, _ = conn.Write(minimalRequest)
			_, _ = conn.Read(make([]byte, 1))
		}, false},
		"unused": {func(net.Conn) {}, false},
		"another protocol": {func(conn net.Conn) {
			conn.(*abortableConn).graceful.Store(true)
			_, _ = conn.Write(minimalRequest)
		}, false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			address, ended := acceptOne(t, func(conn net.Conn) error {
				if name == "answered" {
					_, _ = conn.Write([]byte("x"))
				}
				return readAll(conn)
			})
			conn, err := newConnect(true)(t.Context(), "tcp", address)
			if err != nil {
				t.Fatal(err)
			}
			test.use(conn)
			_ = conn.Close()
			if err := <-ended; errors.Is(err, syscall.ECONNRESET) != test.reset {
				t.Errorf("the peer's read got error %v, want reset: %v", err, test.reset)
			}
		})
	}
}

// A connection that has switched protocols is closed normally. If the upstream did not
// agree to switch, it is reset like any unanswered connection.
func TestUpgradedConnectionIsNotReset(t *testing.T) {
	t.Parallel()
	for answer, wantReset := range map[string]bool{
		"HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: Upgrade\r\n\r\n": false,
		"": true,
	} {
		ctx, cancel := context.WithCancel(t.Context())
		address, ended := acceptOne(t, func(conn net.Conn) error {
			_, _ = conn.Read(make([]byte, 4096))
			if answer == "" {
				cancel()
			}
			_, _ = io.WriteString(conn, answer)
			return readAll(conn)
		})
		to, err := New(Config{URL: "http://" + address, Host: HostUpstream})
		if err != nil {
			t.Fatal(err)
		}
		upgrade, err := http.NewRequestWithContext(ctx, http.MethodGet, to.Base().String(), http.NoBody)
		if err != nil {
			t.Fatal(err)
		}
		upgrade.Header.Set("Upgrade", "x")
		upgrade.Header.Set("Connection", "Upgrade")
		response, err := to.NewTransport(TransportConfig{Version: HTTP1}).RoundTrip(upgrade)
		if err == nil {
			_, _ = response.Body.(io.Writer).Write(minimalRequest) // has no answer in the other protocol
			_ = response.Body.Close()
		}
		if got := <-ended; errors.Is(got, syscall.ECONNRESET) != wantReset {
			t.Errorf("answer %q (RoundTrip: %v): the peer's read got error %v, want reset: %v", answer, err, got, wantReset)
		}
		cancel()
	}
}

// The close_notify alert that ends an idle TLS connection needs no answer: the
// connection is closed normally (see maxCloseNotify).
func TestIdleTLSConnectionsAreNotReset(t *testing.T) {
	t.Parallel()
	server := httptest.NewUnstartedServer(nil) // has a certificate
	server.StartTLS()
	defer server.Close()
	roots := server.Client().Transport.(*http.Transport).TLSClientConfig.RootCAs
	for _, version := range []uint16{tls.VersionTLS12, tls.VersionTLS13} {
		address, ended := acceptOne(t, func(plain net.Conn) error {
			conn := tls.Server(plain, &tls.Config{Certificates: server.TLS.Certificates, MinVersion: version, MaxVersion: version})
			_, _ = conn.Read(make([]byte, len(minimalRequest)))
			_, _ = conn.Write([]byte("answer"))
			if _, err := conn.Read(make([]byte, 1)); !errors.Is(err, io.EOF) {
				return err
			}
			_, err := plain.Read(make([]byte, 1)) // after close_notify: EOF, or a reset
			return err
		})
		plain, err := newConnect(true)(t.Context(), "tcp", address)
		if err != nil {
			t.Fatal(err)
		}
		conn := tls.Client(plain, &tls.Config{RootCAs: roots, ServerName: "example.com"})
		_, _ = conn.Write(minimalRequest)
		_, _ = conn.Read(make([]byte, len("answer")))
		_ = conn.Close()
		if err := <-ended; !errors.Is(err, io.EOF) {
			t.Errorf("%s: the peer's read got error %v, want EOF", tls.VersionName(version), err)
		}
	}
}
