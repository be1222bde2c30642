// Package upstream connects to ZITADEL: its address, the Host that requests carry,
// TLS, and an HTTP transport that follows changes of DNS, detects dead peers, and
// never sends a request twice that may already have been handled.
package upstream

import (
	"cmp"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/url"
	"strconv"
	"strings"
	"sync/atomic"

	"golang.org/x/net/http/httpguts"
	"golang.org/x/net/idna"

	"zitadel-v1-adapter/internal/pemfile"
)

// The two values of Config.Host that are not host names.
const (
	// HostUpstream sends the host of Config.URL.
	HostUpstream = "upstream"
	// HostClient sends the Host that the client sent.
	HostClient = "client"
)

// Config says where ZITADEL is and how to connect to it.
type Config struct {
	// URL is ZITADEL's base URL: http or https, a host, optionally a path, but no user,
	// query or fragment. Or unix:/path, the absolute path of a Unix socket, without TLS.
	URL string
	// Host is sent as Host (HTTP/2: :authority), by which ZITADEL selects its
	// instance: HostUpstream for the URL's host ("localhost" for a socket),
	// HostClient for the one that the client sent, or a fixed host name.
	Host string
	// TLS configures certificates; only for an https URL.
	TLS TLS
}

// Upstream is a validated Config together with the addresses of its host. It is safe
// for concurrent use.
type Upstream struct {
	base      *url.URL
	socket    string // path of a Unix socket, or ""
	host      string
	tls       *tls.Config // nil: the system's CAs and no client certificate
	addresses *addressSet // not used if the upstream is not a host name

	notHTTP2 atomic.Pointer[NotHTTP2Error] // see http2Conn

	connect func(smallRequests bool) connectFunc // newConnect, but in tests
}

// New validates config and reads the certificate files; it does not connect. Errors
// name the configuration key, its value and what would be valid, but never repeat a
// password or query.
func New(config Config) (*Upstream, error) {
	u := &Upstream{host: config.Host, connect: newConnect}
	var urlErr, hostErr, tlsErr error
	u.base, u.socket, urlErr = parse(config.URL)
	if config.Host == "" || !httpguts.ValidHostHeader(config.Host) || strings.ContainsAny(config.Host, "/ \t") {
		hostErr = fmt.Errorf("upstream.host: %q: use %q, %q, or a host name such as \"zitadel.example.com\"", config.Host, HostUpstream, HostClient)
	}
	u.tls, tlsErr = config.TLS.load()
	if u.tls != nil && urlErr == nil && u.base.Scheme != "https" {
		tlsErr = fmt.Errorf("upstream.tls: has no effect with upstream.url %q: use an https:// URL or leave upstream.tls out", config.URL)
	}
	if err := errors.Join(urlErr, hostErr, tlsErr); err != nil {
		return nil, err
	}
	u.addresses = newAddressSet(dialedHost(u.base))
	return u, nil
}

// Address is where a URL that New takes leads: host:port, or unix:/path.
func Address(raw string) string {
	base, socket, err := parse(raw)
	if err != nil || socket != "" {
		return raw
	}
	return net.JoinHostPort(base.Hostname(), cmp.Or(base.Port(), map[string]string{"http": "80", "https": "443"}[base.Scheme]))
}

// parse validates the value of upstream.url.
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
		return nil, "", fmt.Errorf("upstream.url: not a URL: %s", hint) // the value may contain a password
	}
	if base.User != nil {
		return nil, "", fmt.Errorf("upstream.url: %q holds credentials: the adapter has none of its own, %s", base.Redacted(), hint)
	}
	if (base.Scheme != "http" && base.Scheme != "https") || base.Host == "" || base.RawQuery != "" || base.ForceQuery || base.Fragment != "" {
		if strings.ContainsAny(raw, "@?") { // it may contain a secret
			return nil, "", fmt.Errorf("upstream.url: without user and query, and with http:// or https://: %s", hint)
		}
		return nil, "", fmt.Errorf("upstream.url: %q: %s", raw, hint)
	}
	if _, err := strconv.ParseUint(cmp.Or(base.Port(), "0"), 10, 16); err != nil {
		return nil, "", fmt.Errorf("upstream.url: %q: a port is at most 65535: %s", raw, hint)
	}
	base.Path, base.RawPath = strings.TrimRight(base.Path, "/"), strings.TrimRight(base.RawPath, "/")
	return base, "", nil
}

// dialedHost returns the host of a URL as net/http dials it: international names in
// their ASCII form.
func dialedHost(base *url.URL) string {
	host := base.Hostname()
	if ascii, err := idna.Lookup.ToASCII(host); err == nil && !strings.EqualFold(ascii, host) { // net/http keeps the case
		return ascii
	}
	return host
}

// Base returns the base URL, http or https, without a trailing slash; for a Unix
// socket, http://localhost. The caller must not change it.
func (u *Upstream) Base() *url.URL { return u.base }

// maxHostBytes is the length of the longest host name (RFC 1035 section 2.3.4) with a port.
const maxHostBytes = 253 + len(":65535")

// HostFor returns the Host to send on behalf of a client that sent clientHost. A client that
// sent none is ZITADEL's own, as it is to ZITADEL's gateway. ok is false if clientHost would have
// to be sent but is not a valid host of at most 259 bytes: over HTTP/2, a client may send any
// text as :authority.
func (u *Upstream) HostFor(clientHost string) (host string, ok bool) {
	switch u.host {
	case HostUpstream:
		return u.base.Host, true
	case HostClient:
		return cmp.Or(clientHost, u.base.Host), len(clientHost) <= maxHostBytes && httpguts.ValidHostHeader(clientHost)
	default:
		return u.host, true
	}
}

// HostByClient reports whether the Host that a client sent is sent on (HostClient).
func (u *Upstream) HostByClient() bool { return u.host == HostClient }

// TLS configures the certificates of an https:// upstream, in PEM. The zero value trusts the
// system's CAs and sends no client certificate. The minimum is TLS 1.2.
type TLS struct {
	CAFile     string `yaml:"caFile"`     // CA certificates to trust instead of the system's
	CertFile   string `yaml:"certFile"`   // the client certificate, sent if the upstream asks for one
	KeyFile    string `yaml:"keyFile"`    // its key; set both or neither
	ServerName string `yaml:"serverName"` // in the upstream's certificate, and the SNI; default: the URL's host
}

// Files returns the paths; "" stands for one that is not set. When the content of one of them changes,
// make a new Upstream: an existing one keeps the certificates it was made with.
func (t TLS) Files() []string {
	return []string{t.CAFile, t.CertFile, t.KeyFile}
}

// load reads the files. It returns nil for the zero TLS.
func (t TLS) load() (*tls.Config, error) {
	if t == (TLS{}) {
		return nil, nil //nolint:nilnil // nil is crypto/tls's default configuration
	}
	config := &tls.Config{MinVersion: tls.VersionTLS12, ServerName: t.ServerName}
	if t.CAFile != "" {
		var err error
		if config.RootCAs, err = pemfile.Pool("upstream.tls.caFile", t.CAFile); err != nil {
			return nil, err
		}
	}
	if (t.CertFile == "") != (t.KeyFile == "") {
		return nil, errors.New("upstream.tls.certFile, upstream.tls.keyFile: one is set without the other: set both or neither")
	}
	if t.CertFile != "" {
		certificate, err := pemfile.Pair("upstream.tls.certFile", t.CertFile, t.KeyFile)
		if err != nil {
			return nil, err
		}
		config.Certificates = []tls.Certificate{certificate}
	}
	return config, nil
}
