// Package forwarded decides what ZITADEL is told about where a request came from,
// and with that, which instance ZITADEL serves it for.
//
// ZITADEL looks for its instance under the first usable host of: its instance host
// headers (x-zitadel-instance-host by default), Forwarded, X-Zitadel-Forwarded,
// X-Forwarded-For (if it follows Forwarded's syntax), X-Forwarded-Host, and only
// then Host or :authority. The scheme of the issuer comes from the same headers and
// from X-Forwarded-Proto. So the adapter must not repeat in one of them the name by
// which a client happens to dial it.
package forwarded

import (
	"net/http"
	"net/netip"
	"strings"
)

// Policy says who is believed, and what is told. The zero Policy believes nobody,
// and tells only the clients' addresses.
type Policy struct {
	// Trusted are the proxies that are believed.
	Trusted TrustedProxies
	// TellHost says that ZITADEL learns which host and scheme the client used, and
	// so serves the instance of that name (upstream.host: client). Without it, what
	// goes upstream names no host and no scheme, and Host alone decides.
	TellHost bool
}

// These headers, in the order in which ZITADEL believes them, name a host or a
// scheme.
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

// gatewayHeaders are the same headers to grpc-gateway.
func gatewayHeaders() [5]string {
	const prefix = "Grpc-Metadata-"
	return [...]string{
		prefix + headerForwarded, prefix + headerZitadelForwarded,
		prefix + headerForwardedFor, prefix + headerForwardedHost, prefix + headerForwardedProto,
	}
}

// Adds is the number of headers that Apply may add to a request.
func (p Policy) Adds() int {
	if p.TellHost {
		return 4
	}
	return 2
}

// Apply makes the forwarded headers of a request those that go upstream: the
// addresses that trusted proxies name and the peer's own, and with TellHost the
// client's host and scheme. With TellHost, r.Host becomes the client's host too: a
// trusted proxy may have named another one than it sent as Host.
func (p Policy) Apply(r *http.Request) {
	peer := peerOf(r)
	var client origin
	if p.Trusted.Contain(peer) {
		client = readOrigin(r.Header)
	}
	for _, name := range Headers() {
		delete(r.Header, name)
	}
	for _, name := range gatewayHeaders() {
		delete(r.Header, name)
	}
	values := make([]string, 0, p.Adds())
	set := func(name, value string) {
		values = append(values, value)
		r.Header[name] = values[len(values)-1 : len(values) : len(values)]
	}
	address := ""
	addresses := append(make([]string, 0, 1), client.addresses...) // client's own would be on the heap
	if peer.IsValid() {
		address = peer.String()
		addresses = append(addresses, address)
	}
	if len(addresses) > 0 {
		set(headerForwardedFor, strings.Join(addresses, ", "))
	}
	path := append(make([]Element, 0, 1), client.path...)
	path = append(path, Element{For: node(peer, address)})
	if p.TellHost {
		if client.host != "" {
			r.Host = client.host
		}
		r.Host = plainPort(r.Host)
		if client.proto == "" {
			client.proto = schemeOf(r)
		}
		if isPlainHost(r.Host) { // an upstream is not asked under any other
			path[0].Host = r.Host
			set(headerForwardedHost, r.Host)
		}
		path[0].Proto = client.proto
		set(headerForwardedProto, client.proto)
	}
	set(headerForwarded, join(path))
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

// peerOf is the address at the other end of the connection, and the zero Addr for a
// Unix socket.
func peerOf(r *http.Request) netip.Addr {
	address, err := netip.ParseAddrPort(r.RemoteAddr)
	if err != nil {
		return netip.Addr{}
	}
	return address.Addr().Unmap().WithZone("")
}

func schemeOf(r *http.Request) string {
	if r.TLS != nil {
		return "https"
	}
	return "http"
}

// node is a peer with this address as RFC 7239 section 6 writes it.
func node(peer netip.Addr, address string) string {
	switch {
	case !peer.IsValid():
		return "unknown"
	case peer.Is6():
		return "[" + address + "]"
	}
	return address
}

// plainPort returns a host without what follows a port, as in "localhost:8088:1": ZITADEL's v1
// takes what stands before the first colon for the host, its v2 finds no instance.
func plainPort(host string) string {
	name, port, found := strings.Cut(host, ":")
	if !found || strings.HasPrefix(host, "[") {
		return host
	}
	port, _, _ = strings.Cut(port, ":")
	return name + ":" + port
}

// isPlainHost reports whether a host cannot be taken for more than one, or for
// other parameters, in a header that is a list: net/http lets commas, semicolons and
// equals signs through, and over HTTP/2 any text (corpus of FuzzApply).
func isPlainHost(host string) bool {
	const plain = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-._~%:[]"
	return host != "" && strings.Trim(host, plain) == ""
}
