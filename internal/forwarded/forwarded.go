// Package forwarded decides what ZITADEL is told about where a request came from, and with that,
// which instance ZITADEL serves it for.
//
// ZITADEL looks for its instance under the first usable host of: its instance host headers
// (x-zitadel-instance-host by default), Forwarded, X-Zitadel-Forwarded, X-Forwarded-For (if it
// follows Forwarded's syntax), X-Forwarded-Host, and only then Host or :authority. The issuer's
// scheme comes from the same headers and X-Forwarded-Proto. So the adapter must not repeat in one
// of them the name by which a client happens to dial it.
package forwarded

import (
	"cmp"
	"errors"
	"fmt"
	"net/http"
	"net/netip"
	"slices"
	"strings"
)

// Policy says which proxies are trusted, and what is forwarded. The zero Policy trusts
// none, and forwards only the clients' addresses.
type Policy struct {
	// Trusted are the proxies that are believed.
	Trusted TrustedProxies
	// TellHost says that ZITADEL learns which host and scheme the client used, and so serves that
	// instance (upstream.host: client). Without it, Host alone decides.
	TellHost bool
}

// TrustedProxies are the peers that are believed about where a request came from. The zero
// TrustedProxies trusts nobody.
type TrustedProxies struct {
	networks []netip.Prefix
	unix     bool
}

// ParseTrustedProxies reads addresses, networks in CIDR notation, and "unix" for peers on a Unix
// socket. The error names the configuration key and the value.
func ParseTrustedProxies(list []string) (TrustedProxies, error) {
	var trusted TrustedProxies
	var mistakes []error
	for _, text := range list {
		if text == "unix" {
			trusted.unix = true
			continue
		}
		network, err := netip.ParsePrefix(text)
		if err != nil {
			address, addressErr := netip.ParseAddr(text)
			if addressErr != nil {
				mistakes = append(mistakes, fmt.Errorf(`server.trustedProxies: %q: use an address, a network such as "10.0.0.0/8", or "unix"`, text))
				continue
			}
			network = netip.PrefixFrom(address, address.BitLen())
		}
		if mapped := network.Addr(); mapped.Is4In6() && network.Bits() >= 96 { // Contain compares IPv4 peers as IPv4
			network = netip.PrefixFrom(mapped.Unmap(), network.Bits()-96)
		}
		trusted.networks = append(trusted.networks, network.Masked())
	}
	return trusted, errors.Join(mistakes...)
}

// Contain reports whether a peer is trusted. The zero Addr is a peer on a Unix socket.
func (t TrustedProxies) Contain(peer netip.Addr) bool {
	if !peer.IsValid() {
		return t.unix
	}
	return slices.ContainsFunc(t.networks, func(network netip.Prefix) bool { return network.Contains(peer) })
}

// These headers, in the order in which ZITADEL believes them, name a host or a scheme.
const (
	headerForwarded        = "Forwarded"
	headerZitadelForwarded = "X-Zitadel-Forwarded"
	headerForwardedFor     = "X-Forwarded-For"
	headerForwardedHost    = "X-Forwarded-Host"
	headerForwardedProto   = "X-Forwarded-Proto"
)

// Headers are the canonical names of all headers that a Policy decides.
func Headers() [5]string {
	return [...]string{headerForwarded, headerZitadelForwarded, headerForwardedFor, headerForwardedHost, headerForwardedProto}
}

// Apply makes the forwarded headers of a request those that go upstream: the addresses that
// trusted proxies name and the peer's own, and with TellHost the client's host, as r.Host too,
// and scheme.
func (p Policy) Apply(r *http.Request) {
	peer := peerOf(r)
	var client origin
	if p.Trusted.Contain(peer) {
		client = readOrigin(r.Header)
	}
	for _, name := range Headers() {
		delete(r.Header, name)
		delete(r.Header, "Grpc-Metadata-"+name) // the same to grpc-gateway
	}
	if peer.IsValid() {
		client.addresses = append(client.addresses, peer.String())
	}
	if len(client.addresses) > 0 {
		r.Header.Set(headerForwardedFor, strings.Join(client.addresses, ", "))
	}
	client.path = append(client.path, Element{For: node(peer)})
	if p.TellHost {
		r.Host = plainPort(cmp.Or(client.host, r.Host))
		if isPlainHost(r.Host) { // an upstream is not asked under any other
			client.path[0].Host = r.Host
			r.Header.Set(headerForwardedHost, r.Host)
		}
		if client.path[0].Proto = cmp.Or(client.proto, "http"); client.proto == "" && r.TLS != nil {
			client.path[0].Proto = "https"
		}
		r.Header.Set(headerForwardedProto, client.path[0].Proto)
	}
	elements := make([]string, len(client.path))
	for i, element := range client.path {
		elements[i] = element.String()
	}
	r.Header.Set(headerForwarded, strings.Join(elements, ", "))
}

// origin is what trusted proxies say of where a request came from.
type origin struct {
	addresses []string  // of X-Forwarded-For
	path      []Element // of Forwarded, without hosts and schemes
	host      string    // the one that ZITADEL would believe
	proto     string    // same
}

// readOrigin reads the headers of a trusted proxy as ZITADEL would.
func readOrigin(header http.Header) origin {
	var from origin
	for _, name := range [...]string{headerForwarded, headerZitadelForwarded, headerForwardedFor} {
		elements, _ := Parse(header[name])
		for _, element := range elements {
			from.believe(element.Host, element.Proto)
			if name == headerForwarded && element.For != "" {
				from.path = append(from.path, Element{For: element.For})
			}
		}
	}
	host, _, _ := strings.Cut(header.Get(headerForwardedHost), ",") // some proxies append theirs
	proto, _, _ := strings.Cut(header.Get(headerForwardedProto), ",")
	from.believe(strings.TrimSpace(host), strings.TrimSpace(proto))
	for _, list := range header[headerForwardedFor] {
		for address := range strings.SplitSeq(list, ",") {
			// With "=" it would be Forwarded's syntax, and might name a host.
			if address = strings.TrimSpace(address); address != "" && !strings.Contains(address, "=") {
				from.addresses = append(from.addresses, address)
			}
		}
	}
	return from
}

// believe keeps the first usable host and scheme.
func (o *origin) believe(host, proto string) {
	if o.host == "" && isPlainHost(host) {
		o.host = host
	}
	if o.proto == "" && (proto == "http" || proto == "https") {
		o.proto = proto
	}
}

// peerOf is the address at the other end of the connection; the zero Addr is a Unix socket.
func peerOf(r *http.Request) netip.Addr {
	address, err := netip.ParseAddrPort(r.RemoteAddr)
	if err != nil {
		return netip.Addr{}
	}
	return address.Addr().Unmap().WithZone("")
}

// node is a peer as RFC 7239 section 6 writes it.
func node(peer netip.Addr) string {
	switch {
	case !peer.IsValid():
		return "unknown"
	case peer.Is6():
		return "[" + peer.String() + "]"
	}
	return peer.String()
}

// plainPort returns a host without what follows a port, as in "localhost:8088:1": ZITADEL's v1
// takes what stands before the first colon for the host, its v2 finds no instance.
func plainPort(host string) string {
	if parts := strings.SplitN(host, ":", 3); len(parts) == 3 && host[0] != '[' {
		return parts[0] + ":" + parts[1]
	}
	return host
}

// isPlainHost reports whether a host in a list cannot be taken for two, or for other parameters:
// net/http lets commas, semicolons and equals signs through, over HTTP/2 any text.
func isPlainHost(host string) bool {
	const plain = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-._~%:[]"
	return host != "" && strings.Trim(host, plain) == ""
}
