package v2test_test

import (
	"bytes"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"go.uber.org/goleak"

	"zitadel-v1-adapter/gen/zitadel/user/v2/userv2connect"
	"zitadel-v1-adapter/internal/recordings"
	"zitadel-v1-adapter/internal/wiretest"
	"zitadel-v1-adapter/v2client/v2test"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// Every recorded v2 call gets the recorded status, error code, message and details, and the
// recorded ids, organizations and roles.
func TestAnswersAsRecorded(t *testing.T) {
	t.Parallel()
	for file, fixture := range map[string]string{recordings.V2Calls: recordings.Fixture, recordings.UpdateUser: recordings.UpdateUserFixture} {
		server := wiretest.NewZITADEL(t, wiretest.FixtureOf(t, fixture))
		listener := httptest.NewServer(server)
		t.Cleanup(listener.Close)
		for _, recording := range recordings.Load(t, file) {
			t.Run(file+"/"+recording.Name, func(t *testing.T) {
				status, body := send(t, listener, recording.Request)
				if status != recording.Response.Status {
					t.Errorf("got status %d, want %d", status, recording.Response.Status)
				}
				got, want := withoutVariables(t, body), withoutVariables(t, recording.Response.Body(t))
				if got != want {
					t.Errorf("got answer\n%s\nwant\n%s", got, want)
				}
			})
		}
	}
}

func send(t *testing.T, server *httptest.Server, recorded recordings.Request) (int, []byte) {
	t.Helper()
	request, err := http.NewRequestWithContext(t.Context(), recorded.Method, server.URL+recorded.Path, bytes.NewReader(recorded.Body(t)))
	if err != nil {
		t.Fatal(err)
	}
	for name, value := range recorded.Headers {
		request.Header.Set(name, value)
	}
	request.Host = recorded.Headers["Host"]
	if request.Host == "" {
		request.Host = "localhost:8088"
	}
	response, err := server.Client().Do(request)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = response.Body.Close() }()
	body, err := io.ReadAll(response.Body)
	if err != nil {
		t.Fatal(err)
	}
	return response.StatusCode, body
}

// withoutVariables returns an answer without what v2test does not model, such as profiles,
// and what differs between calls, such as times.
func withoutVariables(t *testing.T, body []byte) string {
	t.Helper()
	var answer map[string]any
	if json.Unmarshal(body, &answer) != nil {
		return string(body)
	}
	strip(answer)
	stripped, err := json.Marshal(answer)
	if err != nil {
		t.Fatal(err)
	}
	return string(stripped)
}

func strip(value any) {
	switch value := value.(type) {
	case map[string]any:
		for key := range value {
			switch key {
			case "sequence", "changeDate", "creationDate", "human", "machine", "updated_at",
				"username", "loginNames", "preferredLoginName", "preferred_username", "name",
				"urn:zitadel:iam:user:resourceowner:name", "urn:zitadel:iam:user:resourceowner:primary_domain":
				delete(value, key)
			default:
				strip(value[key])
			}
		}
	case []any:
		for _, element := range value {
			strip(element)
		}
	}
}

// SetPassword without new_password is accepted, as by a real ZITADEL. A stricter test double
// would hide an adapter that sends such requests.
func TestMissingNewPasswordIsStored(t *testing.T) {
	t.Parallel()
	server := wiretest.NewZITADEL(t, wiretest.Fixture(t))
	listener := httptest.NewServer(server)
	t.Cleanup(listener.Close)
	body := `{"userId":"400850336480234534"}`
	status, _ := send(t, listener, recordings.Request{
		Method: http.MethodPost, Path: userv2connect.UserServiceSetPasswordProcedure, Text: &body,
		Headers: map[string]string{"Content-Type": "application/json", "Authorization": "Bearer pat-org-owner-a"},
	})
	if status != http.StatusOK || !server.PasswordIs("400850336480234534", "") {
		t.Errorf("got status %d, hash of \"\" stored: %v; want 200, true", status, server.PasswordIs("400850336480234534", ""))
	}
}

// The error for an invalid fixture names the key and what would be valid.
func TestNewRejectsInvalidFixture(t *testing.T) {
	t.Parallel()
	hosts, orgs := []string{"localhost"}, map[string]string{"a": "1"}
	for want, fixture := range map[string]v2test.Fixture{
		"instance_hosts: empty": {},
		`users.u.org: "2" is not in orgs`: {InstanceHosts: hosts, Orgs: orgs, Users: map[string]v2test.User{
			"u": {ID: "9", Org: "2", Type: v2test.Human, State: v2test.Active},
		}},
		`users.u.state: "gone": use`: {InstanceHosts: hosts, Orgs: orgs, Users: map[string]v2test.User{
			"u": {ID: "9", Org: "1", Type: v2test.Human, State: "gone"},
		}},
		"callers.c.administrator_of[0]: name one of": {InstanceHosts: hosts, Orgs: orgs, Callers: map[string]v2test.Caller{
			"c": {Token: "t", UserID: "8", HomeOrg: "1", AdministratorOf: []v2test.AdministratorOf{{Instance: true, Organization: "1"}}},
		}},
		`users.u.org: "2", but the home of the caller with this id is "1"`: {
			InstanceHosts: hosts, Orgs: map[string]string{"a": "1", "b": "2"},
			Callers: map[string]v2test.Caller{"c": {Token: "t", UserID: "9", HomeOrg: "1"}},
			Users:   map[string]v2test.User{"u": {ID: "9", Org: "2", Type: v2test.Human, State: v2test.Active}},
		},
	} {
		if _, err := v2test.New(fixture, v2test.Config{}); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("got %v, want %q", err, want)
		}
	}
}
