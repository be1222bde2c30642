package v2client

import (
	"context"

	"connectrpc.com/connect"

	objectv2 "zitadel-v1-adapter/gen/zitadel/object/v2"
	userv2 "zitadel-v1-adapter/gen/zitadel/user/v2"
	"zitadel-v1-adapter/gen/zitadel/user/v2/userv2connect"
)

// This is the one file that knows which v2 method sets a password.

// SetPassword gives the user a new password by one UserService.SetPassword call; changeRequired
// says whether it must be changed at the next login. An empty password, refused long before, is
// never sent: v2 would take a missing new_password and store the hash of "".
func (c *Client) SetPassword(ctx context.Context, caller Caller, userID, password string, changeRequired bool) (*objectv2.Details, error) {
	if password == "" {
		return nil, &Error{Code: connect.CodeInvalidArgument, Message: "refusing to send an empty new password", Origin: OriginSelf}
	}
	response, err := rpc(ctx, c, caller, c.writes, userv2connect.UserServiceClient.SetPassword, &userv2.SetPasswordRequest{
		UserId: userID, NewPassword: &userv2.Password{Password: password, ChangeRequired: changeRequired},
	})
	return response.GetDetails(), err
}
