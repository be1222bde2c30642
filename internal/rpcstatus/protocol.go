package rpcstatus

import (
	"net/http"
	"strings"
)

// Protocol is an RPC protocol, by its name in logs and metrics.
type Protocol string

// The protocols of ZITADEL's v1 besides REST.
const (
	GRPC        Protocol = "grpc"
	GRPCWeb     Protocol = "grpc-web"
	GRPCWebText Protocol = "grpc-web-text" // base64, for browsers' XMLHttpRequest
)

// ProtocolOf tells gRPC from gRPC-Web by the Content-Type, as ZITADEL's router
// does; "" is neither.
func ProtocolOf(r *http.Request) Protocol {
	if r.Method != http.MethodPost {
		return ""
	}
	contentType := r.Header.Get("Content-Type")
	switch {
	case strings.HasPrefix(contentType, "application/grpc-web-text"):
		return GRPCWebText
	case strings.HasPrefix(contentType, "application/grpc-web"):
		return GRPCWeb
	case r.ProtoMajor == 2 && (contentType == "application/grpc" ||
		// grpc-go has no JSON codec and takes the message for protobuf.
		contentType == "application/grpc+proto" || contentType == "application/grpc+json"):
		return GRPC
	}
	return ""
}

// IsGRPC reports whether r is a gRPC call with any codec. gRPC-Web is not gRPC.
func IsGRPC(r *http.Request) bool {
	contentType := r.Header.Get("Content-Type")
	return r.ProtoMajor == 2 && strings.HasPrefix(contentType, "application/grpc") && !strings.HasPrefix(contentType, "application/grpc-web")
}
