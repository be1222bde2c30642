package upstream

import (
	"context"
	"errors"
	"net"
	"net/http"
	"sync"
	"time"
)

// http1Pool sends requests over HTTP/1.1 keep-alive connections. Each exchange is made on
// the goroutine that asks for it: net/http's own pool has two goroutines for each
// connection, and what an exchange costs there is mostly to wake them. net/http parses
// answers all the same, and writes requests that are out of the ordinary (see writeHead).
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

// isSafe reports whether a request changes nothing (RFC 9110 section 9.2.1) and has no body.
func isSafe(request *http.Request) bool {
	switch request.Method {
	case "", http.MethodGet, http.MethodHead, http.MethodOptions, http.MethodTrace:
		return !hasBody(request)
	}
	return false
}

// rewound is a request whose body is at its beginning again; false if it cannot be.
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
