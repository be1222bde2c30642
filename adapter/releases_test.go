package adapter_test

import (
	"net/http"
	"strings"
	"testing"

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

// zitadels are every release that was tried, and the newest without the Auth API v1.
func zitadels() []v2test.Config {
	all := make([]v2test.Config, 0, 1+len(v2test.Releases()))
	for _, release := range v2test.Releases() {
		all = append(all, v2test.Config{Release: release})
	}
	return append(all, v2test.Config{Release: v2test.Main, WithoutAuthAPI: true})
}

func nameOf(zitadel v2test.Config, protocol v2client.Protocol) string {
	name := string(zitadel.Release) + "/" + string(protocol)
	if zitadel.WithoutAuthAPI {
		return "without Auth API/" + name
	}
	return name
}

// Session tokens, whose user userinfo does not tell, are taken as native v1 takes them.
func TestSessionTokensAnswerAsRecorded(t *testing.T) {
	t.Parallel()
	for _, release := range v2test.Releases() {
		t.Run(string(release), func(t *testing.T) {
			t.Parallel()
			s := newStack(t, func(c *stackConfig) {
				c.zitadel, c.protocol, c.fixture = v2test.Config{Release: release}, v2client.ProtocolAuto, wiretest.FixtureOf(t, "more/fixture.json")
			})
			rows := 0
			for _, recording := range recordings.Load(t, "more/v1_session_tokens.jsonl") {
				if !strings.HasPrefix(recording.Request.Path, "/management/") {
					continue // what v2 says of the same tokens
				}
				rows++
				t.Run(recording.Name, func(t *testing.T) {
					compareREST(t, recording, sendRaw(t, s.address, recording.Request))
				})
			}
			if rows != 24 {
				t.Errorf("%d rows, want 24", rows)
			}
		})
	}
}

// With ProtocolAuto, the protocol is found out at the first call and again when it
// changes, and no write is lost or made twice by that.
func TestProtocolIsFoundOut(t *testing.T) {
	t.Parallel()
	for name, releases := range map[string][]v2test.Release{
		"Connect": {v2test.Main}, "gRPC": {v2test.V271}, "upgraded": {v2test.V34, v2test.Main}, "downgraded": {v2test.Main, v2test.V34, v2test.V42},
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
