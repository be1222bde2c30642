package adapter_test

import (
	"fmt"
	"slices"

	"zitadel-v1-adapter/v2client/v2test"
)

// The model of v1 that organization_test.go compares the adapter with.

// world returns a ZITADEL with every kind of caller and user: each of ZITADEL's roles at
// each place that can hold it, seen from two organizations.
func world() v2test.Fixture {
	const home, other = "1", "2"
	w := v2test.Fixture{
		InstanceHosts: []string{"localhost"},
		Orgs:          map[string]string{"home": home, "other": other},
		Callers:       map[string]v2test.Caller{},
		Users:         map[string]v2test.User{},
	}
	add := func(name string, administrator ...v2test.AdministratorOf) {
		for _, named := range []bool{true, false} {
			id := fmt.Sprintf("%s-%v", name, named)
			w.Callers[id] = v2test.Caller{
				Token: "token-" + id, UserID: "caller-" + id, HomeOrg: home,
				AdministratorOf: administrator, UserinfoNamesOrganization: named,
			}
		}
	}
	for _, role := range []string{
		"IAM_OWNER", "IAM_OWNER_VIEWER", "IAM_ORG_MANAGER", "IAM_USER_MANAGER",
		"IAM_LOGIN_CLIENT", "IAM_ADMIN_IMPERSONATOR",
	} {
		add(role, v2test.AdministratorOf{Instance: true, Roles: []string{role}})
	}
	for _, role := range []string{
		"ORG_OWNER", "ORG_USER_MANAGER", "ORG_OWNER_VIEWER", "ORG_SETTINGS_MANAGER",
		"ORG_USER_PERMISSION_EDITOR", "ORG_PROJECT_CREATOR",
	} {
		add(role, v2test.AdministratorOf{Organization: home, Roles: []string{role}})
		add(role+"-other", v2test.AdministratorOf{Organization: other, Roles: []string{role}})
	}
	add("PROJECT_OWNER", v2test.AdministratorOf{Project: "p", ProjectOrganization: home, Roles: []string{"PROJECT_OWNER"}})
	add("PROJECT_OWNER-other", v2test.AdministratorOf{Project: "p", ProjectOrganization: other, Roles: []string{"PROJECT_OWNER"}})
	add("two-roles", v2test.AdministratorOf{Organization: home, Roles: []string{"ORG_SETTINGS_MANAGER", "ORG_USER_MANAGER"}})
	add("viewer-and-owner",
		v2test.AdministratorOf{Organization: home, Roles: []string{"ORG_OWNER_VIEWER"}},
		v2test.AdministratorOf{Organization: other, Roles: []string{"ORG_OWNER"}})
	add("no-role")
	add("agency", agency(home)...)
	for _, org := range []string{home, other} {
		for _, state := range []string{v2test.Active, v2test.Initial, v2test.Locked, v2test.Inactive, v2test.Deleted} {
			id := org + state
			w.Users[id] = v2test.User{ID: "user-" + id, Org: org, Type: v2test.Human, State: state}
		}
		w.Users[org+"machine"] = v2test.User{ID: "user-" + org + "machine", Org: org, Type: v2test.Machine, State: v2test.Active}
	}
	for _, name := range []string{"ORG_OWNER-true", "ORG_OWNER_VIEWER-true"} { // their own passwords
		w.Users[name] = v2test.User{ID: w.Callers[name].UserID, Org: home, Type: v2test.Human, State: v2test.Active}
	}
	return w
}

// agency returns roles in hundreds of organizations. The one in org is on the last of
// several pages.
func agency(org string) []v2test.AdministratorOf {
	var all []v2test.AdministratorOf
	for i := range 250 {
		all = append(all, v2test.AdministratorOf{Organization: fmt.Sprintf("client-%d", i), Roles: []string{"ORG_OWNER"}})
	}
	return append(all, v2test.AdministratorOf{Organization: org, Roles: []string{"ORG_OWNER"}})
}

// referenceV1 returns v1's answer. It makes v1's checks in v1's order (DESIGN section 2),
// and is written for reading, with all of ZITADEL's state at hand.
func referenceV1(w v2test.Fixture, caller v2test.Caller, header, userID, password string) string {
	organization := header
	if organization == "" {
		organization = caller.HomeOrg
	}
	if organization != w.Orgs["home"] && organization != w.Orgs["other"] {
		return "7 AUTH-Bs7Ds"
	}
	var roles []string
	for _, administrator := range caller.AdministratorOf {
		if administrator.Instance || administrator.Organization == organization ||
			administrator.ProjectOrganization == organization {
			roles = append(roles, administrator.Roles...)
		}
	}
	if len(roles) == 0 {
		return "5 AUTHZ-cdgFk"
	}
	writers := []string{"IAM_OWNER", "IAM_ORG_MANAGER", "IAM_USER_MANAGER", "IAM_LOGIN_CLIENT", "ORG_OWNER", "ORG_USER_MANAGER"}
	if !slices.ContainsFunc(roles, func(role string) bool { return slices.Contains(writers, role) }) {
		return "7 AUTH-5mWD2"
	}
	if password == "" {
		return "3 "
	}
	var user v2test.User
	for _, candidate := range w.Users {
		if candidate.ID == userID && candidate.Org == organization && candidate.Type == v2test.Human {
			user = candidate
		}
	}
	switch {
	case user.State == "", user.State == v2test.Deleted:
		return "9 COMMAND-G8dh3"
	case user.State == v2test.Initial:
		return "9 COMMAND-M9dse"
	case password == "short":
		return "3 DOMAIN-HuJf6"
	}
	return "ok"
}
