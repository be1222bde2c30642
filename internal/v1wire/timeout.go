package v1wire

import (
	"context"
	"errors"
	"fmt"
	"math"
	"net/http"
	"strconv"
	"time"

	"connectrpc.com/connect"

	"zitadel-v1-adapter/internal/rpcstatus"
)

// timeoutUnit is the unit of a grpc-timeout header (gRPC over HTTP/2, "Timeout").
func timeoutUnit(letter byte) (time.Duration, bool) {
	switch letter {
	case 'H':
		return time.Hour, true
	case 'M':
		return time.Minute, true
	case 'S':
		return time.Second, true
	case 'm':
		return time.Millisecond, true
	case 'u':
		return time.Microsecond, true
	case 'n':
		return time.Nanosecond, true
	}
	return 0, false
}

// RESTContext returns the context of a REST request with the deadline of its Grpc-Timeout
// header, read as grpc-gateway reads it: any number that fits 64 bits, with whatever deadline
// comes of it. It refuses malformed timeouts and binary metadata.
func RESTContext(r *http.Request) (context.Context, context.CancelFunc, *rpcstatus.Status) {
	timeout, refusal := restTimeout(r.Header.Get("Grpc-Timeout"))
	if refusal == nil {
		refusal = checkBinaryHeaders(r.Header)
	}
	if refusal != nil || timeout == 0 { // grpc-gateway takes 0 for no deadline
		return r.Context(), func() {}, refusal
	}
	ctx, cancel := context.WithTimeout(r.Context(), timeout)
	return ctx, cancel, nil
}

func restTimeout(text string) (time.Duration, *rpcstatus.Status) {
	if text == "" {
		return 0, nil
	}
	last := len(text) - 1
	unit, known := timeoutUnit(text[last])
	count, err := strconv.ParseInt(text[:last], 10, 64)
	if err != nil || !known {
		return 0, rpcstatus.New(connect.CodeInvalidArgument, "invalid grpc-timeout: "+text)
	}
	return time.Duration(count) * unit, nil
}

// rpcTimeout reads a grpc-timeout header by gRPC's own, stricter rules; false means that there
// is none. The error is grpc-go's. (connect-go applies the timeout, but has other words for a
// malformed one.)
func rpcTimeout(text string) (timeout time.Duration, ok bool, err error) {
	const most = 9 // eight digits and the unit
	switch {
	case text == "":
		return 0, false, nil
	case len(text) == 1:
		return 0, false, fmt.Errorf("transport: timeout string is too short: %q", text)
	case len(text) > most:
		return 0, false, fmt.Errorf("transport: timeout string is too long: %q", text)
	}
	last := len(text) - 1
	unit, known := timeoutUnit(text[last])
	if !known {
		return 0, false, fmt.Errorf("transport: timeout unit is not recognized: %q", text)
	}
	count, err := strconv.ParseUint(text[:last], 10, 64)
	if err != nil {
		return 0, false, err
	}
	const maxHours = uint64(math.MaxInt64 / time.Hour)
	if unit == time.Hour && count > maxHours {
		return 0, false, nil // longer than Go can say: as good as none
	}
	return time.Duration(count) * unit, true, nil //nolint:gosec // at most eight digits
}

// ContextStatus returns the status of a call whose context ended before it began (recording
// expired-grpc-timeout), nil if it goes on.
func ContextStatus(ctx context.Context) *rpcstatus.Status {
	switch err := ctx.Err(); {
	case err == nil:
		return nil
	case errors.Is(err, context.Canceled):
		return rpcstatus.New(connect.CodeCanceled, err.Error())
	default:
		return rpcstatus.New(connect.CodeDeadlineExceeded, err.Error())
	}
}

// DeadlineStatus is [ContextStatus] for a deadline alone: a body that does not come may end a call's context
// too.
func DeadlineStatus(ctx context.Context) *rpcstatus.Status {
	if !errors.Is(ctx.Err(), context.DeadlineExceeded) {
		return nil
	}
	return ContextStatus(ctx)
}
