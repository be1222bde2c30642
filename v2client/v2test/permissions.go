package v2test

import (
	"cmp"
	"maps"
	"net/http"
	"slices"

	filterv2 "zitadel-v1-adapter/gen/zitadel/filter/v2"
	permissionv2 "zitadel-v1-adapter/gen/zitadel/internal_permission/v2"
	"zitadel-v1-adapter/internal/rpcstatus"
)

// The permissions that tell roles apart, as far as the modelled calls need them.
const (
	orgRead   = "org.read"
	userRead  = "user.read"
	userWrite = "user.write"
)

// The roles of an instance's own mapping, besides ZITADEL's default roles.
const (
	RoleWithoutPermissions = "OWN_NOTHING"     // has no permission at all
	RoleUserWriteOnly      = "OWN_USER_WRITER" // may write users, but not read them
)

// permissionsOf returns the permissions that a role grants.
func permissionsOf(role string) []string {
	switch role {
	case RoleWithoutPermissions:
		return nil
	case RoleUserWriteOnly:
		return []string{userWrite}
	case "IAM_OWNER", "IAM_ORG_MANAGER", "IAM_USER_MANAGER", "IAM_LOGIN_CLIENT", "ORG_OWNER", "ORG_USER_MANAGER":
		return []string{orgRead, userRead, userWrite}
	case "IAM_OWNER_VIEWER", "ORG_OWNER_VIEWER", "ORG_USER_PERMISSION_EDITOR", "ORG_PROJECT_PERMISSION_EDITOR":
		return []string{orgRead, userRead}
	}
	return []string{orgRead}
}

// countsIn reports whether the roles apply to an organization.
func (a AdministratorOf) countsIn(org string) bool {
	return a.Instance || a.Organization == org || a.Project != "" && a.ProjectOrganization == org
}

// grants reports whether one of the roles includes a permission.
func (a AdministratorOf) grants(permission string) bool {
	return slices.ContainsFunc(a.Roles, func(role string) bool { return slices.Contains(permissionsOf(role), permission) })
}

// check is ZITADEL's permission check of v2 commands and queries: nil if one of the caller's roles
// grants the permission in org. A role on a project does not apply to users.
func (c Caller) check(permission, org string) *rpcstatus.Status {
	refusal := errMembershipNotFound
	for _, administrator := range c.AdministratorOf {
		switch {
		case !administrator.countsIn(org) || len(administrator.Roles) == 0:
		case administrator.grants(permission) && administrator.Project == "":
			return nil
		case administrator.grants(permission):
			refusal = errPermissionOnOther
		case refusal == errMembershipNotFound:
			refusal = errNoPermission
		}
	}
	return refusal
}

// Example returns a caller and an active human of its home organization whose password it
// may set: the first ones by name. It returns false if there are none.
func (f Fixture) Example() (Caller, User, bool) {
	for _, callerName := range slices.Sorted(maps.Keys(f.Callers)) {
		for _, userName := range slices.Sorted(maps.Keys(f.Users)) {
			caller, user := f.Callers[callerName], f.Users[userName]
			if user.Type == Human && user.State == Active && user.Org == caller.HomeOrg && caller.check(userWrite, user.Org) == nil {
				return caller, user, true
			}
		}
	}
	return Caller{}, User{}, false
}

// permissions lists what the caller's roles grant in the organization of the call.
// Permissions on single projects carry the project's id.
func (s *Server) permissions(r *http.Request, caller *Caller) (any, *rpcstatus.Status) {
	org := organizationOf(r, caller)
	answer := map[string][]string{}
	for _, administrator := range caller.AdministratorOf {
		if !administrator.countsIn(org) {
			continue
		}
		suffix := ""
		if administrator.Project != "" {
			suffix = ":" + administrator.Project
		}
		for _, role := range administrator.Roles {
			for _, permission := range permissionsOf(role) {
				answer["result"] = append(answer["result"], permission+suffix)
			}
		}
	}
	return answer, nil
}

// memberships lists where the caller has roles, whatever the organization of the call.
func (s *Server) memberships(_ *http.Request, caller *Caller) (any, *rpcstatus.Status) {
	result := make([]map[string]any, 0, len(caller.AdministratorOf))
	for _, administrator := range caller.AdministratorOf {
		membership := map[string]any{"userId": caller.UserID, "roles": administrator.Roles}
		switch {
		case administrator.Instance:
			membership["iam"] = true
		case administrator.Organization != "":
			membership["orgId"] = administrator.Organization
			membership["details"] = map[string]any{"resourceOwner": administrator.Organization}
		default:
			membership["projectId"] = administrator.Project
			membership["details"] = map[string]any{"resourceOwner": administrator.ProjectOrganization}
		}
		result = append(result, membership)
	}
	return map[string]any{"result": result}, nil
}

// listAdministrators returns only the caller's own roles. To see other users' roles, a
// caller would need permissions that are not modelled.
func (s *Server) listAdministrators(
	caller *Caller, request *permissionv2.ListAdministratorsRequest,
) (*permissionv2.ListAdministratorsResponse, *rpcstatus.Status) {
	isOther := func(filter *permissionv2.AdministratorSearchFilter) bool {
		return !slices.Contains(filter.GetInUserIdsFilter().GetIds(), caller.UserID)
	}
	var own []*permissionv2.Administrator
	if !slices.ContainsFunc(request.GetFilters(), isOther) {
		for _, administrator := range caller.AdministratorOf {
			own = append(own, administrator.message(caller))
		}
	}
	limit := cmp.Or(uint64(request.GetPagination().GetLimit()), 100) // ZITADEL's default
	total := uint64(len(own))
	from := min(request.GetPagination().GetOffset(), total)
	return &permissionv2.ListAdministratorsResponse{
		Pagination:     &filterv2.PaginationResponse{TotalResult: total, AppliedLimit: limit},
		Administrators: own[from : from+min(limit, total-from)],
	}, nil
}

func (a AdministratorOf) message(caller *Caller) *permissionv2.Administrator {
	message := &permissionv2.Administrator{
		User:  &permissionv2.User{Id: caller.UserID, OrganizationId: caller.HomeOrg},
		Roles: a.Roles,
	}
	switch {
	case a.Instance:
		message.Resource = &permissionv2.Administrator_Instance{Instance: true}
	case a.Organization != "":
		message.Resource = &permissionv2.Administrator_Organization{Organization: &permissionv2.Organization{Id: a.Organization}}
	default:
		message.Resource = &permissionv2.Administrator_Project{
			Project: &permissionv2.Project{Id: a.Project, OrganizationId: a.ProjectOrganization},
		}
	}
	return message
}
