package v2test

import (
	"maps"
	"slices"
)

// permission is a ZITADEL permission that the modelled calls ask for.
type permission string

const (
	userRead  permission = "user.read"
	userWrite permission = "user.write"
)

// grantedBy is ZITADEL's default mapping of roles to the two permissions.
func (p permission) grantedBy(role string) bool {
	switch role {
	case "IAM_OWNER", "IAM_ORG_MANAGER", "IAM_USER_MANAGER", "IAM_LOGIN_CLIENT", "ORG_OWNER", "ORG_USER_MANAGER":
		return true
	case "IAM_OWNER_VIEWER", "ORG_OWNER_VIEWER", "ORG_USER_PERMISSION_EDITOR", "ORG_PROJECT_PERMISSION_EDITOR":
		return p == userRead
	}
	return false
}

// countsIn reports whether a's roles count in an organization.
func (a AdministratorOf) countsIn(org string) bool {
	return a.Instance || a.Organization == org || a.Project != "" && a.ProjectOrganization == org
}

// check is ZITADEL's permission check of the v2 commands and queries: none of
// the caller's roles counts in org, then none grants p there, then p is granted
// for a project only and user is not that project.
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

// Example finds a caller and an active human of its home organization whose
// password it may set; false if there are none. The choice is the first by name.
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
