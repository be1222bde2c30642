package http1

import (
	"bufio"
	"cmp"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"math"
	"net"
	"net/http/httptrace"
	"os"
	"sync"
	"sync/atomic"
	"time"
)

// conn is a connection of a Transport:
//
//	reader, writer   buffers
//	limits           bounds the head of an answer; notes whether something was written
//	Conn             the connection, or TLS on it
//	records          with TLS: where a record ends
//	socket           the connection, and reads that do not wait
type conn struct {
	net.Conn

	socket    *socket
	records   *records // nil: no TLS
	reader    *bufio.Reader
	writer    *bufio.Writer
	idleSince time.Time
	headLeft  int64       // what may still be read of an answer's head
	written   atomic.Bool // a part of the request at hand has been
	broken    atomic.Bool // a write failed

	mu      sync.Mutex
	aborted bool
}

// connect dials the peer and secures the connection, if it is to be.
func (t *Transport) connect(ctx context.Context) (*conn, error) {
	dialed, err := t.Dial(ctx)
	if err != nil {
		return nil, err
	}
	c := &conn{socket: newSocket(dialed), headLeft: math.MaxInt64}
	c.Conn = c.socket
	if t.TLS != nil {
		c.records = &records{socket: c.socket}
		secured := tls.Client(c.records, t.TLS)
		if err := t.handshake(ctx, secured); err != nil {
			_ = dialed.Close()
			return nil, err
		}
		c.Conn = secured
	}
	c.reader, c.writer = bufio.NewReader(limits{c}), bufio.NewWriter(limits{c})
	return c, nil
}

func (t *Transport) handshake(ctx context.Context, secured *tls.Conn) error {
	limited, cancel := context.WithTimeout(ctx, cmp.Or(t.TLSHandshakeTimeout, 10*time.Second))
	defer cancel()
	err := secured.HandshakeContext(limited)
	if trace := httptrace.ContextClientTrace(ctx); trace != nil && trace.TLSHandshakeDone != nil {
		trace.TLSHandshakeDone(secured.ConnectionState(), err)
	}
	if errors.Is(err, context.DeadlineExceeded) && ctx.Err() == nil {
		return fmt.Errorf("TLS handshake: %w", os.ErrDeadlineExceeded)
	}
	return err
}

func (t *Transport) maxHead() int64 { return cmp.Or(t.MaxResponseHeaderBytes, 10<<20) }

// isSilent reports, without waiting, whether an idle connection is open and nothing has come
// on it: what has come belongs to no request that is still to be sent. One byte is asked for
// through all layers, so that none can hold anything back.
func (c *conn) isSilent() bool {
	c.socket.noWait = true
	_, err := c.reader.Peek(1)
	c.socket.noWait = false
	return errors.Is(err, os.ErrDeadlineExceeded) && (c.records == nil || c.records.areWhole())
}

// limits reads from a connection no more than a head may have, and notes what is written.
type limits struct{ *conn }

func (c limits) Read(into []byte) (int, error) {
	if c.headLeft <= 0 {
		return 0, errors.New("the head of the answer is too large")
	}
	n, err := c.Conn.Read(into[:min(int64(len(into)), c.headLeft)])
	c.headLeft -= int64(n)
	return n, err
}

func (c limits) Write(data []byte) (int, error) {
	n, err := c.Conn.Write(data)
	if n > 0 {
		c.written.Store(true)
	}
	if err != nil {
		c.broken.Store(true)
	}
	return n, err
}

// ReadFrom writes a body as it comes: bufio would wait until its buffer is full.
func (c limits) ReadFrom(body io.Reader) (int64, error) {
	return io.Copy(struct{ io.Writer }{c}, body)
}

// abort ends every read and write, now and later.
func (c *conn) abort() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.aborted = true
	_ = c.SetDeadline(time.Unix(1, 0))
}

// limitRead sets the time until which an answer may come, unless the exchange was aborted.
func (c *conn) limitRead(deadline time.Time) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.aborted {
		_ = c.SetReadDeadline(deadline)
	}
}

// socket is a connection whose reads do not wait while noWait is set: if nothing has come,
// they fail with os.ErrDeadlineExceeded, after which crypto/tls can still be used. A deadline
// in the past does not do: Go's poller then fails without looking at what has come.
type socket struct {
	net.Conn

	noWait  bool
	attempt func(into []byte) (int, error) // see newAttempt; nil: not known here
}

func newSocket(dialed net.Conn) *socket {
	return &socket{Conn: dialed, attempt: newAttempt(dialed)}
}

func (s *socket) Read(into []byte) (int, error) {
	switch {
	case !s.noWait:
		return s.Conn.Read(into)
	case s.attempt == nil:
		return 0, errors.ErrUnsupported
	}
	return s.attempt(into)
}

// records notes where records of TLS end (RFC 8446 section 5.1): crypto/tls keeps the
// beginning of a record to itself until the rest comes.
type records struct {
	*socket

	header []byte // as much of a header as has come
	left   int    // of the record after the last whole header
	buffer [recordHeader]byte
}

// recordHeader is the length of a record's header, which ends in the length of its content.
const recordHeader = 5

func (r *records) Read(into []byte) (int, error) {
	n, err := r.socket.Read(into)
	for came := into[:n]; len(came) > 0; {
		if r.left > 0 {
			skipped := min(r.left, len(came))
			r.left, came = r.left-skipped, came[skipped:]
			continue
		}
		r.header, came = append(r.header, came[0]), came[1:]
		if len(r.header) == recordHeader {
			r.left = int(r.header[3])<<8 | int(r.header[4])
			r.header = r.buffer[:0]
		}
	}
	return n, err
}

// areWhole reports whether no record has come in part.
func (r *records) areWhole() bool { return r.left == 0 && len(r.header) == 0 }
