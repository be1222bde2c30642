package v2client

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"

	"connectrpc.com/connect"
)

// Identity is whose token a caller holds.
type Identity struct {
	// UserID is the token's subject.
	UserID string
	// Organization is the user's home organization, or "" when the token's
	// scopes do not name it.
	Organization string
}

// ErrTokenRefused is the cause of the error of a UserInfo call that userinfo
// refuses, with 401 or any other 4xx but 429. OIDC's words are not those of
// ZITADEL's API: ask the API for them.
var ErrTokenRefused = errors.New("userinfo refused the token")

// maxUserInfoBytes bounds what is read of userinfo's answer, which may hold all of a
// user's metadata.
const maxUserInfoBytes = 1 << 20

// UserInfo asks OIDC's userinfo endpoint (OpenID Connect Core 1.0 section 5.3)
// whose token the caller holds.
func (c *Client) UserInfo(ctx context.Context, caller Caller) (Identity, error) {
	identity, err := do(ctx, c, read, caller, func(ctx context.Context, to target) (*Identity, error) {
		return c.userInfo(ctx, caller, to.host)
	})
	if err != nil {
		return Identity{}, err
	}
	return *identity, nil
}

func (c *Client) userInfo(ctx context.Context, caller Caller, host string) (*Identity, error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, c.base+"/oidc/v1/userinfo", http.NoBody)
	if err != nil {
		return nil, err
	}
	caller.addTo(request.Header)
	request.Header["User-Agent"] = []string{c.userAgent}
	request.Host = host
	response, err := c.transport.Do(request)
	if err != nil {
		return nil, err
	}
	defer func() { _ = response.Body.Close() }()
	body, err := io.ReadAll(io.LimitReader(response.Body, maxUserInfoBytes))
	if err != nil {
		return nil, err
	}
	if response.StatusCode != http.StatusOK {
		return nil, userInfoError(response)
	}
	if len(body) == maxUserInfoBytes {
		return nil, connect.NewError(connect.CodeResourceExhausted, fmt.Errorf("userinfo answered %d bytes or more", maxUserInfoBytes))
	}
	var claims struct {
		Subject      string `json:"sub"`
		Organization string `json:"urn:zitadel:iam:user:resourceowner:id"`
	}
	if err := json.Unmarshal(body, &claims); err != nil || claims.Subject == "" {
		return nil, errors.New("userinfo answered no subject")
	}
	return &Identity{UserID: claims.Subject, Organization: claims.Organization}, nil
}

// userInfoError is the error of an answer that is not 200.
func userInfoError(response *http.Response) error {
	cause := fmt.Errorf("userinfo answered %s", response.Status)
	if isTokenRefusal(response.StatusCode) {
		return fmt.Errorf("%w: %w", ErrTokenRefused, cause)
	}
	return cause
}

// isTokenRefusal reports whether a status of userinfo's is about the token. 429 is not.
func isTokenRefusal(status int) bool {
	return status >= http.StatusBadRequest && status < http.StatusInternalServerError && status != http.StatusTooManyRequests
}
