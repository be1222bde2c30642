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
	if got, want := caller.headerBytes(), len("AuthorizationBearer tX-Request-Id")+len(long); got != want {
		t.Errorf("the client's: got %d bytes, want %d", got, want)
	}
	caller = caller.WithRequestID("own")
	if got, want := caller.headerBytes(), len("AuthorizationBearer tX-Request-Idown"); got != want {
		t.Errorf("the adapter's: got %d bytes, want %d", got, want)
	}
	header := http.Header{}
	caller.setHeader(header, "", "")
	if got := header.Values("X-Request-Id"); !slices.Equal(got, []string{"own"}) {
		t.Errorf("sent: got %q, want own", got)
	}
}
