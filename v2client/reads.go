package v2client

import (
	"context"
	"errors"

	userv2 "zitadel-v1-adapter/gen/zitadel/user/v2"
)

// UserOrganization tells the id of the organization that a user belongs to, by one
// UserService.GetUserByID call.
func (c *Client) UserOrganization(ctx context.Context, caller Caller, userID string) (string, error) {
	response, err := unary(ctx, c, operation{"GetUserByID", read}, caller, (*service).getUserByID, &userv2.GetUserByIDRequest{UserId: userID})
	if err != nil {
		return "", err
	}
	organization := response.GetDetails().GetResourceOwner()
	if organization == "" {
		return "", newUnavailableError(errors.New("GetUserByID named no resource owner"))
	}
	return organization, nil
}
