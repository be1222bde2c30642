package v2client

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"syscall"
	"time"

	"connectrpc.com/connect"
	"google.golang.org/protobuf/types/known/anypb"

	zitadelv1 "zitadel-v1-adapter/gen/zitadel/v1"
	"zitadel-v1-adapter/internal/redact"
)

// ErrTimeout is the cancellation cause by which a caller of this package says
// that a deadline was the adapter's own and not its client's:
//
//	ctx, cancel := context.WithTimeoutCause(ctx, timeout, v2client.ErrTimeout)
//
// Only such a deadline counts against the upstream.
var ErrTimeout = errors.New("upstream.timeout passed")

// Origin says who made an Error.
type Origin int

const (
	// OriginZITADEL means that ZITADEL answered with this status.
	OriginZITADEL Origin = iota
	// OriginTransport means no answer, or none that ZITADEL would give: refused
	// or reset connections, a load balancer's error page, garbage.
	OriginTransport
	// OriginDeadline means that the deadline of the call passed.
	OriginDeadline
	// OriginCanceled means that the client went away.
	OriginCanceled
	// OriginBreaker means that the breaker is open; nothing was sent.
	OriginBreaker
	// OriginSelf means that this program would not send the call, or broke down
	// in it.
	OriginSelf
)

// String is the origin's name in logs.
func (o Origin) String() string {
	switch o {
	case OriginZITADEL:
		return "zitadel"
	case OriginTransport:
		return "transport"
	case OriginDeadline:
		return "deadline"
	case OriginCanceled:
		return "canceled"
	case OriginBreaker:
		return "breaker"
	case OriginSelf:
		return "self"
	}
	return "unknown"
}

// Error is the one error type of this package.
type Error struct {
	Code connect.Code
	// Message is safe to show to the client: ZITADEL's own words, or words of
	// this package that name no address.
	Message string
	// Details are ZITADEL's error details as they came, known types or not.
	Details []*anypb.Any
	Origin  Origin
	// RetryAfter is when to try again, 0 if nobody knows.
	RetryAfter time.Duration

	cause     error
	ownBudget bool // the deadline that passed was ErrTimeout's
	refused   bool // the answer was a refusal, or this machine is at its limits: again would not help
	neutral   bool // it says nothing about the upstream: it may be the call's own fault
	sent      bool // the request may have reached the upstream
}

// Error says what happened and, unlike Message, why: it may name addresses and
// is for logs only. What the cause quotes is left out, because an upstream may have
// sent back what it was sent. The message of an error of ZITADEL's is not.
func (e *Error) Error() string {
	text := e.Code.String() + ": " + e.Message
	if e.cause != nil {
		text += ": " + redact.Quotes(e.cause.Error())
	}
	return text
}

// Unwrap returns the cause, if any.
func (e *Error) Unwrap() error { return e.cause }

// ID is the id of the first ZITADEL error detail, such as "COMMAND-G8dh3", or
// "" when there is none.
func (e *Error) ID() string {
	for _, detail := range e.Details {
		var known zitadelv1.ErrorDetail
		if detail.MessageIs(&known) && detail.UnmarshalTo(&known) == nil {
			return known.GetId()
		}
	}
	return ""
}

// upstreamFailed reports whether e counts against the upstream. What a caller
// can cause never does: an error with a ZITADEL error detail (COMMAND-CahN2
// with its HTTP 500 above all), a cancelled call, a deadline of the client's, and what
// judge finds.
func (e *Error) upstreamFailed() bool { return !e.neutral && e.looksLikeUpstream() }

func (e *Error) looksLikeUpstream() bool {
	switch e.Origin {
	case OriginTransport:
		return true
	case OriginDeadline:
		return e.ownBudget
	case OriginZITADEL:
		return e.Code == connect.CodeUnavailable && e.ID() == ""
	case OriginCanceled, OriginBreaker, OriginSelf:
	}
	return false
}

// excluded reports whether e says nothing about the upstream, neither good nor
// bad. What ZITADEL itself refuses is good, and so is success, a nil Error.
func (e *Error) excluded() bool {
	switch {
	case e == nil || e.upstreamFailed():
		return false
	case e.Origin == OriginZITADEL:
		return e.looksLikeUpstream()
	}
	return true
}

// newError tells what err, returned by a call made under ctx, means. Codes that
// connect-go synthesizes are not trusted: it takes a connection reset by the
// upstream for a cancelled call, a dial timeout for a passed deadline, and any JSON of a
// load balancer's for an error of ZITADEL's.
func newError(ctx context.Context, err error, attempt *exchange) *Error {
	var wire *connect.Error
	if errors.As(err, &wire) && connect.IsWireError(err) && !attempt.foreign.Load() {
		// The deadline goes upstream, rounded down: ZITADEL may be the first to
		// notice that it passed.
		if wire.Code() == connect.CodeDeadlineExceeded || wire.Code() == connect.CodeCanceled {
			if stopped := stoppedBy(ctx, err); stopped != nil {
				return stopped
			}
		}
		return &Error{
			Code:    wire.Code(),
			Message: wire.Message(),
			Details: anyDetails(wire.Details()),
			Origin:  OriginZITADEL,
		}
	}
	if stopped := stoppedBy(ctx, err); stopped != nil {
		return stopped
	}
	if attempt.foreign.Load() {
		err = fmt.Errorf("answered HTTP %d, and not as the Connect protocol has it", attempt.status.Load())
	}
	return unusable(err)
}

// judge says what is known of an attempt besides its error, and whether that may be
// the call's own fault, or this machine's.
func (e *Error) judge(attempt *exchange, target target) {
	e.sent = attempt.sent.Load()
	if e.Origin == OriginTransport {
		status := int(attempt.status.Load())
		if status == http.StatusTooManyRequests {
			e.Code, e.Message = connect.CodeResourceExhausted, "too many requests, try again later"
		}
		e.refused = e.refused || isRefusal(status) ||
			connect.CodeOf(e.cause) == connect.CodeResourceExhausted || // an answer that is too large, or ENHANCE_YOUR_CALM
			errors.Is(e.cause, syscall.EADDRNOTAVAIL) || errors.Is(e.cause, syscall.EMFILE) || errors.Is(e.cause, syscall.ENFILE)
	}
	e.neutral = e.refused || target.mayBeWhy(e)
}

// isRefusal reports whether an HTTP status refuses a request without being one of
// those by which a load balancer says that what is behind it is not well.
func isRefusal(status int) bool {
	switch status {
	case http.StatusBadGateway, http.StatusServiceUnavailable, http.StatusGatewayTimeout:
		return false
	}
	return status >= http.StatusBadRequest
}

// deadlineSlack is how long before a deadline what fails because of it may fail:
// the transport and the upstream look at clocks of their own.
const deadlineSlack = 10 * time.Millisecond

// stoppedBy returns the Error of a call that ended because ctx did, nil if ctx
// goes on.
func stoppedBy(ctx context.Context, err error) *Error {
	if deadline, ok := ctx.Deadline(); ok && time.Until(deadline) < deadlineSlack {
		<-ctx.Done() // or else its cause is not known yet
	}
	switch ctxErr := ctx.Err(); {
	case ctxErr == nil:
		return nil
	case errors.Is(ctxErr, context.Canceled):
		return &Error{
			Code:    connect.CodeCanceled,
			Message: context.Canceled.Error(),
			Origin:  OriginCanceled,
			cause:   err,
		}
	}
	return &Error{
		Code:      connect.CodeDeadlineExceeded,
		Message:   context.DeadlineExceeded.Error(),
		Origin:    OriginDeadline,
		cause:     err,
		ownBudget: errors.Is(context.Cause(ctx), ErrTimeout),
	}
}

// unusable is the Error of an upstream that gave no answer, or none that
// ZITADEL would give.
func unusable(cause error) *Error {
	return &Error{
		Code:    connect.CodeUnavailable,
		Message: "ZITADEL cannot be reached",
		Origin:  OriginTransport,
		cause:   cause,
	}
}

func anyDetails(details []*connect.ErrorDetail) []*anypb.Any {
	if len(details) == 0 {
		return nil
	}
	out := make([]*anypb.Any, len(details))
	for i, detail := range details {
		out[i] = &anypb.Any{
			TypeUrl: "type.googleapis.com/" + detail.Type(),
			Value:   detail.Bytes(),
		}
	}
	return out
}
