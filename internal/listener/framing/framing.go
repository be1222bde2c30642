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
	"context"
	"io"
	"net"
	"sync/atomic"
	"time"
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

	watch   watch
	off     atomic.Bool
	hungUp  atomic.Bool
	closing atomic.Bool
}

type contextKey struct{}

// WithConn makes the context of a connection's requests. It fits
// [net/http.Server.ConnContext].
func WithConn(ctx context.Context, conn net.Conn) context.Context {
	return context.WithValue(ctx, contextKey{}, conn)
}

// FromContext is the connection on which a request came, nil if it is not a
// watched one.
func FromContext(ctx context.Context) *Conn {
	conn, _ := ctx.Value(contextKey{}).(*Conn)
	return conn
}

// Read reads, and spoils what must not be understood.
func (c *Conn) Read(into []byte) (int, error) {
	if c.hungUp.Load() {
		return 0, io.EOF
	}
	n, err := c.Conn.Read(into)
	if c.hungUp.Load() {
		return 0, io.EOF
	}
	if !c.off.Load() {
		c.watch.inspect(into[:n])
	}
	return n, err
}

// Unwatch ends the watch: the connection no longer speaks HTTP.
func (c *Conn) Unwatch() { c.off.Store(true) }

// HangUp lets nothing more be read: the request under way is the connection's
// last, though its body may not have ended. Answers can still be written.
func (c *Conn) HangUp() {
	c.hungUp.Store(true)
	_ = c.SetReadDeadline(time.Unix(1, 0)) // for a Read that waits
}

// lingering is how long a connection that was hung up stays open for its peer to
// read the end of the answer: bytes that nobody reads would make the kernel
// throw that away.
const lingering = 500 * time.Millisecond

// Close closes the connection.
func (c *Conn) Close() error {
	if !c.hungUp.Load() || c.closing.Swap(true) || c.CloseWrite() != nil {
		return c.Conn.Close()
	}
	go func() { // net/http may close many at once, one after the other
		_ = c.SetReadDeadline(time.Now().Add(lingering))
		_, _ = io.Copy(io.Discard, c.Conn) // to the peer's end, or the deadline
		_ = c.Conn.Close()
	}()
	return nil
}

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
