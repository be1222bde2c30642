package wiretest

import (
	"net"
	"sync"
	"sync/atomic"
	"testing"

	"zitadel-v1-adapter/internal/listener"
)

// faultListener is a TCP server that a test can stop and start again.
type faultListener struct {
	address     string
	stopped     *takenPort // the address after Stop
	resets      atomic.Bool
	serve       func(net.Conn)
	listener    net.Listener
	accepting   sync.WaitGroup
	connections connectionSet
}

// newFaultListener listens on 127.0.0.1 until the test ends, and calls serve for each
// connection, concurrently.
func newFaultListener(tb testing.TB, serve func(net.Conn)) *faultListener {
	tb.Helper()
	l := &faultListener{address: "127.0.0.1:0", serve: serve}
	l.Start(tb)
	tb.Cleanup(func() {
		l.Stop()
		l.stopped.free()
	})
	return l
}

// Address returns the listener's host:port, which stays the same after Stop and Start.
func (l *faultListener) Address() string { return l.address }

// ResetConnections sets whether new connections are reset as soon as they are accepted.
// Default: no.
func (l *faultListener) ResetConnections(resets bool) { l.resets.Store(resets) }

// Start listens again, at the same address. It must not be called before Stop.
func (l *faultListener) Start(tb testing.TB) {
	tb.Helper()
	l.stopped.free()
	l.stopped = nil
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

// Stop closes the listener and all connections, and waits until none is served. From then on
// connections are refused.
func (l *faultListener) Stop() {
	_ = l.listener.Close()
	l.stopped, _ = takePort(l.address) // nobody else, who could answer in its place, gets it
	l.accepting.Wait()
	l.connections.close()
}

// reset makes closing the connection reset it (RST).
func reset(conn net.Conn) {
	if peeked, ok := conn.(*peekedConn); ok {
		conn = peeked.Conn
	}
	if tcp, ok := conn.(*net.TCPConn); ok {
		_ = tcp.SetLinger(0)
	}
}

// Connections returns the number of open connections.
func (l *faultListener) Connections() int { return l.connections.count() }

// connectionSet serves connections and can close them all.
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
