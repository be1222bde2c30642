package guard

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
	"zitadel-v1-adapter/v2client/internal/wire"
)

// Origin says who made an Error.
type Origin string

// Who made an Error.
const (
	OriginZITADEL   Origin = "zitadel"   // ZITADEL answered with this status
	OriginTransport Origin = "transport" // no answer, or none that ZITADEL would give: a reset, a load balancer's page, garbage
	OriginDeadline  Origin = "deadline"  // the deadline of the call passed
	OriginCanceled  Origin = "canceled"  // the client went away
	OriginBreaker   Origin = "breaker"   // the breaker is open; nothing was sent
	OriginSelf      Origin = "self"      // this program would not send the call
)

// Error is the error of a call.
type Error struct {
	Code       connect.Code
	Message    string       // safe to show to the client: ZITADEL's own words, or words that name no address
	Details    []*anypb.Any // ZITADEL's, as they came, known types or not
	Origin     Origin
	RetryAfter time.Duration // 0 is unknown
	Missing    bool          // the upstream does not have what was called: nothing handled the call

	cause     error
	health    health
	retryable bool
}

// NewUnavailableError is the Error of a call with no answer, or none that ZITADEL would give.
func NewUnavailableError(cause error) *Error {
	return &Error{Code: connect.CodeUnavailable, Message: "ZITADEL cannot be reached", Origin: OriginTransport, cause: cause}
}

// Error says what happened and, unlike Message, why: it may name addresses and is for logs
// only. What the cause quotes is left out, because an upstream may send back what it was sent.
func (e *Error) Error() string {
	text := e.Code.String() + ": " + e.Message
	if e.cause != nil && e.Origin != OriginZITADEL {
		text += ": " + redact.Quotes(e.cause.Error())
	}
	return text
}

// Unwrap returns the cause, if any.
func (e *Error) Unwrap() error { return e.cause }

// ID is the id of the first ZITADEL error detail, such as "COMMAND-G8dh3", or "".
func (e *Error) ID() string {
	for _, detail := range e.Details {
		var known zitadelv1.ErrorDetail
		if detail.UnmarshalTo(&known) == nil {
			return known.GetId()
		}
	}
	return ""
}

// outcome is what the attempt says about the upstream; a nil Error is a success.
func (e *Error) outcome() health {
	if e == nil {
		return healthy
	}
	return e.health
}

// deadlineSlack is how long before a deadline a call may fail of it: clocks differ.
const deadlineSlack = 10 * time.Millisecond

var errAdapterDeadline = errors.New("the adapter's deadline passed")

// WithDeadline returns a context for calls that ends at the adapter's deadline. When that
// passes, the upstream is too slow; any other deadline says nothing about it.
func WithDeadline(ctx context.Context, deadline time.Time) (context.Context, context.CancelFunc) {
	return context.WithDeadlineCause(ctx, deadline, errAdapterDeadline)
}

// endingOf is nil for a context that has not ended, and is not about to; errAdapterDeadline also
// for upstream.readTimeout of silence; else context.DeadlineExceeded or Canceled, by the client.
func endingOf(ctx context.Context) error {
	if deadline, ok := ctx.Deadline(); ok && time.Until(deadline) < deadlineSlack {
		<-ctx.Done()
	}
	if cause := context.Cause(ctx); errors.Is(cause, errAdapterDeadline) || errors.Is(cause, errSilent) {
		return errAdapterDeadline
	}
	return ctx.Err()
}

// health is what the outcome of a call says about the upstream.
type health int

const (
	notCounted health = iota // the caller, or this machine, may be why
	healthy                  // ZITADEL itself answered, if only with a refusal
	failing
	late // failing, unless the upstream has answered another call in the meantime: then it is busy
)

// unless is notCounted if the call itself may be why.
func (h health) unless(excused bool) health {
	if excused {
		return notCounted
	}
	return h
}

const unknownOutcome = "ZITADEL did not answer: whether the change was made is unknown"

// target is why a load balancer may turn a call away. Without a connection, neither was why.
type target struct{ largeHeaders, unverifiedHost bool }

func (t target) isSuspect() bool { return t.largeHeaders || t.unverifiedHost }

// healthWith is what a proxy's HTTP status says, or none.
func healthWith(status int) health {
	if status == http.StatusGatewayTimeout {
		return late
	}
	return failing
}

// classify alone tells what the error of an attempt means: its code and message, whether it counts
// against the upstream, whether the call may be made again, and whether a write's outcome is unknown.
//
// Codes that connect-go synthesizes are not trusted: it takes a connection reset by the upstream
// for a cancelled call, and a dial timeout for a passed deadline.
func classify(err, end error, writes bool, to target) *Error {
	answer, failed, missing := dissect(err)
	if !failed.Dialed {
		to = target{}
	}
	var failure *Error
	switch {
	case end != nil && (answer == nil || isEnd(answer.Code())):
		failure = newEndedError(err, end)
		if errors.Is(end, errAdapterDeadline) && !missing { // a load balancer that does not know a host says so at once
			failure.health, failure.retryable = late.unless(to.largeHeaders), !writes
		}
	case answer != nil:
		failure = newAnswerError(answer, err)
		if failure.Code == connect.CodeUnavailable && failure.ID() == "" { // ZITADEL is not well
			failure.health, failure.retryable = failing.unless(to.isSuspect()), !writes
		}
	default:
		failure = newTransportError(err, failed, writes && !missing)
		if !missing && !isRefusal(failed, err) {
			failure.health, failure.retryable = healthWith(failed.Status).unless(to.isSuspect()), !writes || !failed.Sent
		}
	}
	failure.Missing = missing
	return failure
}

// dissect returns ZITADEL's own answer, or nil, how far the request came, and whether nothing is where it went.
func dissect(err error) (answer *connect.Error, failed *wire.Error, missing bool) {
	failed, ok := errors.AsType[*wire.Error](err)
	if !ok { // it may have been handled
		failed = &wire.Error{Dialed: true, Sent: true}
	}
	if connect.IsWireError(err) {
		answer, _ = errors.AsType[*connect.Error](err)
	}
	// ZITADEL's own errors have details.
	if failed.Status == http.StatusNotFound || answer != nil && answer.Code() == connect.CodeUnimplemented && len(answer.Details()) == 0 {
		return nil, failed, true
	}
	return answer, failed, false
}

// isEnd reports whether ZITADEL may have noticed first that a call ended: it gets the deadline, rounded down.
func isEnd(code connect.Code) bool {
	return code == connect.CodeDeadlineExceeded || code == connect.CodeCanceled
}

// newEndedError is the Error of a call whose client left, or whose time was up.
func newEndedError(cause, end error) *Error {
	if errors.Is(end, context.Canceled) {
		return &Error{Code: connect.CodeCanceled, Message: context.Canceled.Error(), Origin: OriginCanceled, cause: cause}
	}
	return &Error{Code: connect.CodeDeadlineExceeded, Message: context.DeadlineExceeded.Error(), Origin: OriginDeadline, cause: cause}
}

// newAnswerError is the Error of a call that ZITADEL refused.
func newAnswerError(answer *connect.Error, cause error) *Error {
	details := make([]*anypb.Any, 0, len(answer.Details()))
	for _, detail := range answer.Details() {
		details = append(details, &anypb.Any{TypeUrl: "type.googleapis.com/" + detail.Type(), Value: detail.Bytes()})
	}
	return &Error{
		Code: answer.Code(), Message: answer.Message(), Details: details, Origin: OriginZITADEL,
		RetryAfter: wire.RetryAfter(answer.Meta()), cause: cause, health: healthy,
	}
}

// newTransportError is the Error of a call that ZITADEL did not answer. A proxy that answers 300
// to 499 did not hand the call on; with 500 to 599, it may have.
func newTransportError(cause error, failed *wire.Error, writes bool) *Error {
	failure := NewUnavailableError(cause)
	failure.RetryAfter = failed.RetryAfter
	switch status := failed.Status; {
	case status == http.StatusTooManyRequests:
		failure.Code, failure.Message = connect.CodeResourceExhausted, "too many requests, try again later"
	case status >= http.StatusMultipleChoices && status < http.StatusInternalServerError && !failed.NoRoute:
		failure.Message = fmt.Sprintf("the proxy in front of ZITADEL answered HTTP %d", status)
	case writes && failed.Sent:
		failure.Message = unknownOutcome
	}
	return failure
}

// isRefusal reports whether a proxy turned a call away for a reason of the call's own, or this
// machine has no room for it. 502, 503 and 504 say that what is behind the proxy is not well.
func isRefusal(failed *wire.Error, cause error) bool {
	return failed.Status >= http.StatusMultipleChoices && (failed.Status < http.StatusBadGateway || failed.Status > http.StatusGatewayTimeout) ||
		connect.CodeOf(cause) == connect.CodeResourceExhausted || // an answer that is too large, or ENHANCE_YOUR_CALM
		errors.Is(cause, syscall.EADDRNOTAVAIL) || errors.Is(cause, syscall.EMFILE) || errors.Is(cause, syscall.ENFILE)
}
