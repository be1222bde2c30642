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

	"zitadel-v1-adapter/v2client/internal/wire"
)

// ending says whether a call ended because its time was up or its client left.
type ending int

const (
	notEnded ending = iota
	canceled
	clientDeadline
	adapterDeadline // the adapter's: upstream.timeout, or upstream.readTimeout of silence
)

// deadlineSlack is how long before a deadline what fails because of it may fail:
// the transport and the upstream look at clocks of their own.
const deadlineSlack = 10 * time.Millisecond

// errAdapterDeadline is the cause of a context that ended by WithDeadline.
var errAdapterDeadline = errors.New("the adapter's deadline passed")

// WithDeadline returns a context for calls that ends at the adapter's deadline. When that
// passes, the upstream is too slow; any other deadline says nothing about it.
func WithDeadline(ctx context.Context, deadline time.Time) (context.Context, context.CancelFunc) {
	return context.WithDeadlineCause(ctx, deadline, errAdapterDeadline)
}

// endingOf tells how a call's context ended, or is about to end.
func endingOf(ctx context.Context) ending {
	if deadline, ok := ctx.Deadline(); ok && time.Until(deadline) < deadlineSlack {
		<-ctx.Done()
	}
	cause := context.Cause(ctx)
	switch {
	case cause == nil:
		return notEnded
	case errors.Is(cause, errAdapterDeadline), errors.Is(cause, errSilent):
		return adapterDeadline
	case errors.Is(ctx.Err(), context.DeadlineExceeded):
		return clientDeadline
	}
	return canceled
}

// health is what the outcome of a call says about the upstream.
type health int

const (
	// notCounted is the zero value: the caller, or this machine, may be why.
	notCounted health = iota
	// healthy means that ZITADEL itself answered, if only with a refusal.
	healthy
	// failing counts against the upstream.
	failing
	// late counts against the upstream unless it has answered another call in the
	// meantime: then it is busy.
	late
)

// unknownOutcome is the message of a write that was sent, and to which ZITADEL's
// own answer did not come.
const unknownOutcome = "ZITADEL did not answer: whether the change was made is unknown"

// target is what matters of where a call goes: a load balancer may turn away large headers,
// and a host that it does not know.
type target struct{ largeHeaders, unverifiedHost bool }

// classify tells what the error of an attempt means: its code and message, whether it
// counts against the upstream, whether the call may be made again, and whether the
// outcome of a write is unknown. Nothing else judges an outcome.
func classify(err error, end ending, writes bool, to target) *Error {
	failed := asWireError(err)
	failure := newError(err, failed, end)
	if isMissing(err, failed) {
		failure.Missing = true
		return failure
	}
	timedOut := failure.Origin == OriginDeadline && end == adapterDeadline
	refused := failure.Origin == OriginTransport && isRefusal(failed, err)
	failure.health = failure.healthOf(failed, timedOut, refused || attributableToCaller(failure.Origin, failed, to))
	// Retry a possibly handled call only if it is a read.
	notSent := failure.Origin == OriginTransport && !failed.Sent
	failure.retryable = timedOut && !writes || failure.isUnavailable() && !refused && (!writes || notSent)
	if failure.Origin == OriginTransport && writes && failed.Sent && !isGatewayRefusal(failed) {
		failure.Message = unknownOutcome
	}
	return failure
}

// asWireError is what is known of the request. Without an answer or an error of package wire's,
// it may have been handled.
func asWireError(err error) *wire.Error {
	if failed, ok := errors.AsType[*wire.Error](err); ok {
		return failed
	}
	return &wire.Error{Dialed: true, Sent: true}
}

// healthOf is what a failure says about the upstream; excused ones may be the call's own
// fault.
func (e *Error) healthOf(failed *wire.Error, timedOut, excused bool) health {
	switch {
	case e.Origin == OriginZITADEL && !e.isUnavailable():
		return healthy
	case excused:
		return notCounted
	case timedOut, e.Origin == OriginTransport && failed.Status == http.StatusGatewayTimeout:
		return late
	case e.isUnavailable():
		return failing
	}
	return notCounted
}

// isUnavailable reports whether ZITADEL could not be asked, or answered that it is not
// well. With an id, that is one of its own errors.
func (e *Error) isUnavailable() bool {
	return e.Origin == OriginTransport || e.Origin == OriginZITADEL && e.Code == connect.CodeUnavailable && e.ID() == ""
}

// attributableToCaller reports whether a call may have failed because of its large headers or
// of its host. Without a connection it did not, and a load balancer that does not know a host
// says so at once.
func attributableToCaller(origin Origin, failed *wire.Error, to target) bool {
	switch {
	case !failed.Dialed:
		return false
	case origin == OriginDeadline:
		return to.largeHeaders
	}
	return to.largeHeaders || to.unverifiedHost
}

// newError tells who made an error. Codes that connect-go synthesizes are not trusted:
// it takes a connection reset by the upstream for a cancelled call, and a dial timeout for a
// passed deadline.
func newError(err error, failed *wire.Error, end ending) *Error {
	if answer, ok := errors.AsType[*connect.Error](err); ok && connect.IsWireError(err) && !isMissing(err, failed) {
		// The deadline goes upstream, rounded down: ZITADEL may be the first to notice
		// that it passed.
		ended := answer.Code() == connect.CodeDeadlineExceeded || answer.Code() == connect.CodeCanceled
		if !ended || end == notEnded {
			return &Error{
				Code: answer.Code(), Message: answer.Message(), Details: anyDetails(answer.Details()), Origin: OriginZITADEL,
				RetryAfter: wire.RetryAfter(answer.Meta()), cause: err,
			}
		}
	}
	if end != notEnded {
		return newEndedError(err, end)
	}
	failure := NewUnavailableError(err)
	failure.RetryAfter = failed.RetryAfter
	switch {
	case failed.Status == http.StatusTooManyRequests:
		failure.Code, failure.Message = connect.CodeResourceExhausted, "too many requests, try again later"
	case isGatewayRefusal(failed):
		failure.Message = fmt.Sprintf("the proxy in front of ZITADEL answered HTTP %d", failed.Status)
	}
	return failure
}

// newEndedError is the Error of a call whose client left, or whose time was up.
func newEndedError(cause error, end ending) *Error {
	if end == canceled {
		return &Error{Code: connect.CodeCanceled, Message: context.Canceled.Error(), Origin: OriginCanceled, cause: cause}
	}
	return &Error{Code: connect.CodeDeadlineExceeded, Message: context.DeadlineExceeded.Error(), Origin: OriginDeadline, cause: cause}
}

// isMissing reports whether an error says that there is nothing where a call went. One of
// ZITADEL's own errors has details.
func isMissing(err error, failed *wire.Error) bool {
	answer, ok := errors.AsType[*connect.Error](err)
	return failed.Status == http.StatusNotFound ||
		ok && connect.IsWireError(err) && answer.Code() == connect.CodeUnimplemented && len(answer.Details()) == 0
}

// isGatewayRefusal reports whether a proxy in front of ZITADEL answered in a way that says
// that it did not hand the request on. With 500 to 599, it may have.
func isGatewayRefusal(failed *wire.Error) bool {
	return failed.Status >= http.StatusMultipleChoices && failed.Status < http.StatusInternalServerError && !failed.NoRoute
}

// isRefusal reports whether what is in front of ZITADEL turned a call away for a reason
// of the call's own, or this machine has no room for it. A load balancer says by 502, 503
// and 504 that what is behind it is not well: these are no refusals.
func isRefusal(failed *wire.Error, cause error) bool {
	switch failed.Status {
	case http.StatusBadGateway, http.StatusServiceUnavailable, http.StatusGatewayTimeout:
	default:
		if failed.Status >= http.StatusMultipleChoices {
			return true
		}
	}
	return connect.CodeOf(cause) == connect.CodeResourceExhausted || // an answer that is too large, or ENHANCE_YOUR_CALM
		errors.Is(cause, syscall.EADDRNOTAVAIL) || errors.Is(cause, syscall.EMFILE) || errors.Is(cause, syscall.ENFILE)
}

func anyDetails(details []*connect.ErrorDetail) []*anypb.Any {
	if len(details) == 0 {
		return nil
	}
	out := make([]*anypb.Any, len(details))
	for i, detail := range details {
		out[i] = &anypb.Any{TypeUrl: "type.googleapis.com/" + detail.Type(), Value: detail.Bytes()}
	}
	return out
}
