package check

import (
	"bytes"
	"net/http"
	"strings"

	"connectrpc.com/connect"

	"zitadel-v1-adapter/internal/ingress"
	"zitadel-v1-adapter/internal/printable"
	"zitadel-v1-adapter/internal/v1wire"
)

// What answers may not be ZITADEL.

// isAdapter reports whether an answer came through an adapter, which was asked for that.
func (a answer) isAdapter() bool { return a.header.Get(ingress.ViaHeader) != "" }

// isUnknownInstance reports whether it is ZITADEL's answer under a name that it does not
// know.
func (a answer) isUnknownInstance() bool {
	return a.code == http.StatusNotFound && bytes.Contains(a.body, []byte("nstance")) && !a.isPage()
}

// refusal returns the code with which ZITADEL refuses a REST call, 0 if it does not.
func (a answer) refusal() connect.Code {
	refusal, _ := v1wire.DecodeAnswer("", a.code, a.header, nil, a.body)
	return refusal.Code
}

// isGone reports whether it is ZITADEL's answer to a path that it does not have. A proxy
// in front of it may answer 404 too.
func (a answer) isGone() bool {
	return a.code == http.StatusNotFound && a.refusal() == connect.CodeNotFound ||
		a.code == http.StatusNotImplemented && a.refusal() == connect.CodeUnimplemented
}

// isProxys reports whether a proxy answers so for what is behind it, and ZITADEL does not.
func (a answer) isProxys() bool {
	if a.code == http.StatusBadRequest || a.code == http.StatusInternalServerError { // as anything that speaks HTTP
		return false
	}
	return a.code >= http.StatusMultipleChoices && !a.isREST()
}

func (a answer) isPage() bool {
	return strings.HasPrefix(a.header.Get("Content-Type"), "text/html") || bytes.HasPrefix(bytes.TrimSpace(a.body), []byte("<"))
}

// String is an answer on one line.
func (a answer) String() string {
	text := a.status
	if server := a.header.Get("Server"); server != "" {
		text += ", Server: " + printable.Excerpt(server)
	}
	if location := a.header.Get("Location"); location != "" {
		return text + ", Location: " + printable.Excerpt(location)
	}
	if a.isPage() {
		return text + ", a web page"
	}
	return text + ": " + printable.Excerpt(string(a.body))
}

// strangerHint says what to do about an answer to the request for ZITADEL's discovery
// document that is neither that nor its word that it does not know the instance.
func (c *checker) strangerHint(got answer) string {
	switch {
	case c.Upstream.Base().Scheme == "http" && got.code == http.StatusBadRequest && bytes.Contains(got.body, []byte("HTTPS")):
		return "this port speaks TLS: use an https:// URL"
	case got.code >= 300 && got.code < 400:
		return "ZITADEL's API redirects nowhere: set upstream.url to what answers at " + printable.Excerpt(got.header.Get("Location"))
	case got.code == http.StatusUnauthorized, got.code == http.StatusForbidden:
		return "a proxy in front of ZITADEL wants a login of its own, or has a firewall (WAF) that refuses this: let the adapter pass, or set upstream.url to ZITADEL itself"
	case got.isProxys() && got.code != http.StatusNotFound:
		return got.proxyHint("GET " + discoveryPath)
	}
	return "this is not ZITADEL: set upstream.url to its address, with the path if it is not at the root; " +
		"if a proxy chooses it by name, set upstream.host to that name"
}
