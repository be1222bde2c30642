package adapter

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/http/httputil"
	"net/url"
	"strings"
	"time"

	"connectrpc.com/connect"

	"zitadel-v1-adapter/internal/forwarded"
	"zitadel-v1-adapter/internal/redact"
	"zitadel-v1-adapter/internal/upstream"
)

// PassthroughConfig says how requests other than the translated call reach
// ZITADEL.
type PassthroughConfig struct {
	// Upstream is where ZITADEL is. Required.
	Upstream *upstream.Upstream
	// ResponseTimeout is how long ZITADEL may take to begin its answer once it
	// has the whole request; 0 waits for ever. gRPC calls (but not gRPC-Web), which
	// have deadlines of their own and may be silent for long, wait for ever.
	ResponseTimeout time.Duration
	// Observe is told the HTTP status of each answer, 0 if the client went away
	// before there was one; nil means that nobody is. It must be safe for
	// concurrent use.
	Observe func(httpStatus int)
	// Log receives a line for each request that could not be passed on, and at
	// debug level for each that was; nil discards them.
	Log *slog.Logger
}

// Passthrough hands requests to ZITADEL and its answers back, both untouched:
// path and query byte by byte as they were sent, bodies streamed and flushed at
// once, announced trailers, 1xx, upgrades to WebSocket. What goes is what RFC 9110 section
// 7.6.1 calls hop-by-hop. It is safe for concurrent use.
type Passthrough struct {
	upstream *upstream.Upstream
	proxy    httputil.ReverseProxy
	http1    *upstream.Transport
	http2    *upstream.Transport
	errors   errorWriter
	observe  func(httpStatus int) // may be nil
	log      *slog.Logger
}

// NewPassthrough makes a Passthrough; it does not connect yet. The error names
// the configuration key.
func NewPassthrough(config PassthroughConfig) (*Passthrough, error) {
	if config.Upstream == nil {
		return nil, errors.New("adapter: PassthroughConfig.Upstream is nil")
	}
	if config.ResponseTimeout < 0 {
		return nil, errors.New("passthrough.responseTimeout: negative: use a duration such as 60s, or 0s to wait for ever")
	}
	log := cmp.Or(config.Log, slog.New(slog.DiscardHandler))
	p := &Passthrough{
		upstream: config.Upstream,
		http1:    config.Upstream.NewTransport(upstream.TransportConfig{Version: upstream.HTTP1, ResponseHeaderTimeout: config.ResponseTimeout}),
		http2:    config.Upstream.NewTransport(upstream.TransportConfig{Version: upstream.HTTP2}),
		errors:   newErrorWriter(log),
		observe:  config.Observe,
		log:      log,
	}
	p.proxy = httputil.ReverseProxy{
		Rewrite:       p.rewrite,
		Transport:     p,
		FlushInterval: -1,
		ErrorLog:      redact.Logger(log, slog.LevelDebug),
		BufferPool:    &bufferPool{},
		ErrorHandler:  p.fail,
		ModifyResponse: func(response *http.Response) error {
			if response.StatusCode < http.StatusContinue { // net/http would panic
				return fmt.Errorf("the upstream answered with status %d", response.StatusCode)
			}
			return nil
		},
	}
	return p, nil
}

// Close drops idle connections. Requests under way go on.
func (p *Passthrough) Close() {
	p.http1.CloseIdleConnections()
	p.http2.CloseIdleConnections()
}

// ServeHTTP passes a request on.
func (p *Passthrough) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	p.pass(&passedResponse{ResponseWriter: w}, r)
}

// pass is ServeHTTP; out tells afterwards what the answer was, even if it was
// cut.
func (p *Passthrough) pass(out *passedResponse, r *http.Request) {
	defer p.passed(r, out, time.Now())
	host, ok := p.upstream.HostFor(r.Host)
	switch {
	case r.Method == http.MethodConnect: // a tunnel is no business of an origin server's (RFC 9110 section 9.3.6)
		writeMethodNotAllowed(out)
	case !ok:
		p.errors.write(out, r, newStatus(connect.CodeNotFound, "Instance not found: the request's host is not a host name"))
	default:
		dropUpgrades(r.Header)
		p.proxyTo(host, out, r)
	}
}

// passed notes what became of a request. Queries may hold secrets, and stay out
// of the log.
func (p *Passthrough) passed(r *http.Request, out *passedResponse, started time.Time) {
	if p.observe != nil {
		p.observe(out.status)
	}
	if p.log.Enabled(r.Context(), slog.LevelDebug) {
		p.log.DebugContext(r.Context(), "passed through", "method", shortened(r.Method), "path", shortened(r.URL.Path),
			"http_status", out.status, "duration", time.Since(started))
	}
}

// dropUpgrades leaves upgrades to WebSocket. ZITADEL takes one to h2c, after
// which requests would pass by that nobody here sees.
func dropUpgrades(header http.Header) {
	header.Del("HTTP2-Settings")
	if upgrade := header["Upgrade"]; len(upgrade) != 1 || !strings.EqualFold(upgrade[0], "websocket") {
		delete(header, "Upgrade")
	}
}

// passing is what rewrite and fail need to know of a request.
type passing struct {
	host string
	body *requestBody
}

type passingKey struct{}

func (p *Passthrough) proxyTo(host string, out *passedResponse, r *http.Request) {
	body := &requestBody{ReadCloser: r.Body, controller: http.NewResponseController(out), whole: r.ContentLength == 0}
	defer body.end()
	out.request, out.body = r, body
	r = r.WithContext(context.WithValue(r.Context(), passingKey{}, passing{host: host, body: body}))
	r.Body = body // of the copy: net/http looks at its own
	defer func() {
		recovered := recover()
		if recovered == nil {
			return
		}
		// The upstream went away in the middle of its answer, or the client did.
		// A gRPC stream can still say so; everything else can only be cut.
		if recovered != http.ErrAbortHandler || !isGRPC(r) { //nolint:errorlint // documented as this very value
			out.hangUp()
			panic(recovered) //nolint:forbidigo // net/http's way to cut an answer
		}
		out.Header().Set(http.TrailerPrefix+"Grpc-Status", "14")
		out.Header().Set(http.TrailerPrefix+"Grpc-Message", "the connection to ZITADEL was lost")
	}()
	p.proxy.ServeHTTP(out, r)
	out.finish()
}

// rewrite makes the upstream request. ReverseProxy has taken the hop-by-hop
// headers out; what else it changed is put back.
func (p *Passthrough) rewrite(request *httputil.ProxyRequest) {
	in, out := request.In, request.Out
	through, _ := in.Context().Value(passingKey{}).(passing)
	out.Host = through.host
	out.URL = targetURL(p.upstream.Base(), through.host, in)
	// The values come after the body: a copy of the map, which ReverseProxy
	// made, would never see them.
	out.Trailer = in.Trailer
	for _, name := range forwarded.Headers() {
		if values := in.Header[name]; values != nil {
			out.Header[name] = values
		}
	}
	if !isGRPC(in) {
		// Behind some proxies a REST answer with trailers never ends.
		delete(out.Header, "Te")
	}
}

// targetURL is the URL whose request line is the client's, with the path of
// base before it. net/url would write some paths in another way than they came
// ("|", "^", bytes that are not ASCII): those go as they are, unparsed.
func targetURL(base *url.URL, host string, in *http.Request) *url.URL {
	if in.RequestURI == "*" { // of OPTIONS
		return &url.URL{Scheme: base.Scheme, Host: base.Host, Path: "*"}
	}
	path, query, hasQuery := strings.Cut(requestTarget(in), "?")
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
		// net/url would take this for an authority. In absolute-form (RFC 9112
		// section 3.2.2) it comes after one.
		target.Opaque = "//" + host + target.Opaque
	}
	return target
}

// requestTarget is the request's target in origin-form, if validTarget allows it.
func requestTarget(r *http.Request) string {
	target, absolute := strings.CutPrefix(r.RequestURI[len(r.URL.Scheme):], "://")
	if !absolute {
		return r.RequestURI
	}
	switch at := strings.IndexAny(target, "/?"); {
	case at < 0:
		return "/"
	case target[at] == '?':
		return "/" + target[at:]
	default:
		return target[at:]
	}
}

// validTarget reports whether a request's target has one of the forms of RFC 9112
// section 3.2 (but CONNECT's), and no space or control character, which HTTP/2
// could bring: written into a request line, it would mean another one.
func validTarget(r *http.Request) bool {
	for i := range len(r.RequestURI) {
		if c := r.RequestURI[i]; c <= ' ' || c == 0x7F {
			return false
		}
	}
	switch {
	case r.RequestURI == "*", r.Method == http.MethodConnect:
		return true
	case r.URL.Scheme == "":
		return strings.HasPrefix(r.RequestURI, "/")
	}
	return r.URL.Opaque == "" && strings.HasPrefix(r.RequestURI[len(r.URL.Scheme):], "://")
}

// RoundTrip sends a request the way it needs: gRPC and Connect's streams over
// HTTP/2, if they came so; everything else over HTTP/1.1, which every upstream
// speaks and in which one slow reader does not hold up the others.
func (p *Passthrough) RoundTrip(request *http.Request) (*http.Response, error) {
	if request.ProtoMajor == 2 && needsHTTP2(request.Header.Get("Content-Type")) {
		through, _ := request.Context().Value(passingKey{}).(passing)
		if through.body != nil && request.Body != nil {
			request.Body = interruptible{request.Body, through.body}
		}
		return p.http2.RoundTrip(request)
	}
	return p.http1.RoundTrip(request)
}

func needsHTTP2(contentType string) bool {
	return isGRPCContentType(contentType) || strings.HasPrefix(contentType, "application/connect+")
}

// isGRPC reports whether r is a gRPC call, gRPC-Web not included.
func isGRPC(r *http.Request) bool {
	return r.ProtoMajor == 2 && isGRPCContentType(r.Header.Get("Content-Type"))
}

func isGRPCContentType(contentType string) bool {
	return strings.HasPrefix(contentType, "application/grpc") && !strings.HasPrefix(contentType, "application/grpc-web")
}

// fail answers a request that ZITADEL did not.
func (p *Passthrough) fail(w http.ResponseWriter, r *http.Request, err error) {
	through, _ := r.Context().Value(passingKey{}).(passing)
	var refusal *status
	timeout, isNet := errors.AsType[net.Error](err)
	switch {
	case r.Context().Err() != nil:
		refusal = newStatus(connect.CodeCanceled, context.Canceled.Error())
	case through.body != nil && through.body.failed():
		refusal = newStatus(connect.CodeInvalidArgument, "the request's body cannot be read")
	case isNet && timeout.Timeout() && !upstream.IsDial(err):
		refusal = newStatus(connect.CodeDeadlineExceeded, "ZITADEL did not answer in time")
	default:
		refusal = newStatus(connect.CodeUnavailable, "ZITADEL cannot be reached")
	}
	if refusal.code != connect.CodeCanceled {
		p.log.WarnContext(r.Context(), "not passed through", "method", shortened(r.Method), "path", shortened(r.URL.Path),
			"code", refusal.code.String(), "cause", redact.Quotes(err.Error()))
	}
	own := *r // the transport may still be at it
	own.Header = r.Header.Clone()
	p.errors.write(w, &own, refusal)
}
