// Package rpcstatus is the gRPC status of a call that failed: what its code is in HTTP,
// what it is in JSON, and how a request's own protocol writes it. It knows neither v1
// nor v2, but how ZITADEL words an error.
package rpcstatus

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"errors"
	"strings"
	"time"

	"connectrpc.com/connect"
	"github.com/grpc-ecosystem/grpc-gateway/v2/runtime"
	rpc "google.golang.org/genproto/googleapis/rpc/status"
	"google.golang.org/grpc/codes"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/anypb"

	zitadelv1 "zitadel-v1-adapter/gen/zitadel/v1"
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

// NewZITADEL is an error as ZITADEL raises it, with its id after the message and in a detail.
func NewZITADEL(code connect.Code, id, message string) *Status {
	s := New(code, message+" ("+id+")")
	s.ID = id
	if detail, err := anypb.New(&zitadelv1.ErrorDetail{Id: id, Message: message}); err == nil { // it is UTF-8
		s.Details = []*anypb.Any{detail}
	}
	return s
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

// Serialized returns the status as a serialized google.rpc.Status, "" if it has no details.
func (s *Status) Serialized() string {
	if len(s.Details) == 0 {
		return ""
	}
	whole := &rpc.Status{Code: int32(s.Code), Message: s.Message, Details: s.Details} //nolint:gosec // 16 at most
	serialized, err := proto.Marshal(whole)
	if err != nil { // only text that is not UTF-8, which New replaces
		return ""
	}
	return string(serialized)
}

// writeJSON writes the status as grpc-gateway prints google.rpc.Status.
func (s *Status) writeJSON(out *bytes.Buffer) {
	valid := strings.ToValidUTF8(s.Message, "\uFFFD")                                 // all that protojson asks for
	printed, _ := protojson.Marshal(&rpc.Status{Code: int32(s.Code), Message: valid}) //nolint:gosec // 16 at most
	_ = json.Compact(out, printed)
	if len(s.Details) == 0 {
		return
	}
	out.Truncate(out.Len() - len("}"))
	separator := `,"details":[`
	for _, detail := range s.Details {
		out.WriteString(separator)
		writeDetail(out, detail)
		separator = ","
	}
	out.WriteString("]}")
}

// writeDetail writes one error detail: expanded if its type is known to this program, else
// as it came, with the message's bytes in "value". Neither is ever a failure (grpc-gateway
// would answer "failed to marshal error message").
func writeDetail(out *bytes.Buffer, detail *anypb.Any) {
	if expanded, err := protojson.Marshal(detail); err == nil && json.Compact(out, expanded) == nil {
		return
	}
	value := base64.StdEncoding.EncodeToString(detail.GetValue())
	opaque, _ := json.Marshal(map[string]string{"@type": detail.GetTypeUrl(), "value": value}) //nolint:errchkjson // strings alone
	out.Write(opaque)
}

// ParseJSON reads a status as grpc-gateway prints google.rpc.Status. Details of types that this
// program does not know are left out. The error says why it is none; the Status is never nil.
func ParseJSON(printed []byte) (*Status, error) {
	var read struct {
		Code    uint32            `json:"code"`
		Message string            `json:"message"`
		Details []json.RawMessage `json:"details"`
	}
	err := json.Unmarshal(printed, &read)
	if err == nil && read.Code == 0 {
		err = errors.New("a refusal without a code")
	}
	s := New(connect.Code(read.Code), read.Message)
	for _, text := range read.Details {
		var detail anypb.Any
		if protojson.Unmarshal(text, &detail) == nil {
			s.Details = append(s.Details, &detail)
		}
	}
	return s, err
}

// HTTPStatus is the HTTP status of a code, as google/rpc/code.proto maps them, and after
// it both grpc-gateway and the Connect protocol ("Error Codes").
func HTTPStatus(code connect.Code) int { return runtime.HTTPStatusFromCode(codes.Code(code)) }
