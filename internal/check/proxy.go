package check

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"strings"

	"zitadel-v1-adapter/internal/printable"
	"zitadel-v1-adapter/internal/upstream"
	"zitadel-v1-adapter/v2client"
)

// What a proxy in front of ZITADEL answers in its place: a firewall's page, a redirect to
// a login, a route that it does not have.

// byProxy says of an answer to a request that a proxy made it.
func (a answer) byProxy(request string) string {
	return fmt.Sprintf("to %s the proxy in front of ZITADEL answered HTTP %s", request, a)
}

// proxyHint says what to do about a proxy's answer.
func (a answer) proxyHint(request string) string {
	letPass := "let it pass " + request + ", or set upstream.url to ZITADEL itself"
	switch a.code {
	case http.StatusUnauthorized, http.StatusForbidden:
		return "a firewall (WAF) or a login in the proxy refuses this: " + letPass
	case http.StatusNotFound, http.StatusMethodNotAllowed, http.StatusNotImplemented:
		return "the proxy has no route for this: " + letPass
	case http.StatusRequestEntityTooLarge, http.StatusRequestURITooLong, http.StatusRequestHeaderFieldsTooLarge:
		return "the proxy takes no request or header of this size: raise its limit, or set upstream.url to ZITADEL itself"
	case http.StatusMisdirectedRequest:
		return "the proxy does not serve this name on this connection: set upstream.host, and over TLS upstream.tls.serverName, to the name by which it knows ZITADEL"
	case http.StatusTooManyRequests:
		return "the proxy limits requests: take the adapter out of that limit"
	case http.StatusBadGateway, http.StatusServiceUnavailable, http.StatusGatewayTimeout:
		return "a proxy answers for a ZITADEL that is not there: is ZITADEL running, and does the proxy know its address?"
	}
	if location := a.header.Get("Location"); location != "" {
		return "the proxy redirects to " + printable.Excerpt(location) + ", to a login perhaps: " + letPass
	}
	return letPass
}

// blamingProxy is the result of a procedure that failed, which says so if a proxy answers in
// ZITADEL's place.
func (c *checker) blamingProxy(ctx context.Context, result Result, procedure string) Result {
	got, says := c.proxyAnswer(ctx, procedure)
	if says == "" {
		return result
	}
	result.Detail = says
	if got.code != http.StatusNotFound { // which a ZITADEL of another release may have answered
		result.Hint = got.proxyHint("POST " + procedure)
	}
	return result
}

// proxyAnswer asks for a procedure without a token, as v2client does, and returns what a proxy
// answers, and words for it: "" if ZITADEL does, or nobody.
func (c *checker) proxyAnswer(ctx context.Context, procedure string) (got answer, says string) {
	request := "POST " + procedure
	if c.Protocol != v2client.ProtocolGRPC {
		var err error
		got, err = c.call(ctx, v2client.ProtocolConnect, procedure)
		switch {
		case err != nil, got.isRPC():
			return got, ""
		case got.code != http.StatusNotFound, c.Protocol == v2client.ProtocolConnect:
			return got, got.byProxy(request)
		}
	}
	overHTTP2, err := c.call(ctx, v2client.ProtocolGRPC, procedure)
	switch {
	case err == nil && overHTTP2.isRPC():
		return overHTTP2, ""
	case err == nil:
		return overHTTP2, overHTTP2.byProxy(request)
	}
	if got.code == 0 {
		if got, err = c.call(ctx, v2client.ProtocolConnect, procedure); err != nil {
			return got, ""
		}
	}
	return got, got.byProxy(request) + " over HTTP/1.1, and does not speak HTTP/2, which gRPC needs"
}

// call makes a call without a token and a message, over HTTP/2 for gRPC.
func (c *checker) call(ctx context.Context, protocol v2client.Protocol, procedure string) (answer, error) {
	asking := &http.Request{Host: c.client.Host, Header: c.client.Header.Clone()}
	if protocol == v2client.ProtocolConnect {
		asking.Header.Set("Content-Type", "application/json")
		asking.Header.Set("Connect-Protocol-Version", "1")
		return c.ask(ctx, asking, http.MethodPost, procedure, "{}")
	}
	asking.Header.Set("Content-Type", "application/grpc")
	asking.Header.Set("TE", "trailers")
	transport := c.Upstream.NewTransport(upstream.TransportConfig{Version: upstream.HTTP2})
	defer transport.CloseIdleConnections()
	const emptyMessage = "\x00\x00\x00\x00\x00"
	return c.askBy(ctx, transport, asking, http.MethodPost, procedure, emptyMessage)
}

// isRPC reports whether an answer to call is ZITADEL's, as gRPC or Connect have it.
func (a answer) isRPC() bool {
	if strings.HasPrefix(a.header.Get("Content-Type"), "application/grpc") {
		return true
	}
	var failure struct {
		Code string `json:"code"` // a name; in JSON of others it is a number, or not there
	}
	return json.Unmarshal(a.body, &failure) == nil && failure.Code != ""
}

// isREST reports whether an answer may be that of ZITADEL's REST API or of its OIDC.
func (a answer) isREST() bool {
	return json.Valid(a.body) && bytes.HasPrefix(bytes.TrimSpace(a.body), []byte("{"))
}
