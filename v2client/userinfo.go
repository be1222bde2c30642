package v2client

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"net/http"

	"connectrpc.com/connect"

	"zitadel-v1-adapter/v2client/internal/wire"
)

// ErrTokenRefused is the cause of the error of a call whose token userinfo
// refuses, with 400, 401 or 403. OIDC's words are not those of ZITADEL's API: ask the API
// for them.
var ErrTokenRefused = errors.New("userinfo refused the token")

// userInfo asks OIDC's userinfo endpoint (OpenID Connect Core 1.0 section 5.3)
// whose token the caller holds. Before v2.63, it says so only if the token has the scope
// "openid".
func (c *Client) userInfo(ctx context.Context, caller Caller) (Identity, error) {
	var claims struct {
		Subject      string `json:"sub"`
		Organization string `json:"urn:zitadel:iam:user:resourceowner:id"`
		Locale       string `json:"locale"`
	}
	look := lookup{name: "userinfo", method: http.MethodGet, path: "/oidc/v1/userinfo"}
	err := c.rest(ctx, caller, look, func(response *http.Response, body []byte) error {
		switch {
		case isTokenRefusal(response.StatusCode, body):
			return connect.NewWireError(connect.CodeUnauthenticated, ErrTokenRefused)
		case response.StatusCode != http.StatusOK:
			return wire.NewAnswerError(response, body)
		case json.Unmarshal(body, &claims) != nil || claims.Subject == "":
			return errors.New("userinfo answered no subject")
		}
		return nil
	})
	return Identity{UserID: claims.Subject, Organization: claims.Organization, Language: claims.Locale}, err
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
