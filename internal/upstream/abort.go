package upstream

import (
	"net"
	"sync/atomic"
)

// abortableConn is a TCP connection that Close resets (RST) if data was sent on it
// and nothing has been received since. A normal close would keep the local port in
// TIME-WAIT for a minute (RFC 9293 section 3.6.1), so that one client which cancels
// a few hundred calls a second could use up all local ports towards the upstream.
type abortableConn struct {
	*net.TCPConn

	unanswered atomic.Bool
	// graceful makes Close always close normally, so that everything sent arrives
	// although the peer may never answer it.
	graceful atomic.Bool
}

// maxCloseNotify is the length in bytes of the longest TLS close_notify alert with an
// AEAD cipher suite (RFC 8446 section 5.2, RFC 5246 section 6.2.3.3). crypto/tls writes
// it just before it closes a connection. If that counted as unanswered data, every idle
// connection would end with a reset, which upstreams and load balancers log and count as
// an error. Only its length tells the alert from data in TLS 1.3, and no request is this
// short. With other cipher suites it is longer: the connection is reset, at no other cost.
const maxCloseNotify = 31

func (c *abortableConn) Write(data []byte) (int, error) {
	if len(data) > maxCloseNotify {
		c.unanswered.Store(true)
	}
	return c.TCPConn.Write(data)
}

func (c *abortableConn) Read(into []byte) (int, error) {
	n, err := c.TCPConn.Read(into)
	if n > 0 {
		c.unanswered.Store(false)
	}
	return n, err
}

func (c *abortableConn) Close() error {
	if c.unanswered.Load() && !c.graceful.Load() {
		_ = c.SetLinger(0) // fails only if the connection is already closed
	}
	return c.TCPConn.Close()
}
