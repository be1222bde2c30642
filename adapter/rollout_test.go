package adapter

import (
	"strconv"
	"testing"
)

// Who is translated at which share is the same on every replica, in every
// version, and for ever: these are fixed.
func TestRolloutIsStable(t *testing.T) {
	t.Parallel()
	for userID, from := range map[string]Rollout{
		"400850336480234534": 11, "400850336480300070": 45, "1": 97, "": 46, "ü": 94,
	} {
		for share := Rollout(0); share <= RolloutAll; share++ {
			if got := share.translates(userID); got != (share >= from) {
				t.Errorf("%q at %d%%: %v, want translated from %d%% on", userID, share, got, from)
				break
			}
		}
	}
}

// A share is a share, also of ids that follow one another, as ZITADEL's do.
func TestRolloutShare(t *testing.T) {
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
				t.Errorf("ids %d apart: %d%% of users became %.2f%%", step, share, got)
			}
		}
	}
}

func TestCallUserID(t *testing.T) {
	t.Parallel()
	for path, want := range map[string]string{
		"/management/v1/users/1/password/_initialize":   "1",
		"/management/v1/users/a b/password/_initialize": "a b",
		"/management/v1/users/password/_initialize":     "",
		"/management/v1/users//password/_initialize":    "",
		"/management/v1/users/1/2/password/_initialize": "",
		"/management/v1/users/1/password/_initialize/":  "",
		"/management/v1/users/1/password":               "",
		"/admin/v1/users/1/password/_initialize":        "",
	} {
		if got, ok := callUserID(path); ok != (want != "") || ok && got != want {
			t.Errorf("%s: %q, %v", path, got, ok)
		}
	}
}
