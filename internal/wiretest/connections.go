package wiretest

import (
	"net"
	"sync"
)

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

func (s *connectionSet) close() {
	s.mu.Lock()
	for conn := range s.open {
		_ = conn.Close()
	}
	s.mu.Unlock()
	s.serving.Wait()
}
