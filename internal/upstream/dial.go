package upstream

import (
	"cmp"
	"context"
	"errors"
	"net"
	"net/netip"
	"runtime"
	"time"
)

const (
	dialTimeout      = 5 * time.Second // to make a TCP connection, DNS lookup included
	handshakeTimeout = 5 * time.Second // for the TLS handshake that follows
	// headStart is how long one address is tried alone before the next address is
	// tried in parallel (the Connection Attempt Delay of RFC 8305 section 5).
	headStart = 250 * time.Millisecond
)

// dialer connects to the host of an upstream. One of several addresses that does not answer
// delays the first connection by headStart, and those within the following cooldown not at
// all. net.Dialer shares its timeout out among the addresses and remembers nothing: one dead
// address of two delays each new connection by 2.5 seconds, three of four make each fail, and
// so does DNS that fails for a moment.
type dialer struct {
	addresses *addressSet
	connect   connectFunc
}

// connectFunc connects to a single address.
type connectFunc func(ctx context.Context, network, address string) (net.Conn, error)

// newConnect returns a connectFunc for TCP connections that detect, within eleven
// seconds, a peer that has disappeared without closing the connection: idle ones by
// keep-alives, and those with data under way on Linux if smallRequests is set. The kernel
// cannot tell a peer that reads a large request slowly from a dead one.
func newConnect(smallRequests bool) connectFunc {
	single := net.Dialer{
		KeepAliveConfig: net.KeepAliveConfig{Enable: true, Idle: 5 * time.Second, Interval: 2 * time.Second, Count: 3},
	}
	if smallRequests && runtime.GOOS == "linux" {
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

// dial connects to host:port, or to the path of a Unix socket, within dialTimeout. offset
// says which of the host's addresses to try first (see addressSet.order).
func (d *dialer) dial(ctx context.Context, network, address string, offset uint32) (net.Conn, error) {
	ctx, cancel := context.WithTimeout(ctx, dialTimeout)
	defer cancel()
	host, port, _ := net.SplitHostPort(address)                                  // no host: a Unix socket
	if _, err := netip.ParseAddr(host); err == nil || host != d.addresses.host { // or the proxy of HTTP_PROXY
		return d.connect(ctx, network, address)
	}
	resolved, err := d.addresses.resolve(ctx)
	if err != nil {
		return nil, &net.OpError{Op: "dial", Net: network, Err: err} // the same error as net.Dialer's
	}
	return d.race(ctx, network, port, d.addresses.order(resolved, offset))
}

// race connects to the first address that accepts. It tries the addresses in order
// and starts the next attempt when one has failed or headStart is over, without giving
// up the earlier attempts (Happy Eyeballs, RFC 8305). If all addresses fail, it returns
// the error of the one that failed first.
func (d *dialer) race(ctx context.Context, network, port string, addresses []netip.Addr) (net.Conn, error) {
	type attempt struct {
		index int
		conn  net.Conn
		err   error
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	attempts, over := make(chan attempt), make(chan struct{})
	defer close(over)
	try := func(index int) {
		conn, err := d.connect(ctx, network, net.JoinHostPort(addresses[index].String(), port))
		select {
		case attempts <- attempt{index, conn, err}:
		case <-over:
			if err == nil {
				_ = conn.Close()
			}
		}
	}
	timer := time.NewTimer(0)
	defer timer.Stop()
	var failure error
	for started, failed := 0, 0; ; {
		select {
		case <-timer.C:
		case ended := <-attempts:
			if ended.err == nil {
				d.addresses.mark(addresses[ended.index], addresses[:ended.index]) // the earlier ones have failed, or are slower
				return ended.conn, nil
			}
			failed++
			failure = cmp.Or(failure, ended.err)
		}
		switch {
		case started < len(addresses) && (started == 0 || ctx.Err() == nil):
			go try(started)
			started++
			timer.Reset(headStart)
		case started == failed:
			if !errors.Is(ctx.Err(), context.Canceled) { // which says nothing about the addresses
				d.addresses.mark(netip.Addr{}, addresses[:started])
			}
			return nil, failure
		}
	}
}

// IsDial reports whether an error means that no TCP connection was established to
// the upstream, or to the proxy of HTTP_PROXY or HTTPS_PROXY.
func IsDial(err error) bool {
	operation, ok := errors.AsType[*net.OpError](err)
	return ok && (operation.Op == "dial" || operation.Op == "proxyconnect")
}
