package listener

import (
	"net"
	"net/netip"
	"sync"

	"zitadel-v1-adapter/internal/refusals"
)

// peerListener limits the open connections of each peer. It closes further ones as soon
// as it has accepted them. A peer is an IPv4 address or an IPv6 /64, because a single
// host usually has a whole /64. Connections to a Unix socket are not limited: their
// peers cannot be told apart.
type peerListener struct {
	net.Listener

	limit   int
	refused *refusals.Recorder

	mu   sync.Mutex
	open map[netip.Prefix]int // connections by peer
}

func newPeerListener(listener net.Listener, limit int, refused *refusals.Recorder) *peerListener {
	return &peerListener{Listener: listener, limit: limit, refused: refused, open: map[netip.Prefix]int{}}
}

func (l *peerListener) Accept() (net.Conn, error) {
	for {
		conn, err := l.Listener.Accept()
		if err != nil {
			return nil, err
		}
		if proxied, ok := conn.(*proxiedConn); ok { // whose it is stands in its header
			proxied.admit = l.admit
			return proxied, nil
		}
		if leave, ok := l.admit(conn.RemoteAddr()); ok {
			return &peerConn{Conn: conn, leave: leave}, nil
		}
		_ = conn.Close()
	}
}

// admit counts a connection until leave is called. ok is false, and the connection to be
// closed, if its peer has as many as it may.
func (l *peerListener) admit(from net.Addr) (leave func(), ok bool) {
	peer, ok := peerOf(from)
	if !ok {
		return func() {}, true
	}
	if !l.add(peer) {
		// Before Close, so that a peer that sees the end is already counted.
		l.refused.Add(refusals.Connections, from.String(), "limits.connectionsPerPeer is reached")
		return nil, false
	}
	return sync.OnceFunc(func() { l.remove(peer) }), true
}

// peerOf returns the peer at an address. ok is false if the address is not an IP address.
func peerOf(from net.Addr) (peer netip.Prefix, ok bool) {
	address, ok := addressOf(from)
	if !ok {
		return netip.Prefix{}, false
	}
	const ipv6Bits = 64
	return netip.PrefixFrom(address, min(address.BitLen(), ipv6Bits)).Masked(), true
}

// add counts a connection. It returns false, and does not count it, if the peer has
// reached the limit.
func (l *peerListener) add(peer netip.Prefix) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.open[peer] >= l.limit {
		return false
	}
	l.open[peer]++
	return true
}

func (l *peerListener) remove(peer netip.Prefix) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.open[peer]--; l.open[peer] == 0 {
		delete(l.open, peer)
	}
}

// peerConn is a connection that counts towards its peer's limit until it is closed.
type peerConn struct {
	net.Conn

	leave func()
}

func (c *peerConn) Close() error {
	c.leave()
	return c.Conn.Close()
}

// CloseWrite closes the sending side of the connection, if the connection supports that.
func (c *peerConn) CloseWrite() error { return closeWrite(c.Conn) }
