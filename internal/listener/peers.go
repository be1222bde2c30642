package listener

import (
	"net"
	"net/netip"
	"sync"
)

// peerListener accepts so many connections of one peer and closes the others at once.
// A peer is an IPv4 address or, because a host has all of one, an IPv6 /64. Peers on
// a Unix socket are not told apart, and not limited.
type peerListener struct {
	net.Listener

	most    int
	refused func() // may be nil

	mu   sync.Mutex
	open map[netip.Prefix]int
}

func newPeerListener(listener net.Listener, most int, refused func()) *peerListener {
	return &peerListener{Listener: listener, most: most, refused: refused, open: map[netip.Prefix]int{}}
}

func (l *peerListener) Accept() (net.Conn, error) {
	for {
		conn, err := l.Listener.Accept()
		if err != nil {
			return nil, err
		}
		peer, ok := peerOf(conn)
		if !ok {
			return conn, nil
		}
		if l.enter(peer) {
			return &peerConn{Conn: conn, leave: sync.OnceFunc(func() { l.leave(peer) })}, nil
		}
		if l.refused != nil {
			l.refused() // before the peer can see it
		}
		_ = conn.Close()
	}
}

// peerOf is the peer of a connection; false if it has no address.
func peerOf(conn net.Conn) (netip.Prefix, bool) {
	from, err := netip.ParseAddrPort(conn.RemoteAddr().String())
	if err != nil {
		return netip.Prefix{}, false
	}
	const network = 64
	address := from.Addr().Unmap().WithZone("")
	return netip.PrefixFrom(address, min(address.BitLen(), network)).Masked(), true
}

func (l *peerListener) enter(peer netip.Prefix) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.open[peer] >= l.most {
		return false
	}
	l.open[peer]++
	return true
}

func (l *peerListener) leave(peer netip.Prefix) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.open[peer]--; l.open[peer] == 0 {
		delete(l.open, peer)
	}
}

// peerConn is a connection that counts until it is closed.
type peerConn struct {
	net.Conn

	leave func()
}

func (c *peerConn) Close() error {
	c.leave()
	return c.Conn.Close()
}

// CloseWrite tells the peer that no more is to come.
func (c *peerConn) CloseWrite() error {
	if half, ok := c.Conn.(interface{ CloseWrite() error }); ok {
		return half.CloseWrite()
	}
	return nil
}
