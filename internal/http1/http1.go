// Package http1 sends HTTP/1.1 requests to one peer over connections that are kept open.
//
// It exists because net/http's Transport has two goroutines for each connection, and most
// of what a short exchange costs there is to wake them. A [Transport] makes an exchange on
// the goroutine that asks for it; only a request whose body is large, or does not come at
// once, is written by another one, because its answer may come first.
//
// net/http still writes requests and parses answers, so what is sent and what is understood
// is the same. The tests hold each exchange against net/http's Transport, over TCP and TLS.
//
// It does not do HTTP/2, proxies, upgrades, "Expect: 100-continue", compression, cookies or
// redirects; of [net/http/httptrace] it calls Got1xxResponse and TLSHandshakeDone. It makes
// one check more than net/http: a connection is used again only if nothing of an earlier
// exchange is left on it: in the kernel, in TLS, or in a buffer. Where the operating
// system cannot tell that without waiting, which is everywhere but on Unix, each connection
// serves one request.
package http1

import (
	"cmp"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/http"
	"sync"
	"time"

	"golang.org/x/net/http/httpguts"
)

// Transport is an [http.RoundTripper] that sends every request to one peer, whatever its URL
// says. The fields are named after those of [http.Transport], and must not change after the
// first request. It is safe for concurrent use.
type Transport struct {
	// Dial connects to the peer. Required.
	Dial func(ctx context.Context) (net.Conn, error)
	// TLS secures the connections; it needs a ServerName. Default: no TLS.
	TLS *tls.Config
	// TLSHandshakeTimeout limits the TLS handshake. Default: 10 seconds.
	TLSHandshakeTimeout time.Duration
	// ResponseHeaderTimeout limits the time from the end of a request to the end of the
	// head of its answer. Default: no limit.
	ResponseHeaderTimeout time.Duration
	// MaxResponseHeaderBytes limits the head of an answer. Default: 10 MiB.
	MaxResponseHeaderBytes int64
	// IdleConnTimeout is how long a connection is kept open without a request. Default: 90
	// seconds.
	IdleConnTimeout time.Duration
	// MaxIdleConns is the number of connections that are kept open without a request.
	// Default: 100.
	MaxIdleConns int

	mu      sync.Mutex
	idle    []*conn // the one used last is the last, and used first
	leaving bool    // no connection is kept open any more
	reaping bool    // reap will run
}

// Error is what RoundTrip returns. Its text is that of Err.
type Error struct {
	Err error
	// Sent tells whether the peer may have handled the request: a part of it was written.
	Sent bool
}

func (e *Error) Error() string { return e.Err.Error() }
func (e *Error) Unwrap() error { return e.Err }

// RoundTrip implements [http.RoundTripper]; every error is an *Error.
//
// It sends a request a second time only where net/http does: the connection had been used
// before and ended without a byte of an answer, and either nothing was written, or the
// method is safe and the request has no body.
func (t *Transport) RoundTrip(request *http.Request) (*http.Response, error) {
	ctx := request.Context()
	err := cmp.Or(ctx.Err(), validate(request))
	if err != nil {
		closeBody(request)
		return nil, &Error{Err: err}
	}
	for {
		c, reused, err := t.get(ctx)
		if err != nil {
			closeBody(request)
			return nil, &Error{Err: cmp.Or(ctx.Err(), err)}
		}
		x := &exchange{transport: t, conn: c, request: request}
		response, err := x.run()
		if err == nil {
			return response, nil
		}
		_ = c.Close()
		failure := &Error{Err: cmp.Or(ctx.Err(), err), Sent: c.written.Load()}
		isWriting := x.sending != nil // what it has sent cannot be known yet
		if ctx.Err() != nil || !reused || !x.unanswered || isWriting || isTimeout(err) || failure.Sent && !isSafe(request) {
			return nil, failure
		}
		again, ok := rewound(request)
		if !ok {
			return nil, failure
		}
		request = again
	}
}

// validate refuses what net/http's Transport refuses, and Request.Write would rewrite.
func validate(request *http.Request) error {
	if request.Method != "" && !httpguts.ValidHeaderFieldName(request.Method) {
		return fmt.Errorf("invalid method %q", request.Method)
	}
	for _, header := range []http.Header{request.Header, request.Trailer} {
		for name, values := range header {
			if !httpguts.ValidHeaderFieldName(name) {
				return fmt.Errorf("invalid header name %q", name)
			}
			for _, value := range values {
				if !httpguts.ValidHeaderFieldValue(value) {
					return fmt.Errorf("invalid value of header %q", name) // the value may be secret
				}
			}
		}
	}
	return nil
}

// isSafe reports whether a request changes nothing (RFC 9110 section 9.2.1) and has no body.
func isSafe(request *http.Request) bool {
	switch request.Method {
	case "", http.MethodGet, http.MethodHead, http.MethodOptions, http.MethodTrace:
		return !hasBody(request)
	}
	return false
}

func isTimeout(err error) bool {
	failure, ok := errors.AsType[net.Error](err)
	return ok && failure.Timeout()
}

// rewound is the request with its body at the beginning again; false if that cannot be.
func rewound(request *http.Request) (*http.Request, bool) {
	if !hasBody(request) {
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

func hasBody(request *http.Request) bool { return request.Body != nil && request.Body != http.NoBody }

func closeBody(request *http.Request) {
	if request.Body != nil {
		_ = request.Body.Close()
	}
}

// get returns a connection, and whether it has been used before.
func (t *Transport) get(ctx context.Context) (c *conn, reused bool, err error) {
	for c = t.takeIdle(); c != nil; c = t.takeIdle() {
		if time.Since(c.idleSince) < t.idleTimeout() && c.isSilent() {
			c.written.Store(false)
			return c, true, nil
		}
		_ = c.Close()
	}
	c, err = t.connect(ctx)
	return c, false, err
}

func (t *Transport) takeIdle() *conn {
	t.mu.Lock()
	defer t.mu.Unlock()
	last := len(t.idle) - 1
	if last < 0 {
		return nil
	}
	c := t.idle[last]
	t.idle[last] = nil
	t.idle = t.idle[:last]
	return c
}

// put keeps a connection for another exchange.
func (t *Transport) put(c *conn) {
	c.idleSince = time.Now()
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.leaving || len(t.idle) == cmp.Or(t.MaxIdleConns, 100) {
		_ = c.Close()
		return
	}
	t.idle = append(t.idle, c)
	if !t.reaping {
		t.reaping = true
		time.AfterFunc(t.idleTimeout(), t.reap)
	}
}

func (t *Transport) idleTimeout() time.Duration { return cmp.Or(t.IdleConnTimeout, 90*time.Second) }

// reap closes what has been idle for too long. The first ones have been for longest.
func (t *Transport) reap() {
	t.mu.Lock()
	defer t.mu.Unlock()
	expired := 0
	for expired < len(t.idle) && time.Since(t.idle[expired].idleSince) >= t.idleTimeout() {
		_ = t.idle[expired].Close()
		expired++
	}
	t.idle = append(t.idle[:0], t.idle[expired:]...)
	t.reaping = len(t.idle) > 0
	if t.reaping {
		time.AfterFunc(t.idleTimeout()-time.Since(t.idle[0].idleSince), t.reap)
	}
}

// CloseIdleConnections closes idle connections at once and all others after their exchange.
// The Transport can still be used, but keeps no connection open from then on.
func (t *Transport) CloseIdleConnections() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.leaving = true
	for _, c := range t.idle {
		_ = c.Close()
	}
	t.idle = nil
}
