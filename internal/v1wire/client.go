package v1wire

import (
	"cmp"
	"net/http"
	"strconv"
	"strings"

	"connectrpc.com/connect"
	"google.golang.org/protobuf/proto"

	"zitadel-v1-adapter/internal/rpcstatus"
)

// Request is a call as a client sends it, by POST.
type Request struct {
	Path   string // escaped
	Header http.Header
	Body   []byte
}

// EncodeRequest returns a call of a method. Any protocol that is not an RPC protocol is REST.
// path is the method's procedure, over REST its pattern, such as "/users/:user_id": a
// parameter is the message's field of its name. The error is a message that cannot be sent.
func EncodeRequest(protocol rpcstatus.Protocol, path string, message proto.Message) (Request, error) {
	switch protocol {
	case rpcstatus.GRPC, rpcstatus.GRPCWeb, rpcstatus.GRPCWebText:
		return encodeRPC(protocol, path, message)
	}
	return encodeREST(path, message)
}

// Answer is what a client understands of an answer to a v1 call.
type Answer struct {
	Code    connect.Code // 0 is success
	Message string
	// Details is the serialized google.rpc.Status of an RPC protocol, "" if there is none.
	Details string
}

// DecodeAnswer reads an answer. Any protocol that is not an RPC protocol is REST. The error says
// what is not as the protocol has it.
func DecodeAnswer(protocol rpcstatus.Protocol, httpStatus int, header, trailer http.Header, body []byte) (Answer, error) {
	switch protocol {
	case rpcstatus.GRPC:
		return decodeRPCAnswer(httpStatus, header, trailer)
	case rpcstatus.GRPCWeb:
		return decodeRPCAnswer(httpStatus, header, webTrailer(body))
	case rpcstatus.GRPCWebText:
		decoded, err := decodeText(body)
		if err != nil {
			return Answer{}, err
		}
		return decodeRPCAnswer(httpStatus, header, webTrailer(decoded))
	}
	return decodeRESTAnswer(httpStatus, header, body)
}

// RefusalBytes are enough of a gRPC-Web answer for CodeName: a refusal, with its trailers, is no longer.
const RefusalBytes = 4 << 10

// CodeName is the gRPC code of an answer by its name in lower case: "ok" is success, "" none. header is
// that of [net/http.ResponseWriter], with trailers in it. Of gRPC-Web, whose status may be in the body,
// the first RefusalBytes of that are looked at.
func CodeName(protocol rpcstatus.Protocol, httpStatus int, header http.Header, body []byte) string {
	status := cmp.Or(header.Get(http.TrailerPrefix+"Grpc-Status"), header.Get("Grpc-Status"))
	if status == "" && protocol.IsWeb() && httpStatus == http.StatusOK {
		answer, _ := DecodeAnswer(protocol, httpStatus, header, nil, body) // a success may be longer
		status = strconv.Itoa(int(answer.Code))
	}
	code, err := strconv.ParseUint(status, 10, 32)
	switch {
	case status == "":
		return ""
	case err != nil || code > uint64(connect.CodeUnauthenticated):
		return connect.CodeUnknown.String()
	case code == 0:
		return "ok"
	}
	return connect.Code(code).String()
}

// ID returns ZITADEL's id at the end of an error's message, "Password not found
// (COMMAND-G8dh3)"; "" if there is none.
func (a Answer) ID() string {
	begin := strings.LastIndexByte(a.Message, '(')
	if begin < 0 || !strings.HasSuffix(a.Message, ")") {
		return ""
	}
	id := a.Message[begin+1 : len(a.Message)-1]
	if strings.ContainsAny(id, " :") || !strings.Contains(id, "-") {
		return ""
	}
	return id
}
