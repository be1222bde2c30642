package v2client_test

import (
	"testing"

	"zitadel-v1-adapter/internal/wiretest"
	"zitadel-v1-adapter/v2client"
	"zitadel-v1-adapter/v2client/v2test"
)

// Without the Auth API v1, Config.UserWriters says which roles may write users, in place of those of
// ZITADEL's default mapping.
func TestUserWriters(t *testing.T) {
	t.Parallel()
	const org = "1"
	fixture := v2test.Fixture{InstanceHosts: []string{"127.0.0.1"}, Orgs: map[string]string{"a": org}, Callers: map[string]v2test.Caller{}}
	for _, role := range []string{"ORG_OWNER", v2test.RoleUserWriteOnly} {
		fixture.Callers[role] = v2test.Caller{
			Token: role, UserID: "user-" + role, HomeOrg: org, UserinfoNamesOrganization: true,
			AdministratorOf: []v2test.AdministratorOf{{Organization: org, Roles: []string{role}}},
		}
	}
	zitadel := wiretest.NewZITADELOf(t, fixture, v2test.Config{Release: v2test.Next})
	for _, test := range []struct {
		writers []string
		role    string
		want    v2client.Grant
	}{
		{nil, "ORG_OWNER", v2client.GrantUserWrite},
		{nil, v2test.RoleUserWriteOnly, v2client.GrantOther},
		{[]string{"X", v2test.RoleUserWriteOnly}, v2test.RoleUserWriteOnly, v2client.GrantUserWrite},
		{[]string{"X", v2test.RoleUserWriteOnly}, "ORG_OWNER", v2client.GrantOther},
	} {
		client := newClient(t, zitadel, func(c *v2client.Config) { c.UserWriters = test.writers })
		got, _, err := client.Authorize(t.Context(), callerWith(test.role), v2client.Identity{})
		if err != nil || got != test.want {
			t.Errorf("%s, writers %q: got grant %d, %v, want %d", test.role, test.writers, got, err, test.want)
		}
	}
}
