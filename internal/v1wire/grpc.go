package v1wire

import (
	"bytes"
	"cmp"
	"compress/gzip"
	"fmt"
	"maps"
	"net/http"
	"net/url"
	"slices"
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
	if !isGRPCContentType(contentType) {
		return 0, false, plain(http.StatusUnsupportedMediaType, fmt.Sprintf("invalid gRPC request content-type %q", contentType))
	}
	timeout, limited, err := rpcTimeout(r.Header.Get("Grpc-Timeout"))
	if err != nil {
		return 0, false, plain(http.StatusBadRequest, "malformed grpc-timeout: "+err.Error())
	}
	return timeout, limited, checkBinaryMetadata(r.Header)
}

const grpcContentType = "application/grpc"

// isGRPCContentType reports whether grpc-go takes a content type: application/grpc, alone or
// with a codec after "+" or ";". It takes any codec that it does not know for protobuf.
func isGRPCContentType(contentType string) bool {
	rest, ok := strings.CutPrefix(contentType, grpcContentType)
	return ok && (rest == "" || rest[0] == '+' || rest[0] == ';')
}

// checkBinaryMetadata refuses binary metadata that is not base64. Of several such headers
// native v1 names any; here it is the first by name.
func checkBinaryMetadata(header http.Header) *rpcstatus.Status {
	for _, name := range slices.Sorted(maps.Keys(header)) {
		key := strings.ToLower(name)
		if !strings.HasSuffix(key, "-bin") {
			continue
		}
		for _, value := range header[name] {
			if decoded, err := decodeBinary(value); err != nil {
				return plain(http.StatusBadRequest, fmt.Sprintf("malformed binary metadata %q in header %q: %v", decoded, key, err))
			}
		}
	}
	return nil
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
	rpcstatus.SetRPCHeader(header, r)
	if protocol != rpcstatus.GRPC {
		writeWeb(w, protocol, frame)
		return
	}
	w.WriteHeader(http.StatusOK)
	_, _ = w.Write(frame) // a client that is gone needs no answer
	rpcstatus.Flush(w)
	header[http.TrailerPrefix+"Grpc-Status"] = []string{"0"}
}

// newFrame returns a message as one frame.
func newFrame(message proto.Message, packed bool) ([]byte, error) {
	encoded, err := proto.Marshal(message)
	if err != nil {
		return nil, err
	}
	flag := byte(0)
	if packed {
		flag = 1
		var out bytes.Buffer
		gzipped := gzip.NewWriter(&out)
		_, _ = gzipped.Write(encoded) // a buffer takes everything
		_ = gzipped.Close()
		encoded = out.Bytes()
	}
	return Frame(flag, encoded), nil
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
