package ingress_test

import (
	"net/http"
	"strings"
	"testing"

	"zitadel-v1-adapter/internal/ingress"
)

// A client's X-Request-Id goes into the log if it is fit for that.
func TestRequestIDIsFitForALog(t *testing.T) {
	t.Parallel()
	longest := strings.Repeat("x", 128)
	for sent, want := range map[string]string{
		"": "", "r-1": "r-1", longest: longest, longest + "x": "", "a b": "", "a\x1b": "", "ä": "", "a\n": "",
	} {
		if got := ingress.RequestID(&http.Request{Header: http.Header{"X-Request-Id": {sent}}}); got != want {
			t.Errorf("%q: got %q, want %q", sent, got, want)
		}
	}
}

// Who asks is what the last trusted proxy said, or else the other end of the connection.
func TestWhoAsks(t *testing.T) {
	t.Parallel()
	r := &http.Request{RemoteAddr: "192.0.2.1:1", Header: http.Header{"X-User-Agent": {"grpc-web/1"}}}
	if peer, agent := ingress.Peer(r), ingress.UserAgent(r); peer != "192.0.2.1:1" || agent != "grpc-web/1" {
		t.Errorf("got %q, %q, want the connection's, and the gRPC-Web client's", peer, agent)
	}
	r.Header.Set("X-Forwarded-For", "203.0.113.7")
	r.Header.Set("User-Agent", "legacy/1.0")
	if peer, agent := ingress.Peer(r), ingress.UserAgent(r); peer != "203.0.113.7" || agent != "legacy/1.0" {
		t.Errorf("got %q, %q, want the forwarded address, and the client's", peer, agent)
	}
}
