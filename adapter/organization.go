package adapter

import (
	"context"
	"errors"
	"strings"

	"connectrpc.com/connect"

	objectv2 "zitadel-v1-adapter/gen/zitadel/object/v2"
	"zitadel-v1-adapter/internal/rpcstatus"
	"zitadel-v1-adapter/v2client"
)

// inOrganization keeps v1's organization rule with calls made with the caller's own token:
//
//   - E is the organization of the x-zitadel-orgid header, or else the caller's own;
//   - what v1 refuses for the token, for E or for the caller's roles in E comes first, in its
//     words; of a caller that is not known yet that is asked before anything else;
//   - then v1's validation of the request;
//   - then the user: one that is not E's does not exist;
//   - for E's users, v2's permission check in the user's organization is v1's check;
//   - but the caller itself, whom some releases of v2 let change its own password, needs
//     user.write as everybody does;
//   - what v1 refuses only after the roles is refused only after them: a stranger learns
//     nothing about users.
//
// With everything remembered, a success costs the write alone.
func (c *call) inOrganization(ctx context.Context) (*objectv2.Details, error) {
	if err := c.identify(ctx); err != nil {
		return nil, err
	}
	organization, err := c.organization(ctx)
	if err != nil {
		return nil, err
	}
	c.event.Organization = organization
	if refusal := c.method.validate(c.request); refusal != nil {
		return nil, c.refuse(ctx, refusal)
	}
	userID := c.request.GetUserId()
	owner, err := c.organizationOf(ctx, userID)
	switch {
	case err != nil && !isNotVisible(err):
		return nil, err
	case err != nil && isPermissionRefusal(statusOf(err)):
		return nil, c.refuseUnreadable(ctx)
	case owner != organization: // "" if the user cannot be seen
		return nil, c.refuse(ctx, passwordNotFound())
	}
	if userID == c.identity.UserID {
		if err := c.authorize(ctx); err != nil {
			return nil, err
		}
		if c.grant < v2client.GrantUserWriteOnly {
			return nil, noPermission()
		}
	}
	details, err := c.write(ctx)
	if err == nil {
		c.checkOwner(userID, organization, details)
		return details, nil
	}
	if refusal := statusOf(err); isPostAuthorization(refusal) {
		return nil, c.refuse(ctx, refusal)
	}
	return nil, err
}

// identify finds out whose token the caller holds. What an unknown caller may do is asked first,
// as v1 does. One that is refused for its roles is identified too: the log and the ledger name it.
func (c *call) identify(ctx context.Context) error {
	var remembered bool
	if c.identity, remembered = c.identities.identity(c.token); remembered {
		c.event.Caller = c.identity.UserID
		return nil
	}
	refusal := c.authorize(ctx)
	if refusal != nil && !c.asked { // ZITADEL takes no token, or does not answer
		return refusal
	}
	if c.identity.UserID == "" {
		identity, err := c.reads.Identify(ctx, c.caller)
		switch {
		case err != nil && refusal != nil:
			return refusal
		case err != nil:
			return c.tokenRefusal(ctx, err)
		}
		c.identity = identity
	}
	c.event.Caller = c.identity.UserID
	c.identities.keepIdentity(c.token, c.identity)
	return refusal
}

// authorize asks once what the caller may do in the organization of the call, and returns v1's
// refusal if that is too little.
func (c *call) authorize(ctx context.Context) error {
	if !c.asked {
		grant, identity, err := c.reads.Authorize(ctx, c.caller, c.identity)
		if err != nil {
			return c.tokenRefusal(ctx, err)
		}
		c.asked, c.grant, c.identity = true, grant, identity
	}
	switch c.grant {
	case v2client.GrantNone:
		return membershipNotFound()
	case v2client.GrantOther:
		return noPermission()
	default:
		return nil
	}
}

// tokenRefusal asks v2 for its words about a token that userinfo does not take. If v2 takes it,
// its user is unknown: in doubt, refuse. So is a caller that cannot see its own user.
func (c *call) tokenRefusal(ctx context.Context, cause error) error {
	if isNotVisible(cause) {
		return noPermission()
	}
	if !errors.Is(cause, v2client.ErrTokenRefused) {
		return cause
	}
	if _, err := c.reads.UserOrganization(ctx, c.caller, c.request.GetUserId()); err != nil && !isNotVisible(err) {
		return err
	}
	refusal := noPermission()
	refusal.Cause = cause
	return refusal
}

// organization is the organization of the call.
func (c *call) organization(ctx context.Context) (string, error) {
	if named := c.caller.Organization(); named != "" {
		return named, nil
	}
	if c.identity.Organization != "" {
		return c.identity.Organization, nil
	}
	home, err := c.organizationOf(ctx, c.identity.UserID)
	if err != nil && isNotVisible(err) {
		return "", noPermission() // everybody may see their own user: in doubt, refuse
	}
	return home, err
}

// organizationOf is the organization that a user belongs to.
func (c *call) organizationOf(ctx context.Context, userID string) (string, error) {
	if organization, ok := c.identities.organization(c.token, userID); ok {
		return organization, nil
	}
	organization, err := c.reads.UserOrganization(ctx, c.caller, userID)
	if err != nil {
		return "", err
	}
	c.identities.keepOrganization(c.token, userID, organization)
	return organization, nil
}

// checkOwner forgets an organization that a write has shown to be another: the user was removed
// and made again elsewhere. UpdateUser shows none: the organization is the answer's then.
func (c *call) checkOwner(userID, organization string, details *objectv2.Details) {
	switch owner := details.GetResourceOwner(); {
	case owner == "" && details != nil:
		details.ResourceOwner = organization
	case owner != "" && owner != organization:
		c.identities.forgetUser(userID)
		c.actualOrganization = owner
	}
}

// refuse returns the refusal at hand if the caller's roles would have let v1 get that far, or
// else v1's refusal for the roles.
func (c *call) refuse(ctx context.Context, refusal *rpcstatus.Status) error {
	if err := c.authorize(ctx); err != nil {
		return err
	}
	// If the roles are unknown, nothing may show whether a user exists. The rest v2 says only
	// after its own permission check.
	shows := refusal.ID == idPasswordNotFound || refusal.ID == idNotInitialized
	if isPermissionRefusal(refusal) || shows && c.grant == v2client.GrantUnknown {
		return noPermission()
	}
	return refusal
}

// refuseUnreadable refuses a call for a user whom the caller may not read. A caller who may read
// the organization's users is told that the user is not among them. For others it may be: native
// v1 would write, but without the user's organization the adapter must not.
func (c *call) refuseUnreadable(ctx context.Context) error {
	if err := c.refuse(ctx, passwordNotFound()); c.grant != v2client.GrantUserWriteOnly {
		return err
	}
	return noPermission()
}

// isNotVisible reports whether GetUserByID would not show a user: it does not exist, the caller
// may not see it, or no user can have its id.
func isNotVisible(err error) bool {
	s := statusOf(err)
	if s.Cause != nil {
		return false
	}
	return s.ID == idMembershipNotFound || isPermissionRefusal(s) ||
		s.Code == connect.CodeNotFound && s.ID != "" ||
		s.Code == connect.CodeInvalidArgument
}

// isPermissionRefusal reports whether v2 found roles of the caller, but none
// that permits the call. v1 has another id for it.
func isPermissionRefusal(s *rpcstatus.Status) bool {
	return s.ID == idNoPermission || s.ID == idNoPermissionOnUser
}

// isPostAuthorization reports whether v1 says what refused the write only after its look at the
// caller's roles: an error of the command or of its validation. ZITADEL's interceptors raise
// errors with AUTH ids or none, and what never reached ZITADEL says nothing about users.
func isPostAuthorization(s *rpcstatus.Status) bool {
	switch {
	case s.Cause != nil:
		return false
	case s.ID == "":
		return s.Code == connect.CodeInvalidArgument
	}
	return isPermissionRefusal(s) || !strings.HasPrefix(s.ID, "AUTH")
}
