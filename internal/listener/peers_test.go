package listener_test

import (
	"io"
	"net"
	"net/http"
	"path/filepath"
	"sync/atomic"
	"testing"
	"time"

	"zitadel-v1-adapter/internal/listener"
)

// A peer has so many connections at once; further ones are closed at once, and when
// one of them ends, there is room again. Another peer is not concerned.
func TestConnectionsPerPeer(t *testing.T) {
	t.Parallel()
	var refused atomic.Int32
	serve := func(address string) net.Addr {
		return startWith(t, address, listener.Config{
			Handler: http.HandlerFunc(describe), ConnectionsPerPeer: 2, OnRefused: func() { refused.Add(1) },
		}).Addr()
	}
	address := serve("127.0.0.1:0")
	// connect connects from an address, and tells whether a request is answered.
	connect := func(from string, to net.Addr) (net.Conn, bool) {
		dialer := net.Dialer{Timeout: 10 * time.Second}
		if from != "" {
			dialer.LocalAddr = &net.TCPAddr{IP: net.ParseIP(from)}
		}
		conn, err := dialer.Dial(to.Network(), to.String())
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = conn.Close() })
		_ = conn.SetDeadline(time.Now().Add(10 * time.Second))
		_, _ = io.WriteString(conn, "GET / HTTP/1.1\r\nHost: x\r\n\r\n")
		_, err = conn.Read(make([]byte, 1))
		return conn, err == nil
	}
	first, answered := connect("127.0.0.1", address)
	_, alsoAnswered := connect("127.0.0.1", address)
	if !answered || !alsoAnswered {
		t.Fatal("not even two connections")
	}
	if _, answered := connect("127.0.0.1", address); answered || refused.Load() != 1 {
		t.Errorf("a third connection: answered %v, %d refused", answered, refused.Load())
	}
	if _, answered := connect("127.0.0.2", address); !answered {
		t.Error("another peer was refused")
	}
	_ = first.Close()
	for deadline := time.Now().Add(10 * time.Second); ; time.Sleep(time.Millisecond) {
		if _, answered := connect("127.0.0.1", address); answered {
			break
		}
		if time.Now().After(deadline) {
			t.Fatal("no room, although a connection has ended")
		}
	}
	// Peers on a Unix socket are all the same.
	socket := serve("unix:" + filepath.Join(t.TempDir(), "s"))
	for range 4 {
		if _, answered := connect("", socket); !answered {
			t.Error("a peer on a Unix socket was refused")
		}
	}
}
