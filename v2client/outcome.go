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

	"zitadel-v1-adapter/internal/upstream"
)

// kind is what a call does to ZITADEL.
type kind int

const (
	read kind = iota
	write
)

// attempt is what is known of one attempt at a call, besides its error.
type attempt struct {
	upstream.Outcome

	// status is the answer's HTTP status; 0 is no answer. connect-go's codes do
	// not say where a failure comes from.
	status int
	// foreign says that the answer is not an error as the Connect protocol has it:
	// connect-go takes any JSON for one.
	foreign bool
	// noRoute says that ZITADEL itself answered that it has nothing at the path.
	noRoute bool
	// retryAfter is the answer's Retry-After; 0 is none.
	retryAfter time.Duration
}

// refusedByGateway reports whether a proxy in front of ZITADEL answered in a way that says
// that it did not hand the request on. With 500 to 599, it may have.
func (a attempt) refusedByGateway() bool {
	return a.status >= http.StatusMultipleChoices && a.status < http.StatusInternalServerError && !a.noRoute
}

// ending says whether a call ended because its time was up or its client left.
type ending int

const (
	goesOn ending = iota
	canceled
	clientDeadline
	ownDeadline // the adapter's: upstream.timeout, or upstream.readTimeout of silence
)

// deadlineSlack is how long before a deadline what fails because of it may fail:
// the transport and the upstream look at clocks of their own.
const deadlineSlack = 10 * time.Millisecond

// endingOf looks at a call's context, which ends at own at the latest. A zero own is
// no deadline of the adapter's.
func endingOf(ctx context.Context, own, now time.Time) ending {
	deadline, limited := ctx.Deadline()
	switch {
	case errors.Is(context.Cause(ctx), errSilent):
		return ownDeadline
	case errors.Is(ctx.Err(), context.Canceled):
		return canceled
	case !limited || deadline.Sub(now) >= deadlineSlack:
		return goesOn
	case !own.IsZero() && !deadline.Before(own):
		return ownDeadline
	}
	return clientDeadline
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
// own answer did not come. (A load balancer's 429 is believed: it let nothing
// through.)
const unknownOutcome = "ZITADEL did not answer: whether the change was made is unknown"

// classify tells what the error of an attempt means: its code and message, whether it
// counts against the upstream, whether the call may be made again, and whether the
// outcome of a write is unknown. Nothing else judges an outcome.
func classify(err error, kind kind, made attempt, to target, end ending) *Error {
	failure := newMissingError(err, made)
	if failure == nil {
		failure = newError(err, made, end)
	}
	failure.RetryAfter = made.retryAfter
	if failure.missing {
		return failure
	}
	transport := failure.Origin == OriginTransport
	refused := transport && (made.refusedByGateway() || isRefusal(failure.cause, made.status))
	failure.health = failure.healthOf(refused || to.mayBeWhy(failure.Origin, made), made, end)
	// What may have been handled is made again only if it reads.
	failure.retryable = failure.isUnavailable() && !refused && (kind == read || transport && !made.Sent) ||
		kind == read && failure.Origin == OriginDeadline && end == ownDeadline
	if transport && kind == write && made.Sent && !made.refusedByGateway() {
		failure.Message = unknownOutcome
	}
	return failure
}

// isUnavailable reports whether ZITADEL could not be asked, or answered that it is not
// well. With an id, that is one of its own errors.
func (e *Error) isUnavailable() bool {
	return e.Origin == OriginTransport || e.Origin == OriginZITADEL && e.Code == connect.CodeUnavailable && e.ID() == ""
}

// healthOf is what a failure says about the upstream; excused ones may be the call's own
// fault.
func (e *Error) healthOf(excused bool, made attempt, end ending) health {
	switch {
	case e.Origin == OriginZITADEL && !e.isUnavailable():
		return healthy
	case excused:
		return notCounted
	case e.Origin == OriginDeadline && end == ownDeadline, e.isUnavailable() && made.status == http.StatusGatewayTimeout:
		return late
	case e.isUnavailable():
		return failing
	}
	return notCounted
}

// newError tells who made an error. Codes that connect-go synthesizes are not trusted:
// it takes a connection reset by the upstream for a cancelled call, a dial timeout for a
// passed deadline, and any JSON of a load balancer's for an error of ZITADEL's.
func newError(err error, made attempt, end ending) *Error {
	if errors.Is(err, ErrTokenRefused) {
		return &Error{Code: connect.CodeUnauthenticated, Message: ErrTokenRefused.Error(), Origin: OriginZITADEL, cause: err}
	}
	if own, ok := errors.AsType[*gatewayError](err); ok {
		return &Error{Code: own.code, Message: own.message, Details: own.details, Origin: OriginZITADEL}
	}
	if wire, ok := errors.AsType[*connect.Error](err); ok && connect.IsWireError(err) && !made.foreign {
		// The deadline goes upstream, rounded down: ZITADEL may be the first to notice
		// that it passed.
		ended := wire.Code() == connect.CodeDeadlineExceeded || wire.Code() == connect.CodeCanceled
		if !ended || end == goesOn {
			return &Error{Code: wire.Code(), Message: wire.Message(), Details: anyDetails(wire.Details()), Origin: OriginZITADEL}
		}
	}
	switch {
	case end != goesOn:
		return newEndedError(err, end)
	case made.status == http.StatusTooManyRequests:
		return &Error{Code: connect.CodeResourceExhausted, Message: "too many requests, try again later", Origin: OriginTransport, cause: err}
	case made.refusedByGateway():
		return newGatewayRefusal(err, made.status)
	case made.foreign:
		err = fmt.Errorf("answered HTTP %d, and not as the Connect protocol has it", made.status)
	}
	return newUnavailableError(err)
}

// newMissingError is the Error of a call that the upstream does not have: another release,
// or a gateway that leads nowhere. Nothing handled it, and again would not help. nil if it
// has.
func newMissingError(err error, made attempt) *Error {
	if !isUnknownCall(err) {
		return nil
	}
	failure := newUnavailableError(err)
	if own, ok := errors.AsType[*gatewayError](err); made.refusedByGateway() && (!ok || own.foreign) {
		failure = newGatewayRefusal(err, made.status)
	}
	failure.missing = true
	return failure
}

// isUnknownCall reports whether an error says that there is nothing where a call went:
// connect-go makes CodeUnimplemented of HTTP 404. One of ZITADEL's own errors has details.
func isUnknownCall(err error) bool {
	if own, ok := errors.AsType[*gatewayError](err); ok {
		return own.missing
	}
	wire, ok := errors.AsType[*connect.Error](err)
	return ok && wire.Code() == connect.CodeUnimplemented && len(wire.Details()) == 0
}

// newEndedError is the Error of a call whose client left, or whose time was up.
func newEndedError(cause error, end ending) *Error {
	if end == canceled {
		return &Error{Code: connect.CodeCanceled, Message: context.Canceled.Error(), Origin: OriginCanceled, cause: cause}
	}
	return &Error{Code: connect.CodeDeadlineExceeded, Message: context.DeadlineExceeded.Error(), Origin: OriginDeadline, cause: cause}
}

// newUnavailableError is the Error of an upstream that gave no answer, or none that
// ZITADEL would give.
func newUnavailableError(cause error) *Error {
	return &Error{Code: connect.CodeUnavailable, Message: "ZITADEL cannot be reached", Origin: OriginTransport, cause: cause}
}

// newGatewayRefusal is the Error of a call that a proxy in front of ZITADEL did not hand on.
func newGatewayRefusal(cause error, status int) *Error {
	failure := newUnavailableError(cause)
	failure.Message = fmt.Sprintf("the proxy in front of ZITADEL answered HTTP %d", status)
	return failure
}

// isRefusal reports whether what is in front of ZITADEL turned a call away for a reason
// of the call's own, or this machine has no room for it. A load balancer says by 502, 503
// and 504 that what is behind it is not well: these are no refusals.
func isRefusal(cause error, httpStatus int) bool {
	switch httpStatus {
	case http.StatusBadGateway, http.StatusServiceUnavailable, http.StatusGatewayTimeout:
	default:
		if httpStatus >= http.StatusBadRequest {
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
