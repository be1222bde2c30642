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
	"zitadel-v1-adapter/v2client"
)

// record is what the log says of one call. It never holds a password, a token,
// or an error message (protojson's repeat what they do not understand). User id,
// organization and request id are the client's own words, cut to a length.
type record struct {
	protocol     string
	requestID    string
	userID       string
	organization string
	started      time.Time
	way          string
	status       *status // nil: success
	nativeCode   string  // instead of status, of a call that native v1 answered

	upstreamCalls int
	upstreamTime  time.Duration
}

func newRecord(protocol string, r *http.Request) *record {
	return &record{
		protocol:  protocol,
		requestID: requestID(r),
		started:   time.Now(),
		way:       WayV2,
		status:    newStatus(connect.CodeInternal, "internal error"), // until it is answered: a panic leaves it so
	}
}

// The ways a v1 call may go.
const (
	WayV2 = "v2" // translated
	WayV1 = "v1" // passed through to native v1, because of the rollout
)

// Call is what became of one v1 call, for metrics.
type Call struct {
	// Protocol is rest, grpc, grpc-web or grpc-web-text.
	Protocol string
	// Way is WayV2 or WayV1.
	Way string
	// Code is the gRPC code by its name in lower case, such as "ok" or
	// "permission_denied"; of a REST call that native v1 answered it is the HTTP
	// status, such as "400".
	Code string
	// Duration is the time from the request's headers to the end of the answer.
	Duration time.Duration
}

// journal is where calls are written down.
type journal struct {
	log     *slog.Logger
	observe func(Call) // may be nil
}

// write logs one line, and counts.
func (j *journal) write(ctx context.Context, rec *record) {
	level, code, id := slog.LevelInfo, "ok", ""
	var cause error
	switch {
	case rec.way == WayV1:
		code = rec.nativeCode
	case rec.status != nil:
		code, id, cause = rec.status.code.String(), rec.status.id, rec.status.cause
	}
	duration := time.Since(rec.started)
	if j.observe != nil {
		j.observe(Call{Protocol: rec.protocol, Way: rec.way, Code: code, Duration: duration})
	}
	if cause != nil && rec.status.code != connect.CodeCanceled { // clients may go away
		level = slog.LevelWarn
	}
	if !j.log.Enabled(ctx, level) {
		return
	}
	attributes := []slog.Attr{
		slog.String("protocol", rec.protocol),
		slog.String("way", rec.way),
		slog.String("code", code),
		slog.String("error_id", id),
		slog.String("user_id", shortened(rec.userID)),
		slog.String("organization", shortened(rec.organization)),
		slog.Int("upstream_calls", rec.upstreamCalls),
		slog.Duration("upstream_time", rec.upstreamTime),
		slog.Duration("duration", duration),
		slog.String("request_id", rec.requestID),
	}
	if cause != nil {
		attributes = append(attributes, slog.String("cause", cause.Error()))
	}
	j.log.LogAttrs(ctx, level, "SetHumanInitialPassword", attributes...)
}

// nativeCode is Call.Code of an answer of native v1's.
func nativeCode(httpStatus int, grpcStatus string) string {
	if grpcStatus == "" {
		return strconv.Itoa(httpStatus)
	}
	code, err := strconv.ParseUint(grpcStatus, 10, 32)
	switch {
	case err != nil || code > uint64(connect.CodeUnauthenticated):
		return connect.CodeUnknown.String()
	case code == 0:
		return "ok"
	}
	return connect.Code(code).String()
}

// shortened keeps a stranger's megabytes out of the log. No id of ZITADEL's is
// longer.
func shortened(id string) string {
	const most = 200
	if len(id) > most {
		return id[:most] + "…"
	}
	return id
}

// requestID is the X-Request-Id that the client or a proxy before us chose, if
// it is fit for a log, or else a new one.
func requestID(r *http.Request) string {
	const most = 128
	id := r.Header.Get("X-Request-ID")
	if id == "" || len(id) > most || !isPrintable(id) || strings.Contains(id, " ") {
		return rand.Text()
	}
	return id
}

// callerOf is the Caller of a request to host, under the record's request id and
// with the headers that get answers.
func (rec *record) callerOf(host string, get func(name string) string) v2client.Caller {
	return v2client.NewCaller(host, func(name string) string {
		if name == "X-Request-Id" {
			return rec.requestID
		}
		return get(name)
	})
}

// observed is a ZITADEL that counts and times its calls for the log.
type observed struct {
	zitadel ZITADEL
	record  *record
}

func (o *observed) called(since time.Time) {
	o.record.upstreamCalls++
	o.record.upstreamTime += time.Since(since)
}

func (o *observed) SetPassword(ctx context.Context, caller v2client.Caller, userID, password string) (*objectv2.Details, error) {
	defer o.called(time.Now())
	return o.zitadel.SetPassword(ctx, caller, userID, password)
}

func (o *observed) UserOrganization(ctx context.Context, caller v2client.Caller, userID string) (string, error) {
	defer o.called(time.Now())
	return o.zitadel.UserOrganization(ctx, caller, userID)
}

func (o *observed) Administrators(ctx context.Context, caller v2client.Caller, userID string) ([]v2client.Administrator, error) {
	defer o.called(time.Now())
	return o.zitadel.Administrators(ctx, caller, userID)
}

func (o *observed) UserInfo(ctx context.Context, caller v2client.Caller) (v2client.Identity, error) {
	defer o.called(time.Now())
	return o.zitadel.UserInfo(ctx, caller)
}
