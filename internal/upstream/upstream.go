// Package upstream says where ZITADEL is, under which name it is asked, and how
// bytes get there.
package upstream

import (
	"crypto/tls"
	"fmt"
	"net/url"
	"strings"
	"unicode"

	"golang.org/x/net/http/httpguts"
	"golang.org/x/net/idna"
)

// The two values of Config.Host that are not names.
const (
	HostUpstream = "upstream"
	HostClient   = "client"
)

// Config says where ZITADEL is.
type Config struct {
	// URL is ZITADEL's base URL: http or https, a host, at most a path, no
	// user, query or fragment; or unix:/path of a socket, without TLS.
	URL string
	// Host is sent as Host (:authority), by which ZITADEL finds its instance:
	// HostUpstream for the URL's ("localhost" for a socket), HostClient for the
	// one the client sent, or a name.
	Host string
	TLS  TLS
}

// Upstream is a checked Config, and what is known of the addresses of its host. It
// is safe for concurrent use.
type Upstream struct {
	base   *url.URL
	socket string // path of a Unix socket, or ""
	host   string
	tls    *tls.Config // nil: the system's CAs and no client certificate
	book   *book       // nil: the upstream is no host name

	connect connectFunc // nil: to the real world
}

// New checks config and reads its files; it does not connect. Errors name the
// configuration key, its value, and what would be right.
func New(config Config) (*Upstream, error) {
	u := &Upstream{host: config.Host}
	var err error
	if u.base, u.socket, err = parse(config.URL); err != nil {
		return nil, err
	}
	if config.Host == "" || !httpguts.ValidHostHeader(config.Host) || strings.ContainsAny(config.Host, "/ \t") {
		return nil, fmt.Errorf("upstream.host: %q: use %q, %q, or a host name such as \"zitadel.example.com\"", config.Host, HostUpstream, HostClient)
	}
	if u.tls, err = config.TLS.load(); err != nil {
		return nil, err
	}
	if u.tls != nil && u.base.Scheme != "https" {
		return nil, fmt.Errorf("upstream.tls: has no effect with upstream.url %q: use an https:// URL or leave upstream.tls out", config.URL)
	}
	if u.socket == "" {
		u.book = newBook(dialedHost(u.base))
	}
	return u, nil
}

// parse checks upstream.url.
func parse(raw string) (base *url.URL, socket string, err error) {
	const hint = `use the base URL of ZITADEL, such as "https://zitadel.example.com", or "unix:/path/of/a.sock"`
	if raw == "" {
		return nil, "", fmt.Errorf("upstream.url: missing: %s", hint)
	}
	if path, ok := strings.CutPrefix(raw, "unix:"); ok {
		if !strings.HasPrefix(path, "/") {
			return nil, "", fmt.Errorf("upstream.url: %q: %s", raw, hint)
		}
		return &url.URL{Scheme: "http", Host: "localhost"}, path, nil
	}
	base, err = url.Parse(raw)
	if err != nil {
		return nil, "", fmt.Errorf("upstream.url: not a URL: %s", hint) // the value may hold a password
	}
	if base.User != nil {
		return nil, "", fmt.Errorf("upstream.url: %q holds credentials: the adapter has none of its own, %s", base.Redacted(), hint)
	}
	if (base.Scheme != "http" && base.Scheme != "https") || base.Host == "" || base.RawQuery != "" || base.ForceQuery || base.Fragment != "" {
		if strings.ContainsAny(raw, "@?") { // there may be a secret in it
			return nil, "", fmt.Errorf("upstream.url: without user and query, and with http:// or https://: %s", hint)
		}
		return nil, "", fmt.Errorf("upstream.url: %q: %s", raw, hint)
	}
	base.Path, base.RawPath = strings.TrimRight(base.Path, "/"), strings.TrimRight(base.RawPath, "/")
	return base, "", nil
}

// dialedHost is the host of a URL as net/http dials it.
func dialedHost(base *url.URL) string {
	host := base.Hostname()
	if !strings.ContainsFunc(host, func(c rune) bool { return c > unicode.MaxASCII }) {
		return host
	}
	if ascii, err := idna.Lookup.ToASCII(host); err == nil {
		return ascii
	}
	return host
}

// Base is the base URL, http or https, without a slash at its end; for a socket
// it names localhost. The caller must not change it.
func (u *Upstream) Base() *url.URL { return u.base }

// maxHostBytes is the length of the longest host name (RFC 1035 section 2.3.4), and a
// port.
const maxHostBytes = 253 + len(":65535")

// HostFor is the Host to send on behalf of a client that sent clientHost. It is
// false if that is to be sent and is no host: over HTTP/2 a client may call any
// text its :authority.
func (u *Upstream) HostFor(clientHost string) (host string, ok bool) {
	switch u.host {
	case HostUpstream:
		return u.base.Host, true
	case HostClient:
		return clientHost, clientHost != "" && len(clientHost) <= maxHostBytes && httpguts.ValidHostHeader(clientHost)
	default:
		return u.host, true
	}
}

// HostByClient reports whether clients say which Host is sent.
func (u *Upstream) HostByClient() bool { return u.host == HostClient }
