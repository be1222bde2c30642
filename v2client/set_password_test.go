package v2client_test

import (
	"net/http"
	"strings"
	"sync/atomic"
	"testing"

	"zitadel-v1-adapter/internal/wiretest"
	"zitadel-v1-adapter/v2client"
	"zitadel-v1-adapter/v2client/v2test"
)

// Where SetPassword is missing, UpdateUser sets the password, and is remembered. SetPassword is
// looked for again by a call without a token, in the background, and so cannot write.
func TestSetPasswordIsFoundAgain(t *testing.T) {
	t.Parallel()
	for _, protocol := range []v2client.Protocol{v2client.ProtocolConnect, v2client.ProtocolGRPC} {
		t.Run(string(protocol), func(t *testing.T) {
			t.Parallel()
			with := wiretest.NewZITADEL(t, wiretest.Fixture(t))
			without := wiretest.NewZITADELOf(t, wiretest.Fixture(t), v2test.Config{Release: v2test.NextWithoutSetPassword})
			var isBack atomic.Bool
			looked := make(chan struct{}, 10)
			client := newClient(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				zitadel := without
				if isBack.Load() {
					zitadel = with
				}
				zitadel.ServeHTTP(w, r)
				if isBack.Load() && r.Header.Get("Authorization") == "" && strings.HasSuffix(r.URL.Path, "/SetPassword") {
					looked <- struct{}{}
				}
			}), func(c *v2client.Config) { c.Protocol = protocol })
			hasSequence := func() bool { // SetPassword alone tells it
				details, err := client.SetPassword(t.Context(), callerWith("pat-org-owner-a"), userA, "Sup3rPassw0rd!", true)
				if err != nil {
					t.Fatal(err)
				}
				return details.GetSequence() != 0
			}
			for range 3 {
				if hasSequence() {
					t.Error("without SetPassword: got a sequence")
				}
			}
			if calls := without.Calls("/zitadel.user.v2.UserService/SetPassword"); calls != 1 || without.Writes(userA) != 3 {
				t.Errorf("got %d calls of SetPassword and %d writes, want 1, 3", calls, without.Writes(userA))
			}
			isBack.Store(true)
			if hasSequence() {
				t.Error("before it is looked for: got a sequence")
			}
			client.RecheckSetPasswordNow()
			hasSequence() // while the look is under way, by either
			<-looked
			if writes := with.Writes(userA); writes != 2 {
				t.Errorf("got %d writes, want 2: none by the look", writes)
			}
			for !hasSequence() { // the look's answer is on its way
			}
			isBack.Store(false)
			if hasSequence() {
				t.Error("SetPassword is gone again: got a sequence")
			}
		})
	}
}
