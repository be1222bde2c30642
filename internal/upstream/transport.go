package upstream

import (
	"cmp"
	"context"
	"math/rand/v2"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"slices"
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
	// HTTP2 is HTTP/2: by ALPN with an https:// upstream, else in clear text (h2c).
	HTTP2
)

// TransportConfig configures a Transport.
type TransportConfig struct {
	Version Version
	// ResponseHeaderTimeout limits the time from the end of the request to the
	// headers of the response. Default: no limit.
	ResponseHeaderTimeout time.Duration
	// SmallRequests makes connections fail, on Linux, if sent data is not acknowledged
	// within ten seconds. Large uploads may wait longer for an upstream that reads slowly.
	SmallRequests bool
	// MaxResponseHeaderBytes limits the headers of a response. Default: net/http's 10 MiB.
	MaxResponseHeaderBytes int64
}

const (
	maxIdleConnections = 256 // with net/http's 2, nearly every concurrent call would open one
	// idleTimeout is half of the minute after which many load balancers close idle
	// connections: it is unknown whether a request sent meanwhile was handled.
	idleTimeout = 30 * time.Second
	// maxConnections is how many HTTP/2 connections requests are spread over. net/http may
	// open more if the upstream's limit of concurrent streams is reached on one of them.
	maxConnections = 4
)

// Transport is an [http.RoundTripper] with its own connections, spread over the addresses
// of the upstream's host name. When these change in DNS, new requests use new connections;
// old ones are closed when their requests have ended. It neither compresses nor
// decompresses. It is safe for concurrent use.
//
// Over HTTP/2, requests with large headers, a long target or trailers use separate
// connections. Many load balancers end the whole connection over such a request, so that
// without the separation any client could make other clients' calls fail.
// TestConnectionClosedOverLargeHeadersFailsNoOtherCall of package adapter proves that it cannot.
type Transport struct {
	to           *Upstream
	config       TransportConfig
	largeHeaders *Transport    // HTTP/2 only: for requests that may end their connection
	turn         atomic.Uint32 // counts requests, or connections, to take turns
	first        uint32        // which address the first HTTP/2 connection goes to

	mu sync.Mutex
	// pools has, over HTTP/2, one http.Transport for each connection; over HTTP/1.1, a single
	// pool, which opens as many connections as it needs.
	pools     []pool
	addresses []netip.Addr // for which pools were made; nil: before the first lookup
	renewed   time.Time    // when addresses last changed
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
	t := &Transport{to: to, config: config, first: rand.Uint32()} //nolint:gosec // not a secret: replicas should start with different addresses
	t.turn.Store(t.first)
	t.pools = []pool{t.newPool(0)}
	return t
}

// newPool returns a new one of pools.
func (t *Transport) newPool(index uint32) pool {
	isHTTP1 := t.config.Version == HTTP1
	protocols := new(http.Protocols)
	protocols.SetHTTP1(isHTTP1)
	protocols.SetHTTP2(!isHTTP1)
	protocols.SetUnencryptedHTTP2(!isHTTP1)
	base := &http.Transport{
		Protocols:              protocols,
		Proxy:                  http.ProxyFromEnvironment,
		DialContext:            t.dial(index),
		TLSClientConfig:        t.to.tls.Clone(), // net/http writes into it
		MaxIdleConnsPerHost:    maxIdleConnections,
		IdleConnTimeout:        idleTimeout,
		TLSHandshakeTimeout:    handshakeTimeout,
		ResponseHeaderTimeout:  t.config.ResponseHeaderTimeout,
		ExpectContinueTimeout:  time.Second,
		MaxResponseHeaderBytes: t.config.MaxResponseHeaderBytes,
		DisableCompression:     true,
		HTTP2: &http.HTTP2Config{
			SendPingTimeout: 10 * time.Second, // after which a silent connection gets a PING
			PingTimeout:     5 * time.Second,  // to answer it
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
func (t *Transport) dial(index uint32) func(ctx context.Context, network, address string) (net.Conn, error) {
	d := dialer{t.to.addresses, t.to.connect(t.config.SmallRequests)}
	return func(ctx context.Context, network, address string) (net.Conn, error) {
		if t.to.socket != "" {
			network, address = "unix", t.to.socket
		}
		offset := t.first + index // an HTTP/2 connection that is replaced goes to the same address again
		if t.config.Version == HTTP1 {
			offset = t.turn.Add(1)
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

// current returns the pools for the host's addresses. It replaces those for earlier ones.
func (t *Transport) current() []pool {
	t.mu.Lock()
	defer t.mu.Unlock()
	addresses := t.to.addresses.current()
	if slices.Equal(addresses, t.addresses) || time.Since(t.renewed) < retention {
		return t.pools
	}
	if t.addresses != nil {
		go closeIdle(t.pools)
		t.pools = nil
	}
	t.addresses, t.renewed = addresses, time.Now()
	wanted := 1
	if t.config.Version == HTTP2 {
		wanted = min(max(len(addresses), 1), maxConnections)
	}
	for len(t.pools) < wanted {
		t.pools = append(t.pools, t.newPool(uint32(len(t.pools)))) //nolint:gosec // small
	}
	return t.pools
}

// CloseIdleConnections closes idle connections at once, and most others when their requests have
// ended: net/http keeps some idle for another 30 seconds. The Transport can still be used.
func (t *Transport) CloseIdleConnections() {
	t.mu.Lock()
	closeIdle(t.pools)
	t.mu.Unlock()
	if t.largeHeaders != nil {
		t.largeHeaders.CloseIdleConnections()
	}
}

func closeIdle(pools []pool) {
	for _, each := range pools {
		each.CloseIdleConnections()
	}
}
