package rpcstatus

import (
	"net/http"
	"slices"
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
	case r.ProtoMajor == 2 && slices.ContainsFunc(r.Header["Content-Type"], routesAsGRPC):
		return GRPC
	case strings.HasPrefix(contentType, "application/grpc-web-text"):
		return GRPCWebText
	case strings.HasPrefix(contentType, "application/grpc-web"):
		return GRPCWeb
	}
	return ""
}

// routesAsGRPC reports whether ZITADEL's router takes one of a request's content types for
// gRPC's. grpc-go has no JSON codec, and takes the message for protobuf.
func routesAsGRPC(contentType string) bool {
	return contentType == "application/grpc" || contentType == "application/grpc+proto" || contentType == "application/grpc+json"
}

// IsGRPC reports whether r is a gRPC call with any codec. gRPC-Web is not gRPC.
func IsGRPC(r *http.Request) bool {
	contentType := r.Header.Get("Content-Type")
	return r.ProtoMajor == 2 && strings.HasPrefix(contentType, "application/grpc") && !strings.HasPrefix(contentType, "application/grpc-web")
}
