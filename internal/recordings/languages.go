package recordings

import (
	"encoding/json"
	"os"
	"strings"
	"testing"
)

// Language says in which language native v1 answered.
type Language struct {
	AcceptLanguage, AnsweredIn string
}

// LanguagesOfZITADEL are those that the recorded ZITADEL had.
func LanguagesOfZITADEL() []string {
	return strings.Fields("ar bg cs de en es fr hu id it ja ko mk nl pl pt ro ru sv tr uk zh")
}

// Languages loads languages.tsv.
func Languages(t *testing.T) []Language {
	t.Helper()
	content, err := os.ReadFile(Path(t, "more/languages.tsv"))
	if err != nil {
		t.Fatal(err)
	}
	var languages []Language
	for line := range strings.Lines(strings.TrimSpace(string(content))) {
		header, answeredIn, _ := strings.Cut(strings.TrimSpace(line), "\t")
		if header == "accept_language" { // the first line
			continue
		}
		next := Language{AnsweredIn: answeredIn}
		if err := json.Unmarshal([]byte(header), &next.AcceptLanguage); err != nil {
			t.Fatalf("%s: %v", header, err)
		}
		languages = append(languages, next)
	}
	if len(languages) != 120 {
		t.Fatalf("languages.tsv: got %d rows, want 120", len(languages))
	}
	return languages
}
