package adapter_test

import (
	"encoding/base64"
	"maps"
	"net/http"
	"strings"
	"testing"

	"zitadel-v1-adapter/internal/recordings"
)

// Unusual REST requests beyond the recorded ones.

// Each unusual REST request gets the status and body that v1 answers with.
func TestUnusualRESTRequestsAreAnsweredAsByV1(t *testing.T) {
	t.Parallel()
	s := newStack(t)
	for _, test := range []struct {
		name, method, path, body string
		headers                  map[string]string
		status                   int
		want                     string // not of successes, whose body is always the same
	}{
		{
			name: "path encoded letter by letter", path: "/management/v1/users/" + userA + "/password/%5F%69nitialize",
			body:   good,
			status: 200,
		},
		{
			name: "slash encoded in the fixed part", path: "/management/v1%2Fusers/" + userA + "/password/_initialize",
			body:   good,
			status: 200,
		},
		{
			name: "percent sign in the user id", path: "/management/v1/users/%2530/password/_initialize", body: good,
			status: 400,
			want:   restRefusal(9, "Password not found", "COMMAND-G8dh3"),
		},
		{
			name: "invalid UTF-8 in the user id", path: "/management/v1/users/%ff/password/_initialize", body: good,
			status: 500,
			want:   `{"code":13,"message":"header key \"zitadel-activity-path\" contains value with non-printable ASCII characters"}`,
		},
		{
			name: "invalid UTF-8 in the body", path: userAPath, body: "{\"password\":\"\xff\"}",
			status: 400, want: `{"code":3,"message":"proto: syntax error (line 1:13): invalid UTF-8 in string"}`,
		},
		{
			name: "wrong type", path: userAPath, body: `{"password":["a"]}`,
			status: 400, want: `{"code":3,"message":"proto: (line 1:13): invalid value for string field password: ["}`,
		},
		{
			name: "userId of the wrong type", path: userAPath, body: `{"userId":7,"password":"Sup3rPassw0rd!"}`,
			status: 400, want: `{"code":3,"message":"proto: (line 1:11): invalid value for string field userId: 7"}`,
		},
		{
			name: "duplicate by its two names", path: userAPath, body: `{"userId":"a","user_id":"b"}`,
			status: 400, want: `{"code":3,"message":"proto: (line 1:15): duplicate field \"user_id\""}`,
		},
		{
			name: "deep nesting", path: userAPath, body: `{"x":` + strings.Repeat("[", 20000),
			status: 400, want: `{"code":3,"message":"invalid character '[' exceeded max depth"}`,
		},
		{name: "escapes", path: userAPath, body: `{"\u0070assword":"Sup3r\u0050assw0rd!"}`, status: 200},
		{name: "NUL after the document", path: userAPath, body: good + "\x00", status: 200},
		{
			name: "72 runes of four bytes", path: userAPath, body: `{"password":"` + strings.Repeat("😀", 72) + `"}`,
			status: 400,
			want:   restRefusal(3, "Password must contain lower case", "DOMAIN-co3Xw"),
		},
		{
			name: "73 runes of four bytes", path: userAPath, body: `{"password":"` + strings.Repeat("😀", 73) + `"}`,
			status: 400, want: invalid,
		},
		{
			name: "4 MiB less a little", path: userAPath,
			body:   `{"password":"` + strings.Repeat("a", 4*mebibyte-100) + `"}`,
			status: 400, want: invalid,
		},
		{
			name: "4 MiB of spaces and no document", path: userAPath, body: strings.Repeat(" ", 4*mebibyte),
			status: 400, want: invalid,
		},
		{
			name: "more than 4 MiB", path: userAPath, body: `{"password":"` + strings.Repeat("a", 4*mebibyte) + `"}`,
			status: 429, want: `{"code":8,"message":"grpc: received message larger than max (4194319 vs. 4194304)"}`,
		},
		{
			name:   "4 MiB as JSON, more as protobuf",
			path:   "/management/v1/users/" + strings.Repeat("9", 100) + "/password/_initialize",
			body:   `{"password":"` + strings.Repeat("a", 4*mebibyte-15) + `"}`,
			status: 429, want: `{"code":8,"message":"grpc: received message larger than max (4194396 vs. 4194304)"}`,
		},
		{name: "method HEAD", method: "HEAD", path: userAPath, status: 405},
		{name: "unknown method", method: "FROB", path: userAPath, status: 405, want: notMethod},
		{name: "unknown method on an unknown path", method: "FROB", path: "/elsewhere", status: 404, want: notFound},
		{
			name: "form that names another method", path: userAPath, body: good,
			headers: map[string]string{"Content-Type": "application/x-www-form-urlencoded", "X-HTTP-Method-Override": "get"},
			status:  405, want: notMethod,
		},
		{
			name: "form that names the method", path: userAPath, body: good,
			headers: map[string]string{"Content-Type": "application/x-www-form-urlencoded", "X-HTTP-Method-Override": "post"},
			status:  400, want: invalid,
		},
		{
			name: "form that cannot be read", path: userAPath, body: "a=%zz",
			headers: map[string]string{"Content-Type": "application/x-www-form-urlencoded", "X-HTTP-Method-Override": "POST"},
			status:  400, want: `{"code":3,"message":"invalid URL escape \"%zz\""}`,
		},
		{
			name: "token that gRPC cannot carry", path: userAPath, body: good,
			headers: map[string]string{"Authorization": "Bearer ä"},
			status:  500,
			want:    `{"code":13,"message":"header key \"authorization\" contains value with non-printable ASCII characters"}`,
		},
		{
			name: "token that gRPC cannot carry, and invalid UTF-8",
			path: "/management/v1/users/%ff/password/_initialize", body: good,
			headers: map[string]string{"Authorization": "Bearer ä"},
			status:  500,
			want:    `{"code":13,"message":"header key \"authorization\" contains value with non-printable ASCII characters"}`,
		},
		{
			name: "deadline passed, and invalid UTF-8", path: "/management/v1/users/%ff/password/_initialize",
			body:    good,
			headers: map[string]string{"Grpc-Timeout": "1n"},
			status:  500, want: `{"code":13,"message":"header key \"zitadel-activity-path\" contains value with non-printable ASCII characters"}`,
		},
		{
			name: "two organizations, the first of which gRPC cannot carry", path: userAPath, body: good,
			headers: map[string]string{"x-zitadel-orgid": "ä\r\nX-Zitadel-Orgid: 123"},
			status:  403,
			want:    restRefusal(7, "Organisation doesn't exist", "AUTH-Bs7Ds"),
		},
		{name: "asterisk as the target", path: "*", body: good, status: 301},
		{
			name: "override without form", path: userAPath, body: good,
			headers: map[string]string{"X-HTTP-Method-Override": "GET"},
			status:  200,
		},
		{
			name: "timeout without number", path: userAPath, body: good,
			headers: map[string]string{"Grpc-Timeout": "S"},
			status:  400, want: `{"code":3,"message":"invalid grpc-timeout: S"}`,
		},
		{
			name: "timeout without unit", path: userAPath, body: good,
			headers: map[string]string{"Grpc-Timeout": "10"},
			status:  400, want: `{"code":3,"message":"invalid grpc-timeout: 10"}`,
		},
		{
			name: "invalid timeout, and invalid body", path: userAPath, body: `{`,
			headers: map[string]string{"Grpc-Timeout": "x"},
			status:  400, want: `{"code":3,"message":"invalid grpc-timeout: x"}`,
		},
		{
			name: "negative timeout", path: userAPath, body: good,
			headers: map[string]string{"Grpc-Timeout": "-1S"},
			status:  504, want: `{"code":4,"message":"context deadline exceeded"}`,
		},
		{
			name: "timeout of zero", path: userAPath, body: good,
			headers: map[string]string{"Grpc-Timeout": "0S"},
			status:  200,
		},
		{
			name: "invalid body, and deadline passed", path: userAPath, body: `{`,
			headers: map[string]string{"Grpc-Timeout": "1n"},
			status:  400, want: `{"code":3,"message":"unexpected EOF"}`,
		},
		{
			name: "token in metadata", path: userAPath, body: good,
			headers: map[string]string{"Authorization": "", "Grpc-Metadata-Authorization": "Bearer pat-org-owner-a"},
			status:  200,
		},
		{
			name: "header that gRPC cannot carry", path: userAPath, body: good,
			headers: map[string]string{"x-zitadel-orgid": "ä"},
			status:  200,
		},
		{
			name: "gRPC over HTTP/1.1", path: procedure,
			headers: map[string]string{"Content-Type": "application/grpc"},
			status:  404, want: notFound,
		},
		{name: "Connect", path: procedure, body: "{}", status: 404, want: notFound},
		{name: "root", method: "GET", path: "/", status: 404, want: notFound},
	} {
		t.Run(test.name, func(t *testing.T) {
			request := recordings.Request{Method: http.MethodPost, Path: test.path, Headers: map[string]string{"Authorization": "Bearer pat-org-owner-a"}}
			if test.method != "" {
				request.Method = test.method
			}
			maps.Copy(request.Headers, test.headers)
			encoded := base64.StdEncoding.EncodeToString([]byte(test.body))
			request.BodyBase64 = &encoded
			response := sendRaw(t, s.address, request)
			got := normal(bodyOf(t, response))
			want := test.want
			if test.status == http.StatusOK {
				want = `{"details":{"sequence":"<n>","changeDate":"<date>","resourceOwner":"400849858564525094"}}`
			}
			if response.StatusCode != test.status || got != want {
				t.Errorf("got HTTP %d %s\nwant HTTP %d %s", response.StatusCode, got, test.status, want)
			}
			s.upstream.calls(t)
		})
	}
}

// A path with empty or dot segments is redirected to the clean path, as ZITADEL does it.
func TestUncleanPathsAreRedirectedAsByV1(t *testing.T) {
	t.Parallel()
	s := newStack(t)
	for path, want := range map[string]string{
		"//management/v1/users/1/password/_initialize":          "/management/v1/users/1/password/_initialize",
		"/management/v1/users/./1/password/_initialize?a=b&c=d": "/management/v1/users/1/password/_initialize?a=b&c=d",
		"/management/v1/users/x/../1/password/_initialize":      "/management/v1/users/1/password/_initialize",
		"/management/v1/users/%2e%2e/1/password/_initialize":    "/management/v1/1/password/_initialize",
		"/management/v1/users/%2F1/password/_initialize":        "/management/v1/users/1/password/_initialize",
		"/a//": "/a/",
	} {
		response := sendRaw(t, s.address, recordings.Request{Method: http.MethodPost, Path: path})
		if got := response.Header.Get("Location"); response.StatusCode != http.StatusMovedPermanently || got != want {
			t.Errorf("%s: got HTTP %d to %q, want HTTP 301 to %q", path, response.StatusCode, got, want)
		}
	}
	if calls := s.upstream.calls(t); len(calls) != 0 {
		t.Errorf("upstream calls: got %v, want none", calls)
	}
}
