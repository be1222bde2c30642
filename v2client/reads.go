package v2client

import (
	"context"
	"errors"

	userv2 "zitadel-v1-adapter/gen/zitadel/user/v2"
	"zitadel-v1-adapter/gen/zitadel/user/v2/userv2connect"
	"zitadel-v1-adapter/v2client/internal/guard"
)

// UserOrganization tells the id of the organization that a user belongs to, by one GetUserByID call.
func (c *Client) UserOrganization(ctx context.Context, caller Caller, userID string) (string, error) {
	response, err := c.user(ctx, caller, userID)
	if err != nil {
		return "", err
	}
	organization := response.GetDetails().GetResourceOwner()
	if organization == "" {
		return "", guard.NewUnavailableError(errors.New("GetUserByID named no resource owner"))
	}
	return organization, nil
}

// IsHuman tells whether a user is one who can have a password, by one GetUserByID call.
func (c *Client) IsHuman(ctx context.Context, caller Caller, userID string) (bool, error) {
	response, err := c.user(ctx, caller, userID)
	return response.GetUser().GetHuman() != nil, err
}

func (c *Client) user(ctx context.Context, caller Caller, userID string) (*userv2.GetUserByIDResponse, error) {
	return rpc(ctx, c, caller, c.reads, userv2connect.UserServiceClient.GetUserByID, &userv2.GetUserByIDRequest{UserId: userID})
}

// DefaultLanguage is the instance's, by GetGeneralSettings of settings service v2. It takes policy.read,
// which those who may write users have by ZITADEL's default mapping of roles.
func (c *Client) DefaultLanguage(ctx context.Context, caller Caller) (string, error) {
	var answer struct {
		DefaultLanguage string `json:"defaultLanguage"`
	}
	err := c.rest(ctx, caller, lookup{name: "settings", path: "/v2/settings"}, &answer)
	return answer.DefaultLanguage, err
}
