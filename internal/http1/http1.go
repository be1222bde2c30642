// Package http1 sends HTTP/1.1 requests to one peer over connections that are kept open.
//
// Most of what a short exchange costs with net/http's Transport is to wake its connections'
// goroutines. A [Transport] makes an exchange on the caller's; only a body that is large, or
// does not come at once, is written by another one, because its answer may come first.
//
// net/http still writes requests and parses answers, and makes the exchanges that are not
// made here: upgrades and "Expect: 100-continue". The tests hold each exchange against
// net/http's Transport, over TCP and TLS.
//
// There is no HTTP/2, proxy, compression, cookie or redirect. Of [net/http/httptrace],
// TLSHandshakeDone, Got1xxResponse, and WroteHeaders are called, the latter when a part of
// the request has been written. A connection is used again only if nothing of an earlier
// exchange is left on it: in the kernel, in TLS, or in a buffer. Where that cannot be told
// without waiting, as of what is no socket, it serves one request.
package http1

import (
	"cmp"
	"context"
	"math"
	"net/http"
	"slices"
	"sync"
	"time"

	"golang.org/x/net/http/httpguts"
)

// Transport is an [http.RoundTripper] that sends every request to one peer, whatever its URL
// says. The fields must not change after the first request. It is safe for concurrent use.
type Transport struct {
	// Base has the settings: DialContext (required), TLSClientConfig, TLSHandshakeTimeout,
	// ResponseHeaderTimeout, MaxResponseHeaderBytes, IdleConnTimeout, MaxIdleConnsPerHost.
	// They mean what they do there. It makes the exchanges that are not made here. Required.
	Base *http.Transport
	// Address is the peer's host and port. Required.
	Address string
	// TLS secures the connections. Default: no TLS.
	TLS bool

	mu      sync.Mutex
	idle    []*conn // the one used last is the last, and used first
	leaving bool    // no connection is kept open any more
}

// RoundTrip implements [http.RoundTripper].
//
// It sends a request a second time only if it has no body and the connection had been used
// before and ended without a byte of an answer, and either nothing was written, or the
// method is safe.
func (t *Transport) RoundTrip(request *http.Request) (*http.Response, error) {
	if !isPlain(request) {
		return t.Base.RoundTrip(request)
	}
	ctx := request.Context()
	for {
		c, reused, err := t.get(ctx)
		if err != nil {
			if request.Body != nil {
				_ = request.Body.Close()
			}
			return nil, cmp.Or(ctx.Err(), err)
		}
		x := &exchange{transport: t, conn: c, request: request}
		response, err := x.run()
		if err == nil {
			return response, nil
		}
		_ = c.Close()
		if ctx.Err() != nil || !reused || !x.unanswered || hasBody(request) || c.written.Load() && !isSafe(request.Method) {
			return nil, cmp.Or(ctx.Err(), err)
		}
	}
}

// isPlain reports whether a request is made here. What is invalid is not: Request.Write would
// rewrite what net/http's Transport refuses.
func isPlain(request *http.Request) bool {
	isInvalid := func(value string) bool { return !httpguts.ValidHeaderFieldValue(value) }
	for _, header := range []http.Header{request.Header, request.Trailer} {
		for name, values := range header {
			if !httpguts.ValidHeaderFieldName(name) || slices.ContainsFunc(values, isInvalid) {
				return false
			}
		}
	}
	return request.Header["Upgrade"] == nil && request.Header["Expect"] == nil &&
		(request.Method == "" || httpguts.ValidHeaderFieldName(request.Method))
}

// isSafe reports whether a method changes nothing (RFC 9110 section 9.2.1).
func isSafe(method string) bool {
	return slices.Contains([]string{"", http.MethodGet, http.MethodHead, http.MethodOptions, http.MethodTrace}, method)
}

func hasBody(request *http.Request) bool { return request.Body != nil && request.Body != http.NoBody }

// get returns a connection, and whether it has been used before.
func (t *Transport) get(ctx context.Context) (c *conn, reused bool, err error) {
	if ctx.Err() != nil {
		return nil, false, ctx.Err()
	}
	for c = t.takeIdle(); c != nil; c = t.takeIdle() {
		if c.isSilent() {
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
	t.idle = slices.Delete(t.idle, last, last+1)
	c.expiry.Stop()
	return c
}

// put keeps a connection for another exchange.
func (t *Transport) put(c *conn) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.leaving || len(t.idle) >= cmp.Or(t.Base.MaxIdleConnsPerHost, http.DefaultMaxIdleConnsPerHost) {
		_ = c.Close()
		return
	}
	t.idle = append(t.idle, c)
	c.expiry = time.AfterFunc(cmp.Or(t.Base.IdleConnTimeout, math.MaxInt64), func() { t.expire(c) })
}

// expire closes a connection if it is idle.
func (t *Transport) expire(c *conn) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if at := slices.Index(t.idle, c); at >= 0 {
		t.idle = slices.Delete(t.idle, at, at+1)
		_ = c.Close()
	}
}

// CloseIdleConnections closes idle connections at once and all others after their exchange.
// The Transport can still be used, but keeps no connection open from then on.
func (t *Transport) CloseIdleConnections() {
	t.Base.CloseIdleConnections()
	t.mu.Lock()
	defer t.mu.Unlock()
	t.leaving = true
	for _, c := range t.idle {
		c.expiry.Stop()
		_ = c.Close()
	}
	t.idle = nil
}
