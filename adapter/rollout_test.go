package adapter

import (
	"strconv"
	"testing"
	"time"
)

// From which share on a user is translated is the same on every replica and in every
// version. These shares must never change.
func TestRolloutShareOfUserNeverChanges(t *testing.T) {
	t.Parallel()
	for userID, from := range map[string]Rollout{
		"400850336480234534": 11, "400850336480300070": 45, "1": 97, "": 46, "ü": 94,
	} {
		for share := Rollout(0); share <= RolloutAll; share++ {
			if got := share.translates(userID); got != (share >= from) {
				t.Errorf("%q at %d%%: translated: got %v, want it from %d%% on", userID, share, got, from)
				break
			}
		}
	}
}

// The configured share of users is translated, even if their ids follow one another, as
// ZITADEL's do.
func TestRolloutTranslatesConfiguredShareOfUsers(t *testing.T) {
	t.Parallel()
	const users = 100_000
	for _, step := range []int{1, 7, 65536, 1 << 22} {
		for _, share := range []Rollout{0, 1, 10, 50, 99, RolloutAll} {
			translated := 0
			for n := range users {
				if share.translates(strconv.Itoa(400_850_336_480_234_534 + n*step)) {
					translated++
				}
			}
			if got := float64(translated) / users * 100; got < float64(share)-0.5 || got > float64(share)+0.5 {
				t.Errorf("ids %d apart: users translated: got %.2f%%, want %d%%", step, got, share)
			}
		}
	}
}

// find tells a translated method's REST paths from others, and takes the user from them.
func TestFindTakesUserFromPath(t *testing.T) {
	t.Parallel()
	a := newTestAdapter(t, Config{})
	for path, want := range map[string]string{
		"/management/v1/users/1/password/_initialize":   "1",
		"/management/v1/users/a b/password/_initialize": "a b",
		"/management/v1/users/password/_initialize":     "",
		"/management/v1/users/1/2/password/_initialize": "",
		"/management/v1/users/1/password/_initialize/":  "",
		"/management/v1/users/1/passwords":              "",
		"/admin/v1/users/1/password/_initialize":        "",
	} {
		if got := a.find(path); (got.method != nil) != (want != "") || got.userID != want {
			t.Errorf("%s: got user %q, method found: %v; want user %q", path, got.userID, got.method != nil, want)
		}
	}
}

// newTestAdapter returns an adapter. If config has no ZITADEL, the adapter gets a stub.
func newTestAdapter(tb testing.TB, config Config) *Adapter {
	tb.Helper()
	config.OrgScope, config.Timeout, config.Limits.BodyTimeout = OrgScopeStrict, time.Minute, time.Minute
	if config.ZITADEL == nil {
		config.ZITADEL, config.Rollout = stubZITADEL{tb}, RolloutAll
	}
	made, err := New(config)
	if err != nil {
		tb.Fatal(err)
	}
	return made
}
