package adapter

import (
	"strconv"
	"testing"
	"time"

	"zitadel-v1-adapter/v2client"
)

func callerOf(host, token string) v2client.Caller {
	return v2client.NewCaller(host, func(name string) string {
		if name == "Authorization" {
			return "Bearer " + token
		}
		return ""
	})
}

// What is remembered belongs to one token in one instance, expires, and is
// bounded.
func TestIdentityCache(t *testing.T) {
	t.Parallel()
	m, err := newIdentityCache()
	if err != nil {
		t.Fatal(err)
	}
	now := time.Now()
	m.now = func() time.Time { return now }
	mine, others, elsewhere := hashToken(callerOf("a.example", "t")), hashToken(callerOf("a.example", "u")), hashToken(callerOf("b.example", "t"))
	m.keepIdentity(mine, v2client.Identity{UserID: "me"})
	m.keepOrganization(mine, "user", "org")
	if identity, ok := m.identity(mine); !ok || identity.UserID != "me" {
		t.Errorf("identity %+v, %v", identity, ok)
	}
	if organization, ok := m.organization(mine, "user"); !ok || organization != "org" {
		t.Errorf("organization %q, %v", organization, ok)
	}
	for name, token := range map[string]tokenHash{"another token": others, "another instance": elsewhere} {
		if identity, ok := m.identity(token); ok {
			t.Errorf("%s has identity %+v", name, identity)
		}
		if organization, ok := m.organization(token, "user"); ok {
			t.Errorf("%s knows organization %q", name, organization)
		}
	}
	now = now.Add(identityTTL + time.Second)
	if _, ok := m.identity(mine); ok {
		t.Error("the subject did not expire")
	}
	if _, ok := m.organization(mine, "user"); ok {
		t.Error("the organization did not expire")
	}
	for i := range identityEntries + 10 {
		m.keepOrganization(mine, strconv.Itoa(i), "org")
	}
	if n := m.organizations.Len(); n != identityEntries {
		t.Errorf("%d entries", n)
	}
}
