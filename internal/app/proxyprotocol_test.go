package app_test

import (
	"context"
	"io"
	"net"
	"os"
	"strings"
	"testing"
	"time"

	"zitadel-v1-adapter/internal/app"
	"zitadel-v1-adapter/internal/config"
	"zitadel-v1-adapter/internal/wiretest"
)

// server.proxyProtocol is taken over by a reload, for connections that come after it.
func TestProxyProtocolNeedsNoRestart(t *testing.T) {
	t.Parallel()
	const common = "upstream: {url: 'http://localhost:1'}\npassthrough: {enabled: false}\nadmin: {listen: '127.0.0.1:0'}\n"
	dir := t.TempDir()
	write := func(enabled string) string {
		t.Helper()
		return wiretest.WriteFile(t, dir, "c.yaml", []byte(common+"server: {listen: '127.0.0.1:0', trustedProxies: [127.0.0.1], proxyProtocol: "+enabled+"}\n"))
	}
	file := write("false")
	changes, settings, err := app.NewChanges(file, func() (config.Config, error) { return config.Load(file, nil, nil) })
	if err != nil {
		t.Fatal(err)
	}
	hangup := make(chan os.Signal)
	changes.Hangup = hangup
	running, err := app.Start(t.Context(), app.Config{Settings: settings, Stderr: io.Discard})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- running.Run(ctx, changes) }()
	t.Cleanup(func() {
		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
	answer := func() string {
		t.Helper()
		conn, err := new(net.Dialer).DialContext(t.Context(), "tcp", running.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = conn.Close() }()
		_ = conn.SetDeadline(time.Now().Add(time.Minute))
		_, _ = io.WriteString(conn, "PROXY TCP4 203.0.113.7 192.0.2.1 40000 443\r\nGET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
		all, _ := io.ReadAll(conn)
		status, _, _ := strings.Cut(string(all), "\r\n")
		return status
	}
	for _, step := range []struct{ enabled, want string }{
		{"false", "HTTP/1.1 400 Bad Request"}, {"true", "HTTP/1.1 404 Not Found"}, {"false", "HTTP/1.1 400 Bad Request"},
	} {
		write(step.enabled)
		hangup <- os.Interrupt
		hangup <- os.Interrupt // taken when the first has been dealt with
		if got := answer(); got != step.want {
			t.Errorf("proxyProtocol %s: got %q, want %q", step.enabled, got, step.want)
		}
	}
}
