package adapter_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"

	"connectrpc.com/connect"

	"zitadel-v1-adapter/adapter"
	"zitadel-v1-adapter/gen/zitadel/user/v2/userv2connect"
	zitadelv1 "zitadel-v1-adapter/gen/zitadel/v1"
	"zitadel-v1-adapter/internal/wiretest"
	"zitadel-v1-adapter/v2client"
	"zitadel-v1-adapter/v2client/v2test"
)

// v1's organization rule: a caller may set passwords in the organization of the call, if it
// has a role there that may. organization_reference_test.go has the model of v1 that these
// tests compare with.

// For every caller, organization header, user and kind of password the adapter answers what
// v1 answers, and writes a password if and only if v1 does, with an empty and with a full
// identity cache. On older releases and over gRPC, a third of the callers does so, in turn, and each
// caller, header and user has one kind of password, in turn.
func TestOrganizationRuleMatchesV1(t *testing.T) {
	t.Parallel()
	w, turn := world(), 0
	for _, zitadel := range zitadels() {
		for _, protocol := range protocolsOf(zitadel.Release)[1:] { // not auto, which is one of the others
			turn++
			t.Run(nameOf(zitadel, protocol), func(t *testing.T) {
				t.Parallel()
				callers := sampled(w)
				if zitadel.Release.HasV1() {
					callers = withoutTwins(callers)
				}
				whole := zitadel.Release == v2test.Main && protocol == v2client.ProtocolConnect
				if !whole {
					callers = third(callers, turn)
				}
				compareWithReference(t, callers, whole, newStack(t, func(c *stackConfig) {
					c.fixture, c.zitadel, c.protocol = w, zitadel, protocol
				}))
			})
		}
	}
}

// sampled is w, with -short with a quarter of its callers, each time another one.
func sampled(w v2test.Fixture) v2test.Fixture {
	if testing.Short() {
		most := slices.Collect(maps.Keys(w.Callers)) // in no order
		w.Callers = maps.Clone(w.Callers)
		for _, name := range most[len(most)/4:] {
			delete(w.Callers, name)
		}
	}
	return w
}

// third is w with a third of its callers; the next turn has the next third.
func third(w v2test.Fixture, turn int) v2test.Fixture {
	all := w.Callers
	w.Callers = map[string]v2test.Caller{}
	for i, name := range slices.Sorted(maps.Keys(all)) {
		if (i+turn)%3 == 0 {
			w.Callers[name] = all[name]
		}
	}
	return w
}

// withoutTwins is w without the callers whose organization userinfo does not name: where the Auth
// API v1 is there, userinfo is not asked.
func withoutTwins(w v2test.Fixture) v2test.Fixture {
	w.Callers = maps.Clone(w.Callers)
	maps.DeleteFunc(w.Callers, func(_ string, caller v2test.Caller) bool { return !caller.UserinfoNamesOrganization })
	return w
}

// compareWithReference makes the calls of every caller in w: with every kind of password, or
// with one of them in turn.
func compareWithReference(t *testing.T, w v2test.Fixture, whole bool, s *stack) {
	t.Helper()
	transport := newTransport(t, false)
	userIDs := append(make([]string, 0, 2+len(w.Users)), "unknown", "caller-no-role-true")
	for _, name := range slices.Sorted(maps.Keys(w.Users)) {
		userIDs = append(userIDs, w.Users[name].ID)
	}
	for i, name := range slices.Sorted(maps.Keys(w.Callers)) {
		caller := w.Callers[name]
		for j, header := range []string{"", "1", "2", "3"} {
			for k, userID := range userIDs {
				for l, password := range []string{"Sup3rPassw0rd!", "", "short"} {
					if !whole && (i+j+k)%3 != l {
						continue
					}
					want := referenceV1(w, caller, header, userID, password)
					got := setPassword(t, transport, s.address, caller.Token, header, userID, password)
					if got != want {
						t.Errorf("%s, header %q, %s, %q: got %s, want %s", caller.Token, header, userID, password, got, want)
					}
					if writes := s.newWrites(t); (writes == 1) != (want == "ok") || writes > 1 {
						t.Errorf("%s, header %q, %s, %q: got %d writes after %s", caller.Token, header, userID, password, writes, want)
					}
				}
			}
		}
		s.upstream.calls(t) // also makes room
		s.calls()
	}
}

// A user that is deleted and made anew, with the same id, in another organization is
// noticed by the first write to it: it is logged, and forgotten for every caller.
func TestUserMadeAnewElsewhereIsNoticed(t *testing.T) {
	t.Parallel()
	s := newStack(t, func(c *stackConfig) { c.fixture = world() })
	transport := newTransport(t, false)
	const token, other, id = "token-IAM_OWNER-true", "token-IAM_OWNER-false", "user-1active"
	set := func(token string) string {
		return setPassword(t, transport, s.address, token, "1", id, "Sup3rPassw0rd!")
	}
	for _, caller := range []string{token, other} {
		if got := set(caller); got != "ok" {
			t.Fatalf("in its organization: got %s, want ok", got)
		}
	}
	s.zitadel.Add(v2test.User{ID: id, Org: "2", Type: v2test.Human, State: v2test.Active})
	if got := set(token); got != "ok" || !strings.Contains(s.logged(), `"user_belongs_to":"2"`) {
		t.Errorf("first write elsewhere: got %s and log %s\nwant ok, and user_belongs_to 2 in the log", got, s.log)
	}
	s.newWrites(t)
	for _, caller := range []string{token, other} {
		if got := set(caller); got != "9 COMMAND-G8dh3" || s.newWrites(t) != 0 {
			t.Errorf("after it, %s: got %s, want 9 COMMAND-G8dh3, and no write", caller, got)
		}
	}
}

// Callers that call at the same time each get the answer to their own call.
func TestConcurrentCallersGetTheirOwnAnswers(t *testing.T) {
	t.Parallel()
	w := world()
	s := newStack(t, func(c *stackConfig) { c.fixture = w })
	transport := newTransport(t, false)
	var group sync.WaitGroup
	for _, caller := range w.Callers {
		group.Go(func() {
			for _, user := range w.Users {
				want := referenceV1(w, caller, "", user.ID, "Sup3rPassw0rd!")
				if got := setPassword(t, transport, s.address, caller.Token, "", user.ID, "Sup3rPassw0rd!"); got != want {
					t.Errorf("%s, %s: got %s, want %s", caller.Token, user.ID, got, want)
				}
			}
		})
	}
	group.Wait()
}

// setPassword makes the v1 REST call. It returns "ok", or the error's code and id.
func setPassword(t *testing.T, transport http.RoundTripper, address, token, organization, userID, password string) string {
	t.Helper()
	url := "http://" + address + "/management/v1/users/" + userID + "/password/_initialize"
	request, err := http.NewRequestWithContext(t.Context(), http.MethodPost, url,
		strings.NewReader(fmt.Sprintf(`{"password":%q}`, password)))
	if err != nil {
		t.Fatal(err)
	}
	request.Host = "localhost"
	if token != "" {
		request.Header.Set("Authorization", "Bearer "+token)
	}
	if organization != "" {
		request.Header.Set("X-Zitadel-Orgid", organization)
	}
	response, err := transport.RoundTrip(request)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = response.Body.Close() }()
	if response.StatusCode == http.StatusOK {
		return "ok"
	}
	var body struct {
		Code    int                 `json:"code"`
		Details []map[string]string `json:"details"`
	}
	if err := json.NewDecoder(response.Body).Decode(&body); err != nil {
		t.Fatal(err)
	}
	id := ""
	if len(body.Details) > 0 {
		id = body.Details[0]["id"]
	}
	return fmt.Sprintf("%d %s", body.Code, id)
}

// A caller's first success looks up the token's user and the organization of the user whose
// password it sets. These lookups are remembered, since they never change. That a user was
// not found is not remembered, and nothing is remembered for another caller.
func TestLookupsAreRememberedForTheirCallerOnly(t *testing.T) {
	t.Parallel()
	w := world()
	s := newStack(t, func(c *stackConfig) { c.fixture = w })
	transport := newTransport(t, false)
	named, unnamed := "token-ORG_OWNER-true", "token-ORG_OWNER-false"
	steps := []struct {
		what, token, organization, user, password string
		want                                      string
		calls                                     []string
	}{
		{"first success", named, "", "user-1active", "Sup3rPassw0rd!", "ok", []string{"_search", "me", "GetUserByID", "SetPassword"}},
		{"again", named, "", "user-1active", "Sup3rPassw0rd!", "ok", []string{"SetPassword"}},
		{"another user", named, "", "user-1locked", "Sup3rPassw0rd!", "ok", []string{"GetUserByID", "SetPassword"}},
		{"with the header", named, "1", "user-1locked", "Sup3rPassw0rd!", "ok", []string{"SetPassword"}},
		{"policy violation", named, "", "user-1active", "short", "3 DOMAIN-HuJf6", []string{"SetPassword", "_search"}},
		{"unknown user", named, "", "later", "Sup3rPassw0rd!", "9 COMMAND-G8dh3", []string{"GetUserByID", "_search"}},
		{"unknown user again", named, "", "later", "Sup3rPassw0rd!", "9 COMMAND-G8dh3", []string{"GetUserByID", "_search"}},
		{"another caller", unnamed, "", "user-1active", "Sup3rPassw0rd!", "ok", []string{"_search", "me", "GetUserByID", "SetPassword"}},
		{"another caller, again", unnamed, "", "user-1active", "Sup3rPassw0rd!", "ok", []string{"SetPassword"}},
		{"caller without a role", "token-no-role-true", "1", "user-1active", "Sup3rPassw0rd!", "5 AUTHZ-cdgFk", []string{"_search", "_search", "me"}},
		{"no token", "", "", "user-1active", "Sup3rPassw0rd!", "16 ", []string{"_search"}},
		{"bad token", "bad", "", "user-1active", "Sup3rPassw0rd!", "16 AUTH-7fs1e", []string{"_search"}},
	}
	for _, step := range steps {
		got := setPassword(t, transport, s.address, step.token, step.organization, step.user, step.password)
		if calls := s.upstream.calls(t); got != step.want || !slices.Equal(calls, step.calls) {
			t.Errorf("%s: got %s by %v, want %s by %v", step.what, got, calls, step.want, step.calls)
		}
	}
	s.zitadel.Add(v2test.User{ID: "later", Org: "1", Type: v2test.Human, State: v2test.Active})
	if got := setPassword(t, transport, s.address, named, "", "later", "Sup3rPassw0rd!"); got != "ok" {
		t.Errorf("a user created a moment later: got %s, want ok", got)
	}
}

// v2 lets all users set their own password without the current one, v1 only those who may
// write users. With v2's rule, a stolen token would become a stolen account.
func TestOwnPasswordNeedsWritePermissionAsInV1(t *testing.T) {
	t.Parallel()
	w := world()
	for _, protocol := range upstreamProtocols {
		s := newStack(t, func(c *stackConfig) { c.fixture, c.protocol = w, protocol })
		transport := newTransport(t, false)
		for _, caller := range w.Callers {
			self := v2test.User{ID: caller.UserID, Org: caller.HomeOrg, Type: v2test.Human, State: v2test.Active}
			s.zitadel.Add(self)
			humans := w
			humans.Users = map[string]v2test.User{"self": self}
			for _, header := range []string{"", "1", "2"} {
				for range 2 { // with an empty and with a full identity cache
					want := referenceV1(humans, caller, header, self.ID, "Sup3rPassw0rd!")
					before := s.zitadel.Writes(self.ID)
					got := setPassword(t, transport, s.address, caller.Token, header, self.ID, "Sup3rPassw0rd!")
					wrote := s.zitadel.Writes(self.ID) != before
					if got != want || wrote != (want == "ok") {
						t.Errorf("%s, header %q: got %s (wrote: %v), want %s (wrote: %v)", caller.Token, header, got, wrote, want, want == "ok")
					}
				}
			}
		}
	}
}

// A call is refused if userinfo does not say whose token it is, if the caller cannot see
// its own user, and if the caller sets its own password while its roles are unknown.
func TestCallIsRefusedIfPermissionIsUnknown(t *testing.T) {
	t.Parallel()
	w := world()
	const token = "token-ORG_OWNER-false"
	self := v2test.User{ID: w.Callers["ORG_OWNER-false"].UserID, Org: "1", Type: v2test.Human, State: v2test.Active}
	unseen := connect.NewError(connect.CodeNotFound, errors.New("User could not be found (QUERY-Dfbg2)"))
	detail, err := connect.NewErrorDetail(&zitadelv1.ErrorDetail{Id: "QUERY-Dfbg2", Message: "User could not be found"})
	if err != nil {
		t.Fatal(err)
	}
	unseen.AddDetail(detail)
	unimplemented := connect.NewError(connect.CodeUnimplemented, errors.New("unknown service"))
	for name, test := range map[string]struct {
		path   string // how the path of the lookup ends that is answered by answer
		answer func(http.ResponseWriter, *http.Request)
		user   string
	}{
		"userinfo refuses the token": {
			v2test.UserinfoPath,
			func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusUnauthorized) }, "user-1active",
		},
		"the caller cannot see its own user": {
			userv2connect.UserServiceGetUserByIDProcedure,
			func(w http.ResponseWriter, r *http.Request) { _ = connect.NewErrorWriter().Write(w, r, unseen) }, "user-1active",
		},
		"own password, roles unknown": {
			"/ListAdministrators", // of v2 and of v2beta
			func(w http.ResponseWriter, r *http.Request) { _ = connect.NewErrorWriter().Write(w, r, unimplemented) }, self.ID,
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			zitadel := wiretest.NewZITADELOf(t, w, v2test.Config{WithoutAuthAPI: true})
			zitadel.Add(self)
			s := newStack(t, func(c *stackConfig) {
				c.upstream = http.HandlerFunc(func(out http.ResponseWriter, r *http.Request) {
					if strings.HasSuffix(r.URL.Path, test.path) {
						test.answer(out, r)
						return
					}
					zitadel.ServeHTTP(out, r)
				})
			})
			got := setPassword(t, newTransport(t, false), s.address, token, "", test.user, "Sup3rPassw0rd!")
			if calls := s.upstream.setPasswordCalls(t); got == "ok" || calls != 0 {
				t.Errorf("got %s by %d SetPassword calls, want a refusal by none", got, calls)
			}
		})
	}
}

// With orgScope: off a call is one call upstream, v2's permission check decides alone, and
// refusals have v1's words.
func TestOrgScopeOffMakesOneUpstreamCall(t *testing.T) {
	t.Parallel()
	s := newStack(t, func(c *stackConfig) { c.scope = adapter.OrgScopeOff })
	transport := newTransport(t, false)
	const userA, userB, initial = "400850336480234534", "400850336731892774", "400850337604308006"
	set, none := []string{"SetPassword"}, []string{}
	for _, step := range []struct {
		token, organization, user, password, want string
		calls                                     []string
	}{
		{"pat-org-owner-a", "", userA, "Sup3rPassw0rd!", "ok", set},
		{"pat-iam-owner", "", userB, "Sup3rPassw0rd!", "ok", set}, // in another organization: v1 would have refused
		{"pat-org-owner-a", "123", userA, "Sup3rPassw0rd!", "7 AUTH-Bs7Ds", set},
		{"pat-viewer-a", "", userA, "Sup3rPassw0rd!", "7 AUTH-5mWD2", set},
		{"pat-none-a", "", userA, "Sup3rPassw0rd!", "5 AUTHZ-cdgFk", set},
		{"pat-org-owner-a", "", initial, "Sup3rPassw0rd!", "9 COMMAND-M9dse", set},
		{"pat-org-owner-a", "", strings.Repeat("9", 201), "Sup3rPassw0rd!", "9 COMMAND-G8dh3", set},
		{"pat-org-owner-a", "", userA, "short", "3 DOMAIN-HuJf6", set},
		{"bad", "", userA, "Sup3rPassw0rd!", "16 AUTH-7fs1e", set},
		{"pat-org-owner-a", "", userA, "", "3 ", none},
		{"", "", userA, "", "16 ", none},
		{"two Bearer tokens", "", userA, "", "16 AUTH-toLo1", none},
	} {
		got := setPassword(t, transport, s.address, step.token, step.organization, step.user, step.password)
		if calls := s.upstream.calls(t); got != step.want || !slices.Equal(calls, step.calls) {
			t.Errorf("%+v: got %s by %v, want %s by %v", step, got, calls, step.want, step.calls)
		}
	}
}

// A ZITADEL before v4 behind a gateway that does not let the Auth API through cannot be
// asked what the caller may do. Refusals that would reveal whether a user exists become
// AUTH-5mWD2; other refusals are v2's, after its own check.
func TestRefusalsRevealNoUsersIfRolesAreUnknown(t *testing.T) {
	t.Parallel()
	s := newStack(t, func(c *stackConfig) {
		c.protocol, c.zitadel = v2client.ProtocolGRPC, v2test.Config{Release: v2test.V34, WithoutAuthAPI: true}
	})
	transport := newTransport(t, false)
	const userA, userB, initial = "400850336480234534", "400850336731892774", "400850337604308006"
	for _, step := range []struct{ token, user, password, want string }{
		{"pat-org-owner-a", userA, "Sup3rPassw0rd!", "ok"},
		{"pat-org-owner-a", userA, "short", "3 DOMAIN-HuJf6"},
		{"pat-org-owner-a", userA, "", "3 "},
		{"pat-org-owner-a", initial, "Sup3rPassw0rd!", "7 AUTH-5mWD2"},
		{"pat-iam-owner", userB, "Sup3rPassw0rd!", "7 AUTH-5mWD2"},
		{"pat-org-owner-a", "unknown", "Sup3rPassw0rd!", "7 AUTH-5mWD2"},
		{"pat-viewer-a", userA, "Sup3rPassw0rd!", "7 AUTH-5mWD2"},
		{"bad", userA, "Sup3rPassw0rd!", "16 AUTH-7fs1e"},
	} {
		if got := setPassword(t, transport, s.address, step.token, "", step.user, step.password); got != step.want {
			t.Errorf("%+v: got %s, want %s", step, got, step.want)
		}
	}
}
