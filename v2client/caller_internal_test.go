package v2client

import (
	"net/http"
	"slices"
	"strings"
	"testing"
)

// The adapter's X-Request-Id takes the place of the client's, which does not count as sent on:
// a long one must not make a call look as if its headers were why ZITADEL failed.
func TestRequestIDTakesThePlaceOfTheClients(t *testing.T) {
	t.Parallel()
	long := strings.Repeat("x", 7<<10)
	caller := NewCaller("localhost", http.Header{"Authorization": {"Bearer t"}, "X-Request-Id": {long}})
	renamed := caller
	renamed.RequestID = "own"
	for want, caller := range map[string]Caller{long: caller, "own": renamed} {
		header := http.Header{}
		caller.setHeader(header, "", "")
		if got := header.Values("X-Request-Id"); !slices.Equal(got, []string{want}) {
			t.Errorf("got %.10q, want %.10q", got, want)
		}
	}
}
