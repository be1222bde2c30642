package passthrough

import (
	"net/http"
	"net/http/httputil"
	"net/url"
	"regexp"
	"strings"

	"zitadel-v1-adapter/internal/forwarded"
	"zitadel-v1-adapter/internal/ingress"
	"zitadel-v1-adapter/internal/rpcstatus"
)

// rewrite makes the upstream request. ReverseProxy has taken the hop-by-hop headers out; what else
// it changed is put back.
func (h *Handler) rewrite(request *httputil.ProxyRequest) {
	in, out := request.In, request.Out
	out.Host = responseOf(in.Context()).host
	out.URL = targetURL(h.config.Upstream.Base(), out.Host, in)
	for _, name := range forwarded.Headers() {
		if values := in.Header[name]; values != nil {
			out.Header[name] = values
		}
	}
	if h.config.ID != "" {
		out.Header[ingress.ViaHeader] = append(out.Header[ingress.ViaHeader], h.config.ID)
	}
	if !rpcstatus.IsGRPC(in) {
		// Behind some proxies a REST answer with trailers never ends.
		delete(out.Header, "Te")
	}
}

// targetURL is the URL whose request line is the client's, with the path of base before it. Paths
// that net/url would write in another way ("|", "^", not ASCII) go as they are, unparsed.
func targetURL(base *url.URL, host string, in *http.Request) *url.URL {
	if in.RequestURI == "*" { // of OPTIONS
		return &url.URL{Scheme: base.Scheme, Host: base.Host, Path: "*"}
	}
	path, query, hasQuery := strings.Cut(originForm(in), "?")
	target := &url.URL{
		Scheme: base.Scheme, Host: base.Host,
		Path: base.Path + in.URL.Path, RawPath: base.EscapedPath() + path,
		RawQuery: query, ForceQuery: hasQuery,
	}
	if target.EscapedPath() == target.RawPath {
		return target
	}
	target.Opaque = target.RawPath
	if strings.HasPrefix(target.Opaque, "//") {
		// net/url would take this for an authority; in absolute-form it comes after one.
		target.Opaque = "//" + host + target.Opaque
	}
	return target
}

// origin is what an absolute target begins with. net/http's server takes one without an authority
// too, such as "http:/path".
var origin = regexp.MustCompile(`^[^:/?]+:(//[^/?]*)?`)

// originForm is a request's target in origin-form (RFC 9112 section 3.2.1).
func originForm(r *http.Request) string {
	if r.URL.Scheme == "" {
		return r.RequestURI
	}
	target := origin.ReplaceAllString(r.RequestURI, "")
	if target == "" || target[0] == '?' {
		return "/" + target
	}
	return target
}

// isValidTarget reports whether a request's target has no space or control character, which
// HTTP/2 could bring: written into a request line, it would mean another one.
func isValidTarget(r *http.Request) bool {
	return !strings.ContainsFunc(r.RequestURI, func(c rune) bool { return c <= ' ' || c == 0x7F })
}
