package adapter

import (
	"net/http"
	"strconv"
	"testing"
	"time"

	"zitadel-v1-adapter/v2client"
)

func callerOf(host, token string) v2client.Caller {
	return v2client.NewCaller(host, http.Header{"Authorization": {"Bearer " + token}})
}

// An entry of the identity cache belongs to one token in one instance, and expires. The
// number of entries is bounded.
func TestIdentityCacheIsBoundToTokenAndInstance(t *testing.T) {
	t.Parallel()
	cache, err := newIdentityCache()
	if err != nil {
		t.Fatal(err)
	}
	now := time.Now()
	cache.now = func() time.Time { return now }
	mine := hashToken(callerOf("a.example", "t"))
	otherToken, otherInstance := hashToken(callerOf("a.example", "u")), hashToken(callerOf("b.example", "t"))
	cache.keepIdentity(mine, v2client.Identity{UserID: "me"})
	cache.keepOrganization(mine, "user", "org")
	if identity, ok := cache.identity(mine); !ok || identity.UserID != "me" {
		t.Errorf("identity: got %+v, %v, want me", identity, ok)
	}
	if organization, ok := cache.organization(mine, "user"); !ok || organization != "org" {
		t.Errorf("organization: got %q, %v, want org", organization, ok)
	}
	for name, token := range map[string]tokenHash{"another token": otherToken, "another instance": otherInstance} {
		if identity, ok := cache.identity(token); ok {
			t.Errorf("%s: identity: got %+v, want none", name, identity)
		}
		if organization, ok := cache.organization(token, "user"); ok {
			t.Errorf("%s: organization: got %q, want none", name, organization)
		}
	}
	now = now.Add(identityTTL + time.Second)
	if _, ok := cache.identity(mine); ok {
		t.Error("identity after identityTTL: got one, want none")
	}
	if _, ok := cache.organization(mine, "user"); ok {
		t.Error("organization after identityTTL: got one, want none")
	}
	for i := range identityEntries + 10 {
		cache.keepOrganization(mine, strconv.Itoa(i), "org")
	}
	if n := cache.organizations.Len(); n != identityEntries {
		t.Errorf("entries: got %d, want %d", n, identityEntries)
	}
}
