package v2client

import (
	"context"
	"errors"

	userv2 "zitadel-v1-adapter/gen/zitadel/user/v2"
)

// UserOrganization tells the id of the organization that a user belongs to, by one
// UserService.GetUserByID call.
func (c *Client) UserOrganization(ctx context.Context, caller Caller, userID string) (string, error) {
	response, err := c.user(ctx, caller, userID)
	if err != nil {
		return "", err
	}
	organization := response.GetDetails().GetResourceOwner()
	if organization == "" {
		return "", newUnavailableError(errors.New("GetUserByID named no resource owner"))
	}
	return organization, nil
}

// IsHuman tells whether a user is one who can have a password, by one
// UserService.GetUserByID call.
func (c *Client) IsHuman(ctx context.Context, caller Caller, userID string) (bool, error) {
	response, err := c.user(ctx, caller, userID)
	if err != nil {
		return false, err
	}
	return response.GetUser().GetHuman() != nil, nil
}

func (c *Client) user(ctx context.Context, caller Caller, userID string) (*userv2.GetUserByIDResponse, error) {
	return unary(ctx, c, operation{"GetUserByID", read}, caller, (*service).getUserByID, &userv2.GetUserByIDRequest{UserId: userID})
}
