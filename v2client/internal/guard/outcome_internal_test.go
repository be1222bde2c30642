package guard

import (
	"context"
	"errors"
	"net"
	"net/http"
	"net/http/httptest"
	"syscall"
	"testing"
	"time"

	"connectrpc.com/connect"
	"google.golang.org/protobuf/types/known/anypb"

	zitadelv1 "zitadel-v1-adapter/gen/zitadel/v1"
	"zitadel-v1-adapter/v2client/internal/wire"
)

// What is made of an attempt's outcome.

// verdict is what classify has to say of an attempt's error.
type verdict struct {
	code    connect.Code
	origin  Origin
	health  health
	reads   bool // a read may be made again
	writes  bool // a write may be made again
	unknown bool // the outcome of a write is unknown
}

// classify decides what an attempt's error means to the client, to the breaker, and for a
// retry.
func TestClassifySetsOriginHealthAndRetry(t *testing.T) {
	t.Parallel()
	sent := func(cause error) error { return &wire.Error{Dialed: true, Sent: true, Cause: cause} }
	unsent := func(cause error) error { return &wire.Error{Dialed: true, Cause: cause} }
	undialed := func(cause error) error { return &wire.Error{Cause: cause} }
	gateway := func(status int) error {
		return connect.NewError(connect.CodeUnavailable, &wire.Error{Dialed: true, Sent: true, Status: status, Cause: errors.New("page")})
	}
	says := func(code connect.Code, id string) error { return wireError(t, code, id) }
	plain := func(code connect.Code) error { return connect.NewError(code, errors.New("synthesized")) }
	refused := &net.OpError{Op: "dial", Err: syscall.ECONNREFUSED}
	for _, row := range []struct {
		name string
		err  error
		to   target
		end  error // not ended by default
		want verdict
	}{
		// ZITADEL answered.
		{
			name: "refusal", err: says(connect.CodePermissionDenied, "AUTH-x"),
			want: verdict{code: connect.CodePermissionDenied, origin: OriginZITADEL, health: healthy},
		},
		{
			name: "500 with an id", err: says(connect.CodeInternal, "COMMAND-CahN2"),
			want: verdict{code: connect.CodeInternal, origin: OriginZITADEL, health: healthy},
		},
		{
			name: "unavailable", err: says(connect.CodeUnavailable, ""),
			want: verdict{code: connect.CodeUnavailable, origin: OriginZITADEL, health: failing, reads: true},
		},
		{
			name: "unavailable with an id", err: says(connect.CodeUnavailable, "X"),
			want: verdict{code: connect.CodeUnavailable, origin: OriginZITADEL, health: healthy},
		},
		{
			name: "unavailable, suspect", err: says(connect.CodeUnavailable, ""),
			to:   target{unverifiedHost: true},
			want: verdict{code: connect.CodeUnavailable, origin: OriginZITADEL, health: notCounted, reads: true},
		},
		{
			name: "made by connect.NewWireError", err: connect.NewWireError(connect.CodeUnauthenticated, errors.New("x")),
			want: verdict{code: connect.CodeUnauthenticated, origin: OriginZITADEL, health: healthy},
		},
		{
			name: "its own deadline exceeded", err: says(connect.CodeDeadlineExceeded, ""),
			want: verdict{code: connect.CodeDeadlineExceeded, origin: OriginZITADEL, health: healthy},
		},
		// No answer came.
		{
			name: "connection refused", err: undialed(refused),
			want: verdict{code: connect.CodeUnavailable, origin: OriginTransport, health: failing, reads: true, writes: true},
		},
		{
			name: "connection refused, suspect", err: undialed(refused),
			to:   target{largeHeaders: true, unverifiedHost: true},
			want: verdict{code: connect.CodeUnavailable, origin: OriginTransport, health: failing, reads: true, writes: true},
		},
		{
			name: "reset before it was sent", err: unsent(errReset),
			want: verdict{code: connect.CodeUnavailable, origin: OriginTransport, health: failing, reads: true, writes: true},
		},
		{
			name: "reset after it was sent", err: sent(errReset),
			want: verdict{code: connect.CodeUnavailable, origin: OriginTransport, health: failing, reads: true, unknown: true},
		},
		{
			name: "reset, suspect", err: sent(errReset),
			to:   target{largeHeaders: true},
			want: verdict{code: connect.CodeUnavailable, origin: OriginTransport, health: notCounted, reads: true, unknown: true},
		},
		{
			name: "canceled, says connect-go, of a reset", err: connect.NewError(connect.CodeCanceled, sent(errReset)),
			want: verdict{code: connect.CodeUnavailable, origin: OriginTransport, health: failing, reads: true, unknown: true},
		},
		{
			name: "no local port", err: undialed(&net.OpError{Op: "dial", Err: syscall.EADDRNOTAVAIL}),
			want: verdict{code: connect.CodeUnavailable, origin: OriginTransport, health: notCounted},
		},
		{
			name: "no file descriptor", err: undialed(&net.OpError{Op: "dial", Err: syscall.EMFILE}),
			want: verdict{code: connect.CodeUnavailable, origin: OriginTransport, health: notCounted},
		},
		// A load balancer answered.
		{
			name: "gateway's 502", err: gateway(502),
			want: verdict{code: connect.CodeUnavailable, origin: OriginTransport, health: failing, reads: true, unknown: true},
		},
		{
			name: "gateway's 504", err: gateway(504),
			want: verdict{code: connect.CodeUnavailable, origin: OriginTransport, health: late, reads: true, unknown: true},
		},
		{
			name: "gateway's JSON 503", err: gateway(503),
			want: verdict{code: connect.CodeUnavailable, origin: OriginTransport, health: failing, reads: true, unknown: true},
		},
		{
			name: "gateway's 503, unverified host", err: gateway(503),
			to:   target{unverifiedHost: true},
			want: verdict{code: connect.CodeUnavailable, origin: OriginTransport, health: notCounted, reads: true, unknown: true},
		},
		{
			name: "gateway's 500", err: gateway(500),
			want: verdict{code: connect.CodeUnavailable, origin: OriginTransport, health: notCounted, unknown: true},
		},
		{
			name: "gateway's 403", err: gateway(403),
			want: verdict{code: connect.CodeUnavailable, origin: OriginTransport, health: notCounted},
		},
		{
			name: "redirect", err: gateway(302),
			want: verdict{code: connect.CodeUnavailable, origin: OriginTransport, health: notCounted},
		},
		{
			name: "gateway's 404", err: gateway(404),
			want: verdict{code: connect.CodeUnavailable, origin: OriginTransport, health: notCounted},
		},
		{
			name: "gateway's 429", err: gateway(429),
			want: verdict{code: connect.CodeResourceExhausted, origin: OriginTransport, health: notCounted},
		},
		{
			name: "answer too large", err: plain(connect.CodeResourceExhausted),
			want: verdict{code: connect.CodeUnavailable, origin: OriginTransport, health: notCounted, unknown: true},
		},
		// Time, and clients that leave.
		{
			name: "client's deadline", err: sent(errReset),
			end:  context.DeadlineExceeded,
			want: verdict{code: connect.CodeDeadlineExceeded, origin: OriginDeadline, health: notCounted},
		},
		{
			name: "upstream.timeout", err: sent(errReset),
			end:  errAdapterDeadline,
			want: verdict{code: connect.CodeDeadlineExceeded, origin: OriginDeadline, health: late, reads: true},
		},
		{
			name: "upstream.timeout, large headers", err: sent(errReset),
			to: target{largeHeaders: true}, end: errAdapterDeadline,
			want: verdict{code: connect.CodeDeadlineExceeded, origin: OriginDeadline, health: notCounted, reads: true},
		},
		{
			name: "upstream.timeout, unverified host", err: sent(errReset),
			to: target{unverifiedHost: true}, end: errAdapterDeadline,
			want: verdict{code: connect.CodeDeadlineExceeded, origin: OriginDeadline, health: late, reads: true},
		},
		{
			name: "upstream.timeout, noticed by ZITADEL", err: says(connect.CodeDeadlineExceeded, ""),
			end:  errAdapterDeadline,
			want: verdict{code: connect.CodeDeadlineExceeded, origin: OriginDeadline, health: late, reads: true},
		},
		{
			name: "refusal at the deadline", err: says(connect.CodePermissionDenied, "AUTH-x"),
			end:  errAdapterDeadline,
			want: verdict{code: connect.CodePermissionDenied, origin: OriginZITADEL, health: healthy},
		},
		{
			name: "client left", err: context.Canceled,
			end:  context.Canceled,
			want: verdict{code: connect.CodeCanceled, origin: OriginCanceled, health: notCounted},
		},
	} {
		want := row.want
		for writes, retryable := range map[bool]bool{false: want.reads, true: want.writes} {
			got := classify(row.err, row.end, writes, row.to)
			if got.Code != want.code || got.Origin != want.origin || got.health != want.health || got.retryable != retryable {
				t.Errorf("%s, writes %v: got code %v, origin %v, health %d, retryable %v; want %v, %v, %d, %v",
					row.name, writes, got.Code, got.Origin, got.health, got.retryable, want.code, want.origin, want.health, retryable)
			}
			if unknown := got.Message == unknownOutcome; unknown != (want.unknown && writes) {
				t.Errorf("%s, writes %v: got message %q, want an unknown outcome: %v", row.name, writes, got.Message, want.unknown && writes)
			}
		}
	}
}

// endingOf names whose deadline ends a call, a few milliseconds before it passes.
func TestEndingNamesDeadlineThatEndedCall(t *testing.T) {
	t.Parallel()
	now := time.Now()
	until := func(parent context.Context, d time.Duration, begin func(context.Context, time.Time) (context.Context, context.CancelFunc)) context.Context {
		ctx, cancel := begin(parent, now.Add(d))
		t.Cleanup(cancel)
		return ctx
	}
	left, leave := context.WithCancel(t.Context())
	leave()
	hour := until(t.Context(), time.Hour, context.WithDeadline)
	for name, test := range map[string]struct {
		ctx  context.Context
		want error
	}{
		"no deadline":                {t.Context(), nil},
		"time left":                  {until(hour, time.Hour, WithDeadline), nil},
		"the client's, soon":         {until(hour, time.Millisecond, context.WithDeadline), context.DeadlineExceeded},
		"the client's, before ours":  {until(until(hour, time.Millisecond, context.WithDeadline), time.Hour, WithDeadline), context.DeadlineExceeded},
		"the client's, passed":       {until(t.Context(), -time.Second, context.WithDeadline), context.DeadlineExceeded},
		"the adapter's, soon":        {until(hour, time.Millisecond, WithDeadline), errAdapterDeadline},
		"the adapter's, passed":      {until(hour, -time.Second, WithDeadline), errAdapterDeadline},
		"the client left":            {until(left, time.Millisecond, WithDeadline), context.Canceled},
		"the client left after that": {until(left, -time.Second, WithDeadline), context.Canceled},
	} {
		if got := endingOf(test.ctx); !errors.Is(got, test.want) {
			t.Errorf("%s: got %v, want %v", name, got, test.want)
		}
	}
}

// wireError returns an error as a Connect server sent it: only connect-go itself can make
// one.
func wireError(t *testing.T, code connect.Code, id string) error {
	t.Helper()
	fail := func(context.Context, *connect.Request[anypb.Any]) (*connect.Response[anypb.Any], error) {
		err := connect.NewError(code, errors.New("said"))
		if id != "" {
			detail, detailErr := connect.NewErrorDetail(&zitadelv1.ErrorDetail{Id: id, Message: "said"})
			if detailErr != nil {
				t.Error(detailErr)
			}
			err.AddDetail(detail)
		}
		return nil, err
	}
	server := httptest.NewServer(connect.NewUnaryHandler("/", fail))
	defer server.Close()
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	_, err := connect.NewClient[anypb.Any, anypb.Any](client, server.URL+"/").CallUnary(t.Context(), connect.NewRequest(new(anypb.Any)))
	if !connect.IsWireError(err) {
		t.Fatalf("got %v, want an error that the server sent", err)
	}
	return err
}
