package upstream

import (
	"fmt"
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
	graceful   atomic.Bool // it is never reset: the peer may never answer what was sent last
}

// maxCloseNotify is the length in bytes of the longest TLS close_notify alert with an
// AEAD cipher suite (RFC 8446 section 5.2, RFC 5246 section 6.2.3.3), with which crypto/tls
// closes a connection. If it counted as unanswered data, idle connections would end with a
// reset, which upstreams log as an error. No request is this short.
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

// NotHTTP2Error is the error of a request over HTTP/2 to a server that does not speak it: a
// proxy in front of ZITADEL, as a rule. net/http says that a frame is too large.
type NotHTTP2Error struct {
	// Status is the status of its answer over HTTP/1.1. It did not handle the request then.
	// 0 is any other answer.
	Status int
}

func (e *NotHTTP2Error) Error() string {
	if e.Status == 0 {
		return "answered, but not over HTTP/2"
	}
	return fmt.Sprintf("answered HTTP %d over HTTP/1.1: it does not speak HTTP/2", e.Status)
}

// http2Conn is a connection in clear text on which HTTP/2 is spoken with prior knowledge.
type http2Conn struct {
	net.Conn

	begun    bool                           // something was read
	notHTTP2 *atomic.Pointer[NotHTTP2Error] // what the upstream answered last if that was not HTTP/2; else nil
}

// Read implements [net.Conn]. A server's first frame is SETTINGS (RFC 9113 section 3.4).
func (c *http2Conn) Read(into []byte) (int, error) {
	n, err := c.Conn.Read(into)
	const frameType, settings = 3, 4
	if c.begun || n <= frameType {
		return n, err
	}
	c.begun = true
	if into[frameType] == settings {
		c.notHTTP2.Store(nil)
		return n, err
	}
	answer := new(NotHTTP2Error)
	_, _ = fmt.Sscanf(string(into[:n]), "HTTP/1.%1d %3d", new(int), &answer.Status) // else it stays 0
	c.notHTTP2.Store(answer)
	return 0, answer
}
