package forwarded

import (
	"fmt"
	"net/netip"
	"slices"
)

// TrustedProxies are the peers that are believed when they say where a request
// came from. The zero TrustedProxies trusts nobody.
type TrustedProxies struct {
	networks []netip.Prefix
	unix     bool
}

// trustUnix, among trusted proxies, means peers on a Unix socket.
const trustUnix = "unix"

// ParseTrustedProxies reads addresses, networks in CIDR notation, and "unix" for
// peers on a Unix socket. The error names the configuration key and the value.
func ParseTrustedProxies(list []string) (TrustedProxies, error) {
	var trusted TrustedProxies
	for _, text := range list {
		if text == trustUnix {
			trusted.unix = true
			continue
		}
		network, err := netip.ParsePrefix(text)
		if err != nil {
			address, addressErr := netip.ParseAddr(text)
			if addressErr != nil {
				return TrustedProxies{}, fmt.Errorf(`server.trustedProxies: %q: use an address, a network such as "10.0.0.0/8", or "unix"`, text)
			}
			network = netip.PrefixFrom(address, address.BitLen())
		}
		if mapped := network.Addr(); mapped.Is4In6() && network.Bits() >= 96 { // Contain compares IPv4 peers as IPv4
			network = netip.PrefixFrom(mapped.Unmap(), network.Bits()-96)
		}
		trusted.networks = append(trusted.networks, network.Masked())
	}
	return trusted, nil
}

// Contain reports whether a peer is trusted. The zero Addr is a peer on a Unix socket.
func (t TrustedProxies) Contain(peer netip.Addr) bool {
	if !peer.IsValid() {
		return t.unix
	}
	return slices.ContainsFunc(t.networks, func(network netip.Prefix) bool { return network.Contains(peer) })
}
