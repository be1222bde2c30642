package v2client

import (
	"cmp"
	"context"
	"errors"
	"net/http"
	"slices"
	"strings"
	"time"

	lru "github.com/hashicorp/golang-lru/v2"

	"zitadel-v1-adapter/v2client/internal/guard"
)

// The calls of the Auth API v1, over REST (recordings auth_v1_*.jsonl).
const (
	mePath          = "/auth/v1/users/me"
	permissionsPath = "/auth/v1/permissions/zitadel/me/_search"
	membershipsPath = "/auth/v1/memberships/me/_search"
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
	if err := c.restJSON(ctx, caller, lookup{name: "me", method: http.MethodGet, path: mePath}, &answer); err != nil {
		return Identity{}, err
	}
	if answer.User.ID == "" || answer.User.Details.ResourceOwner == "" {
		return Identity{}, guard.NewUnavailableError(errors.New(mePath + " named no user or no organization"))
	}
	return Identity{
		UserID: answer.User.ID, Organization: answer.User.Details.ResourceOwner,
		Language: answer.User.Human.Profile.PreferredLanguage,
	}, nil
}

// myGrant tells what the caller may do in the organization of the call, by the instance's
// own mapping of roles. A permission to write a single resource, such as "user.write:123", is
// one for native v1's check too. The identity returned may say more than known.
func (c *Client) myGrant(ctx context.Context, caller Caller, known Identity) (Grant, Identity, error) {
	var answer struct {
		Result []string `json:"result"`
	}
	look := lookup{name: "permissions", method: http.MethodPost, path: permissionsPath, body: "{}"}
	if err := c.restJSON(ctx, caller, look, &answer); err != nil {
		return GrantUnknown, known, err
	}
	write := slices.ContainsFunc(answer.Result, func(permission string) bool {
		name, _, _ := strings.Cut(permission, ":")
		return name == "user.write"
	})
	switch {
	case write && slices.Contains(answer.Result, "user.read"):
		return GrantUserWrite, known, nil
	case write:
		return GrantUserWriteOnly, known, nil
	case len(answer.Result) > 0:
		return GrantOther, known, nil
	}
	var err error
	if caller.Organization() == "" && known.Organization == "" {
		if known, err = c.me(ctx, caller); err != nil {
			return GrantUnknown, known, err
		}
	}
	grant, err := c.membership(ctx, caller, cmp.Or(caller.Organization(), known.Organization))
	return grant, known, err
}

// membership tells a caller without any permission in an organization from one whose roles
// there, by an own mapping, have none.
func (c *Client) membership(ctx context.Context, caller Caller, organization string) (Grant, error) {
	var answer struct {
		Result []struct {
			Instance bool `json:"iam"`
			Details  struct {
				ResourceOwner string `json:"resourceOwner"`
			} `json:"details"`
		} `json:"result"`
	}
	look := lookup{name: "memberships", method: http.MethodPost, path: membershipsPath, body: "{}"}
	err := c.restJSON(ctx, caller, look, &answer)
	if isMissing(err) {
		return GrantNone, nil
	}
	if err != nil {
		return GrantUnknown, err
	}
	for _, membership := range answer.Result {
		if membership.Instance || membership.Details.ResourceOwner == organization {
			return GrantOther, nil
		}
	}
	return GrantNone, nil
}

// authAPI remembers under which instances the Auth API v1 is absent, for a while: it may
// be a gateway's doing, and be undone.
type authAPI struct {
	absentUntil *lru.Cache[string, time.Time]
	now         func() time.Time
}

const (
	authAPIEntries = 1000
	authAPIRetry   = 5 * time.Minute
)

func newAuthAPI() (*authAPI, error) {
	absentUntil, err := lru.New[string, time.Time](authAPIEntries)
	return &authAPI{absentUntil: absentUntil, now: time.Now}, err
}

// shouldTry reports whether the API may be there for a caller.
func (a *authAPI) shouldTry(caller Caller) bool {
	until, absent := a.absentUntil.Get(string(caller.AppendInstance(nil)))
	return !absent || a.now().After(until)
}

// recordAbsence reports whether err says that the API is absent, and remembers it.
func (a *authAPI) recordAbsence(caller Caller, err error) bool {
	if !isMissing(err) {
		return false
	}
	a.absentUntil.Add(string(caller.AppendInstance(nil)), a.now().Add(authAPIRetry))
	return true
}
