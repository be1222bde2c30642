package adapter_test

import (
	"testing"

	"zitadel-v1-adapter/adapter"
	"zitadel-v1-adapter/v2client"
	"zitadel-v1-adapter/v2client/v2test"
)

// On v2.66-v3.4.6 and v4.0-v4.2 v2 lets everybody set their own password, so that it is the
// adapter alone that keeps v1's rule: one needs user.write in the organization of the call. A
// caller is remembered by a call in another organization, where it may write; that must not count
// for its own password, whose organization gives it fewer rights, or none.
func TestOwnPasswordNeedsPermissionInItsOrganization(t *testing.T) {
	t.Parallel()
	const home, other, good = "1", "2", "Sup3rPassw0rd!"
	w := world()
	w.Callers = map[string]v2test.Caller{}
	for id, roles := range map[string][]v2test.AdministratorOf{
		"none":   nil,
		"viewer": {{Organization: home, Roles: []string{"ORG_OWNER_VIEWER"}}},
		"writer": {{Organization: home, Roles: []string{"ORG_USER_MANAGER"}}},
	} {
		w.Callers[id] = v2test.Caller{
			Token: "token-" + id, UserID: "self-" + id, HomeOrg: home,
			AdministratorOf: append(roles, v2test.AdministratorOf{Organization: other, Roles: []string{"ORG_OWNER"}}),
		}
		w.Users[id] = v2test.User{ID: "self-" + id, Org: home, Type: v2test.Human, State: v2test.Active}
	}
	for _, zitadel := range []v2test.Config{
		{Release: v2test.V42}, {Release: v2test.V271}, {Release: v2test.V42, WithoutAuthAPI: true},
	} {
		for _, protocol := range protocolsOf(zitadel.Release)[1:] {
			t.Run(nameOf(zitadel, protocol), func(t *testing.T) {
				t.Parallel()
				s := newStack(t, func(c *stackConfig) { c.fixture, c.zitadel, c.protocol = w, zitadel, protocol })
				checkSelfSet(t, s)
				transport := newTransport(t, false)
				for name, caller := range w.Callers {
					for range 2 {
						if got := setPassword(t, transport, s.address, caller.Token, other, "user-2active", good); got != "ok" {
							t.Fatalf("%s, in the other organization: got %s, want ok", name, got)
						}
						for _, header := range []string{"", home, other} {
							s.newWrites(t)
							want := referenceV1(w, caller, header, caller.UserID, good)
							got := setPassword(t, transport, s.address, caller.Token, header, caller.UserID, good)
							if wrote := s.newWrites(t) != 0; got != want || wrote != (want == "ok") {
								t.Errorf("%s, own password, header %q: got %s (written: %v), want %s", name, header, got, wrote, want)
							}
						}
					}
				}
			})
		}
	}
}

// checkSelfSet checks that this ZITADEL would let a caller without a role set its own password,
// without which the test proves nothing.
func checkSelfSet(t *testing.T, s *stack) {
	t.Helper()
	plain := newStack(t, func(c *stackConfig) {
		c.upstream, c.fixture, c.scope, c.protocol = s.zitadel, s.fixture, adapter.OrgScopeOff, v2client.ProtocolGRPC
	})
	if got := setPassword(t, newTransport(t, false), plain.address, "token-none", "", "self-none", "Sup3rPassw0rd!"); got != "ok" {
		t.Fatalf("v2 alone, own password: got %s, want ok", got)
	}
}
