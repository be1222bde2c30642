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
	if got := caller.newHeader("", "").Values("X-Request-Id"); !slices.Equal(got, []string{long}) {
		t.Errorf("sent without one of the adapter's: got %q, want the client's", got)
	}
	if got := caller.WithRequestID("own").newHeader("", "").Values("X-Request-Id"); !slices.Equal(got, []string{"own"}) {
		t.Errorf("sent: got %q, want own", got)
	}
}
