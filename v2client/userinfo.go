package v2client

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
)

// ErrTokenRefused is the cause of the error of a call whose token userinfo
// refuses, with 400, 401 or 403. OIDC's words are not those of ZITADEL's API: ask the API
// for them.
var ErrTokenRefused = errors.New("userinfo refused the token")

// userInfo asks OIDC's userinfo endpoint (OpenID Connect Core 1.0 section 5.3)
// whose token the caller holds. Before v2.63, it says so only if the token has the scope
// "openid".
func (c *Client) userInfo(ctx context.Context, caller Caller) (Identity, error) {
	identity, err := do(ctx, c, operation{"userinfo", read}, caller, func(ctx context.Context, to target) (*Identity, error) {
		status, body, err := c.rest(ctx, caller, to, http.MethodGet, "/oidc/v1/userinfo", "")
		if err != nil {
			return nil, err
		}
		if status != http.StatusOK {
			return nil, userInfoError(status, body)
		}
		var claims struct {
			Subject      string `json:"sub"`
			Organization string `json:"urn:zitadel:iam:user:resourceowner:id"`
			Locale       string `json:"locale"`
		}
		if err := json.Unmarshal(body, &claims); err != nil || claims.Subject == "" {
			return nil, errors.New("userinfo answered no subject")
		}
		return &Identity{UserID: claims.Subject, Organization: claims.Organization, Language: claims.Locale}, nil
	})
	if err != nil {
		return Identity{}, err
	}
	return *identity, nil
}

// userInfoError is the error of an answer that is not 200.
func userInfoError(status int, body []byte) error {
	cause := fmt.Errorf("userinfo answered HTTP %d", status)
	if isTokenRefusal(status, body) {
		return fmt.Errorf("%w: %w", ErrTokenRefused, cause)
	}
	return cause
}

// isTokenRefusal reports whether an answer of userinfo's is about the token. A page in HTML is
// that of a proxy in front of ZITADEL.
func isTokenRefusal(status int, body []byte) bool {
	switch status {
	case http.StatusBadRequest, http.StatusUnauthorized, http.StatusForbidden:
		return !bytes.HasPrefix(bytes.TrimSpace(body), []byte("<"))
	}
	return false
}
