package messages_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"zitadel-v1-adapter/internal/messages"
	"zitadel-v1-adapter/internal/recordings"
)

const english = "Errors:\n  User:\n    Password:\n      NotFound: no password\n"

// folder makes a folder of language files.
func folder(t *testing.T, files map[string]string) string {
	t.Helper()
	dir := t.TempDir()
	for name, content := range files {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

// The language is the one in which native v1 answered (recording languages.tsv).
func TestWordChoosesAsRecorded(t *testing.T) {
	t.Parallel()
	files := map[string]string{}
	for _, name := range recordings.LanguagesOfZITADEL() {
		files[name+".yaml"] = strings.ReplaceAll(english, "no password", name)
	}
	catalog, err := messages.Load(folder(t, files))
	if err != nil {
		t.Fatal(err)
	}
	for _, row := range recordings.Languages(t) {
		if got, ok := catalog.Lookup("COMMAND-G8dh3", "en", row.AcceptLanguage); !ok || got != row.AnsweredIn {
			t.Errorf("%q: got %s, %v, want %s", row.AcceptLanguage, got, ok, row.AnsweredIn)
		}
	}
	for _, test := range []struct {
		instanceDefault string
		wanted          []string
		want            string
	}{
		{"de", []string{"", "xx"}, "de"},
		{"de", []string{"it", "fr"}, "it"},
		{"de", []string{"", "fr"}, "fr"},
		{"", []string{"", "fr"}, "fr"},
		{"", []string{"", "xx"}, ""},
		{"xx", []string{"", "xx"}, ""},
	} {
		if got, _ := catalog.Lookup("COMMAND-G8dh3", test.instanceDefault, test.wanted...); got != test.want {
			t.Errorf("default %q, wanted %q: got %q, want %q", test.instanceDefault, test.wanted, got, test.want)
		}
	}
	if text, ok := catalog.Lookup("COMMAND-M9dse", "en", "en"); ok {
		t.Errorf("an error without a text: got %q, want none", text)
	}
	if catalog.Has("AUTH-5mWD2") {
		t.Error("AUTH-5mWD2: got worded, want left as it is")
	}
}

// A folder that cannot be used is named, with what would be right.
func TestLoadRejects(t *testing.T) {
	t.Parallel()
	for want, files := range map[string]map[string]string{
		"no .yaml file in it":             {"en.toml": english},
		"deutsch_at.yaml: its name is no": {"deutsch_at.yaml": english},
		"en.yaml: yaml: ":                 {"en.yaml": "Errors: ["},
		"en.yaml: no Errors.User.Passwor": {"en.yaml": "Errors: {}"},
	} {
		if _, err := messages.Load(folder(t, files)); err == nil || !strings.Contains(err.Error(), want) || !strings.HasPrefix(err.Error(), "messages.dir: ") {
			t.Errorf("got %v, want messages.dir: ...%s", err, want)
		}
	}
}
