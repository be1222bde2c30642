package adapter

import (
	"fmt"
	"net/http"
	"net/netip"
	"slices"
	"strings"
)

// TrustedProxies are the peers whose word on where a request came from is taken.
// The zero TrustedProxies trusts nobody.
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
		if mapped := network.Addr(); mapped.Is4In6() && network.Bits() >= 96 { // peers are not written so
			network = netip.PrefixFrom(mapped.Unmap(), network.Bits()-96)
		}
		trusted.networks = append(trusted.networks, network.Masked())
	}
	return trusted, nil
}

func (t TrustedProxies) contains(peer netip.Addr) bool {
	if !peer.IsValid() {
		return t.unix
	}
	return slices.ContainsFunc(t.networks, func(network netip.Prefix) bool { return network.Contains(peer) })
}

// forwardedHeaders tell an upstream what its peer, which is the adapter, knows of
// the client: RFC 7239's one header, and the three from before it.
func forwardedHeaders() [4]string {
	return [...]string{"Forwarded", "X-Forwarded-For", "X-Forwarded-Host", "X-Forwarded-Proto"}
}

// apply makes a request's forwarded headers true: what a trusted proxy said is
// kept and the proxy added, what anybody else said is replaced.
func (t TrustedProxies) apply(r *http.Request) {
	var peer netip.Addr // none for a Unix socket
	if address, err := netip.ParseAddrPort(r.RemoteAddr); err == nil {
		peer = address.Addr().Unmap().WithZone("")
	}
	if !t.contains(peer) {
		for _, name := range forwardedHeaders() {
			delete(r.Header, name)
			delete(r.Header, "Grpc-Metadata-"+name) // the same to grpc-gateway
		}
	}
	proto := "http"
	if r.TLS != nil {
		proto = "https"
	}
	host := r.Host
	if !isPlainHost(host) {
		host = ""
	}
	if peer.IsValid() {
		appendElement(r.Header, "X-Forwarded-For", peer.String())
	}
	setIfAbsent(r.Header, "X-Forwarded-Proto", proto)
	if host != "" {
		setIfAbsent(r.Header, "X-Forwarded-Host", host)
	}
	appendElement(r.Header, "Forwarded", forwardedElement(peer, host, proto))
}

// isPlainHost reports whether a Host cannot be taken for more than one, or for other
// parameters, where it is put into a list: net/http lets commas, semicolons and equals
// signs through, and over HTTP/2 any text (corpus of FuzzForwarded).
func isPlainHost(host string) bool {
	const plain = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-._~%:[]"
	return host != "" && strings.Trim(host, plain) == ""
}

// forwardedElement is one element of a Forwarded header (RFC 7239 section 4).
func forwardedElement(peer netip.Addr, host, proto string) string {
	node := "unknown"
	switch {
	case peer.Is6():
		node = `"[` + peer.String() + `]"`
	case peer.IsValid():
		node = peer.String()
	}
	element := "for=" + node
	if host != "" {
		element += `;host="` + host + `"`
	}
	return element + ";proto=" + proto
}

// appendElement appends to a header that is a list.
func appendElement(header http.Header, name, element string) {
	if before := header[name]; len(before) > 0 {
		element = strings.Join(before, ", ") + ", " + element
	}
	header[name] = []string{element}
}

func setIfAbsent(header http.Header, name, value string) {
	if len(header[name]) == 0 {
		header[name] = []string{value}
	}
}
