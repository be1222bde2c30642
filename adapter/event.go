package adapter

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"log/slog"
	"net/http"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"connectrpc.com/connect"
	"go.opentelemetry.io/otel/attribute"
	semconv "go.opentelemetry.io/otel/semconv/v1.43.0"
	"go.opentelemetry.io/otel/trace"

	"zitadel-v1-adapter/internal/ingress"
	"zitadel-v1-adapter/internal/redact"
	"zitadel-v1-adapter/internal/rpcstatus"
	"zitadel-v1-adapter/internal/tracing"
	"zitadel-v1-adapter/internal/v1wire"
	"zitadel-v1-adapter/v2client"
)

// Event is what became of one v1 call, for the log and for metrics. It never holds a password, a
// token, or an error message (protojson's repeat what they do not understand). User id,
// organization, user agent and request id are the client's own words, of any length.
type Event struct {
	// API is the deprecated API, such as "management", and Method the method's name, such as
	// "SetHumanInitialPassword".
	API, Method string
	// ZITADEL says by which fact the call was recognized as one of ZITADEL's own pages; "" is
	// everybody else.
	ZITADEL string
	// Protocol is rest, grpc, grpc-web or grpc-web-text.
	Protocol string
	// Route is RouteTranslated or RouteNative.
	Route string
	// Code is the gRPC code's name in lower case, such as "ok" or "permission_denied"; of a REST
	// call that native v1 answered it is the HTTP status, such as "400".
	Code string
	// ErrorID is ZITADEL's id of the refusal, such as "AUTH-5mWD2", or "".
	ErrorID string
	// RefusedBy is one of the RefusedBy constants if the adapter itself refused the call, or "".
	RefusedBy string
	// UserID is the user whom the call is about, Organization the one of the call.
	UserID, Organization string
	// Caller is the id of the user whose token the call has, if it is known; or else "token:" and
	// a hash, the same for all calls while the program runs; or "" for a call without a token.
	Caller string
	// LoginName is the caller's as far as ZITADEL told it, for [Config.Count] alone: it is personal data,
	// and in no log.
	LoginName string
	// UserAgent is the client's User-Agent header, or X-User-Agent of a gRPC-Web client.
	UserAgent string
	// Peer is the address of the connection's other end, after those of trusted proxies.
	Peer string
	// TraceID is the id of the trace. If tracing is off, it comes from the request's traceparent
	// header; "" if that has none.
	TraceID string
	// RequestID goes to ZITADEL as X-Request-Id, and stands in the answer.
	RequestID string
	// Started is when the request's headers had arrived; Duration lasts to the end of the answer.
	Started  time.Time
	Duration time.Duration
	// Upstream are the calls to ZITADEL that were made, in order.
	Upstream []v2client.Attempt
}

// The routes that a v1 call may take.
const (
	RouteTranslated = "v2" // by ZITADEL v2
	RouteNative     = "v1" // passed through to native v1
)

// The values of Event.RefusedBy.
const (
	RefusedByBreaker  = "breaker" // it is open
	RefusedByShedding = "shed"    // limits.callsInFlight, or too many large bodies
	RefusedByRate     = "rate"    // limits.callerRate
	RefusedByBrownout = "brownout"
	RefusedBySunset   = "sunset" // deprecation.afterSunset
)

// refusalError is the cause of one of the adapter's own refusals, which names the key that it is due to.
type refusalError struct{ by, text string } // by is Event.RefusedBy

func (o *refusalError) Error() string { return o.text }

var (
	errShed   = &refusalError{RefusedByShedding, "limits.callsInFlight: too many calls at once"}
	errBodies = &refusalError{RefusedByShedding, "too many large bodies at once"}
	errRate   = &refusalError{RefusedByRate, "limits.callerRate: too many calls with this token"}
)

// protocolREST is Event.Protocol of REST; the others are rpcstatus.Protocols.
const protocolREST = "rest"

// end tells the log, the observer and the span of a call that was answered with this HTTP status.
func (a *Adapter) end(ctx context.Context, c *call, httpStatus int) {
	c.event.Duration = time.Since(c.event.Started)
	if c.event.Caller == "" {
		c.event.Caller = a.hashedCaller(c.caller, c.token)
	}
	level := slog.LevelInfo
	cause, failed := c.conclude(context.Cause(ctx))
	if failed || c.actualOrganization != "" {
		level = slog.LevelWarn
	}
	if a.config.Observe != nil {
		a.config.Observe(c.event)
	}
	a.config.Log.LogAttrs(ctx, level, c.event.Method, c.attributes(cause)...)
	c.event.endTrace(ctx, httpStatus)
	a.count(c.event, c.caller, c.token)
}

// conclude notes what became of a call: why it was refused, if the client is not told all of
// that, and whether somebody should look at it. contextCause is why the call's context ended.
func (c *call) conclude(contextCause error) (cause error, failed bool) {
	switch {
	case c.refusal == nil:
		c.event.Code = cmp.Or(c.event.Code, "ok") // native v1's is known
		return nil, false
	case c.refusal.Code == connect.CodeCanceled && contextCause != nil && !errors.Is(contextCause, context.Canceled): // it was not the client who left
		c.event.Code = connect.CodeUnavailable.String()
		return contextCause, true
	}
	c.event.Code, c.event.ErrorID, cause = c.refusal.Code.String(), c.refusal.ID, c.refusal.Cause
	c.event.RefusedBy = refusedBy(cause)
	return cause, cause != nil && c.refusal.Code != connect.CodeCanceled && (c.event.RefusedBy == "" || c.event.RefusedBy == RefusedByBreaker)
}

// attributes are those of a call's line in the log; docs/operations.md says what they mean.
func (c *call) attributes(cause error) []slog.Attr {
	e, upstream, why := c.event, time.Duration(0), ""
	for _, attempt := range e.Upstream {
		upstream += attempt.Duration
	}
	if cause != nil {
		why = cause.Error()
	}
	attributes := []slog.Attr{
		slog.String("protocol", e.Protocol),
		slog.String("way", e.Route),
		slog.String("code", e.Code),
		slog.String("error_id", e.ErrorID),
		slog.String("caller", e.Caller),
		slog.String("user_agent", redact.Shorten(e.UserAgent)),
		slog.String("peer", redact.Shorten(e.Peer)),
		slog.String("user_id", redact.Shorten(e.UserID)),
		slog.String("organization", redact.Shorten(e.Organization)),
		slog.Int("upstream_calls", len(e.Upstream)),
		slog.Float64("upstream_ms", milliseconds(upstream)),
		slog.Float64("duration_ms", milliseconds(e.Duration)),
		slog.String("request_id", e.RequestID),
	}
	for _, optional := range []slog.Attr{
		slog.String("trace_id", e.TraceID), slog.String("refused_by", e.RefusedBy),
		slog.String("user_belongs_to", c.actualOrganization), slog.String("cause", why),
	} {
		if optional.Value.String() != "" {
			attributes = append(attributes, optional)
		}
	}
	return attributes
}

func milliseconds(d time.Duration) float64 { return float64(d.Microseconds()) / 1000 }

// refusedBy is Event.RefusedBy of a call that failed for this cause.
func refusedBy(cause error) string {
	if own, ok := errors.AsType[*refusalError](cause); ok {
		return own.by
	}
	if failure, ok := errors.AsType[*v2client.Error](cause); ok && failure.Origin == v2client.OriginBreaker {
		return RefusedByBreaker
	}
	return ""
}

// hashedCaller is Event.Caller of a caller of whom only the token is known.
func (a *Adapter) hashedCaller(caller v2client.Caller, token tokenHash) string {
	if caller.Authorization() == "" {
		return ""
	}
	hash := sha256.Sum256(slices.Concat(a.config.CallerKey[:], token[:]))
	const most = 8 // bytes: enough to tell callers apart
	return "token:" + hex.EncodeToString(hash[:most])
}

// beginTrace makes the request's span, if there are traces, the call's. Its name is the method's
// in all protocols, so one search finds all of them.
func (c *call) beginTrace(ctx context.Context) {
	if !tracing.IsTraced(ctx) {
		return
	}
	span := trace.SpanFromContext(ctx)
	span.SetName(c.event.Method)
	if c.event.Protocol == protocolREST {
		span.SetAttributes(semconv.HTTPRoute(c.method.route()))
	} else { // gRPC-Web too
		span.SetAttributes(semconv.RPCSystemNameGRPC, semconv.RPCMethod(c.method.Procedure[1:]))
	}
}

// parameter is one of Echo's patterns.
var parameter = regexp.MustCompile(`:(\w+)`)

// route is the method's path over REST as OpenTelemetry and OpenAPI write patterns.
func (m *Method) route() string { return parameter.ReplaceAllString(m.Pattern, "{$1}") }

// endTrace tells the span what became of a call that was answered with this HTTP status. By
// OpenTelemetry's conventions the codes that are HTTP 5xx are errors, in RPC too.
func (e *Event) endTrace(ctx context.Context, httpStatus int) {
	span := trace.SpanFromContext(ctx)
	if !span.IsRecording() {
		return
	}
	for _, each := range []attribute.KeyValue{
		attribute.String("v1adapter.protocol", e.Protocol), attribute.String("v1adapter.way", e.Route), attribute.String("v1adapter.code", e.Code),
		attribute.String("v1adapter.refused_by", e.RefusedBy), attribute.String("zitadel.error_id", e.ErrorID),
	} {
		if each.Value.AsString() != "" {
			span.SetAttributes(each)
		}
	}
	failed := httpStatus == 0 || httpStatus >= http.StatusInternalServerError
	var code connect.Code                                                                            // 0 is "ok"
	if e.Protocol != protocolREST && (e.Code == "ok" || code.UnmarshalText([]byte(e.Code)) == nil) { // or an HTTP status
		span.SetAttributes(semconv.RPCResponseStatusCode(strings.ToUpper(e.Code)))
		failed = code != 0 && rpcstatus.HTTPStatus(code) >= http.StatusInternalServerError
	}
	if failed {
		tracing.Fail(span, e.Code)
	}
}

// nativeCode is Event.Code of an answer of native v1's.
func nativeCode(x *ingress.Exchange, protocol string) string {
	return cmp.Or(v1wire.CodeName(rpcstatus.Protocol(protocol), x.Status(), x.Header(), x.Kept()), strconv.Itoa(x.Status()))
}
