// Package framing protects an HTTP/1 server against request smuggling.
//
// The threat: two servers in a row disagree about where a request ends. A proxy in
// front of the adapter takes bytes for the body of one client's harmless request, and
// the adapter takes them for another request, which the proxy never checked; or the
// adapter's own reading differs from ZITADEL's. RFC 9112 section 11.2 describes the
// attack. The defence is to accept only requests whose end no two servers can see in
// different places, and to close the connection after any other.
//
// net/http alone does not do that, because it repairs ambiguous requests instead of
// rejecting them, as RFC 9112 allows, before a handler can see them:
//
//   - it joins the lines of a folded header or trailer (section 5.2);
//   - it takes a bare LF for the end of a line (section 2.2), which what is in front of
//     the adapter may have taken for a part of a value: "X: y\nContent-Length: 5";
//   - it ignores Transfer-Encoding in HTTP/1.0 (section 6.1);
//   - it ignores Content-Length beside Transfer-Encoding (section 6.3);
//   - it accepts Content-Length twice if both values are the same (section 6.3);
//   - it accepts spaces after a chunk size (section 7.1).
//
// Package framing therefore reads the bytes of a connection before net/http does. In
// place of the first byte that makes a request ambiguous it puts a line with a NUL, which
// is invalid in any request line, header or chunk size: net/http itself then answers 400
// and closes the connection. TestAmbiguousRequestsAreRejected lists the requests that
// are rejected, and FuzzWatch compares the package's reading with net/http's.
package framing

import (
	"bufio"
	"bytes"
	"context"
	"io"
	"net"
	"sync/atomic"
	"time"
)

// NewListener returns a listener whose connections are of type *Conn. The connections
// that listener accepts must yield decrypted bytes: TLS belongs below this package.
// onRefused, which may be nil, is told of each request that net/http answers with an error
// before a handler sees it, and of the HTTP status, such as "400".
func NewListener(listener net.Listener, onRefused func(conn net.Conn, status string)) net.Listener {
	return watchedListener{listener, onRefused}
}

type watchedListener struct {
	net.Listener

	onRefused func(net.Conn, string)
}

func (l watchedListener) Accept() (net.Conn, error) {
	conn, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	return &Conn{Conn: conn, onRefused: l.onRefused}, nil
}

// Conn is a connection whose incoming requests are checked. It deliberately has no
// ConnectionState method: net/http would take it for TLS and then not detect HTTP/2 by
// the connection preface.
type Conn struct {
	net.Conn

	onRefused func(net.Conn, string) // nil: none

	watch   watch
	poison  string        // what Read returns next, instead of what made a request ambiguous
	ahead   *bufio.Reader // what was read too much, once nothing is inspected any more
	off     atomic.Bool   // Unwatch was called
	hungUp  atomic.Bool   // HangUp was called
	closing atomic.Bool   // Close was called after HangUp
}

type contextKey struct{}

// WithConn returns the context for the requests of a connection, for
// [net/http.Server.ConnContext]. FromContext needs it.
func WithConn(ctx context.Context, conn net.Conn) context.Context {
	return context.WithValue(ctx, contextKey{}, conn)
}

// FromContext returns the connection on which a request came, or nil if the context is
// not from WithConn or the connection is not a *Conn.
func FromContext(ctx context.Context) *Conn {
	conn, _ := ctx.Value(contextKey{}).(*Conn)
	return conn
}

// poisoned ends a line, and a header section, whatever came before it. Without the line
// breaks, net/http might wait for them.
const poisoned = "\x00\r\n\r\n"

// Read reads from the connection. It puts poison in the place of the first byte that makes
// a request ambiguous (see the package comment). After HangUp it returns io.EOF.
func (c *Conn) Read(into []byte) (int, error) {
	if c.hungUp.Load() {
		return 0, io.EOF
	}
	if c.poison != "" {
		n := copy(into, c.poison)
		c.poison = c.poison[n:]
		return n, nil
	}
	n, err := c.read(into)
	if c.hungUp.Load() {
		return 0, io.EOF
	}
	if c.off.Load() {
		return n, err
	}
	if good := c.watch.inspect(into[:n]); good < n {
		added := copy(into[good:], poisoned)
		c.poison = poisoned[added:]
		return good + added, nil
	}
	return n, err
}

// readAhead is the room for what is read at once over HTTP/2, in bytes: some requests.
const readAhead = 2 << 10

// read reads from the connection; over HTTP/2, where net/http asks for each frame in two pieces,
// all that has come.
func (c *Conn) read(into []byte) (int, error) {
	if c.watch.state != opaque {
		return c.Conn.Read(into)
	}
	if c.ahead == nil {
		c.ahead = bufio.NewReaderSize(c.Conn, readAhead)
	}
	return c.ahead.Read(into)
}

// What net/http writes, in one piece, when it refuses a request itself: a status line, and
// these headers, which no answer of a handler has in this order and without a Date.
const (
	refusalPrefix  = "HTTP/1.1 "
	refusalHeaders = "Content-Type: text/plain; charset=utf-8\r\nConnection: close\r\n\r\n"
)

// Write writes to the connection.
func (c *Conn) Write(data []byte) (int, error) {
	if status, ok := refusalStatus(data); ok && c.onRefused != nil && !c.off.Load() {
		c.onRefused(c, status)
	}
	return c.Conn.Write(data)
}

// refusalStatus is the status of an answer with which net/http refuses a request.
func refusalStatus(data []byte) (status string, ok bool) {
	const begin, end = len(refusalPrefix), len(refusalPrefix) + len("400")
	if len(data) < end || string(data[:begin]) != refusalPrefix || data[begin] != '4' && data[begin] != '5' {
		return "", false
	}
	_, headers, _ := bytes.Cut(data, []byte("\r\n"))
	return string(data[begin:end]), bytes.HasPrefix(headers, []byte(refusalHeaders))
}

// Unwatch ends the checks, for a connection that no longer speaks HTTP.
func (c *Conn) Unwatch() { c.off.Store(true) }

// HangUp makes the current request the connection's last one: Read returns io.EOF from
// now on, although the request's body may not have ended. Writing still works. Call it
// after answering a request whose body has not been read, because what follows would
// otherwise be read as the next request.
func (c *Conn) HangUp() {
	c.hungUp.Store(true)
	_ = c.SetReadDeadline(time.Unix(1, 0)) // wakes a Read that is blocked
}

// lingering is how long Close waits for the peer to close its side after HangUp, so
// that it can read the end of the answer: if unread bytes are left when a connection is
// closed, the kernel resets it, and the peer may lose what it has not read yet.
const lingering = 500 * time.Millisecond

// Close closes the connection. After HangUp, it first sends the end of the stream and,
// in the background, discards what the peer still sends, for at most 500 ms.
func (c *Conn) Close() error {
	if !c.hungUp.Load() || c.closing.Swap(true) || c.CloseWrite() != nil {
		return c.Conn.Close()
	}
	go func() { // Close must not block: net/http closes many connections one after the other
		_ = c.SetReadDeadline(time.Now().Add(lingering))
		_, _ = io.Copy(io.Discard, c.Conn) // until the peer closes its side, or the deadline
		_ = c.Conn.Close()
	}()
	return nil
}

// NetConn returns the underlying connection.
func (c *Conn) NetConn() net.Conn { return c.Conn }

// CloseWrite closes the sending side of the connection. It does nothing if the
// underlying connection has no such method.
func (c *Conn) CloseWrite() error {
	if half, ok := c.Conn.(interface{ CloseWrite() error }); ok {
		return half.CloseWrite()
	}
	return nil
}
