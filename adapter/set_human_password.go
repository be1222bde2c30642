package adapter

import (
	"context"

	managementv1 "zitadel-v1-adapter/gen/zitadel/management/v1"
	"zitadel-v1-adapter/gen/zitadel/management/v1/managementv1connect"
	objectv2 "zitadel-v1-adapter/gen/zitadel/object/v2"
	zitadelv1 "zitadel-v1-adapter/gen/zitadel/v1"
	"zitadel-v1-adapter/v2client"
)

// setHumanPassword sets a password that must be changed at the next login, unless the
// request says otherwise.
func setHumanPassword() Method {
	return Method{
		Procedure: managementv1connect.ManagementServiceSetHumanPasswordProcedure,
		Pattern:   "/management/v1/users/:user_id/password",
		newRequest: func(userID, password string) request {
			return &managementv1.SetHumanPasswordRequest{UserId: userID, Password: password}
		},
		newResponse: func(details *zitadelv1.ObjectDetails) response {
			return &managementv1.SetHumanPasswordResponse{Details: details}
		},
		validate: validatePassword,
		execute: func(ctx context.Context, zitadel Writes, caller v2client.Caller, r request) (*objectv2.Details, error) {
			whole, _ := r.(*managementv1.SetHumanPasswordRequest) // as newRequest made it
			return zitadel.SetPassword(ctx, caller, r.GetUserId(), r.GetPassword(), !whole.GetNoChangeRequired())
		},
	}
}
