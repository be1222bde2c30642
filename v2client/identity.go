package v2client

import (
	"context"
	"slices"
)

// The Auth API v1 (auth_v1.go) tells whose token a caller holds and what it may do. Every
// release so far has it, and native v1 makes the same look-up. Where it is absent, v2 and OIDC
// are asked.

// Identity is whose token a caller holds.
type Identity struct {
	// UserID is the token's user; "" is unknown.
	UserID string
	// Organization is the user's home organization, or "" if it is not known.
	Organization string
	// Language is the one that the user, a human, has chosen, or "".
	Language string
}

// Grant is what a caller may do with the users of an organization.
type Grant int

const (
	// GrantUnknown means that this ZITADEL cannot be asked.
	GrantUnknown Grant = iota
	// GrantNone means that the caller has no role there.
	GrantNone
	// GrantOther means that it has roles, but none with user.write.
	GrantOther
	// GrantUserWriteOnly means that it may write users, but not read them.
	GrantUserWriteOnly
	// GrantUserWrite means that it may write and read users.
	GrantUserWrite
)

// Identify tells whose token the caller holds, session tokens included where the Auth API
// is there. [ErrTokenRefused] is the cause of the error if only userinfo could be asked
// and does not take the token.
func (c *Client) Identify(ctx context.Context, caller Caller) (Identity, error) {
	if c.authAPI.shouldTry(caller) {
		identity, err := c.me(ctx, caller)
		if !c.authAPI.recordAbsence(caller, err) {
			return identity, err
		}
	}
	return c.userInfo(ctx, caller)
}

// Authorize tells what the caller may do in the organization of its x-zitadel-orgid
// header, or else in its own. Refusals of the token and of the organization are
// ZITADEL's own errors. known is the caller's identity as far as the caller of Authorize
// knows it; the Identity returned may say more.
func (c *Client) Authorize(ctx context.Context, caller Caller, known Identity) (Grant, Identity, error) {
	if c.authAPI.shouldTry(caller) {
		grant, identity, err := c.myGrant(ctx, caller, known)
		if !c.authAPI.recordAbsence(caller, err) {
			return grant, identity, err
		}
	}
	return c.authorizeByV2(ctx, caller, known)
}

// authorizeByV2 judges the caller's administrator roles by ZITADEL's default mapping of
// roles to permissions.
func (c *Client) authorizeByV2(ctx context.Context, caller Caller, identity Identity) (Grant, Identity, error) {
	var err error
	if identity.UserID == "" {
		if identity, err = c.userInfo(ctx, caller); err != nil {
			return GrantUnknown, identity, err
		}
	}
	organization := caller.Organization()
	if organization == "" {
		if identity.Organization == "" {
			if identity.Organization, err = c.UserOrganization(ctx, caller, identity.UserID); err != nil {
				return GrantUnknown, identity, err
			}
		}
		organization = identity.Organization
	}
	administrators, err := c.administrators(ctx, caller, identity.UserID)
	if isMissing(err) {
		return GrantUnknown, identity, nil
	}
	if err != nil {
		return GrantUnknown, identity, err
	}
	grant := GrantNone
	for _, administrator := range administrators {
		switch roles := administrator.GetRoles(); {
		case len(roles) == 0 || !countsIn(organization, administrator):
		case slices.ContainsFunc(roles, mayWriteUsers):
			grant = GrantUserWrite
		default:
			grant = max(grant, GrantOther)
		}
	}
	return grant, identity, nil
}

// mayWriteUsers reports whether a role holds user.write in ZITADEL's default
// mapping of roles to permissions.
func mayWriteUsers(role string) bool {
	switch role {
	case "IAM_OWNER", "IAM_ORG_MANAGER", "IAM_USER_MANAGER", "IAM_LOGIN_CLIENT", "ORG_OWNER", "ORG_USER_MANAGER":
		return true
	}
	return false
}
