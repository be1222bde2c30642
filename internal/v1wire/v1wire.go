// Package v1wire is the wire of ZITADEL's v1 APIs. One file is one protocol: REST as
// grpc-gateway v2 speaks it (rest.go), gRPC as grpc-go speaks it behind net/http (grpc.go),
// and gRPC-Web as improbable-eng's wrapper of grpc-go does (grpcweb.go).
//
// The package knows no method, no rule and no ZITADEL. For a server it reads a request into a
// protobuf message, and writes a response or a status; its errors have the words of the
// libraries that native v1 is made of. For a client it writes a request ([EncodeRequest]) and
// reads an answer ([DecodeAnswer]).
package v1wire

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"os"
	"slices"
	"strings"
	"time"

	"connectrpc.com/connect"

	"zitadel-v1-adapter/internal/rpcstatus"
)

// MaxMessageBytes is grpc-go's default limit for a received message. v1 never raised it.
const MaxMessageBytes = 4 << 20

// Body is a request's body. An error that is a [*rpcstatus.Status] answers the call.
type Body interface {
	io.Reader
	// Unpacked returns a reader of from, the same body decompressed. What it reads counts as
	// part of the body.
	Unpacked(from io.Reader) io.Reader
}

// bodyRefusal returns the status of a call whose body could not be read for a reason of the
// adapter's own; nil if err is the sender's fault.
func bodyRefusal(err error) *rpcstatus.Status {
	if refusal, ok := errors.AsType[*rpcstatus.Status](err); ok {
		return refusal
	}
	if errors.Is(err, os.ErrDeadlineExceeded) {
		return rpcstatus.New(connect.CodeDeadlineExceeded, "the request's body did not arrive in time")
	}
	return nil
}

// tooLarge returns grpc-go's refusal of a message of size bytes.
func tooLarge(size int64) *rpcstatus.Status {
	return rpcstatus.New(connect.CodeResourceExhausted,
		fmt.Sprintf("grpc: received message larger than max (%d vs. %d)", size, MaxMessageBytes))
}

// stableProtoText returns the text of a protobuf-go error, in which the space after "proto:"
// is a no-break space in some builds.
func stableProtoText(err error) string {
	return strings.ReplaceAll(err.Error(), "\u00a0", " ")
}

// decodeBinary decodes the value of a header whose name ends in "-bin", as grpc-go and
// grpc-gateway do: with or without padding.
func decodeBinary(value string) ([]byte, error) {
	if len(value)%4 == 0 {
		return base64.StdEncoding.DecodeString(value)
	}
	return base64.RawStdEncoding.DecodeString(value)
}

// IsPrintable reports whether gRPC can carry value as metadata: printable ASCII and spaces.
func IsPrintable(value string) bool {
	return !strings.ContainsFunc(value, func(c rune) bool { return c < ' ' || c > '~' })
}

// malformedBinary returns the first header, by name, of those that are metadata in base64, but
// is not: what could be decoded, and what is wrong; native v1 names any one of several.
func malformedBinary(header http.Header, isMetadata func(name string) bool) (name string, decoded []byte, err error) {
	for _, name := range slices.Sorted(maps.Keys(header)) {
		if !strings.HasSuffix(strings.ToLower(name), "-bin") || !isMetadata(name) {
			continue
		}
		for _, value := range header[name] {
			if decoded, err := decodeBinary(value); err != nil {
				return name, decoded, err
			}
		}
	}
	return "", nil, nil
}

// timeoutUnits are the units of a grpc-timeout header (gRPC over HTTP/2, "Timeout").
var timeoutUnits = map[byte]time.Duration{
	'H': time.Hour, 'M': time.Minute, 'S': time.Second,
	'm': time.Millisecond, 'u': time.Microsecond, 'n': time.Nanosecond,
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

// DeadlineStatus is [ContextStatus] for a deadline alone: a body that does not come may end a
// call's context too.
func DeadlineStatus(ctx context.Context) *rpcstatus.Status {
	if !errors.Is(ctx.Err(), context.DeadlineExceeded) {
		return nil
	}
	return ContextStatus(ctx)
}
