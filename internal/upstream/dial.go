package upstream

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"slices"
	"time"
)

const (
	// dialTimeout is how long a connection may take, look-up of the name included.
	dialTimeout = 5 * time.Second
	// handshakeTimeout is how long TLS may take after that.
	handshakeTimeout = 5 * time.Second
	// headStart is how long an address is tried alone before the next one is tried
	// beside it (the Connection Attempt Delay of RFC 8305 section 5).
	headStart = 250 * time.Millisecond
)

// dialer connects to the host of an upstream. If that has several addresses, one
// that does not answer costs a connection no more than headStart, and the next
// connections nothing.
type dialer struct {
	book    *book
	connect connectFunc
}

// connectFunc connects to a single address.
type connectFunc func(ctx context.Context, network, address string) (net.Conn, error)

// newConnect makes connections whose peer, if it is gone without a word, is found out
// within eleven seconds: by keep-alives while nothing is sent. While something is, only
// small requests tell, on Linux: a large one may wait for a peer that does not read
// on, which to the kernel is the same.
func newConnect(smallRequests bool) connectFunc {
	single := net.Dialer{
		KeepAliveConfig: net.KeepAliveConfig{Enable: true, Idle: 5 * time.Second, Interval: 2 * time.Second, Count: 3},
	}
	if smallRequests {
		single.Control = limitUnacknowledged
	}
	return func(ctx context.Context, network, address string) (net.Conn, error) {
		conn, err := single.DialContext(ctx, network, address)
		if tcp, ok := conn.(*net.TCPConn); ok {
			return &abortableConn{TCPConn: tcp}, nil
		}
		return conn, err
	}
}

// dial connects to an address with a port. turn says with which of several
// addresses of the host to begin.
func (d *dialer) dial(ctx context.Context, network, address string, turn int) (net.Conn, error) {
	ctx, cancel := context.WithTimeout(ctx, dialTimeout)
	defer cancel()
	host, port, err := net.SplitHostPort(address)
	if err != nil || d.book == nil || host != d.book.host { // a Unix socket, an IP address, a proxy
		return d.connect(ctx, network, address)
	}
	addresses, err := d.book.addresses(ctx)
	if err != nil {
		return nil, &net.OpError{Op: "dial", Net: network, Err: err} // as net.Dialer has it
	}
	return d.race(ctx, network, port, d.book.order(addresses, turn))
}

// attempt is a connection to one of several addresses, or why there is none.
type attempt struct {
	address netip.Addr
	conn    net.Conn
	err     error
}

// race tries one address after the other, each with a head start, until one is
// connected to. The error is that of the first that fails.
func (d *dialer) race(ctx context.Context, network, port string, addresses []netip.Addr) (net.Conn, error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	attempts := make(chan attempt, len(addresses)) // nobody has to wait for the loop below
	var running []netip.Addr                       // in the order in which they began
	waiting := addresses
	start := time.NewTimer(0)
	defer start.Stop()
	var failure error
	for {
		select {
		case <-start.C:
			if len(waiting) == 0 {
				continue
			}
		case done := <-attempts:
			at := slices.Index(running, done.address)
			if done.err == nil {
				d.book.won(done.address, running[:at])
				go closeAll(attempts, len(running)-1)
				return done.conn, nil
			}
			running = slices.Delete(running, at, at+1)
			d.book.lost(ctx, done.address)
			if failure == nil {
				failure = done.err
			}
			if ctx.Err() != nil {
				waiting = nil
			}
			if len(waiting) == 0 {
				if len(running) == 0 {
					return nil, failure
				}
				continue
			}
		}
		address := waiting[0]
		waiting, running = waiting[1:], append(running, address)
		go func() {
			conn, err := d.connect(ctx, network, net.JoinHostPort(address.String(), port))
			attempts <- attempt{address, conn, err}
		}()
		start.Reset(headStart)
	}
}

// closeAll closes connections that came too late.
func closeAll(attempts <-chan attempt, count int) {
	for range count {
		if late := <-attempts; late.err == nil {
			_ = late.conn.Close()
		}
	}
}

// IsDial reports whether an error means that no TCP connection came to be, be it to the
// upstream or to the proxy of HTTP_PROXY.
func IsDial(err error) bool {
	operation, ok := errors.AsType[*net.OpError](err)
	return ok && (operation.Op == "dial" || operation.Op == "proxyconnect")
}
