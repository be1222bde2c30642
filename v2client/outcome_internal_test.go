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

// What the error of an attempt means: to the client, to the breaker, and for a retry.
func TestClassify(t *testing.T) {
	t.Parallel()
	sent, unsent, undialed := upstream.Outcome{Dialed: true, Sent: true}, upstream.Outcome{Dialed: true}, upstream.Outcome{}
	says := func(code connect.Code, id string) error { return wireError(t, code, id) }
	plain := func(code connect.Code) error { return connect.NewError(code, errors.New("synthesized")) }
	refused := &net.OpError{Op: "dial", Err: syscall.ECONNREFUSED}
	for _, row := range []struct {
		name    string
		err     error
		made    attempt
		to      target
		end     ending
		code    connect.Code
		origin  Origin
		health  health
		reads   bool // a read is made again
		writes  bool // a write is made again
		unknown bool // the outcome of a write is
	}{
		// ZITADEL answered.
		{"refusal", says(connect.CodePermissionDenied, "AUTH-x"), attempt{sent, 403, false}, target{}, goesOn, connect.CodePermissionDenied, OriginZITADEL, healthy, false, false, false},
		{"500 with an id", says(connect.CodeInternal, "COMMAND-CahN2"), attempt{sent, 500, false}, target{}, goesOn, connect.CodeInternal, OriginZITADEL, healthy, false, false, false},
		{"unavailable", says(connect.CodeUnavailable, ""), attempt{sent, 503, false}, target{}, goesOn, connect.CodeUnavailable, OriginZITADEL, failing, true, false, false},
		{"unavailable with an id", says(connect.CodeUnavailable, "X"), attempt{sent, 503, false}, target{}, goesOn, connect.CodeUnavailable, OriginZITADEL, healthy, false, false, false},
		{"unavailable, suspect", says(connect.CodeUnavailable, ""), attempt{sent, 503, false}, target{unverifiedHost: true}, goesOn, connect.CodeUnavailable, OriginZITADEL, notCounted, true, false, false},
		{"userinfo's 401", fmt.Errorf("%w: 401", ErrTokenRefused), attempt{sent, 401, false}, target{}, goesOn, connect.CodeUnauthenticated, OriginZITADEL, healthy, false, false, false},
		{"its own deadline exceeded", says(connect.CodeDeadlineExceeded, ""), attempt{sent, 504, false}, target{}, goesOn, connect.CodeDeadlineExceeded, OriginZITADEL, healthy, false, false, false},
		// Nobody answered.
		{"connection refused", refused, attempt{undialed, 0, false}, target{}, goesOn, connect.CodeUnavailable, OriginTransport, failing, true, true, false},
		{"connection refused, suspect", refused, attempt{undialed, 0, false}, target{largeHeaders: true, unverifiedHost: true}, goesOn, connect.CodeUnavailable, OriginTransport, failing, true, true, false},
		{"reset before it was sent", errReset, attempt{unsent, 0, false}, target{}, goesOn, connect.CodeUnavailable, OriginTransport, failing, true, true, false},
		{"reset after it was sent", errReset, attempt{sent, 0, false}, target{}, goesOn, connect.CodeUnavailable, OriginTransport, failing, true, false, true},
		{"reset, suspect", errReset, attempt{sent, 0, false}, target{largeHeaders: true}, goesOn, connect.CodeUnavailable, OriginTransport, notCounted, true, false, true},
		{"canceled, says connect-go, of a reset", plain(connect.CodeCanceled), attempt{sent, 0, false}, target{}, goesOn, connect.CodeUnavailable, OriginTransport, failing, true, false, true},
		{"no local port", &net.OpError{Op: "dial", Err: syscall.EADDRNOTAVAIL}, attempt{undialed, 0, false}, target{}, goesOn, connect.CodeUnavailable, OriginTransport, notCounted, false, false, false},
		{"no file descriptor", &net.OpError{Op: "dial", Err: syscall.EMFILE}, attempt{undialed, 0, false}, target{}, goesOn, connect.CodeUnavailable, OriginTransport, notCounted, false, false, false},
		// A load balancer answered.
		{"gateway's 502", plain(connect.CodeUnavailable), attempt{sent, 502, true}, target{}, goesOn, connect.CodeUnavailable, OriginTransport, failing, true, false, true},
		{"gateway's JSON 503", says(connect.CodeUnavailable, ""), attempt{sent, 503, true}, target{}, goesOn, connect.CodeUnavailable, OriginTransport, failing, true, false, true},
		{"gateway's 503, unverified host", plain(connect.CodeUnavailable), attempt{sent, 503, true}, target{unverifiedHost: true}, goesOn, connect.CodeUnavailable, OriginTransport, notCounted, true, false, true},
		{"gateway's 404", plain(connect.CodeUnimplemented), attempt{sent, 404, true}, target{}, goesOn, connect.CodeUnavailable, OriginTransport, notCounted, false, false, false},
		{"gateway's 429", plain(connect.CodeUnavailable), attempt{sent, 429, true}, target{}, goesOn, connect.CodeResourceExhausted, OriginTransport, notCounted, false, false, false},
		{"answer too large", plain(connect.CodeResourceExhausted), attempt{sent, 200, false}, target{}, goesOn, connect.CodeUnavailable, OriginTransport, notCounted, false, false, true},
		// Time, and clients that leave.
		{"client's deadline", errReset, attempt{sent, 0, false}, target{}, clientDeadline, connect.CodeDeadlineExceeded, OriginDeadline, notCounted, false, false, false},
		{"upstream.timeout", errReset, attempt{sent, 0, false}, target{}, ownDeadline, connect.CodeDeadlineExceeded, OriginDeadline, failing, false, false, false},
		{"upstream.timeout, large headers", errReset, attempt{sent, 0, false}, target{largeHeaders: true}, ownDeadline, connect.CodeDeadlineExceeded, OriginDeadline, notCounted, false, false, false},
		{"upstream.timeout, unverified host", errReset, attempt{sent, 0, false}, target{unverifiedHost: true}, ownDeadline, connect.CodeDeadlineExceeded, OriginDeadline, failing, false, false, false},
		{"upstream.timeout, noticed by ZITADEL", says(connect.CodeDeadlineExceeded, ""), attempt{sent, 504, false}, target{}, ownDeadline, connect.CodeDeadlineExceeded, OriginDeadline, failing, false, false, false},
		{"refusal at the deadline", says(connect.CodePermissionDenied, "AUTH-x"), attempt{sent, 403, false}, target{}, ownDeadline, connect.CodePermissionDenied, OriginZITADEL, healthy, false, false, false},
		{"client left", context.Canceled, attempt{sent, 0, false}, target{}, canceled, connect.CodeCanceled, OriginCanceled, notCounted, false, false, false},
	} {
		for kind, retryable := range map[kind]bool{read: row.reads, write: row.writes} {
			got := classify(row.err, kind, row.made, row.to, row.end)
			if got.Code != row.code || got.Origin != row.origin || got.health != row.health || got.retryable != retryable {
				t.Errorf("%s, kind %d: code %v, origin %v, health %d, retryable %v; want %v, %v, %d, %v",
					row.name, kind, got.Code, got.Origin, got.health, got.retryable, row.code, row.origin, row.health, retryable)
			}
			if unknown := got.Message == unknownOutcome; unknown != (row.unknown && kind == write) {
				t.Errorf("%s, kind %d: message %q", row.name, kind, got.Message)
			}
		}
	}
}

// Whose deadline ends a call, a few milliseconds before it does.
func TestEndingOf(t *testing.T) {
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

// wireError is an error that a Connect server sent: nobody else can make one.
func wireError(t *testing.T, code connect.Code, id string) error {
	t.Helper()
	server := httptest.NewServer(connect.NewUnaryHandler("/", func(context.Context, *connect.Request[anypb.Any]) (*connect.Response[anypb.Any], error) {
		err := connect.NewError(code, errors.New("said"))
		if id != "" {
			detail, detailErr := connect.NewErrorDetail(&zitadelv1.ErrorDetail{Id: id, Message: "said"})
			if detailErr != nil {
				t.Error(detailErr)
			}
			err.AddDetail(detail)
		}
		return nil, err
	}))
	defer server.Close()
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	_, err := connect.NewClient[anypb.Any, anypb.Any](client, server.URL+"/").CallUnary(t.Context(), connect.NewRequest(new(anypb.Any)))
	if !connect.IsWireError(err) {
		t.Fatalf("got %v, want an error of the server's", err)
	}
	return err
}
