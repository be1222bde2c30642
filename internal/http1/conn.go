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
	"sync/atomic"
	"syscall"
	"time"
)

// conn is a connection of a Transport. It bounds the head of an answer, and notes writes.
type conn struct {
	net.Conn // the socket, or TLS on it

	socket   *socket
	reader   *bufio.Reader
	writer   *bufio.Writer
	expiry   *time.Timer // ends it while it is idle
	headLeft int64       // what may still be read of an answer's head
	onWrite  func()      // called when a part of a request has been written; may be nil
	written  atomic.Bool // a part of the request at hand has been
	broken   atomic.Bool // a write failed
}

// connect dials the peer and secures the connection, if it is to be.
func (t *Transport) connect(ctx context.Context) (*conn, error) {
	dialed, err := t.Base.DialContext(ctx, "tcp", t.Address)
	if err != nil {
		return nil, err
	}
	c := &conn{socket: &socket{Conn: dialed, isTLS: t.TLS}, headLeft: math.MaxInt64}
	if known, ok := dialed.(syscall.Conn); ok {
		c.socket.raw, _ = known.SyscallConn() // nil if it fails
	}
	c.Conn = c.socket
	if t.TLS {
		if c.Conn, err = t.secure(ctx, c.socket); err != nil {
			_ = dialed.Close()
			return nil, err
		}
	}
	c.reader, c.writer = bufio.NewReader(c), bufio.NewWriter(c)
	return c, nil
}

func (t *Transport) secure(ctx context.Context, plain net.Conn) (net.Conn, error) {
	config := cmp.Or(t.Base.TLSClientConfig, &tls.Config{MinVersion: tls.VersionTLS12}).Clone()
	if config.ServerName == "" {
		config.ServerName, _, _ = net.SplitHostPort(t.Address)
	}
	limited, cancel := context.WithTimeout(ctx, cmp.Or(t.Base.TLSHandshakeTimeout, math.MaxInt64))
	defer cancel()
	secured := tls.Client(plain, config)
	err := secured.HandshakeContext(limited)
	if trace := httptrace.ContextClientTrace(ctx); trace != nil && trace.TLSHandshakeDone != nil {
		trace.TLSHandshakeDone(secured.ConnectionState(), err)
	}
	if errors.Is(err, context.DeadlineExceeded) && ctx.Err() == nil {
		err = fmt.Errorf("TLS handshake: %w", os.ErrDeadlineExceeded)
	}
	return secured, err
}

func (t *Transport) maxHead() int64 { return cmp.Or(t.Base.MaxResponseHeaderBytes, 10<<20) }

// isSilent reports, without waiting, whether an idle connection is open and nothing has come
// on it: what has come belongs to no request that is still to be sent. One byte is asked for
// through all layers, so that none can hold anything back.
func (c *conn) isSilent() bool {
	c.socket.noWait = true
	_, err := c.reader.Peek(1)
	c.socket.noWait = false
	return errors.Is(err, os.ErrDeadlineExceeded) && c.socket.recordLeft == 0 && len(c.socket.header) == 0
}

// abort ends every read and write, now and later.
func (c *conn) abort() { _ = c.socket.Close() }

func (c *conn) Read(into []byte) (int, error) {
	if c.headLeft <= 0 {
		return 0, errors.New("the head of the answer is too large")
	}
	n, err := c.Conn.Read(into[:min(int64(len(into)), c.headLeft)])
	c.headLeft -= int64(n)
	return n, err
}

func (c *conn) Write(data []byte) (int, error) {
	n, err := c.Conn.Write(data)
	if n > 0 && !c.written.Swap(true) && c.onWrite != nil {
		c.onWrite()
	}
	if err != nil {
		c.broken.Store(true)
	}
	return n, err
}

// ReadFrom writes a body as it comes: bufio would wait until its buffer is full.
func (c *conn) ReadFrom(body io.Reader) (int64, error) {
	return io.Copy(struct{ io.Writer }{c}, body)
}

// socket is a connection whose reads do not wait while noWait is set: if nothing has come,
// they fail with os.ErrDeadlineExceeded, after which crypto/tls can still be used. A deadline
// in the past does not do: Go's poller then fails without looking at what has come.
//
// It notes where records of TLS end (RFC 8446 section 5.1): crypto/tls keeps the beginning of
// a record to itself until the rest comes.
type socket struct {
	net.Conn

	raw        syscall.RawConn // nil: not known
	noWait     bool
	isTLS      bool
	header     []byte // as much of a record's header as has come
	recordLeft int    // of the record after the last whole header
}

func (s *socket) Read(into []byte) (n int, err error) {
	if s.noWait {
		n, err = s.readNow(into)
	} else {
		n, err = s.Conn.Read(into)
	}
	if s.isTLS {
		s.noteRecords(into[:n])
	}
	return n, err
}

// readNow reads what has come.
func (s *socket) readNow(into []byte) (n int, err error) {
	failed := s.raw.Read(func(descriptor uintptr) bool {
		n, err = read(descriptor, into)
		return true
	})
	switch {
	case failed != nil:
		return 0, net.ErrClosed // or its deadline has passed, which says nothing about what has come
	case errors.Is(err, syscall.EAGAIN):
		return 0, os.ErrDeadlineExceeded
	case err != nil:
		return 0, err
	case n == 0:
		return 0, io.EOF
	}
	return n, nil
}

func (s *socket) noteRecords(came []byte) {
	const headerLength = 5 // it ends in the length of the content
	for len(came) > 0 {
		if s.recordLeft > 0 {
			skipped := min(s.recordLeft, len(came))
			s.recordLeft, came = s.recordLeft-skipped, came[skipped:]
			continue
		}
		s.header, came = append(s.header, came[0]), came[1:]
		if len(s.header) == headerLength {
			s.recordLeft = int(s.header[3])<<8 | int(s.header[4])
			s.header = s.header[:0]
		}
	}
}
