package check

import (
	"cmp"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/http/httptrace"
	"slices"
	"sync/atomic"
	"syscall"
	"time"

	"zitadel-v1-adapter/internal/ingress"
	"zitadel-v1-adapter/internal/upstream"
)

// discovery asks for the instance and its issuer.
const discovery = "GET /.well-known/openid-configuration"

// checkInstances looks for the instance that clients reach under each name that they may dial.
// All else is checked as a client of the first name that works.
func (c *checker) checkInstances(ctx context.Context) {
	hosts := c.hosts()
	first, err := c.checkConnection(ctx, hosts[0])
	if err != nil {
		return
	}
	if first.Header.Get(ingress.ViaHeader) != "" {
		c.add("upstream.url is an adapter", result(Failed, first.client.Host+" is answered by a zitadel-v1-adapter",
			"set upstream.url to ZITADEL's own address"))
		return
	}
	var own string // the issuer under the name in upstream.url; "": ZITADEL does not know that name
	if got, err := c.ask(ctx, &http.Request{Host: c.Upstream.Base().Host, Header: http.Header{}}, discovery, "", nil); err == nil {
		own = got.issuer()
	}
	byClient := c.Upstream.HostByClient()
	if byClient && c.Host == "" && dialed(c.Settings.Server.Listen) == "" {
		c.add("instance, for clients", result(Skipped, fmt.Sprintf("server.listen %q does not say what clients dial", c.Settings.Server.Listen),
			"with upstream.host: client, ZITADEL must know it: check with --host NAME"))
	}
	for i, host := range hosts {
		name, found := "instance, for all clients", first
		if byClient {
			name = "instance, for clients of " + host
		}
		if i > 0 {
			if found, err = c.discover(ctx, host); err != nil {
				c.add(name, result(Failed, err.Error(), ""))
				continue
			}
		}
		c.add(name, c.checkInstance(found, own))
		if c.client == nil && found.issuer() != "" {
			c.client = found.client
		}
	}
	if c.client != nil {
		c.add("clock", checkClock(first.Header.Get("Date")))
	}
}

// hosts are those that clients may dial, as far as that matters.
func (c *checker) hosts() []string {
	base := c.Upstream.Base().Host
	hosts := slices.Compact([]string{cmp.Or(c.Host, dialed(c.Settings.Server.Listen), base), cmp.Or(c.Host, base)})
	if !c.Upstream.HostByClient() {
		return hosts[:1]
	}
	return hosts
}

// dialed is a listen address as a client dials it; "" if that cannot be told: a socket,
// or all addresses of the machine.
func dialed(listen string) string {
	host, _, err := net.SplitHostPort(listen)
	if err != nil || host == "" || net.ParseIP(host).IsUnspecified() {
		return ""
	}
	return listen
}

// discover asks for the instance of a client that dials host, with the Host and the headers
// that the adapter would send for it.
func (c *checker) discover(ctx context.Context, host string) (answer, error) {
	client := &http.Request{Host: host, Header: http.Header{}, RemoteAddr: "127.0.0.1:0"}
	if c.Settings.Server.TLS.Files().Enabled() {
		client.TLS = new(tls.ConnectionState)
	}
	c.Forwarding.Apply(client)
	var ok bool
	if client.Host, ok = c.Upstream.HostFor(client.Host); !ok {
		return answer{}, fmt.Errorf("clients cannot send %q as Host: name what they dial with --host NAME", host)
	}
	return c.ask(ctx, client, discovery, "", nil)
}

// checkInstance judges what the clients of one host find; own is the issuer under the name in
// upstream.url.
func (c *checker) checkInstance(found answer, own string) Result {
	detail, issuer := "host "+found.client.Host, found.issuer()
	if issuer == "" {
		text := found.String()
		if found.isProxys() {
			text = found.byProxy()
		}
		return result(Failed, detail+": "+text, c.instanceHint(found))
	}
	detail += ", issuer " + issuer
	if own == "" || own == issuer {
		return result(OK, detail, "")
	}
	detail += " (under upstream.url's own name: " + own + ")"
	if !c.Upstream.HostByClient() {
		return result(OK, detail, "")
	}
	return result(Warning, detail, "tokens name the issuer under which they were made, and applications that pin the other one refuse them: "+
		"set upstream.host: upstream to keep the upstream's; if only the scheme differs, list the proxy that ends TLS in server.trustedProxies")
}

// checkConnection makes the first request, for a client that dials host, and adds what it
// tells of the way to the upstream. The error has been added.
func (c *checker) checkConnection(ctx context.Context, host string) (answer, error) {
	// Dials may go on after the request has ended.
	var connected atomic.Value // string
	var shaken atomic.Pointer[tls.ConnectionState]
	got, err := c.discover(httptrace.WithClientTrace(ctx, &httptrace.ClientTrace{
		ConnectDone: func(network, address string, err error) {
			if err == nil && network != "udp" { // by which names are resolved
				connected.Store(network + " " + address)
			}
		},
		TLSHandshakeDone: func(state tls.ConnectionState, err error) {
			if err == nil {
				shaken.Store(&state)
			}
		},
	}), host)
	if err != nil && upstream.IsDial(err) {
		c.add("upstream reachable", result(Failed, err.Error(), connectionHint(err)))
		return got, err
	}
	address, _ := connected.Load().(string)
	c.add("upstream reachable", result(OK, address, ""))
	hint := "is this an HTTP port? If it speaks TLS, use an https:// URL"
	switch state := shaken.Load(); {
	case c.Upstream.Base().Scheme != "https":
		c.add("TLS", result(Skipped, "upstream.url has none: passwords pass in plain text", ""))
	case state == nil:
		c.add("TLS", result(Failed, err.Error(), connectionHint(err)))
		return got, err
	default:
		leaf := state.PeerCertificates[0]
		c.add("TLS", result(OK, fmt.Sprintf("%s, certificate of %s until %s",
			tls.VersionName(state.Version), leaf.Subject, leaf.NotAfter.Format(time.DateOnly)), ""))
		// TLS 1.3 tells a client only after the handshake.
		hint = "does ZITADEL ask for a client certificate? Set upstream.tls.certFile and upstream.tls.keyFile"
	}
	if err != nil {
		if isHang(err) {
			hint = hintHang
		}
		c.add("answer", result(Failed, err.Error(), hint))
	}
	return got, err
}

// hintHang is about what takes a request, and does not answer while there is time.
const hintHang = "it takes connections and does not answer: is ZITADEL still starting, out of processors, or waiting for its database? " +
	"If this is another program's port, set upstream.url to ZITADEL's; --timeout waits longer"

// isHang reports whether an answer did not come in time.
func isHang(err error) bool {
	late, isNet := errors.AsType[net.Error](err)
	return (errors.Is(err, context.DeadlineExceeded) || isNet && late.Timeout()) && !upstream.IsDial(err)
}

// connectionHint says what to do about a connection that was not made.
func connectionHint(err error) string {
	unknown, isUnknown := errors.AsType[*net.DNSError](err)
	invalid, isInvalid := errors.AsType[x509.CertificateInvalidError](err)
	switch {
	case isUnknown && unknown.IsNotFound:
		return "does upstream.url have the right name, and does it resolve on this machine, or in this pod?"
	case errors.Is(err, syscall.ECONNREFUSED):
		return "is ZITADEL running, and does upstream.url have the right port?"
	case upstream.IsDial(err):
		return "is upstream.url right, and does a firewall or network policy let this through?"
	case isHang(err):
		return hintHang
	case errors.As(err, new(x509.UnknownAuthorityError)):
		return "set upstream.tls.caFile to the CA that signed ZITADEL's certificate"
	case errors.As(err, new(x509.HostnameError)):
		return "set upstream.tls.serverName to a name that is in ZITADEL's certificate"
	case isInvalid && invalid.Reason == x509.Expired:
		return "renew ZITADEL's certificate, or mend the clock here"
	case errors.As(err, new(tls.RecordHeaderError)):
		return "this port does not speak TLS: use an http:// URL"
	case errors.As(err, new(*net.OpError)):
		return "if ZITADEL asks for a client certificate, set upstream.tls.certFile and upstream.tls.keyFile"
	}
	return "is this ZITADEL's port, and does it speak TLS 1.2 or later?"
}
