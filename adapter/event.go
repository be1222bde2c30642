package adapter

import (
	"cmp"
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"log/slog"
	"net/http"
	"strconv"
	"strings"
	"time"

	"connectrpc.com/connect"

	"zitadel-v1-adapter/internal/ingress"
	"zitadel-v1-adapter/internal/redact"
	"zitadel-v1-adapter/internal/rpcstatus"
	"zitadel-v1-adapter/internal/v1wire"
	"zitadel-v1-adapter/v2client"
)

// Event is what became of one v1 call, for the log and for metrics. It never holds a
// password, a token, or an error message (protojson's repeat what they do not
// understand). User id, organization, user agent and request id are the client's own
// words, of any length.
type Event struct {
	// Method is the v1 method's name, such as "SetHumanInitialPassword".
	Method string
	// Protocol is rest, grpc, grpc-web or grpc-web-text.
	Protocol string
	// Route is RouteTranslated or RouteNative.
	Route string
	// Code is the gRPC code by its name in lower case, such as "ok" or
	// "permission_denied"; of a REST call that native v1 answered it is the HTTP
	// status, such as "400".
	Code string
	// ErrorID is ZITADEL's id of the refusal, such as "AUTH-5mWD2", or "".
	ErrorID string
	// RefusedBy is one of RefusedByBreaker, RefusedByShedding, RefusedByRate,
	// RefusedByBrownout and RefusedBySunset if the adapter itself refused the call, and ""
	// otherwise.
	RefusedBy string
	// UserID is the user whom the call is about, Organization the one of the call.
	UserID, Organization string
	// Caller is the id of the user whose token the call has, if it is known; or else
	// "token:" and a hash of the token, the same for all its calls while the program
	// runs; or "" for a call without one.
	Caller string
	// UserAgent is the client's User-Agent header, or X-User-Agent of a gRPC-Web client.
	UserAgent string
	// Peer is where the call came from: the address of the connection's other end, after
	// those of trusted proxies.
	Peer string
	// TraceID is the trace's, if there are traces; or else the trace id in the request's
	// traceparent header (W3C Trace Context), or "" if the request has no such header.
	TraceID string
	// RequestID goes to ZITADEL as X-Request-Id, and stands in the answer.
	RequestID string
	// Started is when the request's headers had arrived; Duration lasts from then to
	// the end of the answer.
	Started  time.Time
	Duration time.Duration
	// Upstream are the calls to ZITADEL that were made, in order.
	Upstream []v2client.Attempt

	caller             v2client.Caller
	token              tokenHash
	upstreamBuf        [1]v2client.Attempt // holds Upstream while it has one
	answerID           [1]string           // RequestID, as a header's values
	status             *rpcstatus.Status   // nil: success
	actualOrganization string              // the user's, if it is not the one remembered
	language           string              // the languages that the client accepts
	organization       string              // of the x-zitadel-orgid header, as the client sent it
	otherHost          bool                // its metadata names another host: see otherHost
	noHost             bool                // over gRPC: see noHost
}

// The routes that a v1 call may take.
const (
	RouteTranslated = "v2" // by ZITADEL v2
	RouteNative     = "v1" // passed through to native v1, because of the rollout
)

// The values of Event.RefusedBy.
const (
	RefusedByBreaker  = "breaker" // it is open
	RefusedByShedding = "shed"    // limits.callsInFlight, or too many large bodies
	RefusedByRate     = "rate"    // limits.callerRate
	RefusedByBrownout = "brownout"
	RefusedBySunset   = "sunset" // deprecation.afterSunset
)

// The causes of the adapter's own refusals.
var (
	errShed = errors.New("too many calls at once")
	errRate = errors.New("too many calls with this token")
)

// protocolREST is Event.Protocol of REST; the others are rpcstatus.Protocols.
const protocolREST = "rest"

// newEvent begins the Event of a call, which counts as broken down until it is answered:
// a panic leaves it so. A nil method is none.
func (a *Adapter) newEvent(protocol string, m *Method, r *http.Request) *Event {
	event := &Event{
		Protocol: protocol, Route: RouteTranslated, RequestID: requestID(r), Started: time.Now(),
		UserAgent: cmp.Or(r.Header.Get("User-Agent"), r.Header.Get("X-User-Agent")),
		// Package ingress has set X-Forwarded-For; only peers on a Unix socket have none.
		Peer: cmp.Or(r.Header.Get("X-Forwarded-For"), r.RemoteAddr), TraceID: traceID(r),
		status: a.internalError,
	}
	event.Upstream, event.answerID[0] = event.upstreamBuf[:0], event.RequestID
	if m != nil {
		event.Method = m.Name()
	}
	header := r.Header
	if protocol == protocolREST {
		header = v1wire.RESTMetadata(header)
	}
	host := first(header, "Host")
	event.otherHost = host != "" && !strings.EqualFold(hostName(host), hostName(r.Host))
	event.noHost = r.Host == "" && protocol != protocolREST
	event.language, event.organization = header.Get("Accept-Language"), first(header, "X-Zitadel-Orgid")
	event.caller = a.newCaller(r.Host, header)
	event.caller.RequestID, event.caller.Attempts = event.RequestID, &event.Upstream
	event.token = hashToken(event.caller)
	return event
}

// end is called when a call has its answer, with this HTTP status. It logs one line, tells
// the observer, and the span.
func (a *Adapter) end(ctx context.Context, event *Event, httpStatus int) {
	event.Duration = time.Since(event.Started)
	if event.Caller == "" {
		event.Caller = a.hashedCaller(event)
	}
	level := slog.LevelInfo
	cause, failed := event.conclude(context.Cause(ctx))
	if failed || event.actualOrganization != "" {
		level = slog.LevelWarn
	}
	if a.config.Observe != nil {
		a.config.Observe(*event)
	}
	if a.log.Enabled(ctx, level) {
		const most = 17 // attributes, with those that stand there only sometimes
		a.log.LogAttrs(ctx, level, event.Method, event.appendAttributes(make([]slog.Attr, 0, most), cause)...)
	}
	event.endTrace(ctx, httpStatus)
}

// conclude notes what became of a call: why it was refused, if there is more to that than the
// client is told, and whether that is a failure that somebody should look at. contextCause is
// why the call's context ended.
func (e *Event) conclude(contextCause error) (cause error, failed bool) {
	switch {
	case e.status == nil && e.Route == RouteNative: // whose code is known
		return nil, false
	case e.status == nil:
		e.Code = "ok"
		return nil, false
	case e.status.Code == connect.CodeCanceled && contextCause != nil && !errors.Is(contextCause, context.Canceled): // it was not the client who left
		e.Code = connect.CodeUnavailable.String()
		return contextCause, true
	}
	e.Code, e.ErrorID, cause = e.status.Code.String(), e.status.ID, e.status.Cause
	e.RefusedBy = refusedBy(cause)
	return cause, cause != nil && e.status.Code != connect.CodeCanceled && (e.RefusedBy == "" || e.RefusedBy == RefusedByBreaker)
}

// appendAttributes appends those of a call's line in the log; docs/operations.md says what
// they mean.
func (e *Event) appendAttributes(attributes []slog.Attr, cause error) []slog.Attr {
	var upstream time.Duration
	for _, attempt := range e.Upstream {
		upstream += attempt.Duration
	}
	attributes = append(attributes,
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
	)
	for _, optional := range []slog.Attr{
		slog.String("trace_id", e.TraceID), slog.String("refused_by", e.RefusedBy), slog.String("user_belongs_to", e.actualOrganization),
	} {
		if optional.Value.String() != "" {
			attributes = append(attributes, optional)
		}
	}
	if cause != nil {
		attributes = append(attributes, slog.String("cause", cause.Error()))
	}
	return attributes
}

// milliseconds has three decimals.
func milliseconds(d time.Duration) float64 { return float64(d.Microseconds()) / 1000 }

// refusedBy is Event.RefusedBy of a call that failed for this cause.
func refusedBy(cause error) string {
	failure, _ := errors.AsType[*v2client.Error](cause)
	switch {
	case failure != nil && failure.Origin == v2client.OriginBreaker:
		return RefusedByBreaker
	case errors.Is(cause, errShed):
		return RefusedByShedding
	case errors.Is(cause, errRate):
		return RefusedByRate
	case errors.Is(cause, errBrownout):
		return RefusedByBrownout
	case errors.Is(cause, errSunset):
		return RefusedBySunset
	}
	return ""
}

// hashedCaller is Event.Caller of a caller of whom only the token is known.
func (a *Adapter) hashedCaller(event *Event) string {
	if event.caller.Authorization() == "" {
		return ""
	}
	var keyed [len(a.config.CallerKey) + len(event.token)]byte
	copy(keyed[copy(keyed[:], a.config.CallerKey[:]):], event.token[:])
	hash := sha256.Sum256(keyed[:])
	const most = 8 // bytes: enough to tell callers apart
	return "token:" + hex.EncodeToString(hash[:most])
}

// traceID is the trace id in a traceparent header of version 00, or "".
func traceID(r *http.Request) string {
	const before, digits, length = len("00-"), 32, 55
	header := r.Header.Get("Traceparent")
	if len(header) != length || header[:before] != "00-" || header[before+digits] != '-' {
		return ""
	}
	id := header[before : before+digits]
	if strings.Trim(id, "0123456789abcdef") != "" || strings.Trim(id, "0") == "" {
		return ""
	}
	return id
}

// nativeCode is Event.Code of an answer of native v1's.
func nativeCode(x *ingress.Exchange) string {
	status := x.Header().Get(http.TrailerPrefix + "Grpc-Status")
	if status == "" {
		status = x.Header().Get("Grpc-Status")
	}
	if status == "" {
		return strconv.Itoa(x.Status())
	}
	code, err := strconv.ParseUint(status, 10, 32)
	switch {
	case err != nil || code > uint64(connect.CodeUnauthenticated):
		return connect.CodeUnknown.String()
	case code == 0:
		return "ok"
	}
	return connect.Code(code).String()
}

// requestID is the X-Request-Id that the client or a proxy in front of the adapter
// chose, if it is fit for a log, or else a new one.
func requestID(r *http.Request) string {
	const most = 128
	id := r.Header.Get("X-Request-ID")
	if id == "" || len(id) > most || !v1wire.IsPrintable(id) || strings.Contains(id, " ") {
		return rand.Text()
	}
	return id
}
