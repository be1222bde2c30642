// Package framing makes net/http refuse HTTP/1 requests that two readers could
// take apart in different places, which is what request smuggling lives on.
//
// net/http itself repairs some of them: a folded header line becomes one line,
// Content-Length gives way to Transfer-Encoding (RFC 9112 sections 5.2 and 6.3
// allow both). What is repaired cannot be seen any more by a handler. So the
// bytes are watched before net/http reads them, and where they go wrong one of
// them is replaced by a NUL, which no header, chunk or request line may hold:
// net/http then answers 400 and closes the connection, in its own good order.
package framing

import (
	"net"
	"sync/atomic"
)

// NewListener watches the connections that listener accepts. They may be TLS.
func NewListener(listener net.Listener) net.Listener { return watchedListener{listener} }

type watchedListener struct{ net.Listener }

func (l watchedListener) Accept() (net.Conn, error) {
	conn, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	return &Conn{Conn: conn}, nil
}

// Conn is a connection whose incoming bytes are watched. It deliberately has no
// ConnectionState method: net/http would not look for HTTP/2 then.
type Conn struct {
	net.Conn

	watch watch
	off   atomic.Bool
}

// Read reads, and spoils what must not be understood.
func (c *Conn) Read(into []byte) (int, error) {
	n, err := c.Conn.Read(into)
	if !c.off.Load() {
		c.watch.inspect(into[:n])
	}
	return n, err
}

// Unwatch ends the watch: the connection no longer speaks HTTP.
func (c *Conn) Unwatch() { c.off.Store(true) }

// NetConn is the connection below.
func (c *Conn) NetConn() net.Conn { return c.Conn }

// CloseWrite tells the peer that no more is to come, if the connection below
// can.
func (c *Conn) CloseWrite() error {
	if half, ok := c.Conn.(interface{ CloseWrite() error }); ok {
		return half.CloseWrite()
	}
	return nil
}
