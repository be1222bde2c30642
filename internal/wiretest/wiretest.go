// Package wiretest holds what tests of the adapter, the v2 client and the
// interop modules share: real sockets, an embedded ZITADEL, and the ways in
// which an upstream can go wrong.
package wiretest

import (
	"bytes"
	"compress/gzip"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"zitadel-v1-adapter/internal/recordings"
	"zitadel-v1-adapter/internal/upstream"
	"zitadel-v1-adapter/v2client/v2test"
)

// Listen serves HTTP/1.1 and h2c on a port of its own until the test ends; it
// returns the host:port.
func Listen(tb testing.TB, handler http.Handler) string {
	tb.Helper()
	server := httptest.NewUnstartedServer(handler)
	server.Config.Protocols = new(http.Protocols)
	server.Config.Protocols.SetHTTP1(true)
	server.Config.Protocols.SetUnencryptedHTTP2(true)
	server.Config.DisableGeneralOptionsHandler = true
	server.Start()
	tb.Cleanup(server.Close)
	return strings.TrimPrefix(server.URL, "http://")
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

// Fixture is the state of the ZITADEL that was recorded.
func Fixture(tb testing.TB) v2test.Fixture {
	tb.Helper()
	fixture, err := v2test.LoadFixture(recordings.Path(tb, recordings.Fixture))
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
		if tcp, ok := connection.(*net.TCPConn); ok {
			_ = tcp.SetLinger(0)
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
