package adapter

import (
	"context"
	"errors"
	"slices"
	"strings"

	"connectrpc.com/connect"

	objectv2 "zitadel-v1-adapter/gen/zitadel/object/v2"
	"zitadel-v1-adapter/internal/rpcstatus"
	"zitadel-v1-adapter/v2client"
)

// inOrganization keeps v1's organization rule with v2 calls made with the
// caller's own token:
//
//   - the organization of the call is that of the x-zitadel-orgid header, or
//     else the caller's home organization;
//   - if the user belongs to it, v2's permission check, which is made in the
//     user's organization, is v1's check, and the work may be done;
//   - except for the caller itself, which some releases of v2 let change its own
//     password, and v1 only with user.write: there the roles are looked at first;
//   - any refusal that v1 would have given only after its look at the caller's
//     roles is given only after the same look. So a stranger learns nothing
//     about users, and nothing is even tried on a user of another organization.
//
// With everything remembered, a success costs the work alone.
func (c *call) inOrganization(ctx context.Context) (*objectv2.Details, error) {
	// Before anything else v2 is asked something, because it settles what v1
	// settles first, in the same words: instance, token, existing organization.
	owner, err := c.organizationOf(ctx, c.request.userID())
	if err != nil && !isNotVisible(err) {
		return nil, err
	}
	subject, err := c.subject(ctx)
	if err != nil {
		return nil, err
	}
	organization, err := c.organization(ctx, subject)
	if err != nil {
		return nil, err
	}
	c.event.Organization = organization
	if refusal := c.request.validate(); refusal != nil {
		return nil, c.refuse(ctx, subject, organization, refusal)
	}
	if owner == "" || owner != organization {
		return nil, c.refuse(ctx, subject, organization, passwordNotFound())
	}
	if c.request.userID() == subject {
		switch err := c.checkRoles(ctx, subject, organization); {
		case errors.Is(err, errRolesUnknown):
			return nil, noPermission()
		case err != nil:
			return nil, err
		}
	}
	details, err := c.request.work(ctx, c.zitadel, c.caller)
	if err == nil {
		return details, nil
	}
	if refusal := statusOf(err); isPostAuthorization(refusal) {
		return nil, c.refuse(ctx, subject, organization, refusal)
	}
	return nil, err
}

// organization is the organization of the call.
func (c *call) organization(ctx context.Context, subject string) (string, error) {
	if named := c.caller.Organization(); named != "" {
		return named, nil
	}
	home, err := c.organizationOf(ctx, subject)
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
	organization, err := c.zitadel.UserOrganization(ctx, c.caller, userID)
	if err != nil {
		return "", err
	}
	c.identities.keepOrganization(c.token, userID, organization)
	return organization, nil
}

// subject is the id of the user whose token the caller holds.
func (c *call) subject(ctx context.Context) (string, error) {
	if subject, ok := c.identities.subject(c.token); ok {
		return subject, nil
	}
	identity, err := c.zitadel.UserInfo(ctx, c.caller)
	if errors.Is(err, v2client.ErrTokenRefused) {
		return "", c.tokenRefusal(ctx, err)
	}
	if err != nil {
		return "", err
	}
	c.identities.keepSubject(c.token, identity.UserID)
	if identity.Organization != "" {
		c.identities.keepOrganization(c.token, identity.UserID, identity.Organization)
	}
	return identity.UserID, nil
}

// tokenRefusal asks v2 for its words about a token that userinfo did not take.
// If v2 takes it, nobody can say whose it is, or whether it is the user's own:
// in doubt, refuse.
func (c *call) tokenRefusal(ctx context.Context, cause error) error {
	if _, err := c.zitadel.UserOrganization(ctx, c.caller, c.request.userID()); err != nil && !isNotVisible(err) {
		return err
	}
	refusal := noPermission()
	refusal.Cause = cause
	return refusal
}

// refuse returns the refusal at hand if v1's look at the caller's roles would
// have let the call get as far as that, or else what v1 says about the roles.
func (c *call) refuse(ctx context.Context, subject, organization string, refusal error) error {
	atHand := statusOf(refusal)
	err := c.checkRoles(ctx, subject, organization)
	switch {
	case errors.Is(err, errRolesUnknown):
		// What shows whether a user exists is kept back. All else v2 says only
		// after its own permission check.
		if atHand.ID == idPasswordNotFound || atHand.ID == idNotInitialized || isPermissionRefusal(atHand) {
			return noPermission()
		}
	case err != nil:
		return err
	case isPermissionRefusal(atHand):
		return noPermission()
	}
	return atHand
}

// errRolesUnknown is what a ZITADEL before v4 leaves us with: it cannot list
// administrators.
var errRolesUnknown = errors.New("this ZITADEL does not list administrators")

// checkRoles looks at the caller's roles in the organization as v1 does; nil
// lets the call pass.
func (c *call) checkRoles(ctx context.Context, subject, organization string) error {
	administrators, err := c.zitadel.Administrators(ctx, c.caller, subject)
	if err != nil {
		if statusOf(err).Code == connect.CodeUnimplemented {
			return errRolesUnknown
		}
		return err
	}
	member, writer := false, false
	for _, administrator := range administrators {
		if !administrator.Instance && !slices.Contains(administrator.Organizations, organization) {
			continue
		}
		member = member || len(administrator.Roles) > 0
		writer = writer || slices.ContainsFunc(administrator.Roles, mayWriteUsers)
	}
	switch {
	case !member:
		return membershipNotFound()
	case !writer:
		return noPermission()
	}
	return nil
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

// isNotVisible reports whether GetUserByID would not show a user: it does not
// exist, the caller may not see it, or no user can have its id.
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

// isPostAuthorization reports whether the work was refused with something that v1
// says only after its look at the caller's roles: an error of the command or of its
// validation. ZITADEL's interceptors raise errors with AUTH ids or with none at
// all, and what never reached ZITADEL says nothing about users.
func isPostAuthorization(s *rpcstatus.Status) bool {
	switch {
	case s.Cause != nil:
		return false
	case isPermissionRefusal(s):
		return true
	case s.ID == "":
		return s.Code == connect.CodeInvalidArgument
	default:
		return !strings.HasPrefix(s.ID, "AUTH")
	}
}
