package adapter_test

import (
	"net/http"
	"strings"
	"testing"

	"zitadel-v1-adapter/internal/recordings"
)

// No spelling of the translated call slips past: it is translated, or redirected
// as ZITADEL does it (recordings percent-encoded-*, double-slash).
func TestSpellings(t *testing.T) {
	t.Parallel()
	s := newStack(t, func(c *stackConfig) {
		c.native = http.HandlerFunc(func(http.ResponseWriter, *http.Request) { t.Error("passed through") })
	})
	const procedure = "/zitadel.management.v1.ManagementService/SetHumanInitialPassword"
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
			t.Errorf("%s: %d, want %d", path, response.StatusCode, status)
		}
	}
	for path, status := range map[string]string{
		procedure: "0", strings.Replace(procedure, "Set", "%53et", 1): "0", strings.Replace(procedure, "/Set", "%2FSet", 1): "0",
	} {
		header, trailer, body := sendGRPC(t, newTransport(t, true), s.address, recordings.Request{
			Method: http.MethodPost, Path: path, BodyBase64: grpcCallBody(t),
			Headers: map[string]string{"Content-Type": "application/grpc", "Te": "trailers", "Authorization": "Bearer pat-org-owner-a"},
		})
		if got := grpcOutcome(t, header, trailer, body); got.code != status {
			t.Errorf("%s: %+v", path, got)
		}
	}
}

// Targets that the router and the upstream could read differently are refused, and
// what has the translated call's path never passes.
func TestNothingSlipsPast(t *testing.T) {
	t.Parallel()
	s := newStack(t, func(c *stackConfig) {
		c.native = http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
			t.Errorf("passed through: %s %s", r.Method, r.RequestURI)
		})
	})
	for _, target := range []string{
		"a:b?x=http://y" + userAPath, "a:/b?x=http://y" + userAPath, "a:b", "http:" + userAPath,
		"x" + userAPath, "HTTP:b",
	} {
		response := exchangeRaw(t, s.address, http.MethodPost, []byte("POST "+target+" HTTP/1.1\r\nHost: localhost\r\nContent-Length: 0\r\n\r\n"))
		if response.StatusCode != http.StatusBadRequest {
			t.Errorf("%s: %d", target, response.StatusCode)
		}
	}
	for _, path := range []string{userAPath + " HTTP/1.1", "/a b", "/a?x y", "/a\tb", "/a\x7f"} {
		if got := sendH2C(t, s.address, "localhost", path, "{}"); got != "400" && got != "reset" {
			t.Errorf("HTTP/2, %q: %s", path, got)
		}
	}
	const procedure = "/zitadel.management.v1.ManagementService/SetHumanInitialPassword"
	for _, contentTypes := range [][][2]string{
		{{"content-type", "application/grpc+x"}, {"content-type", "application/grpc"}},
		{{"content-type", "text/plain"}, {"content-type", "application/grpc"}},
		{{"content-type", "application/grpc+cbor"}},
		{{"content-type", "application/json"}},
		{},
	} {
		if got := sendH2C(t, s.address, "localhost", procedure, "\x00\x00\x00\x00\x00", contentTypes...); got != "404" {
			t.Errorf("%v: %s", contentTypes, got)
		}
	}
}
