package v2client

import (
	"cmp"
	"context"
	"errors"
	"slices"
	"strings"
	"time"

	"zitadel-v1-adapter/v2client/internal/guard"
)

// The Auth API v1 makes the look-ups that native v1 makes. Every release so far has it; where it
// is absent, OIDC and v2 are asked (identity_v2.go).

// Identity is whose token a caller holds.
type Identity struct {
	UserID       string // the token's user; "" is unknown
	Organization string // the user's home organization; "" is unknown
	Language     string // the one that the user, a human, has chosen, or ""
	LoginName    string // personal data; "" is unknown
}

// Grant is what a caller may do with the users of an organization.
type Grant int

// The grants, the least first.
const (
	GrantUnknown       Grant = iota // this ZITADEL cannot be asked
	GrantNone                       // no role there
	GrantOther                      // roles, but none with user.write
	GrantUserWriteOnly              // may write users, but not read them
	GrantUserWrite                  // may write and read users
)

// Identify tells whose token the caller holds, a session token too where the Auth API is there.
// [ErrTokenRefused] is the cause of the error if userinfo, asked instead, does not take the token.
func (c *Client) Identify(ctx context.Context, caller Caller) (Identity, error) {
	identity, err := c.me(ctx, caller)
	if isMissing(err) {
		return c.userInfo(ctx, caller)
	}
	return identity, err
}

// Authorize tells what the caller may do in the organization of its x-zitadel-orgid header, or
// else in its own. Refusals of the token and of the organization are ZITADEL's own errors. known
// is the caller's identity as far as it is known; the Identity returned may say more.
func (c *Client) Authorize(ctx context.Context, caller Caller, known Identity) (Grant, Identity, error) {
	grant, identity, err := c.myGrant(ctx, caller, known)
	if isMissing(err) {
		return c.authorizeByV2(ctx, caller, known)
	}
	return grant, identity, err
}

const (
	authAPIEntries = 1000
	authAPIRetry   = 5 * time.Minute
)

// authV1 makes a look-up of the Auth API v1 (recordings auth_v1_*.jsonl). While it is absent, which
// may be a gateway's doing and be undone, it is asked only now and then.
func (c *Client) authV1(ctx context.Context, caller Caller, look lookup, into any) error {
	instance := caller.Instance()
	if until, absent := c.authAbsentUntil.Get(instance); absent && time.Now().Before(until) {
		return &Error{Missing: true}
	}
	err := c.rest(ctx, caller, look, into)
	if isMissing(err) {
		c.authAbsentUntil.Add(instance, time.Now().Add(authAPIRetry))
	}
	return err
}

// details are those of a resource.
type details struct {
	ResourceOwner string `json:"resourceOwner"`
}

// me is whose token the caller holds, of whatever kind the token is.
func (c *Client) me(ctx context.Context, caller Caller) (Identity, error) {
	var answer struct {
		User struct {
			ID        string  `json:"id"`
			Details   details `json:"details"`
			LoginName string  `json:"preferredLoginName"`
			Human     struct {
				Profile struct {
					PreferredLanguage string `json:"preferredLanguage"`
				} `json:"profile"`
			} `json:"human"`
		} `json:"user"`
	}
	const path = "/auth/v1/users/me"
	if err := c.authV1(ctx, caller, lookup{name: "me", path: path}, &answer); err != nil {
		return Identity{}, err
	}
	user := answer.User
	if user.ID == "" || user.Details.ResourceOwner == "" {
		return Identity{}, guard.NewUnavailableError(errors.New(path + " named no user or no organization"))
	}
	return Identity{
		UserID: user.ID, Organization: user.Details.ResourceOwner, Language: user.Human.Profile.PreferredLanguage, LoginName: user.LoginName,
	}, nil
}

// myGrant tells what the caller may do in the organization of the call, by the instance's own
// mapping of roles. A permission to write a single resource, such as "user.write:123", is one for
// native v1's check too. The identity returned may say more than known.
func (c *Client) myGrant(ctx context.Context, caller Caller, known Identity) (Grant, Identity, error) {
	var answer struct {
		Result []string `json:"result"`
	}
	look := lookup{name: "permissions", path: "/auth/v1/permissions/zitadel/me/_search", body: "{}"}
	if err := c.authV1(ctx, caller, look, &answer); err != nil {
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
	if caller.Organization() == "" && known.Organization == "" {
		var err error
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
			Instance bool    `json:"iam"`
			Details  details `json:"details"`
		} `json:"result"`
	}
	look := lookup{name: "memberships", path: "/auth/v1/memberships/me/_search", body: "{}"}
	if err := c.rest(ctx, caller, look, &answer); err != nil && !isMissing(err) {
		return GrantUnknown, err
	}
	for _, membership := range answer.Result {
		if membership.Instance || membership.Details.ResourceOwner == organization {
			return GrantOther, nil
		}
	}
	return GrantNone, nil
}
