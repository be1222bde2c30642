package upstream

import (
	"context"
	"errors"
	"math"
	"math/rand/v2"
	"net"
	"net/http"
	"sync"
	"sync/atomic"
	"time"
)

// Version is an HTTP version towards the upstream.
type Version int

const (
	// HTTP1 is HTTP/1.1.
	HTTP1 Version = iota + 1
	// HTTP2 is HTTP/2: by ALPN for an https:// upstream, in clear text (h2c, with
	// prior knowledge) for the others.
	HTTP2
)

// TransportConfig says how a Transport speaks.
type TransportConfig struct {
	Version Version
	// ResponseHeaderTimeout is how long the upstream may take to begin its answer
	// once it has the whole request; 0 is for ever.
	ResponseHeaderTimeout time.Duration
	// SmallRequests says that no request is so large that the upstream might have to
	// wait before it reads on: who does not acknowledge one in ten seconds is dead.
	SmallRequests bool
	// MaxResponseHeaderBytes is how long the headers of an answer may be; 0 is
	// net/http's default.
	MaxResponseHeaderBytes int64
}

// maxLanes is how many HTTP/2 connections there are side by side at most, as long
// as one carries the calls that it gets.
const maxLanes = 4

// Transport is an [http.RoundTripper] with a connection pool of its own. It
// compresses and decompresses nothing. If the upstream's host name has several
// addresses, its connections are spread over them; when DNS names others, new
// requests go over new connections, and the old ones end with their requests.
//
// Over HTTP/2, requests with large headers, a long target or trailers have connections
// of their own: many a load balancer ends a connection, and with it all that is under way
// there, when headers are larger than it likes.
type Transport struct {
	book  *book // nil: the upstream is no host name
	http1 bool
	apart *Transport // over HTTP/2, for large headers
	make  func(lane int) *http.Transport

	renewal sync.Mutex
	pools   atomic.Pointer[pools]
	turn    atomic.Uint32
}

// pools are the connections to one edition of a host's addresses.
type pools struct {
	edition int
	lanes   []*http.Transport // one, or one for each connection of HTTP/2
	retired atomic.Bool
}

// NewTransport makes a Transport; it does not connect yet.
func (u *Upstream) NewTransport(config TransportConfig) *Transport {
	t := u.newTransport(config)
	if !t.http1 {
		t.apart = u.newTransport(config)
	}
	return t
}

func (u *Upstream) newTransport(config TransportConfig) *Transport {
	t := &Transport{book: u.book, http1: config.Version == HTTP1}
	t.turn.Store(rand.Uint32()) //nolint:gosec // no secret: not every replica is to begin with the same address
	first := t.nextTurn()
	t.make = func(lane int) *http.Transport {
		return u.newPool(config, func() int {
			if t.http1 { // as many connections as there are requests at once
				return t.nextTurn()
			}
			return first + lane // one connection, and so one address, as long as it lasts
		})
	}
	t.pools.Store(&pools{lanes: []*http.Transport{t.make(0)}})
	return t
}

func (u *Upstream) newPool(config TransportConfig, turn func() int) *http.Transport {
	d := dialer{book: u.book, connect: u.connect}
	if d.connect == nil {
		d.connect = newConnect(config.SmallRequests)
	}
	protocols := new(http.Protocols)
	protocols.SetHTTP1(config.Version == HTTP1)
	protocols.SetHTTP2(config.Version == HTTP2)
	protocols.SetUnencryptedHTTP2(config.Version == HTTP2)
	return &http.Transport{
		Protocols: protocols,
		Proxy:     http.ProxyFromEnvironment,
		DialContext: func(ctx context.Context, network, address string) (net.Conn, error) {
			if u.socket != "" {
				network, address = "unix", u.socket
			}
			return d.dial(ctx, network, address, turn())
		},
		TLSClientConfig: u.tls.Clone(), // net/http writes into it
		// net/http's default of two idle connections a host would open and
		// close a connection for nearly every concurrent call.
		MaxIdleConnsPerHost: 256,
		// Sooner than upstreams and load balancers close theirs, of which many do after
		// a minute: of a request that meets its connection's end, nobody can say
		// whether it was handled.
		IdleConnTimeout:        30 * time.Second,
		TLSHandshakeTimeout:    handshakeTimeout,
		ResponseHeaderTimeout:  config.ResponseHeaderTimeout,
		ExpectContinueTimeout:  time.Second,
		MaxResponseHeaderBytes: config.MaxResponseHeaderBytes,
		DisableCompression:     true,
		HTTP2: &http.HTTP2Config{
			// A connection on which nothing came for so long is asked whether it
			// lives, and must answer.
			SendPingTimeout: 10 * time.Second,
			PingTimeout:     5 * time.Second,
			// A reader slower than the upstream holds so much memory; net/http's
			// default is 4 MiB a stream.
			MaxReceiveBufferPerStream: 256 << 10,
		},
	}
}

// RoundTrip makes a request. It is that of [http.RoundTripper].
//
// Over HTTP/2, what the upstream did not handle is sent once more, at once, if its body
// can be had again, and so is a GET that may not have been handled: that a connection
// ends is no failure (gRPC calls that a transparent retry, gRFC A6). If that is not
// handled either, the error of a request with a body is ErrNotHandled.
func (t *Transport) RoundTrip(request *http.Request) (*http.Response, error) {
	if t.http1 {
		return t.send(request)
	}
	if t.apart != nil && isUnusual(request) {
		return t.apart.RoundTrip(request)
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
	if inUse.retired.Load() {
		last := *request
		last.Close = true // or else its connection would stay, idle, for nobody
		request = &last
	}
	return t.spread(inUse, request)
}

// spread sends a request over one of the connections.
func (t *Transport) spread(inUse *pools, request *http.Request) (*http.Response, error) {
	if len(inUse.lanes) == 1 {
		return inUse.lanes[0].RoundTrip(request)
	}
	return inUse.lanes[t.nextTurn()%len(inUse.lanes)].RoundTrip(request)
}

func (t *Transport) nextTurn() int {
	const positive = math.MaxInt32 >> 1 // with room for lanes
	return int(t.turn.Add(1) & positive)
}

// current returns the pools of the current addresses.
func (t *Transport) current() *pools {
	inUse := t.pools.Load()
	if t.book == nil {
		return inUse
	}
	edition, count := t.book.current()
	if edition == inUse.edition {
		return inUse
	}
	return t.renew(edition, count)
}

// renew lets new requests over new connections. The first edition is what the
// connections that there are, if any, were made from.
func (t *Transport) renew(edition, count int) *pools {
	t.renewal.Lock()
	defer t.renewal.Unlock()
	old := t.pools.Load()
	if edition <= old.edition {
		return old
	}
	lanes := 1
	if !t.http1 {
		lanes = min(max(count, 1), maxLanes)
	}
	fresh := &pools{edition: edition}
	fresh.retired.Store(old.retired.Load())
	if old.edition == 0 {
		fresh.lanes = old.lanes
	} else {
		defer old.retire()
	}
	for lane := len(fresh.lanes); lane < lanes; lane++ {
		fresh.lanes = append(fresh.lanes, t.make(lane))
	}
	t.pools.Store(fresh)
	return fresh
}

// CloseIdleConnections closes the connections on which no request is under way, and
// the others when their requests have ended: nobody is to come after them.
func (t *Transport) CloseIdleConnections() {
	t.pools.Load().retire()
	if t.apart != nil {
		t.apart.CloseIdleConnections()
	}
}

func (p *pools) retire() {
	p.retired.Store(true)
	p.closeIdle()
	// A connection may still be on its way for a request that did not wait for it.
	time.AfterFunc(dialTimeout+handshakeTimeout, p.closeIdle)
}

func (p *pools) closeIdle() {
	for _, lane := range p.lanes {
		lane.CloseIdleConnections()
	}
}
