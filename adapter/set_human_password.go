package adapter

import (
	"context"

	"google.golang.org/protobuf/proto"

	managementv1 "zitadel-v1-adapter/gen/zitadel/management/v1"
	"zitadel-v1-adapter/gen/zitadel/management/v1/managementv1connect"
	objectv2 "zitadel-v1-adapter/gen/zitadel/object/v2"
	zitadelv1 "zitadel-v1-adapter/gen/zitadel/v1"
	"zitadel-v1-adapter/internal/rpcstatus"
	"zitadel-v1-adapter/v2client"
)

// setHumanPassword sets a password that must be changed at the next login, unless the
// request says otherwise.
func setHumanPassword() Method {
	return Method{
		Procedure: managementv1connect.ManagementServiceSetHumanPasswordProcedure,
		Pattern:   "/management/v1/users/:user_id/password",
		newRequest: func(userID, password string) request {
			return &humanPassword{managementv1.SetHumanPasswordRequest{UserId: userID, Password: password}}
		},
		newResponse: func(details *zitadelv1.ObjectDetails) response {
			return &managementv1.SetHumanPasswordResponse{Details: details}
		},
	}
}

type humanPassword struct {
	managementv1.SetHumanPasswordRequest
}

func (r *humanPassword) message() proto.Message { return &r.SetHumanPasswordRequest }
func (r *humanPassword) userID() string         { return r.GetUserId() }
func (r *humanPassword) setUserID(id string)    { r.UserId = id }

func (r *humanPassword) validate() *rpcstatus.Status {
	return validatePassword("SetHumanPasswordRequest", r.GetUserId(), r.GetPassword())
}

func (r *humanPassword) execute(ctx context.Context, zitadel Writes, caller v2client.Caller) (*objectv2.Details, error) {
	return zitadel.SetPassword(ctx, caller, r.GetUserId(), r.GetPassword(), !r.GetNoChangeRequired())
}
