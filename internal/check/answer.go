package check

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"net/url"
	"regexp"
	"strings"

	"zitadel-v1-adapter/gen/zitadel/user/v2/userv2connect"
	"zitadel-v1-adapter/internal/printable"
	"zitadel-v1-adapter/internal/probe"
	"zitadel-v1-adapter/internal/v1wire"
	"zitadel-v1-adapter/v2client"
)

// answer is what came back of a request: from ZITADEL, or from a proxy in front of it, which
// may have a firewall's page, a redirect to a login, or no route.
type answer struct {
	probe.Answer

	client *http.Request // for which it was asked
	asked  string        // such as "GET /path"
}

// ask makes a request such as "GET /path" for a client, without a token.
func (c *checker) ask(ctx context.Context, client *http.Request, request, body string, more http.Header) (answer, error) {
	verb, path, _ := strings.Cut(request, " ")
	header := client.Header.Clone()
	maps.Copy(header, more)
	got, err := c.probe.Send(ctx, verb, client.Host, v1wire.Request{Path: path, Header: header, Body: []byte(body)})
	return answer{got, client, request}, err
}

// call makes a call without a token and a message, as v2client does.
func (c *checker) call(ctx context.Context, protocol v2client.Protocol, procedure string) (answer, error) {
	message, header := "\x00\x00\x00\x00\x00", http.Header{"Content-Type": {"application/grpc"}, "Te": {"trailers"}}
	if protocol == v2client.ProtocolConnect {
		message, header = "{}", http.Header{"Content-Type": {"application/json"}, "Connect-Protocol-Version": {"1"}}
	}
	return c.ask(ctx, c.client, "POST "+procedure, message, header)
}

// speaks reports whether ZITADEL has the user service over a protocol.
func (c *checker) speaks(ctx context.Context, protocol v2client.Protocol) bool {
	return c.has(ctx, protocol, userv2connect.UserServiceGetUserByIDProcedure)
}

// has reports whether ZITADEL has a procedure over a protocol.
func (c *checker) has(ctx context.Context, protocol v2client.Protocol, procedure string) bool {
	const unimplemented = "12"
	got, err := c.call(ctx, protocol, procedure)
	return err == nil && got.isRPC() && got.Header.Get("Grpc-Status") != unimplemented
}

// blamingProxy is the result of a procedure that failed. It says so if a proxy answers in
// ZITADEL's place.
func (c *checker) blamingProxy(ctx context.Context, procedure string, failure Result) Result {
	got, err := c.call(ctx, v2client.ProtocolConnect, procedure)
	if err != nil || got.isRPC() && c.Settings.Upstream.Protocol != v2client.ProtocolGRPC {
		return failure
	}
	detail := got.byProxy()
	if c.Settings.Upstream.Protocol == v2client.ProtocolGRPC || c.Settings.Upstream.Protocol == v2client.ProtocolAuto && got.StatusCode == http.StatusNotFound {
		switch overHTTP2, err := c.call(ctx, v2client.ProtocolGRPC, procedure); {
		case err != nil:
			detail += " over HTTP/1.1, and does not speak HTTP/2, which gRPC needs"
		case overHTTP2.isRPC():
			return failure
		default:
			got, detail = overHTTP2, overHTTP2.byProxy()
		}
	}
	if got.StatusCode != http.StatusNotFound { // which a ZITADEL of another release may have answered
		failure.Hint = got.proxyHint()
	}
	failure.Detail = detail
	return failure
}

// issuer is that of ZITADEL's discovery document; "" if the answer is something else.
func (a answer) issuer() string {
	var document struct {
		Issuer string `json:"issuer"`
	}
	if a.StatusCode == http.StatusOK {
		_ = json.Unmarshal(a.Content, &document) // what is no document has no issuer
	}
	return document.Issuer
}

// isUnknownInstance reports whether it is ZITADEL's answer under a name that it does not know.
func (a answer) isUnknownInstance() bool {
	return a.StatusCode == http.StatusNotFound && bytes.Contains(a.Content, []byte("nstance")) && !a.isPage()
}

// isREST reports whether an answer may be that of ZITADEL's REST API or of its OIDC.
func (a answer) isREST() bool {
	return json.Valid(a.Content) && bytes.HasPrefix(bytes.TrimSpace(a.Content), []byte("{"))
}

// isRPC reports whether an answer to call is ZITADEL's, as gRPC or Connect have it.
func (a answer) isRPC() bool {
	var failure struct {
		Code string `json:"code"` // a name; in JSON of others it is a number, or not there
	}
	return strings.HasPrefix(a.Header.Get("Content-Type"), "application/grpc") ||
		json.Unmarshal(a.Content, &failure) == nil && failure.Code != ""
}

// isProxys reports whether a proxy answers so for what is behind it, and ZITADEL does not.
// 400 and 500 come from anything that speaks HTTP.
func (a answer) isProxys() bool {
	return a.StatusCode >= http.StatusMultipleChoices && !a.isREST() && !a.isUnknownInstance() &&
		a.StatusCode != http.StatusBadRequest && a.StatusCode != http.StatusInternalServerError
}

func (a answer) isPage() bool {
	return strings.HasPrefix(a.Header.Get("Content-Type"), "text/html") || bytes.HasPrefix(bytes.TrimSpace(a.Content), []byte("<"))
}

// loginWord is in the addresses and pages of logins, of oauth2-proxy and others.
var loginWord = regexp.MustCompile(`(?i)\b(log|sign)[-_ ]?in\b|oauth|authorize|saml|\bsso\b|type=["']?password`)

// isLogin reports whether an answer is a login's: its page, or a redirect there. One that leads to
// what was asked for, under another name, is none.
func (a answer) isLogin() bool {
	if a.StatusCode == http.StatusOK {
		return a.isPage() && loginWord.Match(a.Content)
	}
	location := a.Header.Get("Location")
	to, err := url.Parse(location)
	_, path, _ := strings.Cut(a.asked, " ")
	return err == nil && !strings.HasSuffix(to.Path, path) && loginWord.MatchString(location)
}

// String is an answer on one line.
func (a answer) String() string {
	text := a.Status
	if server := a.Header.Get("Server"); server != "" {
		text += ", Server: " + printable.Excerpt(server)
	}
	switch location := a.Header.Get("Location"); {
	case location != "":
		return text + ", Location: " + printable.Excerpt(location)
	case a.isPage():
		return text + ", a web page"
	}
	return text + ": " + printable.Excerpt(string(a.Content))
}

// byProxy says that a proxy gave the answer.
func (a answer) byProxy() string {
	return fmt.Sprintf("to %s the proxy in front of ZITADEL answered HTTP %s", a.asked, a)
}

// proxyHint says what to do about a proxy's answer.
func (a answer) proxyHint() string {
	letPass := "let it pass " + a.asked + ", or set upstream.url to ZITADEL itself"
	switch a.StatusCode {
	case http.StatusUnauthorized, http.StatusForbidden:
		return "a firewall (WAF) or a login in the proxy refuses this: " + letPass
	case http.StatusNotFound, http.StatusMethodNotAllowed, http.StatusNotImplemented:
		return "the proxy has no route for this: " + letPass
	case http.StatusRequestEntityTooLarge, http.StatusRequestURITooLong, http.StatusRequestHeaderFieldsTooLarge:
		return "the proxy takes no request or header of this size: raise its limit, or set upstream.url to ZITADEL itself"
	case http.StatusMisdirectedRequest:
		return "the proxy does not serve this name on this connection: set upstream.host, " +
			"and over TLS upstream.tls.serverName, to the name by which it knows ZITADEL"
	case http.StatusTooManyRequests:
		return hintLimit
	case http.StatusBadGateway, http.StatusServiceUnavailable, http.StatusGatewayTimeout:
		return "a proxy answers for a ZITADEL that is not there: is ZITADEL running, and does the proxy know its address?"
	}
	switch location := a.Header.Get("Location"); {
	case location != "" && a.isLogin():
		return "the proxy redirects to " + printable.Excerpt(location) + ", where it wants a login, which the adapter cannot make: " + letPass
	case location != "":
		return "the proxy redirects to " + printable.Excerpt(location) + ", to a login perhaps: " + letPass
	case a.isLogin():
		return "the proxy wants a login, which the adapter cannot make: " + letPass
	}
	return letPass
}

// hintLimit is about HTTP 429.
const hintLimit = "the proxy limits requests, or a quota of ZITADEL's instance is used up: take the adapter out of that limit, or raise it"

// instanceHint says what to do about an answer to discovery that has no issuer.
func (c *checker) instanceHint(got answer) string {
	switch {
	case got.isUnknownInstance() && c.Upstream.HostByClient():
		return "set upstream.host: upstream, and clients may dial any name; or keep client, and let them dial a name that ZITADEL knows"
	case got.isUnknownInstance():
		return "set upstream.host to the name by which browsers reach ZITADEL, or to client if clients send it (then check with --host NAME)"
	case c.Upstream.Base().Scheme == "http" && got.StatusCode == http.StatusBadRequest && bytes.Contains(got.Content, []byte("HTTPS")):
		return "this port speaks TLS: use an https:// URL"
	case got.StatusCode == http.StatusTooManyRequests: // also ZITADEL's own, in JSON
		return hintLimit
	case got.isLogin():
		return got.proxyHint()
	case got.StatusCode >= 300 && got.StatusCode < 400:
		return "ZITADEL's API redirects nowhere: set upstream.url to what answers at " + printable.Excerpt(got.Header.Get("Location"))
	case got.StatusCode == http.StatusUnauthorized, got.StatusCode == http.StatusForbidden:
		return "a proxy in front of ZITADEL wants a login of its own, or has a firewall (WAF) that refuses this: " +
			"let the adapter pass, or set upstream.url to ZITADEL itself"
	case got.isProxys() && got.StatusCode != http.StatusNotFound:
		return got.proxyHint()
	}
	return "this is not ZITADEL: set upstream.url to its address, with the path if it is not at the root; " +
		"if a proxy chooses it by name, set upstream.host to that name"
}
