package adapter

import (
	"errors"
	"strings"

	"connectrpc.com/connect"
	"google.golang.org/protobuf/types/known/anypb"
	"google.golang.org/protobuf/types/known/timestamppb"

	objectv2 "zitadel-v1-adapter/gen/zitadel/object/v2"
	zitadelv1 "zitadel-v1-adapter/gen/zitadel/v1"
	"zitadel-v1-adapter/internal/rpcstatus"
	"zitadel-v1-adapter/v2client"
)

// newRefusal is an error as ZITADEL raises it: with its id after the message and
// in an error detail.
func newRefusal(code connect.Code, id, message string) *rpcstatus.Status {
	s := rpcstatus.New(code, message+" ("+id+")")
	s.ID = id
	if detail, err := anypb.New(&zitadelv1.ErrorDetail{Id: id, Message: message}); err == nil { // it is UTF-8
		s.Details = []*anypb.Any{detail}
	}
	return s
}

// What v1 says where v2 says something else, or nothing. The words are English,
// the language of ZITADEL's own defaults.

// passwordNotFound: no such human in the organization, whatever the reason.
func passwordNotFound() *rpcstatus.Status {
	return newRefusal(connect.CodeFailedPrecondition, idPasswordNotFound, "Password not found")
}

// membershipNotFound: the caller has no role in the organization.
func membershipNotFound() *rpcstatus.Status {
	return newRefusal(connect.CodeNotFound, idMembershipNotFound, "membership not found")
}

// noPermission: the caller has roles in the organization, but none that may
// write users.
func noPermission() *rpcstatus.Status {
	return newRefusal(connect.CodePermissionDenied, "AUTH-5mWD2", "No matching permissions found")
}

// hostRefusal refuses a call whose metadata names another host than the request, by
// Grpc-Metadata-Host over REST or host beside :authority over HTTP/2, and a gRPC call without a
// host. v1 looks for the instance of that other host. The adapter takes hosts from nowhere but
// the request, so that upstream.host decides.
func hostRefusal(protocol, host, named string) *rpcstatus.Status {
	switch {
	case named != "" && !strings.EqualFold(hostName(named), hostName(host)):
		return rpcstatus.New(connect.CodeNotFound, "Instance not found: the host in the metadata is not the request's")
	case host == "" && protocol != protocolREST:
		return rpcstatus.New(connect.CodeNotFound, "no instanceHost specified")
	}
	return nil
}

// The ids of v2's errors that decide how a call goes on.
const (
	idNoBearer           = "AUTH-toLo1" //nolint:gosec // an error id, no credential
	idMembershipNotFound = "AUTHZ-cdgFk"
	idNoPermission       = "AUTH-AWfge"
	idNoPermissionOnUser = "AUTH-Swrgg2"
	idPasswordNotFound   = "COMMAND-G8dh3" //nolint:gosec // an error id, no credential
	idNotInitialized     = "COMMAND-M9dse"
)

// statusOf maps an error of the v2 client to v1's status: the code, the message
// and every detail stay as ZITADEL sent them.
func statusOf(err error) *rpcstatus.Status {
	if own, ok := errors.AsType[*rpcstatus.Status](err); ok {
		return own
	}
	failure, ok := errors.AsType[*v2client.Error](err)
	if !ok {
		s := rpcstatus.New(connect.CodeInternal, "internal error")
		s.Cause = err
		return s
	}
	s := rpcstatus.New(failure.Code, failure.Message)
	s.Details, s.ID, s.RetryAfter = failure.Details, failure.ID(), failure.RetryAfter
	if failure.Origin != v2client.OriginZITADEL {
		s.Cause = failure
	}
	return s
}

// objectDetails maps v2's details to v1's, field by field: the numbers differ.
// A timestamp that protobuf does not allow is left out, because v1's JSON could
// not show it and the password has been set all the same.
func objectDetails(from *objectv2.Details) *zitadelv1.ObjectDetails {
	if from == nil {
		return nil
	}
	return &zitadelv1.ObjectDetails{
		Sequence:      from.GetSequence(),
		CreationDate:  validTimestamp(from.GetCreationDate()),
		ChangeDate:    validTimestamp(from.GetChangeDate()),
		ResourceOwner: from.GetResourceOwner(),
	}
}

func validTimestamp(timestamp *timestamppb.Timestamp) *timestamppb.Timestamp {
	if !timestamp.IsValid() {
		return nil
	}
	return timestamp
}
