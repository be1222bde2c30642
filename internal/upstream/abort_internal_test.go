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

// ask is as long as the least request.
var ask = []byte("GET / HTTP/1.1\r\nHost: localhost\r\n\r\n")

// otherSide accepts one connection, and tells what came of it.
func otherSide(t *testing.T, serve func(conn net.Conn) error) (address string, ended <-chan error) {
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

// A connection is reset when it is closed before an answer came, and otherwise not.
func TestAbortableConn(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		use   func(conn net.Conn)
		reset bool
	}{
		"unanswered": {func(conn net.Conn) { _, _ = conn.Write(ask) }, true},
		"answered": {func(conn net.Conn) {
			_, _ = conn.Write(ask)
			_, _ = conn.Read(make([]byte, 1))
		}, false},
		"unused": {func(net.Conn) {}, false},
		"another protocol": {func(conn net.Conn) {
			conn.(*abortableConn).whole.Store(true)
			_, _ = conn.Write(ask)
		}, false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			address, ended := otherSide(t, func(conn net.Conn) error {
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
				t.Errorf("the other side: %v", err)
			}
		})
	}
}

// A connection that has become one of another protocol is closed in the usual way, one
// that was only asked to is reset.
func TestUpgrade(t *testing.T) {
	t.Parallel()
	for answer, reset := range map[string]bool{
		"HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: Upgrade\r\n\r\n": false,
		"": true,
	} {
		ctx, giveUp := context.WithCancel(t.Context())
		address, ended := otherSide(t, func(conn net.Conn) error {
			_, _ = conn.Read(make([]byte, 4096))
			if answer == "" {
				giveUp()
			}
			_, _ = io.WriteString(conn, answer)
			return readAll(conn)
		})
		to, err := New(Config{URL: "http://" + address, Host: HostUpstream})
		if err != nil {
			t.Fatal(err)
		}
		request, err := http.NewRequestWithContext(ctx, http.MethodGet, to.Base().String(), http.NoBody)
		if err != nil {
			t.Fatal(err)
		}
		request.Header.Set("Upgrade", "x")
		request.Header.Set("Connection", "Upgrade")
		response, err := to.NewTransport(TransportConfig{Version: HTTP1}).RoundTrip(request)
		if err == nil {
			_, _ = response.Body.(io.Writer).Write(ask) // the last word
			_ = response.Body.Close()
		}
		if got := <-ended; errors.Is(got, syscall.ECONNRESET) != reset {
			t.Errorf("%q: %v, %v", answer, err, got)
		}
		giveUp()
	}
}

// The end of TLS is no question: an idle connection is closed in the usual way.
func TestTLSSaysGoodbye(t *testing.T) {
	t.Parallel()
	certified := httptest.NewUnstartedServer(nil)
	certified.StartTLS()
	defer certified.Close()
	for _, version := range []uint16{tls.VersionTLS12, tls.VersionTLS13} {
		address, ended := otherSide(t, func(plain net.Conn) error {
			conn := tls.Server(plain, &tls.Config{Certificates: certified.TLS.Certificates, MinVersion: version, MaxVersion: version})
			_, _ = conn.Read(make([]byte, len(ask)))
			_, _ = conn.Write([]byte("answer"))
			if _, err := conn.Read(make([]byte, 1)); !errors.Is(err, io.EOF) {
				return err
			}
			_, err := plain.Read(make([]byte, 1)) // what came after close_notify
			return err
		})
		plain, err := newConnect(true)(t.Context(), "tcp", address)
		if err != nil {
			t.Fatal(err)
		}
		conn := tls.Client(plain, &tls.Config{RootCAs: certified.Client().Transport.(*http.Transport).TLSClientConfig.RootCAs, ServerName: "example.com"})
		_, _ = conn.Write(ask)
		_, _ = conn.Read(make([]byte, len("answer")))
		_ = conn.Close()
		if err := <-ended; !errors.Is(err, io.EOF) {
			t.Errorf("TLS %x: %v", version, err)
		}
	}
}
