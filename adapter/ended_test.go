package adapter_test

import (
	"net/http"
	"strings"
	"testing"
	"time"

	"zitadel-v1-adapter/adapter"
	"zitadel-v1-adapter/internal/recordings"
	"zitadel-v1-adapter/v2client"
	"zitadel-v1-adapter/v2client/v2test"
)

// A ZITADEL whose v1 has ended: what only v1's router answered, the adapter answers.

// onNext is an option: v1 has ended, and what is not translated passes through.
func onNext(c *stackConfig) {
	c.zitadel.Release, c.protocol, c.passes = v2test.Next, v2client.ProtocolAuto, true
}

// With passthrough too, each recording gets v1's answer, and its router's alike.
func TestEndedV1AnswersAsRecorded(t *testing.T) {
	t.Parallel()
	for _, release := range []v2test.Release{v2test.Main, v2test.Next, v2test.NextWithoutSetPassword} {
		t.Run(string(release), func(t *testing.T) {
			t.Parallel()
			s := newStack(t, onNext, func(c *stackConfig) { c.zitadel.Release = release })
			transport := newTransport(t, true)
			for _, file := range []string{recordings.V1RESTMatrix, recordings.V1RESTEdges} {
				for _, recording := range recordings.Load(t, file) {
					t.Run(recording.Name, func(t *testing.T) {
						compareREST(t, s.tellable(t, recording), sendRaw(t, s.address, recording.Request))
					})
				}
			}
			for _, recording := range recordings.Load(t, recordings.V1GRPCWeb) {
				t.Run("grpc-web/"+recording.Name, func(t *testing.T) { compareGRPCWeb(t, s, recording) })
			}
			for _, recording := range recordings.Load(t, recordings.V1GRPC) {
				t.Run("grpc/"+recording.Name, func(t *testing.T) { compareGRPC(t, s, transport, recording) })
			}
		})
	}
}

// Another method of v1 says that it has ended, what takes its place, and where to read on.
func TestEndedMethodNamesItsSuccessor(t *testing.T) {
	t.Parallel()
	s := newStack(t, onNext)
	transport := newTransport(t, true)
	const read = ", see https://zitadel.com/docs/apis/introduction"
	for path, want := range map[string]string{
		"GET /management/v1/users/1":                  "GetUserByID of its management API: call zitadel.user.v2.UserService/ListUsers instead",
		"POST /admin/v1/orgs/_search":                 "ListOrgs of its admin API: call zitadel.org.v2.OrganizationService/ListOrganizations instead",
		"GET /zitadel.auth.v1.AuthService/GetMyUser":  "GetMyUser of its auth API: it names no method of v2 in its place",
		"POST /zitadel.auth.v1.AuthService/GetMyUser": "GetMyUser of its auth API: it names no method of v2 in its place",
	} {
		verb, path, _ := strings.Cut(path, " ")
		request := recordings.Request{Method: verb, Path: path, Headers: map[string]string{"Authorization": "Bearer pat-org-owner-a"}}
		if isRPC := strings.HasPrefix(path, "/zitadel."); isRPC && verb == http.MethodPost {
			empty := "AAAAAAA="
			request.BodyBase64, request.Headers["Content-Type"], request.Headers["Te"] = &empty, "application/grpc", "trailers"
			header, trailer, body := sendGRPC(t, transport, s.address, request)
			grpcOutcome(t, header, trailer, body).check(t, path, "12", "ZITADEL has ended "+want+read)
			continue
		}
		response := sendRaw(t, s.address, request)
		body := bodyOf(t, response)
		if response.StatusCode != http.StatusNotFound || body != `{"code":5,"message":"ZITADEL has ended `+want+read+`"}` {
			t.Errorf("%s %s: got HTTP %d: %s", verb, path, response.StatusCode, body)
		}
	}
}

// ZITADEL's own 404 about something that is not there is none of the router's.
func TestNotFoundOfZITADELPasses(t *testing.T) {
	t.Parallel()
	for body, passes := range map[string]bool{
		`{"code":5,"message":"User could not be found (QUERY-Dfbg2)","details":[{"@type":"type.googleapis.com/zitadel.v1.ErrorDetail"}]}`: true,
		`{"code":5,"message":"unable to set instance using origin"}`:                                                                      true,
		"<html>404</html>":       true,
		strings.Repeat("x", 1e4): true,
		"":                       true,
		`{"code":5, "message":"Not Found", "details":[]}`: false,
		"404 page not found":                              true, // of Traefik, for one
	} {
		s := newStack(t, onNext, func(c *stackConfig) {
			c.upstream = http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
				w.WriteHeader(http.StatusNotFound)
				_, _ = w.Write([]byte(body))
			})
		})
		response := sendRaw(t, s.address, recordings.Request{Method: http.MethodGet, Path: "/management/v1/users/1"})
		if got := bodyOf(t, response); (got == body) != passes || response.StatusCode != http.StatusNotFound {
			t.Errorf("%.50q: got HTTP %d: %s", body, response.StatusCode, got)
		}
	}
}

// ZITADEL's own Deprecation header never stands beside the adapter's.
func TestOneDeprecationHeader(t *testing.T) {
	t.Parallel()
	for _, theirs := range []string{"", "@1800000000"} {
		native := http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			if theirs != "" {
				w.Header()["Deprecation"] = []string{theirs}
				w.Header()["Link"] = []string{"<https://theirs>"}
			}
		})
		s := newStack(t, func(c *stackConfig) {
			c.native, c.rollout = native, 0
			c.deprecation = adapter.Deprecation{Since: time.Date(2025, 11, 3, 0, 0, 0, 0, time.UTC), Link: "https://ours"}
		})
		header := sendRaw(t, s.address, aCall()).Header
		wantLink := `<https://ours>; rel="deprecation"`
		if theirs != "" {
			wantLink = "<https://theirs>"
		}
		if got := header.Values("Deprecation"); len(got) != 1 || theirs != "" && got[0] != theirs || header.Get("Link") != wantLink {
			t.Errorf("theirs %q: got Deprecation %q, Link %q", theirs, got, header.Values("Link"))
		}
	}
}
