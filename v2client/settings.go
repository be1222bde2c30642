package v2client

import (
	"context"
	"net/http"
)

// DefaultLanguage is the instance's. ZITADEL tells it to callers with policy.read, as
// those who may write users have by its default mapping of roles.
func (c *Client) DefaultLanguage(ctx context.Context, caller Caller) (string, error) {
	var answer struct {
		DefaultLanguage string `json:"defaultLanguage"`
	}
	// GetGeneralSettings of settings service v2.
	err := c.restJSON(ctx, caller, lookup{name: "settings", method: http.MethodGet, path: "/v2/settings"}, &answer)
	return answer.DefaultLanguage, err
}
