package tracing

import (
	"context"
	"net/http"
	"strings"
	"sync/atomic"

	"connectrpc.com/connect"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/propagation"
	"go.opentelemetry.io/otel/trace"
)

// Span is one request, in or out. A nil *Span takes everything, and keeps nothing.
type Span struct {
	span   trace.Span
	system atomic.Int32
	failed bool
}

// TraceID is the id of the span's trace.
func (s *Span) TraceID() string {
	if s == nil {
		return ""
	}
	return s.span.SpanContext().TraceID().String()
}

// Inject makes a request's header name the span as the parent of what ZITADEL does, in
// place of what the client sent.
func (s *Span) Inject(into http.Header) {
	if s == nil {
		return
	}
	delete(into, "Traceparent")
	delete(into, "Tracestate") // it may belong to no trace
	w3c.Inject(trace.ContextWithSpan(context.Background(), s.span), propagation.HeaderCarrier(into))
}

// HTTPMethod notes the request's method, as far as it is known: over HTTP, a client may
// send any text.
func (s *Span) HTTPMethod(method string) {
	if s != nil {
		s.span.SetAttributes(httpMethod.String(knownMethod(method)))
	}
}

// RequestName is the name of the span of a request of which nothing but the method may be
// told.
func RequestName(method string) string {
	if method = knownMethod(method); method != otherMethod {
		return method
	}
	return "HTTP"
}

const otherMethod = "_OTHER"

func knownMethod(method string) string {
	switch method {
	case http.MethodGet, http.MethodHead, http.MethodPost, http.MethodPut, http.MethodPatch, http.MethodDelete,
		http.MethodConnect, http.MethodOptions, http.MethodTrace:
		return method
	}
	return otherMethod
}

// HTTPStatus notes the answer's status; 0 is none.
func (s *Span) HTTPStatus(status int) {
	if s != nil && status != 0 {
		s.span.SetAttributes(httpStatus.Int(status))
	}
}

// Route notes the pattern that a path has: no path.
func (s *Span) Route(pattern string) {
	if s != nil {
		s.span.SetAttributes(httpRoute.String(pattern))
	}
}

// Resent notes how often the request was made before.
func (s *Span) Resent(times int) {
	if s != nil && times > 0 {
		s.span.SetAttributes(httpResends.Int(times))
	}
}

// System is an RPC protocol.
type System int32

// The systems.
const (
	SystemGRPC System = iota + 1 // gRPC-Web too
	SystemConnect
)

// RPC notes what is called; the end of path is "/package.Service/Method". It may be called
// while others use the span: a transport may still be at work when its call has ended.
func (s *Span) RPC(system System, path string) {
	if s == nil {
		return
	}
	name := "grpc"
	if system == SystemConnect {
		name = "connect_rpc"
	}
	rest, method := cutLast(path)
	_, service := cutLast(rest)
	s.span.SetAttributes(rpcSystem.String(name), rpcService.String(service), rpcMethod.String(method))
	s.system.Store(int32(system))
}

// cutLast cuts a path at its last slash.
func cutLast(path string) (before, after string) {
	at := strings.LastIndexByte(path, '/')
	return path[:max(at, 0)], path[at+1:]
}

// Code notes the code of an RPC; 0 is success, for which Connect has none. Other requests
// have no code.
func (s *Span) Code(is connect.Code) {
	switch {
	case s == nil:
	case s.system.Load() == int32(SystemGRPC):
		s.span.SetAttributes(grpcCode.Int(int(is)))
	case s.system.Load() == int32(SystemConnect) && is != 0:
		s.span.SetAttributes(connectCode.String(is.String()))
	}
}

// V1 notes of a v1 call the protocol, the way that it went, what became of it (a code's name
// or an HTTP status), and which part of the adapter refused it, if one did.
func (s *Span) V1(inProtocol, itsWay, itsCode, refuser string) {
	if s == nil {
		return
	}
	s.span.SetAttributes(protocol.String(inProtocol), way.String(itsWay), code.String(itsCode))
	if refuser != "" {
		s.span.SetAttributes(refusedBy.String(refuser))
	}
}

// ErrorID notes ZITADEL's id of a refusal, such as "AUTH-5mWD2". What does not look like one
// is not noted: an upstream that is not ZITADEL may send anything.
func (s *Span) ErrorID(id string) {
	if s != nil && isErrorID(id) {
		s.span.SetAttributes(errorID.String(id))
	}
}

func isErrorID(id string) bool {
	const most = 24
	area, number, ok := strings.Cut(id, "-")
	return ok && area != "" && number != "" && len(id) <= most && strings.Trim(area, upper) == "" && strings.Trim(number, upper+digits+lower) == ""
}

const (
	upper  = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
	lower  = "abcdefghijklmnopqrstuvwxyz"
	digits = "0123456789"
)

// Fail notes why a request failed, by a code's name or an HTTP status, and that the span is
// an error.
func (s *Span) Fail(kind string) {
	if s != nil {
		s.span.SetAttributes(errorType.String(kind))
		s.span.SetStatus(codes.Error, "") // a description is what an error says
		s.failed = true
	}
}

// HasFailed reports whether Fail was called.
func (s *Span) HasFailed() bool { return s != nil && s.failed }

// End ends the span.
func (s *Span) End() {
	if s != nil {
		s.span.End()
	}
}
