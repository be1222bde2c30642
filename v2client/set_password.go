package v2client

import (
	"context"

	"connectrpc.com/connect"

	objectv2 "zitadel-v1-adapter/gen/zitadel/object/v2"
	userv2 "zitadel-v1-adapter/gen/zitadel/user/v2"
	"zitadel-v1-adapter/gen/zitadel/user/v2/userv2connect"
)

// This is the one file that knows which v2 methods set a password: SetPassword, which ZITADEL has
// deprecated, and UpdateUser, which takes its place.

// SetPassword gives the user a new password by one call of UserService.SetPassword, or of
// UpdateUser where ZITADEL has no SetPassword; changeRequired says whether it must be changed at
// the next login. UpdateUser's details are the change date alone (recordings update_user), and to
// it an unknown user is another error than to SetPassword.
//
// An empty password, refused long before, is never sent: SetPassword would take a missing
// new_password and store the hash of "".
func (c *Client) SetPassword(ctx context.Context, caller Caller, userID, password string, changeRequired bool) (*objectv2.Details, error) {
	if password == "" {
		return nil, &Error{Code: connect.CodeInvalidArgument, Message: "refusing to send an empty new password", Origin: OriginSelf}
	}
	to := &userv2.Password{Password: password, ChangeRequired: changeRequired}
	setters := []func(context.Context, Caller, string, *userv2.Password) (*objectv2.Details, error){c.setPassword, c.updateUser}
	active := c.setter.current(c.hasSetPassword(caller))
	details, err := setters[active](ctx, caller, userID, to)
	if isMissing(err) { // nothing handled it: no write is made twice
		if otherDetails, otherErr := setters[1-active](ctx, caller, userID, to); !isMissing(otherErr) {
			c.setter.set(1 - active)
			return otherDetails, otherErr
		}
	}
	return details, err
}

func (c *Client) setPassword(ctx context.Context, caller Caller, userID string, to *userv2.Password) (*objectv2.Details, error) {
	response, err := rpc(ctx, c, caller, c.writes, userv2connect.UserServiceClient.SetPassword, &userv2.SetPasswordRequest{UserId: userID, NewPassword: to})
	return response.GetDetails(), err
}

func (c *Client) updateUser(ctx context.Context, caller Caller, userID string, to *userv2.Password) (*objectv2.Details, error) {
	human := &userv2.UpdateUserRequest_Human{Password: &userv2.SetPassword{PasswordType: &userv2.SetPassword_Password{Password: to}}}
	request := &userv2.UpdateUserRequest{UserId: userID, UserType: &userv2.UpdateUserRequest_Human_{Human: human}}
	response, err := rpc(ctx, c, caller, c.writes, userv2connect.UserServiceClient.UpdateUser, request)
	return &objectv2.Details{ChangeDate: response.GetChangeDate()}, err
}

// hasSetPassword returns a look at whether ZITADEL has SetPassword, under the host that a caller is for.
func (c *Client) hasSetPassword(caller Caller) func(context.Context) bool {
	return func(ctx context.Context) bool {
		host, _ := c.upstream.HostFor(caller.host)
		return answers(ctx, func(ctx context.Context) error {
			return withoutToken(ctx, c, c.protocol.active.Load(), host, userv2connect.UserServiceClient.SetPassword, new(userv2.SetPasswordRequest))
		})
	}
}
