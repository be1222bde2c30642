package adapter

import (
	"errors"
	"strings"
	"time"

	"connectrpc.com/connect"
	"google.golang.org/protobuf/types/known/anypb"

	zitadelv1 "zitadel-v1-adapter/gen/zitadel/v1"
	"zitadel-v1-adapter/v2client"
)

// status is a gRPC status, as v1 shows it in every protocol.
type status struct {
	code    connect.Code
	message string
	details []*anypb.Any
	// id is the ZITADEL error id, or "".
	id string
	// retryAfter is when to try again, 0 if nobody knows.
	retryAfter time.Duration
	// cause is for the log alone.
	cause error
}

// newStatus is a status without details: grpc-go's, grpc-gateway's and the
// validator's errors look so.
func newStatus(code connect.Code, message string) *status {
	return &status{code: code, message: strings.ToValidUTF8(message, "\uFFFD")}
}

// newRefusal is an error as ZITADEL raises it: with its id after the message and
// in an error detail.
func newRefusal(code connect.Code, id, message string) *status {
	s := newStatus(code, message+" ("+id+")")
	s.id = id
	detail, err := anypb.New(&zitadelv1.ErrorDetail{Id: id, Message: message})
	if err != nil { // only invalid UTF-8 fails, and id and message are constants
		return s
	}
	s.details = []*anypb.Any{detail}
	return s
}

// What v1 says where v2 says something else, or nothing. The words are English,
// the language of ZITADEL's own defaults.

// passwordNotFound: no such human in the organization, whatever the reason.
func passwordNotFound() *status {
	return newRefusal(connect.CodeFailedPrecondition, idPasswordNotFound, "Password not found")
}

// membershipNotFound: the caller has no role in the organization.
func membershipNotFound() *status {
	return newRefusal(connect.CodeNotFound, idMembershipNotFound, "membership not found")
}

// noPermission: the caller has roles in the organization, but none that may
// write users.
func noPermission() *status {
	return newRefusal(connect.CodePermissionDenied, "AUTH-5mWD2", "No matching permissions found")
}

// The ids of v2's errors that decide how the organization rule goes on.
const (
	idMembershipNotFound = "AUTHZ-cdgFk"
	idNoPermission       = "AUTH-AWfge"
	idNoPermissionOnUser = "AUTH-Swrgg2"
	idPasswordNotFound   = "COMMAND-G8dh3" //nolint:gosec // an error id, no credential
	idNotInitialized     = "COMMAND-M9dse"
)

// statusOf maps an error of the v2 client to v1's status: the code, the message
// and every detail stay as ZITADEL sent them.
func statusOf(err error) *status {
	if own, ok := errors.AsType[*status](err); ok {
		return own
	}
	failure, ok := errors.AsType[*v2client.Error](err)
	if !ok {
		s := newStatus(connect.CodeInternal, "internal error")
		s.cause = err
		return s
	}
	s := newStatus(failure.Code, failure.Message)
	s.details, s.id, s.retryAfter = failure.Details, failure.ID(), failure.RetryAfter
	if failure.Origin != v2client.OriginZITADEL {
		s.cause = failure
	}
	return s
}

// Error makes a status an error; its text is what the client sees.
func (s *status) Error() string { return s.message }

// connectError is the status for connect-go's gRPC and gRPC-Web handlers.
func (s *status) connectError() *connect.Error {
	err := connect.NewError(s.code, errors.New(s.message))
	for _, detail := range s.details {
		if opaque, detailErr := connect.NewErrorDetail(detail); detailErr == nil { // never fails for an Any
			err.AddDetail(opaque)
		}
	}
	return err
}
