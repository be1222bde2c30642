package v1wire

import (
	"net/http"

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
