package adapter_test

import (
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"zitadel-v1-adapter/adapter"
	"zitadel-v1-adapter/internal/recordings"
	"zitadel-v1-adapter/internal/wiretest"
	"zitadel-v1-adapter/v2client"
	"zitadel-v1-adapter/v2client/v2test"
)

// protocolsOf are the protocols by which a release can be asked.
func protocolsOf(release v2test.Release) []v2client.Protocol {
	if release.SpeaksConnect() {
		return []v2client.Protocol{v2client.ProtocolAuto, v2client.ProtocolConnect, v2client.ProtocolGRPC}
	}
	return []v2client.Protocol{v2client.ProtocolAuto, v2client.ProtocolGRPC}
}

// zitadels are every release.
func zitadels() []v2test.Config {
	all := make([]v2test.Config, 0, len(v2test.Releases()))
	for _, release := range v2test.Releases() {
		all = append(all, v2test.Config{Release: release})
	}
	return all
}

func nameOf(zitadel v2test.Config, protocol v2client.Protocol) string {
	return string(zitadel.Release) + "/" + string(protocol)
}

// Session tokens, whose user userinfo does not tell, are taken as native v1 takes them. Without the
// Auth API v1, ListSessions tells it, unless the caller has roles and sees others' sessions too.
func TestSessionTokensAnswerAsRecorded(t *testing.T) {
	t.Parallel()
	for _, release := range v2test.Releases() {
		t.Run(string(release), func(t *testing.T) {
			t.Parallel()
			s := newStack(t, func(c *stackConfig) {
				c.zitadel, c.protocol, c.fixture = v2test.Config{Release: release}, v2client.ProtocolAuto, wiretest.FixtureOf(t, "more/fixture.json")
			})
			rows, refused := 0, 0
			noPermission := restRefusal(7, "No matching permissions found", "AUTH-5mWD2")
			for _, recording := range recordings.Load(t, "more/v1_session_tokens.jsonl") {
				if !strings.HasPrefix(recording.Request.Path, "/management/") {
					continue // what v2 says of the same tokens
				}
				rows++
				t.Run(recording.Name, func(t *testing.T) {
					response := sendRaw(t, s.address, recording.Request)
					if !release.HasV1() && strings.HasSuffix(recording.Request.Headers["Authorization"], "owner-session") &&
						response.StatusCode == http.StatusForbidden && recording.Response.Status != http.StatusForbidden {
						refused++
						if got := bodyOf(t, response); got != noPermission {
							t.Errorf("got %s, want %s", got, noPermission)
						}
						return
					}
					compareREST(t, s.tellable(t, recording), response)
				})
			}
			if want := map[bool]int{true: 0, false: 11}[release.HasV1()]; rows != 24 || refused != want {
				t.Errorf("%d rows, of which %d are refused, want 24, %d", rows, refused, want)
			}
		})
	}
}

// What v1 answered beside UpdateUser, the adapter answers by UpdateUser, but for the sequence.
func TestUpdateUserAnswersAsRecorded(t *testing.T) {
	t.Parallel()
	for _, scope := range []adapter.OrgScope{adapter.OrgScopeStrict, adapter.OrgScopeOff} {
		s := newStack(t, func(c *stackConfig) {
			c.zitadel.Release, c.scope, c.fixture = v2test.NextWithoutSetPassword, scope, wiretest.FixtureOf(t, recordings.UpdateUserFixture)
		})
		for _, recording := range recordings.Load(t, recordings.UpdateUserRESTMatrix) {
			t.Run(string(scope)+"/"+recording.Name, func(t *testing.T) {
				if scope == adapter.OrgScopeStrict || recording.Response.Status == http.StatusOK { // or it is v2's rule
					compareREST(t, s.tellable(t, recording), sendRaw(t, s.address, recording.Request))
				}
			})
		}
	}
}

// With ProtocolAuto, the protocol is found out at the first call and again when it
// changes, and no write is lost or made twice by that.
func TestProtocolIsFoundOut(t *testing.T) {
	t.Parallel()
	for name, releases := range map[string][]v2test.Release{
		"Connect": {v2test.Main}, "gRPC": {v2test.V271}, "upgraded": {v2test.V34, v2test.Main}, "downgraded": {v2test.Main, v2test.V34, v2test.V42},
		"past v1 and back": {v2test.Main, v2test.Next, v2test.NextWithoutSetPassword, v2test.Next, v2test.V271, v2test.NextWithoutSetPassword, v2test.V34},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			fixture := wiretest.Fixture(t)
			var zitadels []*v2test.Server
			for _, release := range releases {
				zitadels = append(zitadels, wiretest.NewZITADELOf(t, fixture, v2test.Config{Release: release}))
			}
			now := zitadels[0]
			s := newStack(t, func(c *stackConfig) {
				c.protocol = v2client.ProtocolAuto
				c.upstream = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { now.ServeHTTP(w, r) })
			})
			for i := range zitadels {
				now = zitadels[i]
				for range 3 {
					if response := sendRaw(t, s.address, aCall()); response.StatusCode != http.StatusOK {
						t.Errorf("%s: HTTP %d: %s", releases[i], response.StatusCode, bodyOf(t, response))
					}
				}
				if writes := now.Writes(userA); writes != 3 {
					t.Errorf("%s: %d writes, want 3", releases[i], writes)
				}
			}
		})
	}
}

// ZITADEL is upgraded past v1 and past SetPassword, and back, on one address, with 50 callers who do
// not stop: each call is answered, and is one write.
func TestUpgradePastV1UnderLoad(t *testing.T) {
	t.Parallel()
	const callers, each = 50, 20
	releases := []v2test.Release{v2test.Main, v2test.Next, v2test.NextWithoutSetPassword, v2test.Next, v2test.Main}
	zitadels := make([]*v2test.Server, 0, len(releases))
	for _, release := range releases {
		zitadels = append(zitadels, wiretest.NewZITADELOf(t, wiretest.Fixture(t), v2test.Config{Release: release}))
	}
	var calls atomic.Int64
	s := newStack(t, fixedHost, func(c *stackConfig) {
		c.upstream = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			now := calls.Load() * int64(len(zitadels)) / (callers * each)
			zitadels[min(now, int64(len(zitadels)-1))].ServeHTTP(w, r)
		})
	})
	var running sync.WaitGroup
	for range callers {
		running.Go(func() {
			for range each {
				if response := sendRaw(t, s.address, aCall()); response.StatusCode != http.StatusOK {
					t.Errorf("got HTTP %d: %s", response.StatusCode, bodyOf(t, response))
				}
				calls.Add(1)
			}
		})
	}
	running.Wait()
	writes := 0
	for _, zitadel := range zitadels {
		if zitadel.Writes(userA) == 0 {
			t.Error("a release got no write")
		}
		writes += zitadel.Writes(userA)
	}
	if writes != callers*each {
		t.Errorf("got %d writes, want %d", writes, callers*each)
	}
}
