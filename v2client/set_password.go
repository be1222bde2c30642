package v2client

import (
	"context"
	"errors"

	"connectrpc.com/connect"

	objectv2 "zitadel-v1-adapter/gen/zitadel/object/v2"
	userv2 "zitadel-v1-adapter/gen/zitadel/user/v2"
)

// This is the one file that knows which v2 method sets a password.

// errEmptyPassword is a defect of the program, not of a caller: an empty
// password has been refused long before.
var errEmptyPassword = errors.New("refusing to send an empty new password")

// SetPassword gives the user a new password by one UserService.SetPassword call;
// changeRequired says whether it must be changed at the next login. An empty password
// is never sent: v2 would take a missing new_password and store the hash of "".
func (c *Client) SetPassword(ctx context.Context, caller Caller, userID, password string, changeRequired bool) (*objectv2.Details, error) {
	if password == "" {
		return nil, &Error{Code: connect.CodeInvalidArgument, Message: errEmptyPassword.Error(), Origin: OriginSelf}
	}
	var message struct { // one piece of memory
		request  userv2.SetPasswordRequest
		password userv2.Password
	}
	message.password.Password, message.password.ChangeRequired = password, changeRequired
	message.request.UserId, message.request.NewPassword = userID, &message.password
	response, err := unary(ctx, c, operation{"SetPassword", write}, caller, (*service).setPassword, &message.request)
	if err != nil {
		return nil, err
	}
	return response.GetDetails(), nil
}
