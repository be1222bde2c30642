package listener

import (
	"net"
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
