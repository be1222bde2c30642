package adapter

import (
	"context"
	"crypto/rand"
	"log/slog"
	"net/http"
	"strconv"
	"strings"
	"time"

	"connectrpc.com/connect"

	objectv2 "zitadel-v1-adapter/gen/zitadel/object/v2"
	"zitadel-v1-adapter/internal/ingress"
	"zitadel-v1-adapter/internal/redact"
	"zitadel-v1-adapter/internal/rpcstatus"
	"zitadel-v1-adapter/v2client"
)

// Event is what became of one v1 call, for the log and for metrics. It never holds a
// password, a token, or an error message (protojson's repeat what they do not
// understand). User id, organization and request id are the client's own words, of any
// length.
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
	// UserID is the user whom the call is about, Organization the one of the call.
	UserID, Organization string
	// RequestID goes to ZITADEL as X-Request-Id, and stands in the answer.
	RequestID string
	// Started is when the request's headers had arrived; Duration lasts from then to
	// the end of the answer.
	Started  time.Time
	Duration time.Duration
	// UpstreamCalls is the number of v2 calls, UpstreamTime how long they took.
	UpstreamCalls int
	UpstreamTime  time.Duration

	status   *rpcstatus.Status // nil: success
	movedTo  string            // the user's organization, if it is not the one remembered
	language string            // the languages that the client accepts
}

// The routes that a v1 call may take.
const (
	RouteTranslated = "v2" // by ZITADEL v2
	RouteNative     = "v1" // passed through to native v1, because of the rollout
)

// protocolREST is Event.Protocol of REST; the others are rpcstatus.Protocols.
const protocolREST = "rest"

// newEvent begins the Event of a call, which counts as broken down until it is answered:
// a panic leaves it so. A nil method is none.
func newEvent(protocol string, m *method, r *http.Request) *Event {
	event := &Event{
		Protocol: protocol, Route: RouteTranslated, RequestID: requestID(r), Started: time.Now(),
		status: rpcstatus.New(connect.CodeInternal, "internal error"),
	}
	if m != nil {
		event.Method = m.name()
	}
	return event
}

// end is called when a call has its answer. It logs one line, and tells the observer.
func (a *adapter) end(ctx context.Context, event *Event) {
	event.Duration = time.Since(event.Started)
	level := slog.LevelInfo
	var cause error
	switch {
	case event.Route == RouteNative: // whose code is known
	case event.status == nil:
		event.Code = "ok"
	default:
		event.Code, event.ErrorID, cause = event.status.Code.String(), event.status.ID, event.status.Cause
		if cause != nil && event.status.Code != connect.CodeCanceled { // clients may go away
			level = slog.LevelWarn
		}
	}
	if event.movedTo != "" {
		level = slog.LevelWarn
	}
	if a.config.Observe != nil {
		a.config.Observe(*event)
	}
	if !a.log.Enabled(ctx, level) {
		return
	}
	attributes := []slog.Attr{
		slog.String("protocol", event.Protocol),
		slog.String("way", event.Route),
		slog.String("code", event.Code),
		slog.String("error_id", event.ErrorID),
		slog.String("user_id", redact.Shorten(event.UserID)),
		slog.String("organization", redact.Shorten(event.Organization)),
		slog.Int("upstream_calls", event.UpstreamCalls),
		slog.Duration("upstream_time", event.UpstreamTime),
		slog.Duration("duration", event.Duration),
		slog.String("request_id", event.RequestID),
	}
	if cause != nil {
		attributes = append(attributes, slog.String("cause", cause.Error()))
	}
	if event.movedTo != "" {
		attributes = append(attributes, slog.String("user_belongs_to", event.movedTo))
	}
	a.log.LogAttrs(ctx, level, event.Method, attributes...)
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
	if id == "" || len(id) > most || !isPrintable(id) || strings.Contains(id, " ") {
		return rand.Text()
	}
	return id
}

// callerOf is the Caller of a request to host, under the event's request id and
// with the headers that get answers.
func (e *Event) callerOf(host string, get func(name string) string) v2client.Caller {
	e.language = get("Accept-Language")
	return v2client.NewCaller(host, func(name string) string {
		if name == "X-Request-Id" {
			return e.RequestID
		}
		return get(name)
	})
}

// observed is a ZITADEL that counts and times its calls.
type observed struct {
	zitadel ZITADEL
	event   *Event
}

func (o *observed) called(since time.Time) {
	o.event.UpstreamCalls++
	o.event.UpstreamTime += time.Since(since)
}

func (o *observed) SetPassword(ctx context.Context, caller v2client.Caller, userID, password string, changeRequired bool) (*objectv2.Details, error) {
	defer o.called(time.Now())
	return o.zitadel.SetPassword(ctx, caller, userID, password, changeRequired)
}

func (o *observed) UserOrganization(ctx context.Context, caller v2client.Caller, userID string) (string, error) {
	defer o.called(time.Now())
	return o.zitadel.UserOrganization(ctx, caller, userID)
}

func (o *observed) Identify(ctx context.Context, caller v2client.Caller) (v2client.Identity, error) {
	defer o.called(time.Now())
	return o.zitadel.Identify(ctx, caller)
}

func (o *observed) DefaultLanguage(ctx context.Context, caller v2client.Caller) (string, error) {
	defer o.called(time.Now())
	return o.zitadel.DefaultLanguage(ctx, caller)
}

func (o *observed) Authorize(ctx context.Context, caller v2client.Caller, known v2client.Identity) (v2client.Grant, v2client.Identity, error) {
	defer o.called(time.Now())
	return o.zitadel.Authorize(ctx, caller, known)
}
