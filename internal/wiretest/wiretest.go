// Package wiretest contains helpers for the tests of several packages: servers on real
// sockets, an in-memory ZITADEL, certificates, and proxies that simulate a faulty upstream.
package wiretest

import (
	"bytes"
	"compress/gzip"
	"context"
	"io"
	"net"
	"net/http"
	"testing"
	"time"

	"zitadel-v1-adapter/internal/listener"
	"zitadel-v1-adapter/internal/recordings"
	"zitadel-v1-adapter/internal/upstream"
	"zitadel-v1-adapter/v2client"
	"zitadel-v1-adapter/v2client/v2test"
)

// Listen serves a handler over HTTP/1.1 and h2c on a free port of 127.0.0.1, with the
// program's own server, until the test ends. It returns the host:port.
func Listen(tb testing.TB, handler http.Handler) string {
	tb.Helper()
	on, err := listener.Listen(tb.Context(), "127.0.0.1:0")
	if err != nil {
		tb.Fatal(err)
	}
	Serve(tb, on, handler)
	return on.Addr().String()
}

// Serve is like Listen, on a listener made by the caller.
func Serve(tb testing.TB, on net.Listener, handler http.Handler) {
	tb.Helper()
	ServeTLS(tb, on, handler, nil)
}

// ServeTLS is like Serve, with TLS if certificates is not nil.
func ServeTLS(tb testing.TB, on net.Listener, handler http.Handler, certificates *listener.Certificates) {
	tb.Helper()
	serving := listener.New(sockets{on}, listener.Config{Handler: handler, Certificates: certificates})
	done := make(chan error, 1)
	go func() { done <- serving.Serve() }()
	tb.Cleanup(func() {
		ended, cancel := context.WithCancel(context.Background())
		cancel()
		_ = serving.Drain(ended)
		if err := <-done; err != nil {
			tb.Error(err)
		}
	})
}

// Upstream returns an Upstream with a base URL and a host (see upstream.Config).
func Upstream(tb testing.TB, url, host string) *upstream.Upstream {
	tb.Helper()
	to, err := upstream.New(upstream.Config{URL: url, Host: host})
	if err != nil {
		tb.Fatal(err)
	}
	return to
}

// NoRetry returns a configuration without retries, for tests that count calls.
func NoRetry() v2client.RetryConfig {
	return v2client.RetryConfig{Attempts: 1, BaseDelay: time.Millisecond, MaxDelay: time.Millisecond}
}

// Fixture returns the state of the ZITADEL that SetHumanInitialPassword was recorded with.
func Fixture(tb testing.TB) v2test.Fixture {
	tb.Helper()
	return FixtureOf(tb, recordings.Fixture)
}

// FixtureOf returns the state of a recorded ZITADEL; file is a recordings.Set's Fixture.
func FixtureOf(tb testing.TB, file string) v2test.Fixture {
	tb.Helper()
	fixture, err := v2test.LoadFixture(recordings.Path(tb, file))
	if err != nil {
		tb.Fatal(err)
	}
	return fixture
}

// NewZITADEL returns an in-memory ZITADEL in the state of a fixture.
func NewZITADEL(tb testing.TB, fixture v2test.Fixture) *v2test.Server {
	tb.Helper()
	return NewZITADELOf(tb, fixture, v2test.Config{})
}

// NewZITADELOf returns an embedded ZITADEL of a release in the state of a fixture.
func NewZITADELOf(tb testing.TB, fixture v2test.Fixture, config v2test.Config) *v2test.Server {
	tb.Helper()
	server, err := v2test.New(fixture, config)
	if err != nil {
		tb.Fatal(err)
	}
	return server
}

// sockets is a listener whose connections say in their local address which socket they are:
// Reset gets it from a request's context.
type sockets struct{ net.Listener }

func (s sockets) Accept() (net.Conn, error) {
	conn, err := s.Listener.Accept()
	return socketConn{conn}, err
}

type socketConn struct{ net.Conn }

func (c socketConn) LocalAddr() net.Addr { return socketAddr{c.Conn.LocalAddr(), c.Conn} }

func (c socketConn) CloseWrite() error {
	if half, ok := c.Conn.(interface{ CloseWrite() error }); ok {
		return half.CloseWrite()
	}
	return nil
}

type socketAddr struct {
	net.Addr

	socket net.Conn
}

// Reset returns a handler that resets the connection of every request. The requests must
// be HTTP/1.1.
func Reset(tb testing.TB) http.Handler {
	tb.Helper()
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		connection, _, err := http.NewResponseController(w).Hijack()
		if err != nil {
			tb.Error(err)
			return
		}
		if local, ok := r.Context().Value(http.LocalAddrContextKey).(socketAddr); ok {
			reset(local.socket)
		} else {
			tb.Errorf("the connection of %s cannot be reset", r.RemoteAddr)
		}
		_ = connection.Close()
	})
}

// Gzip returns data compressed with gzip.
func Gzip(tb testing.TB, data []byte) []byte {
	tb.Helper()
	var out bytes.Buffer
	writer := gzip.NewWriter(&out)
	if _, err := writer.Write(data); err != nil {
		tb.Fatal(err)
	}
	if err := writer.Close(); err != nil {
		tb.Fatal(err)
	}
	return out.Bytes()
}

// Gunzip decompresses data.
func Gunzip(tb testing.TB, data []byte) []byte {
	tb.Helper()
	reader, err := gzip.NewReader(bytes.NewReader(data))
	if err != nil {
		tb.Fatal(err)
	}
	unpacked, err := io.ReadAll(reader)
	if err != nil {
		tb.Fatal(err)
	}
	return unpacked
}
