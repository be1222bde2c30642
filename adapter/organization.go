package adapter

import (
	"context"
	"errors"
	"slices"
	"strings"

	"connectrpc.com/connect"

	objectv2 "zitadel-v1-adapter/gen/zitadel/object/v2"
	"zitadel-v1-adapter/v2client"
)

// setInOrganization keeps v1's organization rule with v2 calls made with the
// caller's own token:
//
//   - the organization of the call is that of the x-zitadel-orgid header, or
//     else the caller's home organization;
//   - if the user belongs to it, v2's permission check, which is made in the
//     user's organization, is v1's check, and SetPassword may be called;
//   - any refusal that v1 would have given only after its look at the caller's
//     roles is given only after the same look. So a stranger learns nothing
//     about users, and SetPassword is not even called for a user of another
//     organization.
//
// With everything remembered, a success costs SetPassword alone.
func (c *call) setInOrganization(ctx context.Context) (*objectv2.Details, error) {
	// Before anything else v2 is asked something, because it settles what v1
	// settles first, in the same words: instance, token, existing organization.
	owner, err := c.organizationOf(ctx, c.userID)
	if err != nil && !isUnseen(err) {
		return nil, err
	}
	organization, err := c.organization(ctx)
	if err != nil {
		return nil, err
	}
	c.record.organization = organization
	refusal := c.validate()
	if refusal == nil && owner != organization {
		refusal = passwordNotFound()
	}
	if refusal == nil {
		details, err := c.zitadel.SetPassword(ctx, c.caller, c.userID, c.password)
		if err == nil || !isAfterRoles(statusOf(err)) {
			return details, err
		}
		refusal = statusOf(err)
	}
	return nil, c.afterRoles(ctx, organization, statusOf(refusal))
}

// organization is the organization of the call.
func (c *call) organization(ctx context.Context) (string, error) {
	if named := c.caller.Organization(); named != "" {
		return named, nil
	}
	subject, err := c.subject(ctx)
	if err != nil {
		return "", err
	}
	home, err := c.organizationOf(ctx, subject)
	if err != nil && isUnseen(err) {
		return "", noPermission() // everybody may see himself: in doubt, refuse
	}
	return home, err
}

// organizationOf is the organization that a user belongs to.
func (c *call) organizationOf(ctx context.Context, userID string) (string, error) {
	if organization, ok := c.memory.organization(c.token, userID); ok {
		return organization, nil
	}
	organization, err := c.zitadel.UserOrganization(ctx, c.caller, userID)
	if err != nil {
		return "", err
	}
	c.memory.keepOrganization(c.token, userID, organization)
	return organization, nil
}

// subject is the id of the user whose token the caller holds.
func (c *call) subject(ctx context.Context) (string, error) {
	if subject, ok := c.memory.subject(c.token); ok {
		return subject, nil
	}
	identity, err := c.zitadel.UserInfo(ctx, c.caller)
	if errors.Is(err, v2client.ErrTokenRefused) {
		return "", c.tokenRefusal(ctx)
	}
	if err != nil {
		return "", err
	}
	c.memory.keepSubject(c.token, identity.UserID)
	if identity.Organization != "" {
		c.memory.keepOrganization(c.token, identity.UserID, identity.Organization)
	}
	return identity.UserID, nil
}

// tokenRefusal asks v2 for its words about a token that userinfo did not take.
func (c *call) tokenRefusal(ctx context.Context) error {
	_, err := c.zitadel.UserOrganization(ctx, c.caller, c.userID)
	if err == nil || isUnseen(err) {
		return noPermission() // v2 takes what userinfo does not: in doubt, refuse
	}
	return err
}

// afterRoles looks at the caller's roles in the organization as v1 does, and
// returns the refusal at hand if they would have let the call pass.
func (c *call) afterRoles(ctx context.Context, organization string, refusal *status) error {
	subject, err := c.subject(ctx)
	if err != nil {
		return err
	}
	administrators, err := c.zitadel.Administrators(ctx, c.caller, subject)
	if err != nil {
		if statusOf(err).code == connect.CodeUnimplemented {
			return withoutRoles(refusal)
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
	case !writer, isPermissionRefusal(refusal):
		return noPermission()
	}
	return refusal
}

// withoutRoles is for a ZITADEL before v4, which cannot list administrators: a
// refusal that shows whether a user exists is kept back. v2 gives all others
// only after its own permission check.
func withoutRoles(refusal *status) *status {
	if refusal.id == idPasswordNotFound || refusal.id == idNotInitialized || isPermissionRefusal(refusal) {
		return noPermission()
	}
	return refusal
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

// isUnseen reports whether GetUserByID would not show a user: it does not
// exist, or the caller may not see it, or its id is not one.
func isUnseen(err error) bool {
	s := statusOf(err)
	if s.cause != nil {
		return false
	}
	return s.id == idMembershipNotFound || isPermissionRefusal(s) ||
		s.code == connect.CodeNotFound && s.id != "" ||
		s.code == connect.CodeInvalidArgument
}

// isPermissionRefusal reports whether v2 found roles of the caller, but none
// that permits the call. v1 has another id for it.
func isPermissionRefusal(s *status) bool {
	return s.id == idNoPermission || s.id == idNoPermissionOnUser
}

// isAfterRoles reports whether SetPassword refused with something that v1 says
// only after its look at the caller's roles: an error of the command or of its
// validation. ZITADEL's interceptors raise errors with AUTH ids or with none at
// all, and what never reached ZITADEL says nothing about users.
func isAfterRoles(s *status) bool {
	switch {
	case s.cause != nil:
		return false
	case isPermissionRefusal(s):
		return true
	case s.id == "":
		return s.code == connect.CodeInvalidArgument
	default:
		return !strings.HasPrefix(s.id, "AUTH")
	}
}
