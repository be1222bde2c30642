package v2client

import (
	"context"
	"errors"
	"net/http"
	"strings"
	"time"

	lru "github.com/hashicorp/golang-lru/v2"
)

// The two calls of the Auth API v1, over REST (recordings auth_v1_*.jsonl).
const (
	mePath          = "/auth/v1/users/me"
	permissionsPath = "/auth/v1/permissions/zitadel/me/_search"
)

// me is whose token the caller holds, of whatever kind the token is.
func (c *Client) me(ctx context.Context, caller Caller) (Identity, error) {
	var answer struct {
		User struct {
			ID      string `json:"id"`
			Details struct {
				ResourceOwner string `json:"resourceOwner"`
			} `json:"details"`
			Human struct {
				Profile struct {
					PreferredLanguage string `json:"preferredLanguage"`
				} `json:"profile"`
			} `json:"human"`
		} `json:"user"`
	}
	if err := c.restCall(ctx, caller, "me", http.MethodGet, mePath, "", &answer); err != nil {
		return Identity{}, err
	}
	if answer.User.ID == "" || answer.User.Details.ResourceOwner == "" {
		return Identity{}, newUnavailableError(errors.New(mePath + " named no user or no organization"))
	}
	return Identity{
		UserID: answer.User.ID, Organization: answer.User.Details.ResourceOwner,
		Language: answer.User.Human.Profile.PreferredLanguage,
	}, nil
}

// permissions is what the caller may do in the organization of the call, by the
// instance's own mapping of roles. A permission on single resources, such as
// "user.write:123", is one for native v1's check too.
func (c *Client) permissions(ctx context.Context, caller Caller) (Grant, error) {
	var answer struct {
		Result []string `json:"result"`
	}
	if err := c.restCall(ctx, caller, "permissions", http.MethodPost, permissionsPath, "{}", &answer); err != nil {
		return GrantUnknown, err
	}
	grant := GrantNone
	for _, permission := range answer.Result {
		grant = max(grant, GrantOther)
		if name, _, _ := strings.Cut(permission, ":"); name == "user.write" {
			grant = GrantUserWrite
		}
	}
	return grant, nil
}

// authAPI remembers under which instances the Auth API v1 is gone, for a while: it may
// be a gateway's doing, and be undone.
type authAPI struct {
	gone *lru.Cache[string, time.Time] // until when it is not asked
	now  func() time.Time
}

const (
	authAPIEntries = 1000
	authAPIRetry   = 5 * time.Minute
)

func newAuthAPI() (*authAPI, error) {
	gone, err := lru.New[string, time.Time](authAPIEntries)
	return &authAPI{gone: gone, now: time.Now}, err
}

// expected reports whether a caller's instance is to be asked.
func (a *authAPI) expected(caller Caller) bool {
	until, known := a.gone.Get(string(caller.AppendInstance(nil)))
	return !known || a.now().After(until)
}

// missing reports whether err says that the API is gone, and remembers it.
func (a *authAPI) missing(caller Caller, err error) bool {
	if !isMissing(err) {
		return false
	}
	a.gone.Add(string(caller.AppendInstance(nil)), a.now().Add(authAPIRetry))
	return true
}
