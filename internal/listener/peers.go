package listener

import (
	"net"
	"net/netip"
	"sync"
)

// peers counts the open connections of each peer: an IPv4 address, or an IPv6 /64, because a
// single host usually has a whole /64. Those of a Unix socket cannot be told apart, and are not
// limited.
type peers struct {
	limit int // 0: none

	mu   sync.Mutex
	open map[netip.Prefix]int
}

// admit counts a connection until leave is called, which may be more than once. ok is false if
// the peer has as many as it may.
func (p *peers) admit(from net.Addr) (leave func(), ok bool) {
	peer, ok := peerOf(from)
	if !ok || p.limit == 0 {
		return func() {}, true
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.open[peer] >= p.limit {
		return nil, false
	}
	p.open[peer]++
	return sync.OnceFunc(func() {
		p.mu.Lock()
		defer p.mu.Unlock()
		if p.open[peer]--; p.open[peer] == 0 {
			delete(p.open, peer)
		}
	}), true
}

// peerOf returns the peer at an address. ok is false if that is not an IP address.
func peerOf(from net.Addr) (peer netip.Prefix, ok bool) {
	address, ok := addressOf(from)
	const ipv6Bits = 64
	return netip.PrefixFrom(address, min(address.BitLen(), ipv6Bits)).Masked(), ok
}

// addressOf returns the IP address of a peer. ok is false if it has none.
func addressOf(peer net.Addr) (address netip.Addr, ok bool) {
	from, err := netip.ParseAddrPort(peer.String())
	return from.Addr().Unmap().WithZone(""), err == nil
}
