package v2test

import (
	"connectrpc.com/connect"
	"google.golang.org/protobuf/types/known/anypb"

	zitadelv1 "zitadel-v1-adapter/gen/zitadel/v1"
	"zitadel-v1-adapter/internal/rpcstatus"
)

// ZITADEL's errors, as recorded in v2_calls.jsonl; AUTH-Swrgg2 comes from the source of
// ZITADEL's permission check.
var (
	faultNoAuthorization    = rpcstatus.New(connect.CodeUnauthenticated, "auth header missing")
	faultAuthorization      = newFault(connect.CodeUnauthenticated, "AUTH-toLo1", "invalid auth header")
	faultToken              = newFault(connect.CodeUnauthenticated, "AUTH-7fs1e", "Errors.Token.Invalid")
	faultOrganization       = newFault(connect.CodePermissionDenied, "AUTH-Bs7Ds", "Organisation doesn't exist")
	faultMembershipNotFound = newFault(connect.CodeNotFound, "AUTHZ-cdgFk", "membership not found")
	faultNoPermission       = newFault(connect.CodePermissionDenied, "AUTH-AWfge", "No matching permissions found")
	faultPermissionOnOther  = newFault(connect.CodePermissionDenied, "AUTH-Swrgg2", "No matching permissions found")
	faultUserNotFound       = newFault(connect.CodeNotFound, "QUERY-Dfbg2", "User could not be found")
	faultPasswordNotFound   = newFault(connect.CodeFailedPrecondition, "COMMAND-G8dh3", "Password not found")
	faultNotInitialized     = newFault(connect.CodeFailedPrecondition, "COMMAND-M9dse", "User is not yet initialized")
	faultTooShort           = newFault(connect.CodeInvalidArgument, "DOMAIN-HuJf6", "Password is too short")
	faultNoLower            = newFault(connect.CodeInvalidArgument, "DOMAIN-co3Xw", "Password must contain lower case")
	faultNoUpper            = newFault(connect.CodeInvalidArgument, "DOMAIN-VoaRj", "Password must contain upper case")
	faultNoNumber           = newFault(connect.CodeInvalidArgument, "DOMAIN-ZBv4H", "Password must contain number")
	faultNoSymbol           = newFault(connect.CodeInvalidArgument, "DOMAIN-ZDLwA", "Password must contain symbol")
	faultHash               = newFault(connect.CodeInternal, "COMMAND-CahN2", "An internal error occurred")
)

// newFault returns an error with an id, which ends its message and stands in its detail.
func newFault(code connect.Code, id, message string) *rpcstatus.Status {
	fault := rpcstatus.New(code, message+" ("+id+")")
	detail, _ := anypb.New(&zitadelv1.ErrorDetail{Id: id, Message: message}) // constants never fail
	fault.Details = []*anypb.Any{detail}
	return fault
}
