// Package rpcstatus is the gRPC status of a call that failed: what its code is in HTTP,
// what it is in JSON, and how a request's own protocol writes it. It knows neither v1
// nor v2.
package rpcstatus

import (
	"errors"
	"strings"
	"time"

	"connectrpc.com/connect"
	"google.golang.org/protobuf/types/known/anypb"
)

// Status is a gRPC status other than OK. It is an error.
type Status struct { //nolint:errname // gRPC's name for it
	Code    connect.Code
	Message string
	Details []*anypb.Any
	// ID is the ZITADEL error id, such as "AUTH-5mWD2", or "".
	ID string
	// RetryAfter is when to try again; 0 is unknown.
	RetryAfter time.Duration
	// HTTPStatus is that of a JSON answer, or of a Plain one; 0 is the one that belongs to Code.
	HTTPStatus int
	// Plain says that the answer in an RPC protocol is HTTPStatus with Message as text. That is how
	// grpc-go refuses a request that it does not accept as a call.
	Plain bool
	// Cause is for logs alone.
	Cause error
}

// New is a status without details. What is not UTF-8 in message becomes U+FFFD.
func New(code connect.Code, message string) *Status {
	return &Status{Code: code, Message: strings.ToValidUTF8(message, "\uFFFD")}
}

// Error is the message, which is what the client sees.
func (s *Status) Error() string { return s.Message }

// ConnectError returns the status as connect-go writes it.
func (s *Status) ConnectError() *connect.Error {
	err := connect.NewError(s.Code, errors.New(s.Message))
	for _, detail := range s.Details {
		if opaque, detailErr := connect.NewErrorDetail(detail); detailErr == nil { // never fails for an Any
			err.AddDetail(opaque)
		}
	}
	return err
}
