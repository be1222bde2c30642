// Package wiretest holds what tests of the adapter, the v2 client and the
// interop modules share: real sockets, an embedded ZITADEL, and the ways in
// which an upstream can go wrong.
package wiretest

import (
	"bytes"
	"compress/gzip"
	"context"
	"net"
	"net/http"
	"testing"
	"time"

	"zitadel-v1-adapter/internal/listener"
	"zitadel-v1-adapter/internal/listener/framing"
	"zitadel-v1-adapter/internal/recordings"
	"zitadel-v1-adapter/internal/upstream"
	"zitadel-v1-adapter/v2client"
	"zitadel-v1-adapter/v2client/v2test"
)

// Listen serves HTTP/1.1 and h2c on a port of its own, as the program does, until
// the test ends; it returns the host:port.
func Listen(tb testing.TB, handler http.Handler) string {
	tb.Helper()
	on, err := listener.Listen(tb.Context(), "127.0.0.1:0")
	if err != nil {
		tb.Fatal(err)
	}
	Serve(tb, on, handler)
	return on.Addr().String()
}

// Serve is Listen on a listener that the caller has made.
func Serve(tb testing.TB, on net.Listener, handler http.Handler) {
	tb.Helper()
	ServeTLS(tb, on, handler, nil)
}

// ServeTLS is Serve, with TLS if certificates is not nil.
func ServeTLS(tb testing.TB, on net.Listener, handler http.Handler, certificates *listener.Certificates) {
	tb.Helper()
	serving := listener.New(on, listener.Config{Handler: handler, Certificates: certificates})
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

// Upstream is an upstream at a base URL, asked under a host as upstream.Config
// has it.
func Upstream(tb testing.TB, url, host string) *upstream.Upstream {
	tb.Helper()
	to, err := upstream.New(upstream.Config{URL: url, Host: host})
	if err != nil {
		tb.Fatal(err)
	}
	return to
}

// NoRetry makes every call once, for tests that count calls.
func NoRetry() v2client.RetryConfig {
	return v2client.RetryConfig{Attempts: 1, BaseDelay: time.Millisecond, MaxDelay: time.Millisecond}
}

// Fixture is the state of the ZITADEL that was recorded first.
func Fixture(tb testing.TB) v2test.Fixture {
	tb.Helper()
	return FixtureOf(tb, recordings.Fixture)
}

// FixtureOf is the state of a ZITADEL that was recorded, from one of the files.
func FixtureOf(tb testing.TB, file string) v2test.Fixture {
	tb.Helper()
	fixture, err := v2test.LoadFixture(recordings.Path(tb, file))
	if err != nil {
		tb.Fatal(err)
	}
	return fixture
}

// NewZITADEL is an embedded ZITADEL in the state of a fixture.
func NewZITADEL(tb testing.TB, fixture v2test.Fixture) *v2test.Server {
	tb.Helper()
	server, err := v2test.New(fixture)
	if err != nil {
		tb.Fatal(err)
	}
	return server
}

// Reset is an upstream that resets every HTTP/1.1 connection.
func Reset(tb testing.TB) http.Handler {
	tb.Helper()
	return http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		connection, _, err := http.NewResponseController(w).Hijack()
		if err != nil {
			tb.Error(err)
			return
		}
		if watched, ok := connection.(*framing.Conn); ok {
			reset(watched.NetConn())
		}
		_ = connection.Close()
	})
}

// Gzip packs data.
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
