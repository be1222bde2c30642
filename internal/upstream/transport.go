package upstream

import (
	"cmp"
	"context"
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
	// SmallRequests says that the upstream receives every request without delay. On
	// Linux, a connection then fails if sent data is not acknowledged within ten
	// seconds. Default: false, because a large upload may wait longer for an upstream
	// that reads slowly.
	SmallRequests bool
	// MaxResponseHeaderBytes limits the size of a response's headers, in bytes.
	// Default: that of net/http, 10 MiB.
	MaxResponseHeaderBytes int64
}

const (
	maxIdleConnections = 256
	// idleTimeout is half of the minute after which many load balancers close idle
	// connections: it is unknown whether a request sent meanwhile was handled.
	idleTimeout = 30 * time.Second
	// maxConnections is how many HTTP/2 connections requests are spread over. net/http may
	// open more if the upstream's limit of concurrent streams is reached on one of them.
	maxConnections = 4
)

// Transport is an [http.RoundTripper] with its own connections, spread over the addresses
// of the upstream's host name. When these change in DNS, new requests use new connections;
// old ones are closed when their requests have ended. It neither compresses requests nor
// decompresses responses. It is safe for concurrent use.
//
// Over HTTP/2, requests with large headers, a long target or trailers use separate
// connections. Many load balancers end the whole connection over such a request, so that
// without the separation any client could make other clients' calls fail.
// TestConnectionClosedOverLargeHeadersFailsNoOtherCall of package adapter proves that it cannot.
type Transport struct {
	to           *Upstream
	config       TransportConfig
	largeHeaders *Transport // HTTP/2 only: for requests that may end their connection
	first        int        // which address the first HTTP/2 connection goes to

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
}

// pool is an *http.Transport or *http1.Transport.
type pool interface {
	http.RoundTripper
	CloseIdleConnections()
}

// NewTransport returns a Transport to the upstream. It connects when the first
// request is sent.
func (u *Upstream) NewTransport(config TransportConfig) *Transport {
	t := newTransport(u, config)
	if config.Version == HTTP2 {
		t.largeHeaders = newTransport(u, config)
	}
	return t
}

func newTransport(to *Upstream, config TransportConfig) *Transport {
	t := &Transport{to: to, config: config}
	t.turn.Store(rand.Uint32()) //nolint:gosec // not a secret: replicas should start with different addresses
	t.first = t.nextOffset()
	t.pools.Store(&pools{connections: []pool{t.newPool(0)}})
	return t
}

// newPool returns a new one of pools.connections.
func (t *Transport) newPool(index int) pool {
	isHTTP1 := t.config.Version == HTTP1
	protocols := new(http.Protocols)
	protocols.SetHTTP1(isHTTP1)
	protocols.SetHTTP2(!isHTTP1)
	protocols.SetUnencryptedHTTP2(!isHTTP1)
	base := &http.Transport{
		Protocols:       protocols,
		Proxy:           http.ProxyFromEnvironment,
		DialContext:     t.dial(index),
		TLSClientConfig: t.to.tls.Clone(), // net/http writes into it
		// With net/http's default of 2, nearly every concurrent call would open and
		// close a connection.
		MaxIdleConnsPerHost:    maxIdleConnections,
		IdleConnTimeout:        idleTimeout,
		TLSHandshakeTimeout:    handshakeTimeout,
		ResponseHeaderTimeout:  t.config.ResponseHeaderTimeout,
		ExpectContinueTimeout:  time.Second,
		MaxResponseHeaderBytes: t.config.MaxResponseHeaderBytes,
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
	}
	proxy, err := http.ProxyFromEnvironment(&http.Request{URL: t.to.base})
	if !isHTTP1 || proxy != nil || err != nil {
		return base
	}
	return &http1.Transport{Base: base, Address: dialedAddress(t.to.base), TLS: t.to.base.Scheme == "https"}
}

// dial returns the function that makes a pool's connections.
func (t *Transport) dial(index int) func(ctx context.Context, network, address string) (net.Conn, error) {
	d := dialer{addresses: t.to.addresses, connect: t.to.connect}
	if d.connect == nil {
		d.connect = newConnect(t.config.SmallRequests)
	}
	return func(ctx context.Context, network, address string) (net.Conn, error) {
		if t.to.socket != "" {
			network, address = "unix", t.to.socket
		}
		offset := t.first + index // an HTTP/2 connection that is replaced goes to the same address again
		if t.config.Version == HTTP1 {
			offset = t.nextOffset()
		}
		conn, err := d.dial(ctx, network, address, offset)
		if err == nil && t.config.Version == HTTP2 && t.to.base.Scheme == "http" {
			conn = &http2Conn{Conn: conn, notHTTP2: &t.to.notHTTP2}
		}
		return conn, err
	}
}

// dialedAddress is the host of a URL, as it is dialed, and its port.
func dialedAddress(base *url.URL) string {
	return net.JoinHostPort(dialedHost(base), cmp.Or(base.Port(), map[string]string{"http": "80", "https": "443"}[base.Scheme]))
}

func (t *Transport) nextOffset() int {
	const mask = math.MaxInt32 >> 1 // not negative, and adding an index of connections does not overflow
	return int(t.turn.Add(1) & mask)
}

// current returns the pools for the current generation of addresses. It replaces those for
// an earlier one.
func (t *Transport) current() *pools {
	inUse := t.pools.Load()
	if t.to.addresses == nil {
		return inUse
	}
	generation, count := t.to.addresses.current()
	if generation == inUse.generation {
		return inUse
	}
	t.renewal.Lock()
	defer t.renewal.Unlock()
	if inUse = t.pools.Load(); generation <= inUse.generation {
		return inUse
	}
	fresh := &pools{generation: generation}
	if inUse.generation == 0 { // made from the DNS answer that began the first generation
		fresh.connections = inUse.connections
	} else {
		defer inUse.closeIdle()
	}
	wanted := 1
	if t.config.Version == HTTP2 {
		wanted = min(max(count, 1), maxConnections)
	}
	for index := len(fresh.connections); index < wanted; index++ {
		fresh.connections = append(fresh.connections, t.newPool(index))
	}
	t.pools.Store(fresh)
	return fresh
}

// CloseIdleConnections closes idle connections at once, and most others when their
// requests have ended: net/http keeps some idle for another 30 seconds. The Transport can
// still be used.
func (t *Transport) CloseIdleConnections() {
	t.pools.Load().closeIdle()
	if t.largeHeaders != nil {
		t.largeHeaders.CloseIdleConnections()
	}
}

func (p *pools) closeIdle() {
	for _, connection := range p.connections {
		connection.CloseIdleConnections()
	}
}
