package upstream

import (
	"bufio"
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

// http1Conn is a connection of an http1Pool.
type http1Conn struct {
	net.Conn

	reader    *bufio.Reader
	writer    *bufio.Writer
	isOpen    func() bool // looks whether the other side is silent, as it should be
	idleSince time.Time
	onCancel  func()      // abort, made a value once
	written   atomic.Bool // something of the request at hand was written
	headLeft  int64       // what may still be read of an answer's head

	mu      sync.Mutex
	aborted bool
}

func newHTTP1Conn(conn net.Conn) *http1Conn {
	c := &http1Conn{Conn: conn, isOpen: silence(conn), headLeft: math.MaxInt64}
	c.onCancel = c.abort
	c.reader, c.writer = bufio.NewReader(connReader{c}), bufio.NewWriter(connWriter{c})
	return c
}

// connReader reads from a connection, no longer than a head may be.
type connReader struct{ *http1Conn }

func (c connReader) Read(into []byte) (int, error) {
	if c.headLeft <= 0 {
		return 0, errors.New("the head of the answer is too large")
	}
	n, err := c.Conn.Read(into[:min(int64(len(into)), c.headLeft)])
	c.headLeft -= int64(n)
	return n, err
}

// connWriter writes to a connection, and notes that.
type connWriter struct{ *http1Conn }

func (c connWriter) Write(data []byte) (int, error) {
	n, err := c.Conn.Write(data)
	if n > 0 {
		c.written.Store(true)
	}
	return n, err
}

// ReadFrom writes a body as it comes: bufio would wait until its buffer is full.
func (c connWriter) ReadFrom(body io.Reader) (int64, error) {
	c.written.Store(true) // the head was
	return io.Copy(c.Conn, body)
}

// abort ends every read and write, now and later.
func (c *http1Conn) abort() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.aborted = true
	_ = c.SetDeadline(time.Unix(1, 0))
}

// limitRead sets the time until which an answer may come, unless the exchange was aborted.
func (c *http1Conn) limitRead(deadline time.Time) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.aborted {
		_ = c.SetReadDeadline(deadline)
	}
}

// handshake secures a connection.
func handshake(ctx context.Context, conn net.Conn, config *tls.Config) (net.Conn, error) {
	secured := tls.Client(conn, config)
	limited, cancel := context.WithTimeout(ctx, handshakeTimeout)
	defer cancel()
	err := secured.HandshakeContext(limited)
	if trace := httptrace.ContextClientTrace(ctx); trace != nil && trace.TLSHandshakeDone != nil {
		trace.TLSHandshakeDone(secured.ConnectionState(), err)
	}
	if err != nil {
		_ = conn.Close()
		if errors.Is(err, context.DeadlineExceeded) && ctx.Err() == nil {
			err = fmt.Errorf("TLS handshake: %w", os.ErrDeadlineExceeded)
		}
		return nil, err
	}
	return secured, nil
}
