package upstream

import (
	"cmp"
	"context"
	"errors"
	"net"
	"net/netip"
	"slices"
	"time"
)

const (
	// dialTimeout limits the time to make a TCP connection, DNS lookup included.
	dialTimeout = 5 * time.Second
	// handshakeTimeout limits the time of the TLS handshake that follows.
	handshakeTimeout = 5 * time.Second
	// headStart is how long one address is tried alone before the next address is
	// tried in parallel (the Connection Attempt Delay of RFC 8305 section 5).
	headStart = 250 * time.Millisecond
)

// dialer connects to the host of an upstream. If the host has several addresses, an
// address that does not answer delays the first connection by headStart, and
// connections made within the following cooldown not at all.
//
// net.Dialer shares its timeout out among the addresses of a family, one after the other, and
// remembers nothing: one dead address of two delays each new connection by 2.5 seconds, three
// of four make each fail, and so does DNS that fails for a moment.
type dialer struct {
	addresses *addressSet // nil: the upstream is not a host name
	connect   connectFunc
}

// connectFunc connects to a single address.
type connectFunc func(ctx context.Context, network, address string) (net.Conn, error)

// newConnect returns a connectFunc for TCP connections that detect, within eleven
// seconds, a peer that has disappeared without closing the connection. Idle
// connections detect it by TCP keep-alives. While data is being sent, it is detected
// only on Linux and only if smallRequests is set (see limitUnacknowledged): a large
// request may have to wait for a peer that reads slowly, which the kernel cannot
// tell from a dead one.
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

// dial connects to host:port, or to the path of a Unix socket, within dialTimeout.
// If the host has several addresses, offset says which of them to try first (see
// addressSet.order).
func (d *dialer) dial(ctx context.Context, network, address string, offset int) (net.Conn, error) {
	ctx, cancel := context.WithTimeout(ctx, dialTimeout)
	defer cancel()
	host, port, err := net.SplitHostPort(address)
	if err != nil || d.addresses == nil || host != d.addresses.host { // a Unix socket, an IP address, or the proxy of HTTP_PROXY
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
//
// An address that was tried earlier than the one that accepted has failed; one whose
// attempt was cancelled has not.
func (d *dialer) race(ctx context.Context, network, port string, addresses []netip.Addr) (net.Conn, error) {
	type attempt struct {
		address netip.Addr
		conn    net.Conn
		err     error
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	attempts := make(chan attempt, len(addresses)) // buffered, so that no attempt blocks after race has returned
	var running []netip.Addr                       // in the order in which the attempts started
	timer := time.NewTimer(headStart)
	defer timer.Stop()
	startNext := func() {
		if len(addresses) == 0 {
			return
		}
		address := addresses[0]
		addresses, running = addresses[1:], append(running, address)
		go func() {
			conn, err := d.connect(ctx, network, net.JoinHostPort(address.String(), port))
			attempts <- attempt{address, conn, err}
		}()
		timer.Reset(headStart)
	}
	var failure error
	for startNext(); len(running) > 0; {
		select {
		case <-timer.C:
			startNext()
		case done := <-attempts:
			at := slices.Index(running, done.address)
			if done.err == nil {
				d.addresses.markAlive(done.address)
				d.addresses.markFailed(running[:at]...)
				go func() { // close what comes too late
					for range len(running) - 1 {
						if late := <-attempts; late.err == nil {
							_ = late.conn.Close()
						}
					}
				}()
				return done.conn, nil
			}
			running = slices.Delete(running, at, at+1)
			if !errors.Is(ctx.Err(), context.Canceled) {
				d.addresses.markFailed(done.address)
			}
			failure = cmp.Or(failure, done.err)
			if ctx.Err() == nil {
				startNext()
			}
		}
	}
	return nil, failure
}

// IsDial reports whether an error means that no TCP connection was established to
// the upstream, or to the proxy of HTTP_PROXY or HTTPS_PROXY.
func IsDial(err error) bool {
	operation, ok := errors.AsType[*net.OpError](err)
	return ok && (operation.Op == "dial" || operation.Op == "proxyconnect")
}
