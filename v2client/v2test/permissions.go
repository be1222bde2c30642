package v2test

import (
	"maps"
	"slices"
)

// permission is a ZITADEL permission that the modelled calls need.
type permission string

const (
	userRead  permission = "user.read"
	userWrite permission = "user.write"
)

// The roles of an instance's own mapping, besides ZITADEL's default roles.
const (
	// RoleWithoutPermissions has no permission at all.
	RoleWithoutPermissions = "OWN_NOTHING"
	// RoleUserWriteOnly may write users, but not read them.
	RoleUserWriteOnly = "OWN_USER_WRITER"
)

// grantedBy reports whether a role includes the permission.
func (p permission) grantedBy(role string) bool {
	switch role {
	case RoleUserWriteOnly:
		return p == userWrite
	case "IAM_OWNER", "IAM_ORG_MANAGER", "IAM_USER_MANAGER", "IAM_LOGIN_CLIENT", "ORG_OWNER", "ORG_USER_MANAGER":
		return true
	case "IAM_OWNER_VIEWER", "ORG_OWNER_VIEWER", "ORG_USER_PERMISSION_EDITOR", "ORG_PROJECT_PERMISSION_EDITOR":
		return p == userRead
	}
	return false
}

// countsIn reports whether the roles apply to an organization.
func (a AdministratorOf) countsIn(org string) bool {
	return a.Instance || a.Organization == org || a.Project != "" && a.ProjectOrganization == org
}

// check is ZITADEL's permission check of v2 commands and queries. It returns nil if one of
// the caller's roles grants p in org; otherwise, the error says whether the caller has no
// role in org, no role that grants p, or only one on a project, which does not apply to
// users.
func (c Caller) check(p permission, org string) *fault {
	member, projectOnly := false, false
	for _, administrator := range c.AdministratorOf {
		if !administrator.countsIn(org) || len(administrator.Roles) == 0 {
			continue
		}
		member = true
		if !slices.ContainsFunc(administrator.Roles, p.grantedBy) {
			continue
		}
		if administrator.Project == "" {
			return nil
		}
		projectOnly = true
	}
	switch {
	case !member:
		return faultMembershipNotFound
	case projectOnly:
		return faultPermissionOnOther
	default:
		return faultNoPermission
	}
}

// Example returns a caller and an active human of its home organization whose password it
// may set: the first ones by name. It returns false if there are none.
func (f Fixture) Example() (Caller, User, bool) {
	for _, callerName := range slices.Sorted(maps.Keys(f.Callers)) {
		caller := f.Callers[callerName]
		if caller.check(userWrite, caller.HomeOrg) != nil {
			continue
		}
		for _, userName := range slices.Sorted(maps.Keys(f.Users)) {
			if user := f.Users[userName]; user.Org == caller.HomeOrg && user.Type == Human && user.State == Active {
				return caller, user, true
			}
		}
	}
	return Caller{}, User{}, false
}
