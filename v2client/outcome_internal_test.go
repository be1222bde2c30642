package v2client

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"syscall"
	"testing"
	"time"

	"connectrpc.com/connect"
	"google.golang.org/protobuf/types/known/anypb"

	"zitadel-v1-adapter/internal/upstream"

	zitadelv1 "zitadel-v1-adapter/gen/zitadel/v1"
)

// What the client makes of an attempt's outcome.

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
	// What the transport knows of the request.
	sent, unsent, undialed := upstream.Outcome{Dialed: true, Sent: true}, upstream.Outcome{Dialed: true}, upstream.Outcome{}
	says := func(code connect.Code, id string) error { return wireError(t, code, id) }
	plain := func(code connect.Code) error { return connect.NewError(code, errors.New("synthesized")) }
	refused := &net.OpError{Op: "dial", Err: syscall.ECONNREFUSED}
	for _, row := range []struct {
		name string
		err  error
		made attempt
		to   target
		end  ending // goesOn by default
		want verdict
	}{
		// ZITADEL answered.
		{
			name: "refusal", err: says(connect.CodePermissionDenied, "AUTH-x"), made: attempt{Outcome: sent, status: 403, foreign: false},
			want: verdict{code: connect.CodePermissionDenied, origin: OriginZITADEL, health: healthy},
		},
		{
			name: "500 with an id", err: says(connect.CodeInternal, "COMMAND-CahN2"), made: attempt{Outcome: sent, status: 500, foreign: false},
			want: verdict{code: connect.CodeInternal, origin: OriginZITADEL, health: healthy},
		},
		{
			name: "unavailable", err: says(connect.CodeUnavailable, ""), made: attempt{Outcome: sent, status: 503, foreign: false},
			want: verdict{code: connect.CodeUnavailable, origin: OriginZITADEL, health: failing, reads: true},
		},
		{
			name: "unavailable with an id", err: says(connect.CodeUnavailable, "X"), made: attempt{Outcome: sent, status: 503, foreign: false},
			want: verdict{code: connect.CodeUnavailable, origin: OriginZITADEL, health: healthy},
		},
		{
			name: "unavailable, suspect", err: says(connect.CodeUnavailable, ""), made: attempt{Outcome: sent, status: 503, foreign: false},
			to:   target{unverifiedHost: true},
			want: verdict{code: connect.CodeUnavailable, origin: OriginZITADEL, health: notCounted, reads: true},
		},
		{
			name: "userinfo's 401", err: fmt.Errorf("%w: 401", ErrTokenRefused), made: attempt{Outcome: sent, status: 401, foreign: false},
			want: verdict{code: connect.CodeUnauthenticated, origin: OriginZITADEL, health: healthy},
		},
		{
			name: "its own deadline exceeded", err: says(connect.CodeDeadlineExceeded, ""), made: attempt{Outcome: sent, status: 504, foreign: false},
			want: verdict{code: connect.CodeDeadlineExceeded, origin: OriginZITADEL, health: healthy},
		},
		// No answer came.
		{
			name: "connection refused", err: refused, made: attempt{Outcome: undialed, status: 0, foreign: false},
			want: verdict{code: connect.CodeUnavailable, origin: OriginTransport, health: failing, reads: true, writes: true},
		},
		{
			name: "connection refused, suspect", err: refused, made: attempt{Outcome: undialed, status: 0, foreign: false},
			to:   target{largeHeaders: true, unverifiedHost: true},
			want: verdict{code: connect.CodeUnavailable, origin: OriginTransport, health: failing, reads: true, writes: true},
		},
		{
			name: "reset before it was sent", err: errReset, made: attempt{Outcome: unsent, status: 0, foreign: false},
			want: verdict{code: connect.CodeUnavailable, origin: OriginTransport, health: failing, reads: true, writes: true},
		},
		{
			name: "reset after it was sent", err: errReset, made: attempt{Outcome: sent, status: 0, foreign: false},
			want: verdict{code: connect.CodeUnavailable, origin: OriginTransport, health: failing, reads: true, unknown: true},
		},
		{
			name: "reset, suspect", err: errReset, made: attempt{Outcome: sent, status: 0, foreign: false},
			to:   target{largeHeaders: true},
			want: verdict{code: connect.CodeUnavailable, origin: OriginTransport, health: notCounted, reads: true, unknown: true},
		},
		{
			name: "canceled, says connect-go, of a reset", err: plain(connect.CodeCanceled), made: attempt{Outcome: sent, status: 0, foreign: false},
			want: verdict{code: connect.CodeUnavailable, origin: OriginTransport, health: failing, reads: true, unknown: true},
		},
		{
			name: "no local port", err: &net.OpError{Op: "dial", Err: syscall.EADDRNOTAVAIL}, made: attempt{Outcome: undialed, status: 0, foreign: false},
			want: verdict{code: connect.CodeUnavailable, origin: OriginTransport, health: notCounted},
		},
		{
			name: "no file descriptor", err: &net.OpError{Op: "dial", Err: syscall.EMFILE}, made: attempt{Outcome: undialed, status: 0, foreign: false},
			want: verdict{code: connect.CodeUnavailable, origin: OriginTransport, health: notCounted},
		},
		// A load balancer answered.
		{
			name: "gateway's 502", err: plain(connect.CodeUnavailable), made: attempt{Outcome: sent, status: 502, foreign: true},
			want: verdict{code: connect.CodeUnavailable, origin: OriginTransport, health: failing, reads: true, unknown: true},
		},
		{
			name: "gateway's 504", err: plain(connect.CodeUnavailable), made: attempt{Outcome: sent, status: 504, foreign: true},
			want: verdict{code: connect.CodeUnavailable, origin: OriginTransport, health: late, reads: true, unknown: true},
		},
		{
			name: "gateway's JSON 503", err: says(connect.CodeUnavailable, ""), made: attempt{Outcome: sent, status: 503, foreign: true},
			want: verdict{code: connect.CodeUnavailable, origin: OriginTransport, health: failing, reads: true, unknown: true},
		},
		{
			name: "gateway's 503, unverified host", err: plain(connect.CodeUnavailable), made: attempt{Outcome: sent, status: 503, foreign: true},
			to:   target{unverifiedHost: true},
			want: verdict{code: connect.CodeUnavailable, origin: OriginTransport, health: notCounted, reads: true, unknown: true},
		},
		{
			name: "gateway's 404", err: plain(connect.CodeUnimplemented), made: attempt{Outcome: sent, status: 404, foreign: true},
			want: verdict{code: connect.CodeUnavailable, origin: OriginTransport, health: notCounted},
		},
		{
			name: "gateway's 429", err: plain(connect.CodeUnavailable), made: attempt{Outcome: sent, status: 429, foreign: true},
			want: verdict{code: connect.CodeResourceExhausted, origin: OriginTransport, health: notCounted},
		},
		{
			name: "answer too large", err: plain(connect.CodeResourceExhausted), made: attempt{Outcome: sent, status: 200, foreign: false},
			want: verdict{code: connect.CodeUnavailable, origin: OriginTransport, health: notCounted, unknown: true},
		},
		// Time, and clients that leave.
		{
			name: "client's deadline", err: errReset, made: attempt{Outcome: sent, status: 0, foreign: false},
			end:  clientDeadline,
			want: verdict{code: connect.CodeDeadlineExceeded, origin: OriginDeadline, health: notCounted},
		},
		{
			name: "upstream.timeout", err: errReset, made: attempt{Outcome: sent, status: 0, foreign: false},
			end:  ownDeadline,
			want: verdict{code: connect.CodeDeadlineExceeded, origin: OriginDeadline, health: late, reads: true},
		},
		{
			name: "upstream.timeout, large headers", err: errReset, made: attempt{Outcome: sent, status: 0, foreign: false},
			to: target{largeHeaders: true}, end: ownDeadline,
			want: verdict{code: connect.CodeDeadlineExceeded, origin: OriginDeadline, health: notCounted, reads: true},
		},
		{
			name: "upstream.timeout, unverified host", err: errReset, made: attempt{Outcome: sent, status: 0, foreign: false},
			to: target{unverifiedHost: true}, end: ownDeadline,
			want: verdict{code: connect.CodeDeadlineExceeded, origin: OriginDeadline, health: late, reads: true},
		},
		{
			name: "upstream.timeout, noticed by ZITADEL", err: says(connect.CodeDeadlineExceeded, ""), made: attempt{Outcome: sent, status: 504, foreign: false},
			end:  ownDeadline,
			want: verdict{code: connect.CodeDeadlineExceeded, origin: OriginDeadline, health: late, reads: true},
		},
		{
			name: "refusal at the deadline", err: says(connect.CodePermissionDenied, "AUTH-x"), made: attempt{Outcome: sent, status: 403, foreign: false},
			end:  ownDeadline,
			want: verdict{code: connect.CodePermissionDenied, origin: OriginZITADEL, health: healthy},
		},
		{
			name: "client left", err: context.Canceled, made: attempt{Outcome: sent, status: 0, foreign: false},
			end:  canceled,
			want: verdict{code: connect.CodeCanceled, origin: OriginCanceled, health: notCounted},
		},
	} {
		want := row.want
		for kind, retryable := range map[kind]bool{read: want.reads, write: want.writes} {
			got := classify(row.err, kind, row.made, row.to, row.end)
			if got.Code != want.code || got.Origin != want.origin || got.health != want.health || got.retryable != retryable {
				t.Errorf("%s, kind %d: got code %v, origin %v, health %d, retryable %v; want %v, %v, %d, %v",
					row.name, kind, got.Code, got.Origin, got.health, got.retryable, want.code, want.origin, want.health, retryable)
			}
			if unknown := got.Message == unknownOutcome; unknown != (want.unknown && kind == write) {
				t.Errorf("%s, kind %d: got message %q, want an unknown outcome: %v", row.name, kind, got.Message, want.unknown && kind == write)
			}
		}
	}
}

// endingOf names whose deadline ends a call, a few milliseconds before it passes.
func TestEndingNamesDeadlineThatEndedCall(t *testing.T) {
	t.Parallel()
	now := time.Now()
	until := func(d time.Duration) context.Context {
		ctx, cancel := context.WithDeadline(t.Context(), now.Add(d))
		t.Cleanup(cancel)
		return ctx
	}
	left, leave := context.WithCancel(t.Context())
	leave()
	for name, test := range map[string]struct {
		ctx  context.Context
		own  time.Time
		want ending
	}{
		"no deadline":               {t.Context(), time.Time{}, goesOn},
		"time left":                 {until(time.Hour), now.Add(time.Hour), goesOn},
		"the client's, soon":        {until(time.Millisecond), now.Add(time.Hour), clientDeadline},
		"the client's, without own": {until(-time.Second), time.Time{}, clientDeadline},
		"the adapter's, soon":       {until(time.Millisecond), now.Add(time.Millisecond), ownDeadline},
		"the adapter's, passed":     {until(-time.Second), now.Add(-time.Second), ownDeadline},
		"the client left":           {left, now.Add(time.Millisecond), canceled},
	} {
		if got := endingOf(test.ctx, test.own, now); got != test.want {
			t.Errorf("%s: got %d, want %d", name, got, test.want)
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
