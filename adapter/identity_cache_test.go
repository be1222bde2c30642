package adapter

import (
	"context"
	"net/http"
	"strconv"
	"testing"
	"time"

	"connectrpc.com/connect"

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
	if n := cache.entries.Len(); n != identityEntries {
		t.Errorf("entries: got %d, want %d", n, identityEntries)
	}
}

// A token that ZITADEL does not take is asked about once a minute, however many calls come with
// it. What says nothing about the token (a ZITADEL that is away, a gateway's 401) is never
// remembered, nor is a refusal used for another token or another instance.
func TestRefusedTokenIsAskedAboutOnceAMinute(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		answer     error
		remembered bool
	}{
		"a bad token":            {&v2client.Error{Code: connect.CodeUnauthenticated, Origin: v2client.OriginZITADEL, Message: "Errors.Token.Invalid (AUTH-7fs1e)"}, true},
		"a token without a role": {&v2client.Error{Code: connect.CodePermissionDenied, Origin: v2client.OriginZITADEL}, false},
		"ZITADEL is away":        {&v2client.Error{Code: connect.CodeUnavailable, Origin: v2client.OriginTransport}, false},
		"no answer in time":      {&v2client.Error{Code: connect.CodeDeadlineExceeded, Origin: v2client.OriginDeadline}, false},
		"a gateway's 401":        {&v2client.Error{Code: connect.CodeUnauthenticated, Origin: v2client.OriginTransport}, false},
		"no user named":          {nil, false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			zitadel := &refusingZITADEL{answer: test.answer}
			a, err := New(Config{ZITADEL: zitadel, OrgScope: OrgScopeOff, Timeout: time.Minute, Rollout: RolloutAll, Limits: Limits{BodyTimeout: time.Minute}})
			if err != nil {
				t.Fatal(err)
			}
			now := time.Now()
			a.identities.now = func() time.Time { return now }
			asked := func(host, token string, calls int) int {
				t.Helper()
				zitadel.asked = 0
				for range calls {
					caller := callerOf(host, token)
					if got := a.identify(t.Context(), caller, hashToken(caller)); got.UserID != "" {
						t.Errorf("got caller %q, want none", got.UserID)
					}
				}
				return zitadel.asked
			}
			const calls = 3
			want := calls
			if test.remembered {
				want = 1
			}
			for _, each := range []struct {
				what, host, token string
				after             time.Duration
			}{
				{"first", "a.example", "t", 0},
				{"another token", "a.example", "u", 0},
				{"another instance", "b.example", "t", 0},
				{"after a minute", "a.example", "t", refusalTTL + time.Second},
			} {
				now = now.Add(each.after)
				if got := asked(each.host, each.token, calls); got != want {
					t.Errorf("%s: got %d questions for %d calls, want %d", each.what, got, calls, want)
				}
			}
		})
	}
}

// refusingZITADEL answers Identify with an error, or with no user.
type refusingZITADEL struct {
	ZITADEL

	answer error
	asked  int
}

func (z *refusingZITADEL) Identify(context.Context, v2client.Caller) (v2client.Identity, error) {
	z.asked++
	return v2client.Identity{}, z.answer
}
