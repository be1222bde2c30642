package listener_test

import (
	"io"
	"log/slog"
	"net"
	"net/http"
	"path/filepath"
	"sync/atomic"
	"testing"
	"time"

	"zitadel-v1-adapter/internal/listener"
	"zitadel-v1-adapter/internal/refusals"
)

// Connections beyond ConnectionsPerPeer are closed immediately, until the peer closes one
// of its others. The connections of other peers do not count, and Unix sockets are not
// limited.
func TestConnectionsPerPeerAreLimited(t *testing.T) {
	t.Parallel()
	var refused atomic.Int32
	serve := func(address string) net.Addr {
		return startWith(t, address, listener.Config{
			Handler: http.HandlerFunc(describe), ConnectionsPerPeer: 2, Refusals: refusals.NewRecorder(func(refusals.Reason) { refused.Add(1) }, slog.New(slog.DiscardHandler)),
		}).Addr()
	}
	address := serve("127.0.0.1:0")
	// connect connects from an IP address and reports whether a request is answered.
	connect := func(from string, to net.Addr) (conn net.Conn, answered bool) {
		dialer := net.Dialer{Timeout: time.Minute}
		if from != "" {
			dialer.LocalAddr = &net.TCPAddr{IP: net.ParseIP(from)}
		}
		conn, err := dialer.Dial(to.Network(), to.String())
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = conn.Close() })
		_ = conn.SetDeadline(time.Now().Add(time.Minute))
		_, _ = io.WriteString(conn, "GET / HTTP/1.1\r\nHost: x\r\n\r\n")
		_, err = conn.Read(make([]byte, 1))
		return conn, err == nil
	}
	first, answered := connect("127.0.0.1", address)
	_, alsoAnswered := connect("127.0.0.1", address)
	if !answered || !alsoAnswered {
		t.Fatalf("the first two connections: answered %v, %v, want true, true", answered, alsoAnswered)
	}
	if _, answered := connect("127.0.0.1", address); answered || refused.Load() != 1 {
		t.Errorf("the third connection: answered %v, refused %d, want false, 1", answered, refused.Load())
	}
	if _, answered := connect("127.0.0.2", address); !answered {
		t.Error("another peer's connection was refused, want it accepted")
	}
	_ = first.Close()
	for deadline := time.Now().Add(time.Minute); ; time.Sleep(time.Millisecond) {
		if _, answered := connect("127.0.0.1", address); answered {
			break
		}
		if time.Now().After(deadline) {
			t.Fatal("connections are still refused 10s after one was closed")
		}
	}
	socket := serve("unix:" + filepath.Join(t.TempDir(), "s"))
	for range 4 {
		if _, answered := connect("", socket); !answered {
			t.Error("a connection to a Unix socket was refused, want it accepted")
		}
	}
}
