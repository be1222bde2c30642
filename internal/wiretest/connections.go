package wiretest

import (
	"net"
	"sync"
	"sync/atomic"
	"testing"

	"zitadel-v1-adapter/internal/listener"
)

// faultListener is a server that can go away and come back.
type faultListener struct {
	address     string
	resets      atomic.Bool
	serve       func(net.Conn)
	listener    net.Listener
	accepting   sync.WaitGroup
	connections connectionSet
}

// newFaultListener hands every connection to serve, until the test ends.
func newFaultListener(tb testing.TB, serve func(net.Conn)) *faultListener {
	tb.Helper()
	l := &faultListener{address: "127.0.0.1:0", serve: serve}
	l.Start(tb)
	tb.Cleanup(l.Stop)
	return l
}

// Address is its host:port.
func (l *faultListener) Address() string { return l.address }

// ResetConnections says whether every new connection is reset at once.
func (l *faultListener) ResetConnections(resets bool) { l.resets.Store(resets) }

// Start listens, at the same address as before.
func (l *faultListener) Start(tb testing.TB) {
	tb.Helper()
	on, err := listener.Listen(tb.Context(), l.address)
	if err != nil {
		tb.Fatal(err)
	}
	l.listener, l.address = on, on.Addr().String()
	l.accepting.Go(func() {
		for {
			conn, err := on.Accept()
			if err != nil {
				return
			}
			if l.resets.Load() {
				reset(conn)
				_ = conn.Close()
				continue
			}
			l.connections.serve(conn, l.serve)
		}
	})
}

// Stop listens no longer, and closes every connection.
func (l *faultListener) Stop() {
	_ = l.listener.Close()
	l.accepting.Wait()
	l.connections.close()
}

// reset makes the end of a connection a reset.
func reset(conn net.Conn) {
	if begun, ok := conn.(*begunConn); ok {
		conn = begun.Conn
	}
	if tcp, ok := conn.(*net.TCPConn); ok {
		_ = tcp.SetLinger(0)
	}
}

// Connections tells how many there are.
func (l *faultListener) Connections() int { return l.connections.count() }

// connectionSet serves connections, and can end them all.
type connectionSet struct {
	mu      sync.Mutex
	open    map[net.Conn]struct{}
	serving sync.WaitGroup
}

func (s *connectionSet) serve(conn net.Conn, serve func(net.Conn)) {
	s.mu.Lock()
	if s.open == nil {
		s.open = map[net.Conn]struct{}{}
	}
	s.open[conn] = struct{}{}
	s.mu.Unlock()
	s.serving.Go(func() {
		serve(conn)
		_ = conn.Close()
		s.mu.Lock()
		delete(s.open, conn)
		s.mu.Unlock()
	})
}

func (s *connectionSet) count() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.open)
}

func (s *connectionSet) close() {
	s.mu.Lock()
	for conn := range s.open {
		_ = conn.Close()
	}
	s.mu.Unlock()
	s.serving.Wait()
}
