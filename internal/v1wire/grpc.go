package v1wire

import (
	"bytes"
	"cmp"
	"compress/gzip"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"connectrpc.com/connect"
	"google.golang.org/protobuf/proto"

	"zitadel-v1-adapter/internal/rpcstatus"
)

// gRPC and gRPC-Web are read as v1's grpc-go reads them behind net/http.

// AcceptRPC reads the headers of a request in an RPC protocol, in grpc-go's order: its content
// type, its timeout (limited is false without one), its binary metadata. A refusal is a plain
// HTTP error.
func AcceptRPC(r *http.Request, protocol rpcstatus.Protocol) (timeout time.Duration, limited bool, refusal *rpcstatus.Status) {
	contentType := r.Header.Get("Content-Type")
	if protocol != rpcstatus.GRPC {
		contentType = strings.Replace(contentType, "application/"+string(protocol), grpcContentType, 1)
	}
	// grpc-go takes any codec that it does not know for protobuf.
	if codec, ok := strings.CutPrefix(contentType, grpcContentType); !ok || codec != "" && codec[0] != '+' && codec[0] != ';' {
		return 0, false, plain(http.StatusUnsupportedMediaType, fmt.Sprintf("invalid gRPC request content-type %q", contentType))
	}
	timeout, limited, err := rpcTimeout(r.Header.Get("Grpc-Timeout"))
	if err != nil {
		return 0, false, plain(http.StatusBadRequest, "malformed grpc-timeout: "+err.Error())
	}
	if name, decoded, err := malformedBinary(r.Header, func(string) bool { return true }); err != nil {
		refusal = plain(http.StatusBadRequest, fmt.Sprintf("malformed binary metadata %q in header %q: %v", decoded, strings.ToLower(name), err))
	}
	return timeout, limited, refusal
}

const grpcContentType = "application/grpc"

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
	unit, known := timeoutUnits[text[last]]
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

// plain returns a refusal that grpc-go answers before there is a call, as text.
func plain(httpStatus int, message string) *rpcstatus.Status {
	s := rpcstatus.New(connect.CodeInternal, message)
	s.Plain, s.HTTPStatus = true, httpStatus
	return s
}

// ReadRPC reads the one message of a unary call, and unpacks it.
func ReadRPC(r *http.Request, protocol rpcstatus.Protocol, body Body) ([]byte, *rpcstatus.Status) {
	return readFrame(webFrames(protocol, body), r.Header.Get("Grpc-Encoding"), body)
}

// readFrame reads the one message of a unary gRPC call and unpacks it; what it unpacks
// is held too, as more of the body. encoding is a grpc-encoding header that CheckEncoding
// allows. Errors are those of v1's server, grpc-go (recordings cut-frame, no-frame).
func readFrame(frame io.Reader, encoding string, body Body) ([]byte, *rpcstatus.Status) {
	var prefix [framePrefixBytes]byte
	if _, err := io.ReadFull(frame, prefix[:]); err != nil {
		if errors.Is(err, io.ErrUnexpectedEOF) { // to grpc-go, part of a prefix is the same as none, unless the body was cut off
			_, err = frame.Read(prefix[:1])
		}
		return nil, readFailure(err)
	}
	size := int64(binary.BigEndian.Uint32(prefix[1:]))
	if size > MaxMessageBytes {
		return nil, tooLarge(size)
	}
	// The stated size is not believed before the bytes are there.
	var message bytes.Buffer
	if _, err := io.CopyN(&message, frame, size); err != nil {
		if errors.Is(err, io.EOF) {
			err = io.ErrUnexpectedEOF
		}
		return nil, readFailure(err)
	}
	switch flag := prefix[0]; {
	case flag == 0:
		return message.Bytes(), nil
	case flag != 1:
		return nil, rpcstatus.New(connect.CodeInternal, fmt.Sprintf("grpc: received unexpected payload format %d", flag))
	case encoding != "gzip":
		return nil, rpcstatus.New(connect.CodeInternal, "grpc: compressed flag set with identity or empty encoding")
	}
	return unpack(&message, body)
}

func unpack(packed io.Reader, body Body) ([]byte, *rpcstatus.Status) {
	reader, err := gzip.NewReader(packed)
	if err != nil {
		return nil, rpcstatus.New(connect.CodeInternal, "grpc: failed to decompress the message: "+err.Error())
	}
	message, err := io.ReadAll(io.LimitReader(body.Unpacked(reader), MaxMessageBytes+1))
	if refusal := bodyRefusal(err); refusal != nil {
		return nil, refusal
	}
	if err != nil {
		return nil, rpcstatus.New(connect.CodeInternal, "grpc: failed to read decompressed data: "+err.Error())
	}
	if len(message) > MaxMessageBytes {
		return nil, rpcstatus.New(connect.CodeResourceExhausted,
			fmt.Sprintf("grpc: received message after decompression larger than max %d", MaxMessageBytes))
	}
	return message, nil
}

// readFailure is the status of a request body that ended early or could not be
// read.
func readFailure(err error) *rpcstatus.Status {
	if refusal := bodyRefusal(err); refusal != nil {
		return refusal
	}
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		return rpcstatus.New(connect.CodeUnknown, err.Error())
	}
	return rpcstatus.New(connect.CodeUnknown, fmt.Sprintf("connection error: desc = %q", err.Error()))
}

// DecodeRPC reads a call's message.
func DecodeRPC(message []byte, into proto.Message) *rpcstatus.Status {
	if err := proto.Unmarshal(message, into); err != nil { // before v1's interceptors (recording garbage-message)
		return rpcstatus.New(connect.CodeInternal, "grpc: error unmarshalling request: "+stableProtoText(err))
	}
	return nil
}

// CheckEncoding refuses a grpc-encoding header other than gzip's, before anything is read. A
// call that is packed with gzip has its answer packed with it too, as a header of every answer
// says.
func CheckEncoding(r *http.Request, answer http.Header) *rpcstatus.Status {
	switch encoding := r.Header.Get("Grpc-Encoding"); encoding {
	case "", "identity":
		return nil
	case "gzip":
		answer["Grpc-Encoding"] = []string{encoding}
		return nil
	default:
		return rpcstatus.New(connect.CodeUnimplemented,
			fmt.Sprintf("grpc: Decompressor is not installed for grpc-encoding %q", encoding))
	}
}

// WriteRPC answers a call with its response, packed if the answer's header says so.
func WriteRPC(w http.ResponseWriter, r *http.Request, protocol rpcstatus.Protocol, response proto.Message) {
	header := w.Header()
	frame, err := newFrame(response, header["Grpc-Encoding"] != nil)
	if err != nil { // only text that is not UTF-8, which v2 does not send
		panic(err) //nolint:forbidigo // answered and logged at the edge
	}
	if protocol != rpcstatus.GRPC {
		rpcstatus.WriteRPCBody(w, r, withTrailers(protocol, frame))
		return
	}
	rpcstatus.WriteRPCBody(w, r, frame)
	header[http.TrailerPrefix+"Grpc-Status"] = []string{"0"}
}

// framePrefixBytes is the length of a gRPC message's prefix: a flag byte and
// four bytes of length.
const framePrefixBytes = 5

// Frame returns a message with its prefix (gRPC over HTTP/2, "Length-Prefixed-Message").
// The flag is 0, or 1 for a message that is packed.
func Frame(flag byte, message []byte) []byte {
	frame := binary.BigEndian.AppendUint32([]byte{flag}, uint32(len(message))) //nolint:gosec // at most a few megabytes
	return append(frame, message...)
}

// CutFrame returns the first frame of a body, and what follows it. It is not ok if it is not whole.
func CutFrame(body []byte) (flag byte, message, rest []byte, ok bool) {
	if len(body) < framePrefixBytes {
		return 0, nil, nil, false
	}
	end := framePrefixBytes + int64(binary.BigEndian.Uint32(body[1:]))
	if int64(len(body)) < end {
		return 0, nil, nil, false
	}
	return body[0], body[framePrefixBytes:end], body[end:], true
}

// newFrame returns a message as one frame.
func newFrame(message proto.Message, packed bool) ([]byte, error) {
	encoded, err := proto.Marshal(message)
	if err != nil {
		return nil, err
	}
	if !packed {
		return Frame(0, encoded), nil
	}
	var out bytes.Buffer
	gzipped := gzip.NewWriter(&out)
	_, _ = gzipped.Write(encoded) // a buffer takes everything
	_ = gzipped.Close()
	return Frame(1, out.Bytes()), nil
}

// UnknownMethod returns grpc-go's status for a path that no service has. service is the one
// that is there.
func UnknownMethod(path, service string) *rpcstatus.Status {
	path = strings.TrimPrefix(path, "/")
	at := strings.LastIndexByte(path, '/')
	switch {
	case at < 0:
		return rpcstatus.New(connect.CodeUnimplemented, fmt.Sprintf("malformed method name: %q", "/"+path))
	case path[:at] == service:
		return rpcstatus.New(connect.CodeUnimplemented, fmt.Sprintf("unknown method %s for service %s", path[at+1:], service))
	}
	return rpcstatus.New(connect.CodeUnimplemented, "unknown service "+path[:at])
}

// encodeRPC returns a call.
func encodeRPC(protocol rpcstatus.Protocol, procedure string, message proto.Message) (Request, error) {
	frame, err := newFrame(message, false)
	header := http.Header{"Content-Type": {"application/" + string(protocol)}}
	if protocol == rpcstatus.GRPC {
		header["Te"] = []string{"trailers"}
	} else {
		frame = encodeWeb(protocol, header, frame)
	}
	return Request{Path: procedure, Header: header, Body: frame}, err
}

// decodeRPCAnswer reads an answer's status, which stands in its trailer, or in its header if
// there is no message.
func decodeRPCAnswer(httpStatus int, header, trailer http.Header) (Answer, error) {
	if contentType := header.Get("Content-Type"); !strings.HasPrefix(contentType, grpcContentType) {
		return Answer{}, fmt.Errorf("HTTP %d with content-type %q", httpStatus, contentType)
	}
	field := func(name string) string {
		return cmp.Or(trailer.Get(name), header.Get(name))
	}
	code, err := strconv.ParseUint(field("Grpc-Status"), 10, 32)
	if err != nil {
		return Answer{}, fmt.Errorf("HTTP %d without a grpc-status", httpStatus)
	}
	message, err := url.PathUnescape(field("Grpc-Message"))
	if err != nil {
		return Answer{}, fmt.Errorf("grpc-message: %w", err)
	}
	details, err := decodeBinary(field("Grpc-Status-Details-Bin"))
	if err != nil {
		return Answer{}, fmt.Errorf("grpc-status-details-bin: %w", err)
	}
	return Answer{Code: connect.Code(code), Message: message, Details: string(details)}, nil
}
