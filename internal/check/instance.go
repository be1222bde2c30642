package check

import (
	"context"
	"crypto/tls"
	"encoding/json"
	"fmt"
	"net"
	"net/http"

	"zitadel-v1-adapter/internal/ingress"
)

const discoveryPath = "/.well-known/openid-configuration"

// discovered is what a client that dials one host finds.
type discovered struct {
	client *http.Request // what reaches ZITADEL for it, as far as its headers say
	issuer string        // "" if ZITADEL does not know the instance
	answer answer
}

// as makes what the adapter makes of a client's request: the headers and the Host that
// go upstream for one that dials host.
func (c *checker) as(host string) (*http.Request, error) {
	client := &http.Request{Host: host, Header: http.Header{}, RemoteAddr: "127.0.0.1:0"}
	if c.TLS {
		client.TLS = new(tls.ConnectionState)
	}
	c.Forwarding.Apply(client)
	var ok bool
	if client.Host, ok = c.Upstream.HostFor(client.Host); !ok {
		return nil, fmt.Errorf("clients cannot send %q as Host: name what they dial with --host NAME", host)
	}
	return client, nil
}

// discover asks for the instance and its issuer.
func (c *checker) discover(ctx context.Context, client *http.Request) (discovered, error) {
	asking := &http.Request{Host: client.Host, Header: client.Header.Clone()}
	asking.Header.Set(ingress.ViaHeader, ingress.ViaQuestion)
	got, err := c.ask(ctx, asking, http.MethodGet, discoveryPath, "")
	if err != nil {
		return discovered{}, err
	}
	var document struct {
		Issuer string `json:"issuer"`
	}
	if got.code == http.StatusOK {
		_ = json.Unmarshal(got.body, &document) // what is no document has no issuer
	}
	return discovered{client, document.Issuer, got}, nil
}

// checkInstances looks for the instance as each of the hosts finds it, the first of
// which was found by the first request. All else is checked as a client of the first
// host that works.
func (c *checker) checkInstances(ctx context.Context, first discovered) {
	if first.answer.isAdapter() {
		c.add(Result{Name: nameItself, Status: Failed, Detail: first.client.Host + " is answered by a zitadel-v1-adapter", Hint: "set upstream.url to ZITADEL's own address"})
		return
	}
	own := c.ownIssuer(ctx)
	if !c.Upstream.HostByClient() {
		c.add(c.instance("instance, for all clients", first, own))
		if first.issuer != "" {
			c.client = first.client
		}
		return
	}
	hosts := c.hosts()
	if c.Host == "" && dialed(c.Listen) == "" {
		c.add(Result{
			Name: "instance, for clients", Status: Skipped, Detail: fmt.Sprintf("server.listen %q does not say what clients dial", c.Listen),
			Hint: "with upstream.host: client, ZITADEL must know it: check with --host NAME",
		})
	}
	for i, host := range hosts {
		found := first
		if i > 0 {
			client, err := c.as(host)
			if err == nil {
				found, err = c.discover(ctx, client)
			}
			if err != nil {
				c.add(Result{Name: "instance, for clients of " + host, Status: Failed, Detail: err.Error()})
				continue
			}
		}
		c.add(c.instance("instance, for clients of "+host, found, own))
		if c.client == nil && found.issuer != "" {
			c.client = found.client
		}
	}
}

// hosts are those that clients may dial.
func (c *checker) hosts() []string {
	if c.Host != "" {
		return []string{c.Host}
	}
	base := c.Upstream.Base().Host
	if beside := dialed(c.Listen); beside != "" && beside != base {
		return []string{beside, base}
	}
	return []string{base}
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

// ownIssuer is the issuer that the upstream has under the name in its URL; "" if it does
// not know that name.
func (c *checker) ownIssuer(ctx context.Context) string {
	own, err := c.discover(ctx, &http.Request{Host: c.Upstream.Base().Host, Header: http.Header{}})
	if err != nil {
		return ""
	}
	return own.issuer
}

// instance is the Result for the clients of one host.
func (c *checker) instance(name string, found discovered, own string) Result {
	byClient := c.Upstream.HostByClient()
	if found.issuer == "" && !found.answer.isUnknownInstance() {
		detail := found.answer.String()
		if found.answer.isProxys() {
			detail = found.answer.byProxy("GET " + discoveryPath)
		}
		return Result{Name: name, Status: Failed, Detail: fmt.Sprintf("host %s: %s", found.client.Host, detail), Hint: c.strangerHint(found.answer)}
	}
	if found.issuer == "" {
		hint := "set upstream.host to the name by which browsers reach ZITADEL, or to client if clients send it (then check with --host NAME)"
		if byClient {
			hint = "set upstream.host: upstream, and clients may dial any name; or keep client, and let them dial a name that ZITADEL knows"
		}
		return Result{
			Name: name, Status: Failed, Hint: hint,
			Detail: fmt.Sprintf("host %s: %s", found.client.Host, found.answer),
		}
	}
	result := Result{Name: name, Status: OK, Detail: fmt.Sprintf("host %s, issuer %s", found.client.Host, found.issuer)}
	if own == "" || own == found.issuer {
		return result
	}
	result.Detail += " (under upstream.url's own name: " + own + ")"
	if byClient {
		result.Status = Warning
		result.Hint = "tokens name the issuer under which they were made, and applications that pin the other one refuse them: " +
			"set upstream.host: upstream to keep the upstream's; if only the scheme differs, list the proxy that ends TLS in server.trustedProxies"
	}
	return result
}
