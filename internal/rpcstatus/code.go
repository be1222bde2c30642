package rpcstatus

import (
	"net/http"

	"connectrpc.com/connect"
)

// HTTPStatus is the HTTP status of a code, as google/rpc/code.proto maps them, and after
// it both grpc-gateway and the Connect protocol ("Error Codes").
func HTTPStatus(code connect.Code) int {
	switch code {
	case connect.CodeCanceled:
		return 499 // client closed request; net/http has no name for it
	case connect.CodeInvalidArgument, connect.CodeFailedPrecondition, connect.CodeOutOfRange:
		return http.StatusBadRequest
	case connect.CodeDeadlineExceeded:
		return http.StatusGatewayTimeout
	case connect.CodeNotFound:
		return http.StatusNotFound
	case connect.CodeAlreadyExists, connect.CodeAborted:
		return http.StatusConflict
	case connect.CodePermissionDenied:
		return http.StatusForbidden
	case connect.CodeUnauthenticated:
		return http.StatusUnauthorized
	case connect.CodeResourceExhausted:
		return http.StatusTooManyRequests
	case connect.CodeUnimplemented:
		return http.StatusNotImplemented
	case connect.CodeUnavailable:
		return http.StatusServiceUnavailable
	case connect.CodeUnknown, connect.CodeInternal, connect.CodeDataLoss:
	}
	return http.StatusInternalServerError
}
