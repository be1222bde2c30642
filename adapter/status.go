package adapter

import (
	"context"
	"errors"
	"slices"
	"strings"

	"connectrpc.com/connect"
	"google.golang.org/protobuf/types/known/anypb"
	"google.golang.org/protobuf/types/known/timestamppb"

	objectv2 "zitadel-v1-adapter/gen/zitadel/object/v2"
	zitadelv1 "zitadel-v1-adapter/gen/zitadel/v1"
	"zitadel-v1-adapter/internal/rpcstatus"
	"zitadel-v1-adapter/v2client"
)

// newRefusal is an error as ZITADEL raises it.
var newRefusal = rpcstatus.NewZITADEL

// What v1 says where v2 says something else, or nothing, in the language of ZITADEL's defaults.

// passwordNotFound: no such human in the organization, whatever the reason.
func passwordNotFound() *rpcstatus.Status {
	return newRefusal(connect.CodeFailedPrecondition, idPasswordNotFound, "Password not found")
}

// membershipNotFound: the caller has no role in the organization.
func membershipNotFound() *rpcstatus.Status {
	return newRefusal(connect.CodeNotFound, idMembershipNotFound, "membership not found")
}

// noPermission: the caller has roles in the organization, but none that may write users.
func noPermission() *rpcstatus.Status {
	return newRefusal(connect.CodePermissionDenied, "AUTH-5mWD2", "No matching permissions found")
}

// hostRefusal refuses a gRPC call without a host, and one whose metadata names another (by
// Grpc-Metadata-Host over REST, or host beside :authority over HTTP/2). v1 looks for the instance
// of that one; the adapter takes hosts from the request alone, so that upstream.host decides.
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
	idNothingToUpdate    = "COMMAND-ugjs0upun6" // UpdateUser's idPasswordNotFound (recordings update_user)
)

// statusOf maps an error of the v2 client to v1's status: code, message and details stay.
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
	if failure.ID() == idNothingToUpdate {
		return passwordNotFound()
	}
	s := rpcstatus.New(failure.Code, failure.Message)
	s.Details, s.ID, s.RetryAfter = failure.Details, failure.ID(), failure.RetryAfter
	if failure.Origin != v2client.OriginZITADEL {
		s.Cause = failure
	}
	return s
}

// objectDetails maps v2's details to v1's, whose field numbers differ. A timestamp that protobuf
// does not allow is left out: v1's JSON could not show it, and the password has been set.
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

// Where native v1 words an error in the caller's language, v2 does not look at
// Accept-Language, and the adapter's own words are English.

// unknownInstance stands before the words in the error that ZITADEL raises if it does not
// know the instance. That error has no detail.
const (
	idUnknownInstance = "QUERY-1kIjX"
	unknownInstance   = "ID=" + idUnknownInstance + " Message="
)

// localized is a refusal in the language that v1 chooses: the caller's own, or the request's, or
// the instance's default. ZITADEL is asked for the first and the last each time, since they may
// change. If it does not tell, they do not count.
func (a *Adapter) localized(ctx context.Context, c *call, refusal *rpcstatus.Status) *rpcstatus.Status {
	if a.config.Messages == nil {
		return refusal
	}
	if before, _, ok := strings.Cut(refusal.Message, unknownInstance); ok {
		if text, ok := a.config.Messages.Lookup(idUnknownInstance, "", c.languages); ok {
			return withMessage(refusal, before+unknownInstance+text)
		}
		return refusal
	}
	if refusal.ID == "" || !a.config.Messages.Has(refusal.ID) {
		return refusal
	}
	identity, err := a.config.ZITADEL.Identify(ctx, c.caller)
	if err != nil {
		identity.Language = ""
	}
	instanceDefault, err := a.config.ZITADEL.DefaultLanguage(ctx, c.caller)
	if err != nil {
		instanceDefault = ""
	}
	text, ok := a.config.Messages.Lookup(refusal.ID, instanceDefault, identity.Language, c.languages)
	if !ok {
		return refusal
	}
	worded := withMessage(refusal, text+" ("+refusal.ID+")")
	worded.Details = slices.Clone(refusal.Details)
	for i, detail := range worded.Details {
		var own zitadelv1.ErrorDetail
		if detail.UnmarshalTo(&own) != nil || own.GetId() != refusal.ID {
			continue
		}
		own.Message = text
		if reworded, err := anypb.New(&own); err == nil { // only invalid UTF-8 fails
			worded.Details[i] = reworded
		}
	}
	return worded
}

func withMessage(refusal *rpcstatus.Status, message string) *rpcstatus.Status {
	worded := *refusal
	worded.Message = strings.ToValidUTF8(message, "\uFFFD")
	return &worded
}
