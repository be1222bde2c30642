package upstream

import (
	"context"
	"errors"
	"math"
	"math/rand/v2"
	"net"
	"net/http"
	"net/url"
	"sync"
	"sync/atomic"
	"time"

	"zitadel-v1-adapter/internal/http1"
)

// Version is the HTTP version that a Transport speaks.
type Version int

const (
	// HTTP1 is HTTP/1.1.
	HTTP1 Version = iota + 1
	// HTTP2 is HTTP/2: negotiated by ALPN with an https:// upstream, with prior
	// knowledge in clear text (h2c) otherwise.
	HTTP2
)

// TransportConfig configures a Transport.
type TransportConfig struct {
	// Version is HTTP1 or HTTP2.
	Version Version
	// ResponseHeaderTimeout limits the time from the end of the request to the
	// headers of the response. Default: no limit.
	ResponseHeaderTimeout time.Duration
	// SmallRequests says that every request is small enough for the upstream to
	// receive it without delay. On Linux, a connection then fails if the upstream
	// does not acknowledge sent data within ten seconds. Default: false, because a
	// large upload may wait longer for an upstream that reads slowly.
	SmallRequests bool
	// MaxResponseHeaderBytes limits the size of a response's headers, in bytes.
	// Default: that of net/http, 10 MiB.
	MaxResponseHeaderBytes int64
}

const (
	maxIdleConnections = 256
	// idleTimeout is half of the minute after which many upstreams and load balancers
	// close idle connections: if a request is sent while the other side closes, it is
	// unknown whether it was handled.
	idleTimeout = 30 * time.Second
)

// maxConnections limits how many HTTP/2 connections a Transport spreads its requests
// over. net/http may open more if the upstream's limit of concurrent streams is
// reached on one of them.
const maxConnections = 4

// Transport is an [http.RoundTripper] with its own connections. It neither compresses
// requests nor decompresses responses. If the upstream's host name has several
// addresses, its connections are spread over them. When the addresses in DNS change,
// new requests use new connections; old connections are closed when their requests
// have ended. It is safe for concurrent use.
//
// Over HTTP/2, requests with large headers, a long target or trailers use separate
// connections. Many load balancers end the whole connection when a request's headers
// exceed their limit, and every other request on that connection would fail with it:
// without the separation, any client could make other clients' calls fail.
// TestConnectionClosedOverLargeHeadersFailsNoOtherCall of package adapter proves that it cannot.
type Transport struct {
	addresses    *addressSet // nil: the upstream is not a host name
	http1        bool
	notHTTP2     *atomic.Pointer[NotHTTP2Error] // see http2Conn
	largeHeaders *Transport                     // HTTP/2 only: for requests that may end their connection
	newPool      func(index int) pool

	renewal sync.Mutex // held while pools is replaced
	pools   atomic.Pointer[pools]
	turn    atomic.Uint32 // counts requests, or connections, to take turns
}

// pools holds the connections to one generation of a host's addresses.
type pools struct {
	generation int
	// connections is, over HTTP/2, one http.Transport for each connection; over
	// HTTP/1.1, a single pool, which opens as many connections as it needs.
	connections []pool
	retired     atomic.Bool
}

// pool sends requests over its connections.
type pool interface {
	http.RoundTripper
	// do is RoundTrip; sent tells whether the upstream may have handled the request.
	do(request *http.Request) (response *http.Response, sent bool, err error)
	// CloseIdleConnections closes idle connections at once.
	CloseIdleConnections()
}

// netPool is net/http's own.
type netPool struct{ *http.Transport }

func (p netPool) do(request *http.Request) (*http.Response, bool, error) {
	ctx, sent := traceSent(request.Context())
	response, err := p.RoundTrip(request.WithContext(ctx))
	return response, sent.Load(), err
}

// http1Pool leaves to net/http what needs two directions at once: upgrades, and requests
// whose body waits for 100 (Continue).
type http1Pool struct {
	*http1.Transport

	other netPool
}

func (p http1Pool) do(request *http.Request) (*http.Response, bool, error) {
	if request.Header["Upgrade"] != nil || request.Header["Expect"] != nil {
		return p.other.do(request)
	}
	response, err := p.Transport.RoundTrip(request)
	if failure, ok := errors.AsType[*http1.Error](err); ok {
		return nil, failure.Sent, failure.Err
	}
	return response, true, err
}

func (p http1Pool) RoundTrip(request *http.Request) (*http.Response, error) {
	response, _, err := p.do(request)
	return response, err
}

func (p http1Pool) CloseIdleConnections() {
	p.Transport.CloseIdleConnections()
	p.other.CloseIdleConnections()
}

// NewTransport returns a Transport to the upstream. It connects when the first
// request is sent.
func (u *Upstream) NewTransport(config TransportConfig) *Transport {
	t := u.newTransport(config)
	if !t.http1 {
		t.largeHeaders = u.newTransport(config)
	}
	return t
}

func (u *Upstream) newTransport(config TransportConfig) *Transport {
	t := &Transport{addresses: u.addresses, http1: config.Version == HTTP1, notHTTP2: &u.notHTTP2}
	t.turn.Store(rand.Uint32()) //nolint:gosec // not a secret: replicas should start with different addresses
	first := t.nextOffset()
	t.newPool = func(index int) pool {
		return u.newPool(config, func() int {
			if t.http1 { // each new connection goes to the next address
				return t.nextOffset()
			}
			return first + index // an HTTP/2 connection that is replaced goes to the same address again
		})
	}
	t.pools.Store(&pools{connections: []pool{t.newPool(0)}})
	return t
}

// newPool returns a connection pool; offset is called for each new connection, and
// says which address to try first (see addressSet.order).
func (u *Upstream) newPool(config TransportConfig, offset func() int) pool {
	d := dialer{addresses: u.addresses, connect: u.connect}
	if d.connect == nil {
		d.connect = newConnect(config.SmallRequests)
	}
	dial := func(ctx context.Context, network, address string) (net.Conn, error) {
		if u.socket != "" {
			network, address = "unix", u.socket
		}
		conn, err := d.dial(ctx, network, address, offset())
		if err == nil && config.Version == HTTP2 && u.base.Scheme == "http" {
			conn = &http2Conn{Conn: conn, notHTTP2: &u.notHTTP2}
		}
		return conn, err
	}
	protocols := new(http.Protocols)
	protocols.SetHTTP1(config.Version == HTTP1)
	protocols.SetHTTP2(config.Version == HTTP2)
	protocols.SetUnencryptedHTTP2(config.Version == HTTP2)
	other := netPool{&http.Transport{
		Protocols:       protocols,
		Proxy:           http.ProxyFromEnvironment,
		DialContext:     dial,
		TLSClientConfig: u.tls.Clone(), // net/http writes into it
		// With net/http's default of 2, nearly every concurrent call would open and
		// close a connection.
		MaxIdleConnsPerHost:    maxIdleConnections,
		IdleConnTimeout:        idleTimeout,
		TLSHandshakeTimeout:    handshakeTimeout,
		ResponseHeaderTimeout:  config.ResponseHeaderTimeout,
		ExpectContinueTimeout:  time.Second,
		MaxResponseHeaderBytes: config.MaxResponseHeaderBytes,
		DisableCompression:     true,
		HTTP2: &http.HTTP2Config{
			// A connection on which nothing was received for 10 seconds gets a PING,
			// and is closed if that is not answered within 5 seconds.
			SendPingTimeout: 10 * time.Second,
			PingTimeout:     5 * time.Second,
			// The memory that a stream takes if its client reads more slowly than the
			// upstream sends. net/http's default is 4 MiB.
			MaxReceiveBufferPerStream: 256 << 10,
		},
	}}
	proxy, err := http.ProxyFromEnvironment(&http.Request{URL: u.base})
	if config.Version != HTTP1 || proxy != nil || err != nil {
		return other
	}
	own := &http1.Transport{
		Dial:                   func(ctx context.Context) (net.Conn, error) { return dial(ctx, "tcp", dialedAddress(u.base)) },
		TLSHandshakeTimeout:    handshakeTimeout,
		ResponseHeaderTimeout:  config.ResponseHeaderTimeout,
		MaxResponseHeaderBytes: config.MaxResponseHeaderBytes,
		IdleConnTimeout:        idleTimeout,
		MaxIdleConns:           maxIdleConnections,
	}
	if u.base.Scheme == "https" {
		own.TLS = u.clientTLS()
	}
	return http1Pool{own, other}
}

// dialedAddress is the host of a URL, as it is dialed, and its port.
func dialedAddress(base *url.URL) string {
	port := base.Port()
	if port == "" {
		port = map[string]string{"http": "80", "https": "443"}[base.Scheme]
	}
	return net.JoinHostPort(dialedHost(base), port)
}

// RoundTrip implements [http.RoundTripper].
//
// Over HTTP/2, it sends a request a second time, immediately, in two cases: if it has a
// body that can be read again (GetBody) and the upstream did not handle it, and if it is
// a GET without a body that net/http itself would send again, handled or not (see
// sendOnce). An upstream that ends its connections from time to time is therefore not a
// failure of a call (gRPC calls this a transparent retry, gRFC A6). If a request with a
// body was not handled in the end, the error wraps ErrNotHandled.
func (t *Transport) RoundTrip(request *http.Request) (*http.Response, error) {
	if t.http1 {
		return t.send(request)
	}
	if t.largeHeaders != nil && mayEndConnection(request) {
		return t.largeHeaders.RoundTrip(request)
	}
	response, err := t.sendOnce(request)
	switch {
	case errors.Is(err, errSentOnce) && request.Method == http.MethodGet:
		return t.sendOnce(request)
	case errors.Is(err, ErrNotHandled) && request.GetBody != nil:
		again := *request
		if again.Body, err = request.GetBody(); err != nil {
			return nil, err
		}
		return t.sendOnce(&again)
	}
	return response, err
}

func (t *Transport) send(request *http.Request) (*http.Response, error) {
	inUse := t.current()
	if request.Header["Upgrade"] != nil {
		return t.upgrade(inUse, request)
	}
	return t.next(inUse).RoundTrip(inUse.last(request))
}

// next is the one of the connections whose turn it is.
func (t *Transport) next(inUse *pools) pool {
	if len(inUse.connections) == 1 {
		return inUse.connections[0]
	}
	return inUse.connections[t.nextOffset()%len(inUse.connections)]
}

// last makes a request the last one on its connection if the pools are retired: it would
// stay open, idle and unused.
func (p *pools) last(request *http.Request) *http.Request {
	if !p.retired.Load() {
		return request
	}
	last := *request
	last.Close = true
	return &last
}

func (t *Transport) nextOffset() int {
	const mask = math.MaxInt32 >> 1 // not negative, and adding an index of connections does not overflow
	return int(t.turn.Add(1) & mask)
}

// current returns the pools for the current generation of addresses.
func (t *Transport) current() *pools {
	inUse := t.pools.Load()
	if t.addresses == nil {
		return inUse
	}
	generation, count := t.addresses.current()
	if generation == inUse.generation {
		return inUse
	}
	return t.renew(generation, count)
}

// renew replaces the pools by those for a new generation with count addresses, and
// retires the old ones. Connections made before the first generation are kept: they
// were made from the same DNS answer.
func (t *Transport) renew(generation, count int) *pools {
	t.renewal.Lock()
	defer t.renewal.Unlock()
	old := t.pools.Load()
	if generation <= old.generation {
		return old
	}
	connections := 1
	if !t.http1 {
		connections = min(max(count, 1), maxConnections)
	}
	fresh := &pools{generation: generation}
	fresh.retired.Store(old.retired.Load())
	if old.generation == 0 {
		fresh.connections = old.connections
	} else {
		defer old.retire()
	}
	for index := len(fresh.connections); index < connections; index++ {
		fresh.connections = append(fresh.connections, t.newPool(index))
	}
	t.pools.Store(fresh)
	return fresh
}

// CloseIdleConnections closes idle connections at once, and all others when their
// requests have ended. The Transport can still be used, but keeps no connection open
// from then on.
func (t *Transport) CloseIdleConnections() {
	t.pools.Load().retire()
	if t.largeHeaders != nil {
		t.largeHeaders.CloseIdleConnections()
	}
}

func (p *pools) retire() {
	p.retired.Store(true)
	p.closeIdle()
	// net/http may still be making a connection for a request that got another one
	// in the meantime. It would stay open, idle.
	time.AfterFunc(dialTimeout+handshakeTimeout, p.closeIdle)
}

func (p *pools) closeIdle() {
	for _, connection := range p.connections {
		connection.CloseIdleConnections()
	}
}
