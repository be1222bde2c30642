package adapter_test

import (
	"encoding/base64"
	"fmt"
	"io"
	"maps"
	"net"
	"net/http"
	"strings"
	"testing"

	"zitadel-v1-adapter/internal/recordings"
	"zitadel-v1-adapter/v2client/v2test"
)

// What native v1's own libraries do with unusual requests: grpc-go behind net/http,
// improbable-eng's gRPC-Web wrapper, grpc-gateway, gorilla/mux. interop/reference has them, and
// compares many more. A row with writes set sets a password there too.

const badToken, badAuthorization = "Errors.Token.Invalid (AUTH-7fs1e)", "invalid auth header (AUTH-toLo1)"

func TestGRPCWebRequestsAsLibrariesReadThem(t *testing.T) {
	t.Parallel()
	frame := string(grpcFrame(0, grpcMessage(t, userA, "Sup3rPassw0rd!")))
	text := base64.StdEncoding.EncodeToString([]byte(frame))
	const noTrailers = "\n\x80\x00\x00\x00\x00"
	inText := func(plain string) string { return base64.StdEncoding.EncodeToString([]byte(plain)) }
	const malformed = `malformed grpc-timeout: transport: timeout string is too short: "S"`
	for _, test := range []struct {
		name, contentType, body string
		headers                 map[string]string
		status                  int    // 200 if 0
		answer                  string // the whole body, if it is not gRPC-Web's
		code, message           string
		wantType                string // the request's if ""
		writes                  bool
	}{
		{name: "parameter", contentType: "application/grpc-web+proto; charset=utf-8", body: frame, code: "0", writes: true},
		{name: "parameter, refused", contentType: "application/grpc-web;x", body: "", code: "2", message: "EOF"},
		{name: "unknown codec", contentType: "application/grpc-web+json", body: frame, code: "0", writes: true},
		{
			name: "no content type of gRPC-Web's", contentType: "application/grpc-webx", body: frame, status: 415,
			answer: `invalid gRPC request content-type "application/grpcx"` + noTrailers, wantType: "text/plain; charset=utf-8",
		},
		{
			name: "no content type of text mode's", contentType: "application/grpc-web-textx", body: text, status: 415,
			answer: inText(`invalid gRPC request content-type "application/grpcx"` + noTrailers), wantType: "text/plain; charset=utf-8",
		},
		{
			name: "malformed timeout", contentType: "application/grpc-web", body: frame, headers: map[string]string{"Grpc-Timeout": "S"},
			status: 400, answer: malformed + noTrailers, wantType: "text/plain; charset=utf-8",
		},
		{
			name: "malformed timeout in text mode", contentType: "application/grpc-web-text", body: text, headers: map[string]string{"Grpc-Timeout": "S"},
			status: 400, answer: inText(malformed + noTrailers), wantType: "text/plain; charset=utf-8",
		},
		{
			name: "binary metadata", contentType: "application/grpc-web", body: frame, headers: map[string]string{"X-Foo-Bin": "%%%"},
			status: 400, answer: `malformed binary metadata "" in header "x-foo-bin": illegal base64 data at input byte 0` + noTrailers, wantType: "text/plain; charset=utf-8",
		},
		{
			name: "binary metadata, in part", contentType: "application/grpc-web", body: frame, headers: map[string]string{"X-Foo-Bin": "YWJjZGVm%%"},
			status: 400, answer: `malformed binary metadata "abcdef" in header "x-foo-bin": illegal base64 data at input byte 8` + noTrailers, wantType: "text/plain; charset=utf-8",
		},
		{name: "binary metadata without padding", contentType: "application/grpc-web", body: frame, headers: map[string]string{"X-Foo-Bin": "YQ"}, code: "0", writes: true},
		{name: "text without padding", contentType: "application/grpc-web-text", body: strings.TrimRight(text, "="), code: "2", message: "unexpected EOF"},
		{
			name: "padding in the middle", contentType: "application/grpc-web-text", body: "AA==AA==" + text,
			code: "2", message: `connection error: desc = "illegal base64 data at input byte 4"`,
		},
		{name: "line breaks", contentType: "application/grpc-web-text", body: text[:8] + "\r\n" + text[8:], code: "0", writes: true},
		{name: "token with a tab", contentType: "application/grpc-web", body: frame, headers: map[string]string{"Authorization": "Bearer pat-org\towner-a"}, code: "16", message: badToken},
		{name: "token beyond ASCII", contentType: "application/grpc-web", body: frame, headers: map[string]string{"Authorization": "Bearer \xe4"}, code: "16", message: badToken},
		{name: "no bearer, beyond ASCII", contentType: "application/grpc-web", body: frame, headers: map[string]string{"Authorization": "Basic \xe4"}, code: "16", message: badAuthorization},
		{name: "before the bearer", contentType: "application/grpc-web", body: frame, headers: map[string]string{"Authorization": "\xe4Bearer pat-org-owner-a"}, code: "0", writes: true},
		{name: "organization beyond ASCII", contentType: "application/grpc-web", body: frame, headers: map[string]string{"X-Zitadel-Orgid": "\xe4"}, code: "7", message: "Organisation doesn't exist (AUTH-Bs7Ds)"},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			s := newStack(t)
			headers := map[string]string{"Authorization": "Bearer pat-org-owner-a", "Content-Type": test.contentType, "X-Grpc-Web": "1"}
			maps.Copy(headers, test.headers)
			response := sendRaw(t, s.address, recordings.Request{Method: http.MethodPost, Path: procedure, Headers: headers, Text: &test.body})
			body := bodyOf(t, response)
			if want := max(test.status, 200); response.StatusCode != want {
				t.Errorf("got HTTP %d, want %d", response.StatusCode, want)
			}
			wantType := test.wantType
			if wantType == "" {
				wantType = test.contentType
			}
			if got := response.Header.Get("Content-Type"); got != wantType {
				t.Errorf("Content-Type: got %q, want %q", got, wantType)
			}
			if test.status != 0 {
				if body != test.answer {
					t.Errorf("got %q, want %q", body, test.answer)
				}
			} else {
				grpcWebOutcome(t, response.Header, []byte(body)).check(t, test.name, test.code, test.message)
			}
			if writes := s.newWrites(t); (writes == 1) != test.writes || writes > 1 {
				t.Errorf("got %d writes, want %v", writes, test.writes)
			}
		})
	}
}

// Over HTTP/2, spaces stay at the ends of values.
func TestGRPCMetadataIsReadAsItCame(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		name          string
		fields        [][2]string
		code, message string
		status        string // HTTP's, "200" if ""
		writes        bool
	}{
		{name: "as usual", code: "0", writes: true},
		{name: "token and a space", fields: [][2]string{{"authorization", "Bearer pat-org-owner-a "}}, code: "16", message: badToken},
		{name: "empty token", fields: [][2]string{{"authorization", "Bearer "}}, code: "16", message: badToken},
		{name: "space before the bearer", fields: [][2]string{{"authorization", " Bearer pat-org-owner-a"}}, code: "0", writes: true},
		{name: "two bearers", fields: [][2]string{{"authorization", "Bearer x Bearer pat-org-owner-a"}}, code: "16", message: badAuthorization},
		{name: "organization: a space", fields: [][2]string{{"x-zitadel-orgid", " "}}, code: "7", message: "Organisation doesn't exist (AUTH-Bs7Ds)"},
		{name: "organization and a space", fields: [][2]string{{"x-zitadel-orgid", orgA + " "}}, code: "7", message: "Organisation doesn't exist (AUTH-Bs7Ds)"},
		{name: "a tab behind the organization", fields: [][2]string{{"x-zitadel-orgid", orgA + "\t"}}, code: "7", message: "Organisation doesn't exist (AUTH-Bs7Ds)"},
		{name: "a space before the organization", fields: [][2]string{{"x-zitadel-orgid", " " + orgA}}, code: "7", message: "Organisation doesn't exist (AUTH-Bs7Ds)"},
		{name: "the first of two organizations", fields: [][2]string{{"x-zitadel-orgid", ""}, {"x-zitadel-orgid", "123"}}, code: "0", writes: true},
		{name: "another host", fields: [][2]string{{"host", "nope.example"}}, code: "5", message: "Instance not found: the host in the metadata is not the request's"},
		{name: "encoding before timeout", fields: [][2]string{{"grpc-encoding", "br"}, {"grpc-timeout", "1n"}}, code: "12", message: `grpc: Decompressor is not installed for grpc-encoding "br"`},
		{name: "binary metadata", fields: [][2]string{{"x-foo-bin", "%%%"}}, status: "400"},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			s := newStack(t)
			fields := test.fields
			if len(fields) == 0 || fields[0][0] != "authorization" {
				fields = append(fields, [2]string{"authorization", "Bearer pat-org-owner-a"})
			}
			fields = append([][2]string{
				{":method", http.MethodPost},
				{":scheme", "http"},
				{":authority", "localhost:8088"},
				{":path", procedure},
				{"content-type", "application/grpc"},
				{"te", "trailers"},
			}, fields...)
			frames := exchangeFields(t, s.address, string(grpcFrame(0, grpcMessage(t, userA, "Sup3rPassw0rd!"))), fields)
			first, last := frames[0], frames[len(frames)-1]
			if want := max(test.status, "200"); first[":status"] != want {
				t.Errorf("got HTTP %s, want %s", first[":status"], want)
			}
			if test.status == "" && (last["grpc-status"] != test.code || last["grpc-message"] != test.message) {
				t.Errorf("got %s %q, want %s %q", last["grpc-status"], last["grpc-message"], test.code, test.message)
			}
			if writes := s.newWrites(t); (writes == 1) != test.writes || writes > 1 {
				t.Errorf("got %d writes, want %v", writes, test.writes)
			}
		})
	}
}

// A packed call has a packed answer, which says so, refused or not.
func TestPackedCallsHavePackedAnswers(t *testing.T) {
	t.Parallel()
	s := newStack(t)
	for password, flag := range map[string]byte{"Sup3rPassw0rd!": 1, "a": 0} {
		body := string(grpcFrame(0, grpcMessage(t, userA, password)))
		response := sendRaw(t, s.address, recordings.Request{
			Method: http.MethodPost, Path: procedure, Text: &body,
			Headers: map[string]string{"Authorization": "Bearer pat-org-owner-a", "Content-Type": "application/grpc-web", "Grpc-Encoding": "gzip"},
		})
		answer := bodyOf(t, response)
		if got := response.Header.Get("Grpc-Encoding"); got != "gzip" {
			t.Errorf("password %q: Grpc-Encoding: got %q, want gzip", password, got)
		}
		if flag == 1 && (answer == "" || answer[0] != flag) {
			t.Errorf("password %q: got %q, want a packed message", password, answer)
		}
	}
}

func TestRESTRequestsAsLibrariesReadThem(t *testing.T) {
	t.Parallel()
	const notPrintable = ` contains value with non-printable ASCII characters"}`
	path := func(user string) string { return "/management/v1/users/" + user + "/password/_initialize" }
	for _, test := range []struct {
		name, path, headers string
		status              int
		answer              string // its beginning
		writes              bool
	}{
		{name: "gRPC-Web's content type", path: userAPath, headers: "Content-Type: application/grpc-web\r\n", status: 200, answer: `{"details":{`, writes: true},
		{name: "a content type that begins so", path: userAPath, headers: "Content-Type: application/grpc-web-text+x\r\n", status: 200, answer: `{"details":{`, writes: true},
		{name: "line break in the user", path: path("a%0ab"), status: 500, answer: `{"code":13,"message":"header key \"zitadel-activity-path\"` + notPrintable},
		{name: "user beyond ASCII", path: path("%C3%A4"), status: 500, answer: `{"code":13,"message":"header key \"zitadel-activity-path\"` + notPrintable},
		{name: "user that is not UTF-8", path: path("%ff"), status: 500, answer: `{"code":13,"message":"header key \"zitadel-activity-path\"` + notPrintable},
		{name: "metadata without a name", path: userAPath, headers: "Grpc-Metadata-: x\r\n", status: 500, answer: `{"code":13,"message":"there is an empty key in the header"}`},
		{name: "metadata without a name, written another way", path: userAPath, headers: "Grpc-Metadata-:path: /x\r\n", status: 500, answer: `{"code":13,"message":"there is an empty key in the header"}`},
		{name: "another host in the metadata", path: userAPath, headers: "Grpc-Metadata-Host: nope.example\r\n", status: 404, answer: `{"code":5,"message":"Instance not found`},
		{name: "metadata that HTTP/2 keeps", path: userAPath, headers: "Grpc-Metadata-Upgrade: x\r\n", status: 500, answer: `{"code":13,"message":"unexpected HTTP status code received from server: 400 (Bad Request)`},
		{name: "binary metadata", path: userAPath, headers: "Grpc-Metadata-X-Trace-Bin: %%%\r\n", status: 400, answer: `{"code":3,"message":"invalid binary header Grpc-Metadata-X-Trace-Bin: illegal base64 data at input byte 0"}`},
		{name: "binary x-zitadel", path: userAPath, headers: "X-Zitadel-Foo-Bin: %%%\r\n", status: 400, answer: `{"code":3,"message":"invalid binary header X-Zitadel-Foo-Bin: `},
		{name: "a binary header that does not pass", path: userAPath, headers: "X-Other-Bin: %%%\r\n", status: 200, answer: `{"details":{`, writes: true},
		{name: "target without a slash", path: "a:b", status: 301},
		{name: "absolute target to clean", path: "http://localhost:8088//management/v1/users/1/password/_initialize", status: 301},
		{name: "absolute target without authority", path: "http:" + userAPath, status: 200, answer: `{"details":{`, writes: true},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			s := newStack(t)
			request := "POST " + test.path + " HTTP/1.1\r\nHost: localhost:8088\r\nAuthorization: Bearer pat-org-owner-a\r\n" +
				test.headers + "Content-Length: 29\r\n\r\n" + `{"password":"Sup3rPassw0rd!"}`
			response := exchangeRaw(t, s.address, http.MethodPost, []byte(request))
			if answer := bodyOf(t, response); response.StatusCode != test.status || !strings.HasPrefix(answer, test.answer) {
				t.Errorf("got HTTP %d %s, want HTTP %d %s", response.StatusCode, answer, test.status, test.answer)
			}
			if writes := s.newWrites(t); (writes == 1) != test.writes || writes > 1 {
				t.Errorf("got %d writes, want %v", writes, test.writes)
			}
		})
	}
}

// A client that accepts trailers gets the details of a refusal as one, and an answer in chunks.
// The trailer is bytes that net/http's client would not take.
func TestRESTTrailers(t *testing.T) {
	t.Parallel()
	s := newStack(t)
	for password, detail := range map[string]string{"a": "DOMAIN-HuJf6", "Sup3rPassw0rd!": ""} {
		connection, err := net.DialTimeout("tcp", s.address, patience)
		if err != nil {
			t.Fatal(err)
		}
		body := `{"password":"` + password + `"}`
		fmt.Fprintf(connection, "POST %s HTTP/1.1\r\nHost: localhost:8088\r\nConnection: close\r\nAuthorization: Bearer pat-org-owner-a\r\nTE: trailers\r\nContent-Length: %d\r\n\r\n%s", userAPath, len(body), body)
		answer, err := io.ReadAll(connection)
		_ = connection.Close()
		if err != nil {
			t.Fatal(err)
		}
		_, trailers, _ := strings.Cut(string(answer), "\r\n0\r\n")
		if !strings.Contains(string(answer), "\r\nTransfer-Encoding: chunked\r\n") {
			t.Errorf("password %q: got %q, want chunks", password, answer)
		}
		const name = "Grpc-Trailer-Grpc-Status-Details-Bin: "
		if strings.HasPrefix(trailers, name) != (detail != "") || !strings.Contains(trailers, detail) {
			t.Errorf("password %q: trailers: got %q, want %swith %q", password, trailers, name, detail)
		}
	}
}

// Roles of an instance's own mapping (tried on a live v4.2.2). One without any permission is a
// membership. One that may write users but not read them is refused: the adapter cannot learn
// which organization a user belongs to. An unknown user is unknown all the same.
func TestRolesOfOwnMapping(t *testing.T) {
	t.Parallel()
	fixture := v2test.Fixture{
		InstanceHosts: []string{"localhost"}, Orgs: map[string]string{"a": "1001", "b": "1002"},
		Callers: map[string]v2test.Caller{}, Users: map[string]v2test.User{"alice": {ID: "3001", Org: "1001", Type: v2test.Human, State: v2test.Active}},
	}
	for name, role := range map[string]string{"nothing": v2test.RoleWithoutPermissions, "writer": v2test.RoleUserWriteOnly} {
		fixture.Callers[name] = v2test.Caller{
			Token: name, UserID: "id-" + name, HomeOrg: "1001",
			AdministratorOf: []v2test.AdministratorOf{{Organization: "1001", Roles: []string{role}}},
		}
	}
	s := newStack(t, func(c *stackConfig) { c.fixture = fixture })
	transport := newTransport(t, false)
	for _, test := range []struct{ token, organization, user, want string }{
		{"nothing", "", "3001", "7 AUTH-5mWD2"},
		{"nothing", "1001", "3001", "7 AUTH-5mWD2"},
		{"nothing", "1002", "3001", "5 AUTHZ-cdgFk"},
		{"writer", "", "3001", "7 AUTH-5mWD2"},
		{"writer", "1001", "3001", "7 AUTH-5mWD2"},
		{"writer", "", "unknown", "9 COMMAND-G8dh3"},
	} {
		if got := setPassword(t, transport, s.address, test.token, test.organization, test.user, "Sup3rPassw0rd!"); got != test.want {
			t.Errorf("%s, organization %q, user %s: got %s, want %s", test.token, test.organization, test.user, got, test.want)
		}
	}
	if writes := s.newWrites(t); writes != 0 {
		t.Errorf("got %d writes, want none", writes)
	}
}

// Callers who are refused for their roles are users in the log and the ledger, not hashes of
// their tokens.
func TestRefusedCallersAreNamed(t *testing.T) {
	t.Parallel()
	s := newStack(t)
	for token, want := range map[string]string{"pat-none-a": "", "pat-viewer-a": ""} {
		for _, caller := range s.fixture.Callers {
			if caller.Token == token {
				want = caller.UserID
			}
		}
		call := aCall()
		call.Headers["Authorization"] = "Bearer " + token
		_ = bodyOf(t, sendRaw(t, s.address, call))
		events := s.calls()
		if len(events) != 1 || events[0].Caller != want || want == "" {
			t.Errorf("%s: got %+v, want caller %q", token, events, want)
		}
	}
}
