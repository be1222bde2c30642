package v2client

import (
	"context"
	"net/http"
)

// settingsPath is GetGeneralSettings of settings service v2, over REST.
const settingsPath = "/v2/settings"

// DefaultLanguage is the instance's. ZITADEL tells it to callers with policy.read, as
// those who may write users have by its default mapping of roles.
func (c *Client) DefaultLanguage(ctx context.Context, caller Caller) (string, error) {
	var answer struct {
		DefaultLanguage string `json:"defaultLanguage"`
	}
	err := c.restCall(ctx, caller, "settings", http.MethodGet, settingsPath, "", &answer)
	return answer.DefaultLanguage, err
}
