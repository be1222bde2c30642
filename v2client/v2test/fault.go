package v2test

import (
	"connectrpc.com/connect"

	"zitadel-v1-adapter/internal/rpcstatus"
)

// ZITADEL's errors, as recorded in v2_calls.jsonl; AUTH-Swrgg2 comes from the source of
// ZITADEL's permission check.
var (
	faultNoAuthorization    = rpcstatus.New(connect.CodeUnauthenticated, "auth header missing")
	faultAuthorization      = rpcstatus.NewZITADEL(connect.CodeUnauthenticated, "AUTH-toLo1", "invalid auth header")
	faultToken              = rpcstatus.NewZITADEL(connect.CodeUnauthenticated, "AUTH-7fs1e", "Errors.Token.Invalid")
	faultOrganization       = rpcstatus.NewZITADEL(connect.CodePermissionDenied, "AUTH-Bs7Ds", "Organisation doesn't exist")
	faultMembershipNotFound = rpcstatus.NewZITADEL(connect.CodeNotFound, "AUTHZ-cdgFk", "membership not found")
	faultNoPermission       = rpcstatus.NewZITADEL(connect.CodePermissionDenied, "AUTH-AWfge", "No matching permissions found")
	faultPermissionOnOther  = rpcstatus.NewZITADEL(connect.CodePermissionDenied, "AUTH-Swrgg2", "No matching permissions found")
	faultUserNotFound       = rpcstatus.NewZITADEL(connect.CodeNotFound, "QUERY-Dfbg2", "User could not be found")
	faultPasswordNotFound   = rpcstatus.NewZITADEL(connect.CodeFailedPrecondition, "COMMAND-G8dh3", "Password not found")
	faultNotInitialized     = rpcstatus.NewZITADEL(connect.CodeFailedPrecondition, "COMMAND-M9dse", "User is not yet initialized")
	faultTooShort           = rpcstatus.NewZITADEL(connect.CodeInvalidArgument, "DOMAIN-HuJf6", "Password is too short")
	faultNoLower            = rpcstatus.NewZITADEL(connect.CodeInvalidArgument, "DOMAIN-co3Xw", "Password must contain lower case")
	faultNoUpper            = rpcstatus.NewZITADEL(connect.CodeInvalidArgument, "DOMAIN-VoaRj", "Password must contain upper case")
	faultNoNumber           = rpcstatus.NewZITADEL(connect.CodeInvalidArgument, "DOMAIN-ZBv4H", "Password must contain number")
	faultNoSymbol           = rpcstatus.NewZITADEL(connect.CodeInvalidArgument, "DOMAIN-ZDLwA", "Password must contain symbol")
	faultHash               = rpcstatus.NewZITADEL(connect.CodeInternal, "COMMAND-CahN2", "An internal error occurred")
)
