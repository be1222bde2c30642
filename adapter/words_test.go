package adapter_test

import (
	"encoding/base64"
	"fmt"
	"maps"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"zitadel-v1-adapter/internal/messages"
	"zitadel-v1-adapter/internal/recordings"
	"zitadel-v1-adapter/v2client/v2test"
)

// Refusals in the languages of ZITADEL's language files. The words here are made up.

// languages is a catalog with every language that the recorded ZITADEL had.
func languages(t *testing.T) *messages.Catalog {
	t.Helper()
	dir := t.TempDir()
	for _, name := range recordings.LanguagesOfZITADEL() {
		content := fmt.Sprintf("Errors:\n  Internal: fault %[1]s\n  Instance: {NotFound: nowhere %[1]s}\n  User:\n    NotInitialised: new %[1]s\n"+
			"    Password: {NotFound: \"gone, ü %[1]s\"}\n    PasswordComplexityPolicy: {MinLength: short %[1]s}\n", name)
		if err := os.WriteFile(filepath.Join(dir, name+".yaml"), []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	catalog, err := messages.Load(dir)
	if err != nil {
		t.Fatal(err)
	}
	return catalog
}

// The adapter's own COMMAND-G8dh3 comes in the language in which native v1 said it, for
// every Accept-Language (recording languages.tsv).
func TestRefusalIsInLanguageAsRecorded(t *testing.T) {
	t.Parallel()
	s := newStack(t, func(c *stackConfig) { c.messages = languages(t) })
	for _, row := range recordings.Languages(t) {
		call := aCall()
		call.Path = strings.ReplaceAll(call.Path, userA, "unknown")
		call.Headers["Accept-Language"] = row.AcceptLanguage
		text := "gone, ü " + row.AnsweredIn
		checkREST(t, row.AcceptLanguage, sendRaw(t, s.address, call), http.StatusBadRequest,
			`{"code":9,"message":"`+text+` (COMMAND-G8dh3)","details":[{"@type":"type.googleapis.com/zitadel.v1.ErrorDetail","id":"COMMAND-G8dh3","message":"`+text+`"}]}`)
	}
}

// The caller's own language goes before Grpc-Metadata-Accept-Language, that before
// Accept-Language, and the instance's default comes last. v2's words are worded again,
// those that native v1 never words are not.
func TestRefusalIsInLanguageThatV1Chooses(t *testing.T) {
	t.Parallel()
	fixture := world()
	french := fixture.Callers["ORG_OWNER-true"]
	french.PreferredLanguage = "fr"
	fixture.Callers["ORG_OWNER-true"] = french
	const plain, viewer = "token-ORG_OWNER-false", "token-ORG_OWNER_VIEWER-true"
	italian := map[string]string{"Accept-Language": "it"}
	for name, test := range map[string]struct {
		token, user, password string
		headers               map[string]string
		want                  string
	}{
		"instance's default":       {plain, "unknown", "Sup3rPassw0rd!", nil, "gone, ü de (COMMAND-G8dh3)"},
		"no language that is near": {plain, "unknown", "Sup3rPassw0rd!", map[string]string{"Accept-Language": "xx"}, "gone, ü de (COMMAND-G8dh3)"},
		"request's language":       {plain, "unknown", "Sup3rPassw0rd!", italian, "gone, ü it (COMMAND-G8dh3)"},
		"gRPC's metadata first": {
			plain, "unknown", "Sup3rPassw0rd!",
			map[string]string{"Accept-Language": "it", "Grpc-Metadata-Accept-Language": "pl"},
			"gone, ü pl (COMMAND-G8dh3)",
		},
		"caller's language":        {french.Token, "unknown", "Sup3rPassw0rd!", italian, "gone, ü fr (COMMAND-G8dh3)"},
		"v2's refusal":             {plain, "user-1initial", "Sup3rPassw0rd!", italian, "new it (COMMAND-M9dse)"},
		"password policy":          {plain, "user-1active", "short", italian, "short it (DOMAIN-HuJf6)"},
		"bcrypt":                   {plain, "user-1active", strings.Repeat("ä", 68) + "A1!y", italian, "fault it (COMMAND-CahN2)"},
		"a text that is not there": {plain, "user-1active", "nouppercase1!", italian, "Password must contain upper case (DOMAIN-VoaRj)"},
		"never worded":             {viewer, "user-1active", "Sup3rPassw0rd!", italian, "No matching permissions found (AUTH-5mWD2)"},
		"unknown instance": {
			plain, "user-1active", "Sup3rPassw0rd!",
			map[string]string{"Accept-Language": "it", "Host": "nope.example"},
			"unable to set instance using origin &{nope.example  http} (ExternalDomain is localhost): ID=QUERY-1kIjX Message=nowhere it",
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newStack(t, func(c *stackConfig) {
				c.fixture, c.messages, c.zitadel = fixture, languages(t), v2test.Config{DefaultLanguage: "de"}
			})
			call := aCall()
			call.Path = strings.ReplaceAll(call.Path, userA, test.user)
			body := fmt.Sprintf(`{"password":%q}`, test.password)
			call.Text = &body
			call.Headers["Authorization"] = "Bearer " + test.token
			delete(call.Headers, "X-Zitadel-Orgid")
			maps.Copy(call.Headers, test.headers)
			if got := bodyOf(t, sendRaw(t, s.address, call)); !strings.Contains(got, `"message":"`+strings.ReplaceAll(test.want, "&", "\\u0026")+`"`) &&
				!strings.Contains(got, `"message":"`+test.want+`"`) {
				t.Errorf("got %s, want %s", got, test.want)
			}
			if strings.Contains(s.logged(), "Sup3r") {
				t.Error("the log: got the password in it")
			}
		})
	}
}

// gRPC and gRPC-Web take the language of metadata accept-language.
func TestGRPCRefusalIsInLanguageOfMetadata(t *testing.T) {
	t.Parallel()
	s := newStack(t, func(c *stackConfig) { c.messages = languages(t) })
	body := base64.StdEncoding.EncodeToString(grpcFrame(0, grpcMessage(t, "unknown", "Sup3rPassw0rd!")))
	call := func(contentType string) recordings.Request {
		return recordings.Request{
			Method: http.MethodPost, Path: procedure, BodyBase64: &body, Headers: map[string]string{
				"Content-Type": contentType, "Authorization": "Bearer pat-org-owner-a", "Accept-Language": "ja",
			},
		}
	}
	const want = "gone, %C3%BC ja (COMMAND-G8dh3)" // percent-encoded, as gRPC has it
	header, trailer, message := sendGRPC(t, newTransport(t, true), s.address, call("application/grpc"))
	grpcOutcome(t, header, trailer, message).check(t, "gRPC", "9", want)
	response := sendRaw(t, s.address, call("application/grpc-web+proto"))
	grpcWebOutcome(t, response.Header, []byte(bodyOf(t, response))).check(t, "gRPC-Web", "9", want)
}
