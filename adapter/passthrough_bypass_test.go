package adapter_test

import (
	"net/http"
	"strings"
	"testing"

	"zitadel-v1-adapter/internal/recordings"
)

// No spelling of a translated call, and no target that the adapter and the upstream could
// read differently, passes through to native v1.

// Every spelling of the translated call is translated, or redirected as ZITADEL redirects
// it (recordings percent-encoded-*, double-slash).
func TestEverySpellingOfTranslatedCallIsIntercepted(t *testing.T) {
	t.Parallel()
	s := newStack(t, func(c *stackConfig) {
		c.native = http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
			t.Errorf("passed through: got %s %s, want nothing", r.Method, r.RequestURI)
		})
	})
	for path, status := range map[string]int{
		userAPath: 200,
		"/management/v1/users/" + userA + "/password/%5finitialize":          200,
		"/%6Danagement/v1/users/%34" + userA[1:] + "/password/_initialize":   200,
		"/management/v1%2Fusers/" + userA + "/password%2f_initialize":        200,
		"//management/v1/users/" + userA + "/password/_initialize":           301,
		"/management/v1/users/" + userA + "//password/_initialize":           301,
		"/x/../management/v1/users/" + userA + "/password/_initialize":       301,
		"/x/%2E%2e/management/v1/users/" + userA + "/password/./_initialize": 301,
		"/%2Fmanagement/v1/users/" + userA + "/password/_initialize":         301,
		"http://localhost:8088" + userAPath:                                  200,
	} {
		call := aCall()
		call.Path = path
		if response := sendRaw(t, s.address, call); response.StatusCode != status {
			t.Errorf("%s: got HTTP %d, want %d", path, response.StatusCode, status)
		}
	}
	for path, status := range map[string]string{
		procedure: "0",
		strings.Replace(procedure, "Set", "%53et", 1):   "0",
		strings.Replace(procedure, "/Set", "%2FSet", 1): "0",
	} {
		header, trailer, body := sendGRPC(t, newTransport(t, true), s.address, recordings.Request{
			Method: http.MethodPost, Path: path, BodyBase64: grpcCallBody(t),
			Headers: map[string]string{"Content-Type": "application/grpc", "Te": "trailers", "Authorization": "Bearer pat-org-owner-a"},
		})
		if got := grpcOutcome(t, header, trailer, body); got.code != status {
			t.Errorf("%s: got %+v, want code %s", path, got, status)
		}
	}
}

// Targets that the adapter and the upstream could read differently are refused. A request
// with the translated call's path never passes through, whatever its Content-Type.
func TestAmbiguousTargetsNeverPassThrough(t *testing.T) {
	t.Parallel()
	s := newStack(t, func(c *stackConfig) {
		c.native = http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
			t.Errorf("passed through: got %s %s, want nothing", r.Method, r.RequestURI)
		})
	})
	for target, status := range map[string]int{
		// gorilla/mux redirects what has no path; "x/..." is no target to net/http.
		"a:b?x=http://y" + userAPath: 301, "a:b": 301, "a:": 301, "HTTP:b": 301, "http://other.example?c": 301, "x" + userAPath: 400,
		// The path is that of a translated call, which refuses an empty password.
		"http:" + userAPath: 401,
	} {
		request := []byte("POST " + target + " HTTP/1.1\r\nHost: localhost:8088\r\nContent-Length: 0\r\n\r\n")
		if got := exchangeRaw(t, s.address, http.MethodPost, request).StatusCode; got != status {
			t.Errorf("%s: got HTTP %d, want %d", target, got, status)
		}
	}
	for _, path := range []string{userAPath + " HTTP/1.1", "/a b", "/a?x y", "/a\tb", "/a\x7f"} {
		if got := sendH2C(t, s.address, "localhost", path, "{}"); got != "400" && got != "reset" {
			t.Errorf("HTTP/2, %q: got %s, want 400 or reset", path, got)
		}
	}
	// ZITADEL's router looks at all of a request's content types, grpc-go at the first.
	for _, test := range []struct {
		contentTypes [][2]string
		want         string
	}{
		{[][2]string{{"content-type", "application/grpc+x"}, {"content-type", "application/grpc"}}, "200"},
		{[][2]string{{"content-type", "text/plain"}, {"content-type", "application/grpc"}}, "415"},
		{[][2]string{{"content-type", "application/grpc+cbor"}}, "404"},
		{[][2]string{{"content-type", "application/json"}}, "404"},
		{nil, "404"},
	} {
		if got := sendH2C(t, s.address, "localhost", procedure, "\x00\x00\x00\x00\x00", test.contentTypes...); got != test.want {
			t.Errorf("HTTP/2, Content-Type %v: got %s, want %s", test.contentTypes, got, test.want)
		}
	}
}
