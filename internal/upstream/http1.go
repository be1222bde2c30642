package upstream

import (
	"bufio"
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"math"
	"net"
	"net/http"
	"net/http/httptrace"
	"os"
	"sync"
	"sync/atomic"
	"time"
)

// http1Pool sends requests over HTTP/1.1 keep-alive connections. Each exchange is made on
// the goroutine that asks for it: net/http's own pool has two goroutines for each
// connection, and what an exchange costs there is mostly to wake them. Requests are
// written and answers parsed by net/http all the same.
//
// It sends a request a second time only as net/http does: if the connection was open before
// and ended without a byte of an answer, and not a byte was written, or the request is safe
// and has no body.
type http1Pool struct {
	dial           func(ctx context.Context) (net.Conn, error)
	headerTimeout  time.Duration // 0: no limit
	maxHeaderBytes int64

	mu      sync.Mutex
	idle    []*http1Conn // the one used last is the last, and used first
	leaving bool         // keeps no connection open
	reaping bool         // reap will run
}

const (
	maxIdleConnections = 256
	// idleTimeout is half of the minute after which many upstreams and load balancers
	// close idle connections: if a request is sent while the other side closes, it is
	// unknown whether it was handled.
	idleTimeout = 30 * time.Second
	// maxInterim is the number of 1xx answers before the final one, as net/http has it.
	maxInterim = 5
	// maxBodyInMemory is the size of the largest body that is written in one piece with
	// the head.
	maxBodyInMemory = 64 << 10
	// writeWait is how long an answered request may take to be written completely, if
	// its connection is to be used again.
	writeWait = 50 * time.Millisecond
)

// http1Conn is a connection of an http1Pool.
type http1Conn struct {
	net.Conn

	reader    *bufio.Reader
	writer    *bufio.Writer
	isOpen    func() bool // looks whether the other side is silent, as it should be
	idleSince time.Time
	written   atomic.Bool // something of the request at hand was written
	headLeft  int64       // what may still be read of an answer's head

	mu      sync.Mutex
	aborted bool
}

func newHTTP1Conn(conn net.Conn) *http1Conn {
	c := &http1Conn{Conn: conn, isOpen: silence(conn), headLeft: math.MaxInt64}
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

// get returns a connection, and whether it was open before.
func (p *http1Pool) get(ctx context.Context) (conn *http1Conn, reused bool, err error) {
	for {
		p.mu.Lock()
		last := len(p.idle) - 1
		if last < 0 {
			p.mu.Unlock()
			break
		}
		conn, p.idle[last] = p.idle[last], nil
		p.idle = p.idle[:last]
		p.mu.Unlock()
		if time.Since(conn.idleSince) < idleTimeout && conn.isOpen() {
			conn.written.Store(false)
			return conn, true, nil
		}
		_ = conn.Close()
	}
	dialed, err := p.dial(ctx)
	if err != nil {
		return nil, false, err
	}
	return newHTTP1Conn(dialed), false, nil
}

// put keeps a connection for another exchange.
func (p *http1Pool) put(conn *http1Conn) {
	conn.idleSince = time.Now()
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.leaving || len(p.idle) == maxIdleConnections {
		_ = conn.Close()
		return
	}
	p.idle = append(p.idle, conn)
	if !p.reaping {
		p.reaping = true
		time.AfterFunc(idleTimeout, p.reap)
	}
}

// reap closes what has been idle for too long. The first ones have been for longest.
func (p *http1Pool) reap() {
	p.mu.Lock()
	defer p.mu.Unlock()
	expired := 0
	for expired < len(p.idle) && time.Since(p.idle[expired].idleSince) >= idleTimeout {
		_ = p.idle[expired].Close()
		expired++
	}
	p.idle = append(p.idle[:0], p.idle[expired:]...)
	p.reaping = len(p.idle) > 0
	if p.reaping {
		time.AfterFunc(idleTimeout-time.Since(p.idle[0].idleSince), p.reap)
	}
}

// CloseIdleConnections closes idle connections at once, and others after their exchange.
func (p *http1Pool) CloseIdleConnections() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.leaving = true
	for _, conn := range p.idle {
		_ = conn.Close()
	}
	p.idle = nil
}

// do makes an exchange. sent tells whether the upstream may have handled the request.
func (p *http1Pool) do(request *http.Request) (response *http.Response, sent bool, err error) {
	ctx := request.Context()
	if err := ctx.Err(); err != nil {
		closeBody(request)
		return nil, false, err
	}
	for {
		conn, reused, err := p.get(ctx)
		if err != nil {
			closeBody(request)
			if ctx.Err() != nil {
				err = ctx.Err()
			}
			return nil, false, err
		}
		response, err := p.exchange(conn, request)
		sent := conn.written.Load()
		if err == nil {
			return response, sent, nil
		}
		_ = conn.Close()
		if ctx.Err() != nil {
			return nil, sent, ctx.Err()
		}
		timeout, isNet := errors.AsType[net.Error](err)
		if !reused || sent && !isSafe(request) || conn.headLeft != p.maxHeaderBytes || isNet && timeout.Timeout() {
			return nil, sent, err
		}
		again, ok := rewound(request)
		if !ok {
			return nil, sent, err
		}
		request = again
	}
}

// RoundTrip implements [http.RoundTripper].
func (p *http1Pool) RoundTrip(request *http.Request) (*http.Response, error) {
	response, _, err := p.do(request)
	return response, err
}

// exchange writes a request and reads the head of its answer. If it returns an error, the
// connection must be closed.
func (p *http1Pool) exchange(conn *http1Conn, request *http.Request) (*http.Response, error) {
	ctx := request.Context()
	conn.headLeft = p.maxHeaderBytes
	release := func() bool { return true }
	if ctx.Done() != nil {
		release = context.AfterFunc(ctx, conn.abort)
	}
	x := &http1Exchange{pool: p, conn: conn, request: request, release: release}
	if err := x.send(); err != nil {
		release()
		return nil, err
	}
	response, err := x.readHead()
	if err != nil {
		release()
		if x.body != nil && x.body.failure() != nil {
			err = x.body.failure()
		}
		return nil, err
	}
	x.close = request.Close || response.Close
	if response.Body == http.NoBody {
		x.end(true)
		return response, nil
	}
	x.answer = response.Body
	response.Body = x
	return response, nil
}

// http1Exchange is a request and its answer, whose body it is.
type http1Exchange struct {
	pool    *http1Pool
	conn    *http1Conn
	request *http.Request
	release func() bool // ends the watch for the context's end; false: it has ended
	answer  io.Reader
	close   bool // the connection is not used again
	ended   atomic.Bool

	// Of a request that is written on another goroutine, because its body may take long:
	body    *notedBody
	sending chan error // its end; nil: the request is written
	mu      sync.Mutex
	hasHead bool
}

// send writes the request, or begins to.
func (x *http1Exchange) send() error {
	request := x.request
	var data []byte
	switch {
	case request.Body == nil, request.Body == http.NoBody:
	case request.GetBody != nil && request.ContentLength > 0 && request.ContentLength <= maxBodyInMemory:
		// It can be read again, so it is in memory. net/http writes a body that it does not
		// know to be apart from the head.
		data = make([]byte, request.ContentLength)
		_, err := io.ReadFull(request.Body, data)
		_ = request.Body.Close()
		if err != nil {
			return err
		}
	default:
		x.body = &notedBody{ReadCloser: request.Body}
		streamed := *request
		streamed.Body = x.body
		x.sending = make(chan error, 1)
		go x.stream(&streamed)
		return nil
	}
	if err := x.writeWhole(request, data); err != nil {
		return err
	}
	if x.pool.headerTimeout > 0 {
		x.conn.limitRead(time.Now().Add(x.pool.headerTimeout))
	}
	return nil
}

// writeWhole writes a request with a body that is in memory.
func (x *http1Exchange) writeWhole(request *http.Request, body []byte) error {
	if writeHead(x.conn.writer, request, int64(len(body))) {
		_, _ = x.conn.writer.Write(body) // bufio keeps an error
		return x.conn.writer.Flush()
	}
	whole := *request
	if body != nil {
		whole.Body = io.NopCloser(bytes.NewReader(body))
	}
	return x.write(&whole)
}

func (x *http1Exchange) write(request *http.Request) error {
	if err := request.Write(x.conn.writer); err != nil {
		return err
	}
	return x.conn.writer.Flush()
}

// stream writes a request whose body may take long, while its answer is waited for. If the
// body fails, there will be none; if the connection does, one may have come before that.
func (x *http1Exchange) stream(request *http.Request) {
	err := x.write(request)
	if err != nil && x.body.failure() != nil {
		x.conn.abort()
	}
	if err == nil && x.pool.headerTimeout > 0 {
		x.mu.Lock()
		if !x.hasHead {
			x.conn.limitRead(time.Now().Add(x.pool.headerTimeout))
		}
		x.mu.Unlock()
	}
	x.sending <- err
}

// readHead reads the head of the final answer.
func (x *http1Exchange) readHead() (*http.Response, error) {
	conn := x.conn
	for range maxInterim + 1 {
		response, err := http.ReadResponse(conn.reader, x.request)
		if err != nil {
			return nil, err
		}
		if response.StatusCode >= http.StatusOK || response.StatusCode < http.StatusContinue {
			conn.headLeft = math.MaxInt64
			x.mu.Lock()
			x.hasHead = true
			x.mu.Unlock()
			if x.pool.headerTimeout > 0 {
				conn.limitRead(time.Time{})
			}
			return response, nil
		}
		if response.StatusCode == http.StatusSwitchingProtocols {
			return nil, errors.New("the upstream switched protocols, and was not asked to")
		}
		if trace := httptrace.ContextClientTrace(x.request.Context()); trace != nil && trace.Got1xxResponse != nil {
			if err := trace.Got1xxResponse(response.StatusCode, map[string][]string(response.Header)); err != nil {
				return nil, err
			}
		}
	}
	return nil, fmt.Errorf("the upstream sent more than %d interim answers", maxInterim)
}

// Read reads the answer's body.
func (x *http1Exchange) Read(into []byte) (int, error) {
	n, err := x.answer.Read(into)
	if err == nil {
		return n, nil
	}
	x.end(errors.Is(err, io.EOF))
	if ctx := x.request.Context(); !errors.Is(err, io.EOF) && ctx.Err() != nil {
		err = ctx.Err()
	}
	return n, err
}

// Close ends the exchange. An answer that was not read to its end costs the connection.
func (x *http1Exchange) Close() error {
	x.end(false)
	return nil
}

// end is called when the answer is over, whole or not. The connection is kept if nothing is
// left of this exchange on it.
func (x *http1Exchange) end(whole bool) {
	if x.ended.Swap(true) {
		return
	}
	if x.release() && whole && !x.close && x.isSent() && x.conn.reader.Buffered() == 0 {
		x.pool.put(x.conn)
		return
	}
	_ = x.conn.Close()
}

// isSent reports whether the request was written completely, or nearly was.
func (x *http1Exchange) isSent() bool {
	if x.sending == nil {
		return true
	}
	timer := time.NewTimer(writeWait)
	defer timer.Stop()
	select {
	case err := <-x.sending:
		return err == nil
	case <-timer.C:
		return false
	}
}

// notedBody is a request's body that remembers why it failed.
type notedBody struct {
	io.ReadCloser

	failed atomic.Pointer[error]
}

func (b *notedBody) Read(into []byte) (int, error) {
	n, err := b.ReadCloser.Read(into)
	if err != nil && !errors.Is(err, io.EOF) {
		b.failed.CompareAndSwap(nil, &err)
	}
	return n, err
}

func (b *notedBody) failure() error {
	if failed := b.failed.Load(); failed != nil {
		return *failed
	}
	return nil
}

// isSafe reports whether a request changes nothing (RFC 9110 section 9.2.1) and has no body.
func isSafe(request *http.Request) bool {
	switch request.Method {
	case "", http.MethodGet, http.MethodHead, http.MethodOptions, http.MethodTrace:
		return request.Body == nil || request.Body == http.NoBody
	}
	return false
}

// rewound is a request whose body is at its beginning again; false if it cannot be.
func rewound(request *http.Request) (*http.Request, bool) {
	if request.Body == nil || request.Body == http.NoBody {
		return request, true
	}
	if request.GetBody == nil {
		return nil, false
	}
	body, err := request.GetBody()
	if err != nil {
		return nil, false
	}
	again := *request
	again.Body = body
	return &again, true
}

func closeBody(request *http.Request) {
	if request.Body != nil {
		_ = request.Body.Close()
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
