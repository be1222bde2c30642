package upstream

import (
	"errors"
	"io"
	"net"
	"net/http"
	"syscall"
	"testing"
)

// A connection is reset when it is closed before an answer came, and otherwise not.
func TestAbortableConn(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		use   func(conn net.Conn)
		reset bool
	}{
		"unanswered": {func(conn net.Conn) { _, _ = conn.Write([]byte("ask")) }, true},
		"answered": {func(conn net.Conn) {
			_, _ = conn.Write([]byte("ask"))
			_, _ = conn.Read(make([]byte, 1))
		}, false},
		"unused": {func(net.Conn) {}, false},
		"another protocol": {func(conn net.Conn) {
			conn.(*abortableConn).whole.Store(true)
			_, _ = conn.Write([]byte("last word"))
		}, false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			listener, err := net.Listen("tcp", "127.0.0.1:0")
			if err != nil {
				t.Fatal(err)
			}
			defer func() { _ = listener.Close() }()
			ended := make(chan error, 1)
			go func() {
				conn, err := listener.Accept()
				if err != nil {
					ended <- err
					return
				}
				defer func() { _ = conn.Close() }()
				if name == "answered" {
					_, _ = conn.Write([]byte("x"))
				}
				_, err = io.Copy(io.Discard, conn)
				ended <- err
			}()
			conn, err := newConnect(true)(t.Context(), "tcp", listener.Addr().String())
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

// A connection that becomes one of another protocol is known by its request.
func TestKeptWhole(t *testing.T) {
	t.Parallel()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = listener.Close() }()
	ended := make(chan error, 1)
	go func() {
		conn, err := listener.Accept()
		if err != nil {
			ended <- err
			return
		}
		defer func() { _ = conn.Close() }()
		_, _ = conn.Read(make([]byte, 4096))
		_, _ = io.WriteString(conn, "HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: Upgrade\r\n\r\n")
		_, err = io.Copy(io.Discard, conn)
		ended <- err
	}()
	to, err := New(Config{URL: "http://" + listener.Addr().String(), Host: HostUpstream})
	if err != nil {
		t.Fatal(err)
	}
	transport := to.NewTransport(TransportConfig{Version: HTTP1})
	request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, to.Base().String(), http.NoBody)
	if err != nil {
		t.Fatal(err)
	}
	request.Header.Set("Upgrade", "x")
	request.Header.Set("Connection", "Upgrade")
	response, err := transport.RoundTrip(request)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := response.Body.(io.Writer).Write([]byte("last word")); err != nil {
		t.Fatal(err)
	}
	_ = response.Body.Close()
	if err := <-ended; err != nil {
		t.Errorf("the last word was lost: %v", err)
	}
}
