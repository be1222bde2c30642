package listener

import (
	"net"
	"net/netip"
	"testing"
)

// A peer is identified by its IPv4 address, or by the /64 of its IPv6 address.
func TestPeerIsIPv4AddressOrIPv6Prefix(t *testing.T) {
	t.Parallel()
	for address, want := range map[string]string{
		"192.0.2.1:1":              "192.0.2.1/32",
		"[::ffff:192.0.2.1]:1":     "192.0.2.1/32",
		"[2001:db8:1:2:3:4:5:6]:1": "2001:db8:1:2::/64",
		"[2001:db8:1:2:9::1]:2":    "2001:db8:1:2::/64",
		"[fe80::1%lo]:1":           "fe80::/64",
		"@":                        "",
	} {
		var from net.Addr = &net.UnixAddr{Name: address}
		if tcp, err := net.ResolveTCPAddr("tcp", address); err == nil {
			from = tcp
		}
		peer, ok := peerOf(from)
		if got := peer.String(); ok != (want != "") || ok && got != want {
			t.Errorf("%s: got %s, %v, want %q", address, got, ok, want)
		}
	}
}

// A peer is forgotten with its last connection, however that ends: strangers with many addresses must not fill the
// memory. One that was refused leaves nothing either.
func TestPeersWithoutConnectionsAreForgotten(t *testing.T) {
	t.Parallel()
	const limit, addresses = 2, 100
	l := &peers{limit: limit, open: map[netip.Prefix]int{}}
	leaves := make([]func(), 0, limit*addresses)
	for n := range byte(addresses) {
		from := net.TCPAddrFromAddrPort(netip.AddrPortFrom(netip.AddrFrom4([4]byte{192, 0, 2, n}), 1))
		for range limit {
			leave, ok := l.admit(from)
			if !ok {
				t.Fatalf("%v was refused, want %d connections", from, limit)
			}
			leaves = append(leaves, leave)
		}
		if _, ok := l.admit(from); ok {
			t.Errorf("%v has more than %d connections", from, limit)
		}
	}
	if len(l.open) != addresses {
		t.Errorf("got %d peers, want %d", len(l.open), addresses)
	}
	for _, leave := range leaves {
		leave()
		leave() // Close may come more than once
	}
	if len(l.open) != 0 {
		t.Errorf("got %d peers after the last connection, want none", len(l.open))
	}
}
