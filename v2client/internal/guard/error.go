package guard

import (
	"time"

	"connectrpc.com/connect"
	"google.golang.org/protobuf/types/known/anypb"

	zitadelv1 "zitadel-v1-adapter/gen/zitadel/v1"
	"zitadel-v1-adapter/internal/redact"
)

// Origin says who made an Error.
type Origin string

const (
	// OriginZITADEL means that ZITADEL answered with this status.
	OriginZITADEL Origin = "zitadel"
	// OriginTransport means no answer, or none that ZITADEL would give: refused
	// or reset connections, a load balancer's error page, garbage.
	OriginTransport Origin = "transport"
	// OriginDeadline means that the deadline of the call passed.
	OriginDeadline Origin = "deadline"
	// OriginCanceled means that the client went away.
	OriginCanceled Origin = "canceled"
	// OriginBreaker means that the breaker is open; nothing was sent.
	OriginBreaker Origin = "breaker"
	// OriginSelf means that this program would not send the call.
	OriginSelf Origin = "self"
)

// Error is the error of a call.
type Error struct {
	Code connect.Code
	// Message is safe to show to the client: ZITADEL's own words, or words of
	// this package that name no address.
	Message string
	// Details are ZITADEL's error details as they came, known types or not.
	Details []*anypb.Any
	Origin  Origin
	// RetryAfter is when to try again; 0 is unknown.
	RetryAfter time.Duration

	// Missing says that the upstream does not have what was called: another release, or a
	// gateway that leads nowhere. Nothing handled the call.
	Missing bool

	cause     error
	health    health
	retryable bool
}

// NewSelfError is the Error of a call that this program would not send.
func NewSelfError(code connect.Code, message string) *Error {
	return &Error{Code: code, Message: message, Origin: OriginSelf}
}

// NewUnavailableError is the Error of an upstream that gave no answer, or none that ZITADEL
// would give.
func NewUnavailableError(cause error) *Error {
	return &Error{Code: connect.CodeUnavailable, Message: "ZITADEL cannot be reached", Origin: OriginTransport, cause: cause}
}

// Error says what happened and, unlike Message, why: it may name addresses and
// is for logs only. What the cause quotes is left out, because an upstream may send
// back what it was sent. ZITADEL's own message is kept, and is all there is.
func (e *Error) Error() string {
	text := e.Code.String() + ": " + e.Message
	if e.cause != nil && e.Origin != OriginZITADEL {
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
		if detail.UnmarshalTo(&known) == nil {
			return known.GetId()
		}
	}
	return ""
}
