package v2test

import (
	"errors"

	"connectrpc.com/connect"

	zitadelv1 "zitadel-v1-adapter/gen/zitadel/v1"
)

// fault is an error of ZITADEL. If it has an id, the id is appended to the message and the
// error has an ErrorDetail.
type fault struct {
	code    connect.Code
	id      string
	message string
}

// ZITADEL's errors, as recorded in v2_calls.jsonl; AUTH-Swrgg2 comes from the source of
// ZITADEL's permission check.
//
//nolint:gochecknoglobals // used as constants
var (
	faultNoAuthorization    = &fault{connect.CodeUnauthenticated, "", "auth header missing"}
	faultAuthorization      = &fault{connect.CodeUnauthenticated, "AUTH-toLo1", "invalid auth header"}
	faultToken              = &fault{connect.CodeUnauthenticated, "AUTH-7fs1e", "Errors.Token.Invalid"}
	faultOrganization       = &fault{connect.CodePermissionDenied, "AUTH-Bs7Ds", "Organisation doesn't exist"}
	faultMembershipNotFound = &fault{connect.CodeNotFound, "AUTHZ-cdgFk", "membership not found"}
	faultNoPermission       = &fault{connect.CodePermissionDenied, "AUTH-AWfge", "No matching permissions found"}
	faultPermissionOnOther  = &fault{connect.CodePermissionDenied, "AUTH-Swrgg2", "No matching permissions found"}
	faultUserNotFound       = &fault{connect.CodeNotFound, "QUERY-Dfbg2", "User could not be found"}
	faultPasswordNotFound   = &fault{connect.CodeFailedPrecondition, "COMMAND-G8dh3", "Password not found"}
	faultNotInitialized     = &fault{connect.CodeFailedPrecondition, "COMMAND-M9dse", "User is not yet initialized"}
	faultTooShort           = &fault{connect.CodeInvalidArgument, "DOMAIN-HuJf6", "Password is too short"}
	faultNoLower            = &fault{connect.CodeInvalidArgument, "DOMAIN-co3Xw", "Password must contain lower case"}
	faultNoUpper            = &fault{connect.CodeInvalidArgument, "DOMAIN-VoaRj", "Password must contain upper case"}
	faultNoNumber           = &fault{connect.CodeInvalidArgument, "DOMAIN-ZBv4H", "Password must contain number"}
	faultNoSymbol           = &fault{connect.CodeInvalidArgument, "DOMAIN-ZDLwA", "Password must contain symbol"}
	faultHash               = &fault{connect.CodeInternal, "COMMAND-CahN2", "An internal error occurred"}
)

// invalid returns the error of a request's validation, which has no ErrorDetail.
func invalid(message string) *fault {
	return &fault{code: connect.CodeInvalidArgument, message: message}
}

// err returns the fault as a Connect error.
func (f *fault) err() error {
	if f.id == "" {
		return connect.NewError(f.code, errors.New(f.message))
	}
	err := connect.NewError(f.code, errors.New(f.message+" ("+f.id+")"))
	detail, detailErr := connect.NewErrorDetail(&zitadelv1.ErrorDetail{Id: f.id, Message: f.message})
	if detailErr != nil {
		return connect.NewError(connect.CodeInternal, detailErr)
	}
	err.AddDetail(detail)
	return err
}
