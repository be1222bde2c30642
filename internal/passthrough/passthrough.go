// Package passthrough hands requests to ZITADEL and its answers back, untouched.
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
	"zitadel-v1-adapter/internal/listener"
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
	// ResponseTimeout is how long ZITADEL may take to begin its answer once it has the whole
	// request; 0 waits for ever, and so do gRPC calls, which have deadlines of their own.
	ResponseTimeout time.Duration
	// Review may change what ZITADEL answers to r before it goes to the client by w, and may return a
	// handler that answers in its place. It is called concurrently. Default: nothing changes.
	Review func(w http.ResponseWriter, r *http.Request, answer *http.Response) http.Handler
	// Observe is called concurrently with the HTTP status of each answer, 0 if the client went
	// away before there was one. Default: none.
	Observe func(httpStatus int)
	// Logged says which requests have a line in the log at level info. Default: LoggedOff.
	Logged Logged
	// Log gets a line for each request when it has ended: at level warn of one that ZITADEL did not
	// answer, at info of those that Logged names, at debug of all others. Default: none.
	Log *slog.Logger
}

// Handler passes requests on: path and query byte by byte, bodies streamed and flushed at once,
// announced trailers, 1xx, upgrades to WebSocket, but nothing that RFC 9110 section 7.6.1 calls
// hop-by-hop. It is safe for concurrent use.
type Handler struct {
	config       Config
	proxy        httputil.ReverseProxy
	http1, http2 *upstream.Transport
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
	if config.Log == nil {
		config.Log = slog.New(slog.DiscardHandler)
	}
	h := &Handler{
		config: config,
		http1:  config.Upstream.NewTransport(upstream.TransportConfig{Version: upstream.HTTP1, ResponseHeaderTimeout: config.ResponseTimeout}),
		http2:  config.Upstream.NewTransport(upstream.TransportConfig{Version: upstream.HTTP2}),
	}
	h.proxy = httputil.ReverseProxy{
		Rewrite:        h.rewrite,
		Transport:      tracing.NewTransport(roundTripper{h}),
		FlushInterval:  -1,
		ErrorLog:       redact.Logger(config.Log, slog.LevelDebug),
		BufferPool:     &bufferPool{},
		ErrorHandler:   h.fail,
		ModifyResponse: h.review,
	}
	return h, nil
}

// review is ReverseProxy's look at an answer. An error leads to fail.
func (h *Handler) review(answer *http.Response) error {
	if answer.StatusCode < http.StatusContinue { // net/http would panic
		return fmt.Errorf("the upstream answered with status %d", answer.StatusCode)
	}
	if h.config.Review == nil {
		return nil
	}
	w := responseOf(answer.Request.Context())
	if instead := h.config.Review(w, w.request, answer); instead != nil {
		return &replacedError{instead}
	}
	return nil
}

// replacedError is an answer that Review has replaced.
type replacedError struct{ by http.Handler }

func (e *replacedError) Error() string { return "replaced" }

// Close drops idle connections. Requests under way go on.
func (h *Handler) Close() {
	h.http1.CloseIdleConnections()
	h.http2.CloseIdleConnections()
}

// ServeHTTP passes a request on.
func (h *Handler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	x, r := ingress.ExchangeOf(w, r)
	answer := &response{Exchange: x, request: r, isWhole: true}
	started := time.Now()
	h.keepForLog(answer)
	defer func() {
		noteAnswer(r.Context(), x.Status(), answer.isWhole)
		if h.config.Observe != nil {
			h.config.Observe(x.Status())
		}
		h.log(answer, started)
	}()
	var ok bool
	answer.host, ok = h.config.Upstream.HostFor(r.Host)
	switch {
	case !isValidTarget(r):
		answer.refuse("RFC 9112 section 3.2", rpcstatus.New(connect.CodeInvalidArgument, "malformed request target"))
	case !httpguts.ValidHeaderFieldName(r.Method): // a token, as methods are; HTTP/2 brings any text
		answer.refuse("RFC 9110 section 9.1", rpcstatus.New(connect.CodeInvalidArgument, "malformed method"))
	case r.Method == http.MethodConnect: // an origin server makes no tunnels
		answer.rule = "RFC 9110 section 9.3.6"
		rpcstatus.WriteMethodNotAllowed(x)
	case !ok:
		answer.refuse("upstream.host", rpcstatus.New(connect.CodeNotFound, "Instance not found: the request's host is not a host name"))
	default:
		answer.isWhole = false // until it is
		answer.isWhole = h.proxyTo(answer)
	}
}

// noteAnswer tells a request's span why its answer is bad: by this HTTP status, or cut by ZITADEL
// or the client.
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
		// The upstream or the client went away in the middle of the answer. A gRPC stream can
		// still say so; everything else can only be cut.
		if recovered != http.ErrAbortHandler || !rpcstatus.IsGRPC(r) { //nolint:errorlint // documented as this very value
			if conn := listener.ConnOf(r.Context()); conn != nil && r.ProtoMajor == 1 {
				conn.HangUp() // net/http would wait for the end of the request
			}
			panic(recovered) //nolint:forbidigo // net/http's way to cut an answer
		}
		w.Header().Set(http.TrailerPrefix+"Grpc-Status", "14")
		w.Header().Set(http.TrailerPrefix+"Grpc-Message", "the connection to ZITADEL was lost")
	}()
	h.proxy.ServeHTTP(w, r.WithContext(context.WithValue(r.Context(), responseKey{}, w)))
	w.finish()
	return true
}

// roundTripper sends gRPC and Connect's streams over HTTP/2, if they came so; everything else over
// HTTP/1.1, which every upstream speaks and in which a slow reader does not hold up the others.
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
	if replaced, ok := errors.AsType[*replacedError](err); ok {
		exchange := responseOf(r.Context())
		replaced.by.ServeHTTP(exchange.Exchange, exchange.request)
		return
	}
	answer, refusal := responseOf(r.Context()), rpcstatus.New(connect.CodeUnavailable, "ZITADEL cannot be reached")
	timeout, isNet := errors.AsType[net.Error](err)
	switch {
	case r.Context().Err() != nil:
		refusal = rpcstatus.New(connect.CodeCanceled, context.Canceled.Error())
	case answer.Body().Broken:
		refusal = rpcstatus.New(connect.CodeInvalidArgument, "the request's body cannot be read")
	case isNet && timeout.Timeout() && !upstream.IsDial(err):
		refusal = rpcstatus.New(connect.CodeDeadlineExceeded, "ZITADEL did not answer in time")
	}
	answer.code = refusal.Code
	if refusal.Code != connect.CodeCanceled {
		answer.cause = err
	}
	rpcstatus.Write(w, r, refusal)
}
