// Package passthrough hands requests to ZITADEL and its answers back, untouched. It
// knows nothing of v1.
package passthrough

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/http/httputil"
	"strconv"
	"strings"
	"time"

	"connectrpc.com/connect"
	semconv "go.opentelemetry.io/otel/semconv/v1.43.0"
	"go.opentelemetry.io/otel/trace"
	"golang.org/x/net/http/httpguts"

	"zitadel-v1-adapter/internal/ingress"
	"zitadel-v1-adapter/internal/redact"
	"zitadel-v1-adapter/internal/rpcstatus"
	"zitadel-v1-adapter/internal/tracing"
	"zitadel-v1-adapter/internal/upstream"
)

// Config says how requests reach ZITADEL.
type Config struct {
	// Upstream is where ZITADEL is. Required.
	Upstream *upstream.Upstream
	// ID is sent as [ingress.ViaHeader]. Default: it is not.
	ID string
	// ResponseTimeout is how long ZITADEL may take to begin its answer once it has the
	// whole request; 0 waits for ever. gRPC calls (but not gRPC-Web), which have
	// deadlines of their own and may be silent for long, wait for ever.
	ResponseTimeout time.Duration
	// Observe is called with the HTTP status of each answer, 0 if the client went away
	// before there was one. It must be safe for concurrent use. Default: none.
	Observe func(httpStatus int)
	// Log receives a line for each request that could not be passed on, and at debug
	// level for each that was. Default: none.
	Log *slog.Logger
}

// Handler passes requests on: path and query byte by byte as they were sent, bodies
// streamed and flushed at once, announced trailers, 1xx, upgrades to WebSocket. What RFC
// 9110 section 7.6.1 calls hop-by-hop stays. It is safe for concurrent use.
type Handler struct {
	upstream *upstream.Upstream
	proxy    httputil.ReverseProxy
	http1    *upstream.Transport
	http2    *upstream.Transport
	id       string               // "": requests do not name it
	observe  func(httpStatus int) // may be nil
	log      *slog.Logger
}

// New checks config and makes a Handler; it does not connect yet. The error names the
// configuration key.
func New(config Config) (*Handler, error) {
	if config.Upstream == nil {
		return nil, errors.New("passthrough: Config.Upstream is nil")
	}
	if config.ResponseTimeout < 0 {
		return nil, fmt.Errorf("passthrough.responseTimeout: %v: use a duration such as 60s, or 0s to wait for ever", config.ResponseTimeout)
	}
	log := config.Log
	if log == nil {
		log = slog.New(slog.DiscardHandler)
	}
	h := &Handler{
		upstream: config.Upstream,
		id:       config.ID,
		http1:    config.Upstream.NewTransport(upstream.TransportConfig{Version: upstream.HTTP1, ResponseHeaderTimeout: config.ResponseTimeout}),
		http2:    config.Upstream.NewTransport(upstream.TransportConfig{Version: upstream.HTTP2}),
		observe:  config.Observe,
		log:      log,
	}
	h.proxy = httputil.ReverseProxy{
		Rewrite:       h.rewrite,
		Transport:     tracing.NewTransport(roundTripper{h}),
		FlushInterval: -1,
		ErrorLog:      redact.Logger(log, slog.LevelDebug),
		BufferPool:    &bufferPool{},
		ErrorHandler:  h.fail,
		ModifyResponse: func(response *http.Response) error {
			if response.StatusCode < http.StatusContinue { // net/http would panic
				return fmt.Errorf("the upstream answered with status %d", response.StatusCode)
			}
			return nil
		},
	}
	return h, nil
}

// Close drops idle connections. Requests under way go on.
func (h *Handler) Close() {
	h.http1.CloseIdleConnections()
	h.http2.CloseIdleConnections()
}

// ServeHTTP passes a request on.
func (h *Handler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	x, r := ingress.ExchangeOf(w, r)
	started := time.Now()
	isWhole := true
	defer func() {
		noteAnswer(r.Context(), x.Status(), isWhole)
		if h.observe != nil {
			h.observe(x.Status())
		}
		// Queries may hold secrets, and stay out of the log.
		if h.log.Enabled(r.Context(), slog.LevelDebug) {
			h.log.DebugContext(r.Context(), "passed through", "method", redact.Shorten(r.Method), "path", redact.Shorten(r.URL.Path),
				"http_status", x.Status(), "duration_ms", float64(time.Since(started).Microseconds())/1000)
		}
	}()
	host, ok := h.upstream.HostFor(r.Host)
	switch {
	case !isValidTarget(r):
		rpcstatus.Write(x, r, rpcstatus.New(connect.CodeInvalidArgument, "malformed request target"))
	case !httpguts.ValidHeaderFieldName(r.Method): // a token, as methods are; HTTP/2 brings any text
		rpcstatus.Write(x, r, rpcstatus.New(connect.CodeInvalidArgument, "malformed method"))
	case r.Method == http.MethodConnect: // an origin server makes no tunnels (RFC 9110 section 9.3.6)
		rpcstatus.WriteMethodNotAllowed(x)
	case !ok:
		rpcstatus.Write(x, r, rpcstatus.New(connect.CodeNotFound, "Instance not found: the request's host is not a host name"))
	default:
		isWhole = false // until it is
		isWhole = h.proxyTo(&response{Exchange: x, request: r, host: host})
	}
}

// noteAnswer tells a request's span why it was answered badly: with this HTTP status, or not to
// the end. ZITADEL broke off then, or the client left.
func noteAnswer(ctx context.Context, httpStatus int, isWhole bool) {
	span := trace.SpanFromContext(ctx)
	switch {
	case !span.IsRecording():
	case !isWhole: // otelhttp notes nothing of a handler that panics
		if httpStatus != 0 {
			span.SetAttributes(semconv.HTTPResponseStatusCode(httpStatus))
		}
		tracing.Fail(span, "cut")
	case httpStatus >= http.StatusInternalServerError:
		tracing.Fail(span, strconv.Itoa(httpStatus))
	}
}

// responseKey is the context's key of the *response, which httputil.ReverseProxy does not pass on.
type responseKey struct{}

func responseOf(ctx context.Context) *response {
	w, _ := ctx.Value(responseKey{}).(*response)
	return w
}

// proxyTo lets ZITADEL answer, and reports whether the answer is whole.
func (h *Handler) proxyTo(w *response) (isWhole bool) {
	r := w.request
	defer func() {
		recovered := recover()
		if recovered == nil {
			return
		}
		// The upstream went away in the middle of its answer, or the client did.
		// A gRPC stream can still say so; everything else can only be cut.
		if recovered != http.ErrAbortHandler || !rpcstatus.IsGRPC(r) { //nolint:errorlint // documented as this very value
			w.hangUp()
			panic(recovered) //nolint:forbidigo // net/http's way to cut an answer
		}
		w.Header().Set(http.TrailerPrefix+"Grpc-Status", "14")
		w.Header().Set(http.TrailerPrefix+"Grpc-Message", "the connection to ZITADEL was lost")
	}()
	h.proxy.ServeHTTP(w, r.WithContext(context.WithValue(r.Context(), responseKey{}, w)))
	w.finish()
	return true
}

// roundTripper sends a request the way it needs: gRPC and Connect's streams over
// HTTP/2, if they came so; everything else over HTTP/1.1, which every upstream
// speaks and in which one slow reader does not hold up the others.
type roundTripper struct{ *Handler }

func (t roundTripper) RoundTrip(request *http.Request) (*http.Response, error) {
	w := responseOf(request.Context())
	// The values come after the body: a copy of the map, which ReverseProxy and otelhttp
	// made, would never see them.
	request.Trailer = w.request.Trailer
	if request.ProtoMajor != 2 || !rpcstatus.IsGRPC(request) && !strings.HasPrefix(request.Header.Get("Content-Type"), "application/connect+") {
		return t.http1.RoundTrip(request)
	}
	if request.Body != nil {
		request.Body = interruptible{request.Body, w.Exchange}
	}
	return t.http2.RoundTrip(request)
}

// fail answers a request that ZITADEL did not.
func (h *Handler) fail(w http.ResponseWriter, r *http.Request, err error) {
	var refusal *rpcstatus.Status
	timeout, isNet := errors.AsType[net.Error](err)
	switch {
	case r.Context().Err() != nil:
		refusal = rpcstatus.New(connect.CodeCanceled, context.Canceled.Error())
	case responseOf(r.Context()).Body().Broken:
		refusal = rpcstatus.New(connect.CodeInvalidArgument, "the request's body cannot be read")
	case isNet && timeout.Timeout() && !upstream.IsDial(err):
		refusal = rpcstatus.New(connect.CodeDeadlineExceeded, "ZITADEL did not answer in time")
	default:
		refusal = rpcstatus.New(connect.CodeUnavailable, "ZITADEL cannot be reached")
	}
	if refusal.Code != connect.CodeCanceled {
		h.log.WarnContext(r.Context(), "not passed through", "method", redact.Shorten(r.Method), "path", redact.Shorten(r.URL.Path),
			"code", refusal.Code.String(), "cause", redact.Quotes(err.Error()))
	}
	rpcstatus.Write(w, r, refusal)
}
