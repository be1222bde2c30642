// Package messages words ZITADEL's errors in the languages of ZITADEL's own language
// files, which an operator has from their ZITADEL: <language>.yaml, of nested keys.
package messages

import (
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"
	"golang.org/x/text/language"
)

// keys are the errors that native v1 words, by id, and their keys in the files. All
// others it says in English, or by a key.
var keys = map[string]string{
	"COMMAND-G8dh3": "Errors.User.Password.NotFound",
	"COMMAND-M9dse": "Errors.User.NotInitialised",
	"COMMAND-CahN2": "Errors.Internal",
	"DOMAIN-HuJf6":  "Errors.User.PasswordComplexityPolicy.MinLength",
	"DOMAIN-co3Xw":  "Errors.User.PasswordComplexityPolicy.HasLower",
	"DOMAIN-VoaRj":  "Errors.User.PasswordComplexityPolicy.HasUpper",
	"DOMAIN-ZBv4H":  "Errors.User.PasswordComplexityPolicy.HasNumber",
	"DOMAIN-ZDLwA":  "Errors.User.PasswordComplexityPolicy.HasSymbol",
	"QUERY-1kIjX":   "Errors.Instance.NotFound",
}

// Catalog is the words of a folder's files. It does not change.
type Catalog struct {
	words map[language.Tag]map[string]string // by language and error id
	tags  []language.Tag
}

// Files are those in a folder that Load reads; none for "".
func Files(dir string) []string {
	paths, _ := fs.Glob(os.DirFS(dir), "*.yaml")
	for i, name := range paths {
		paths[i] = filepath.Join(dir, name)
	}
	return paths
}

// Load reads all files of a folder that end in .yaml. The error names messages.dir and
// the file.
func Load(dir string) (*Catalog, error) {
	if _, err := os.Stat(dir); err != nil {
		return nil, fmt.Errorf("messages.dir: %q: missing: name the folder of ZITADEL's language files, such as internal/static/i18n of its source", dir)
	}
	paths := Files(dir)
	if len(paths) == 0 {
		return nil, fmt.Errorf("messages.dir: %q: no .yaml file in it: name the folder of ZITADEL's language files, such as internal/static/i18n of its source", dir)
	}
	c := &Catalog{words: make(map[language.Tag]map[string]string, len(paths))}
	for _, path := range paths {
		tag, err := language.Parse(strings.TrimSuffix(filepath.Base(path), ".yaml"))
		if err != nil {
			return nil, fmt.Errorf("messages.dir: %s: its name is no language: name it as ZITADEL does, such as de.yaml", path)
		}
		if c.words[tag], err = loadFile(path); err != nil {
			return nil, fmt.Errorf("messages.dir: %s: %w", path, err)
		}
		c.tags = append(c.tags, tag)
	}
	// In this order of languages equally near is chosen as by ZITADEL (languages.tsv).
	slices.SortFunc(c.tags, func(a, b language.Tag) int { return strings.Compare(b.String(), a.String()) })
	return c, nil
}

func loadFile(path string) (map[string]string, error) {
	content, err := os.ReadFile(path) //nolint:gosec // the operator names the folder
	if err != nil {
		return nil, err
	}
	var file any
	if err := yaml.Unmarshal(content, &file); err != nil {
		return nil, err
	}
	words := map[string]string{}
	for id, key := range keys {
		at := file
		for name := range strings.SplitSeq(key, ".") {
			section, _ := at.(map[string]any)
			at = section[name]
		}
		if text, ok := at.(string); ok {
			words[id] = text
		}
	}
	if len(words) == 0 {
		return nil, fmt.Errorf("no %s in it, nor any other error's text", keys["COMMAND-G8dh3"])
	}
	return words, nil
}

// Languages are those that were found, sorted.
func (c *Catalog) Languages() []string {
	names := make([]string, 0, len(c.tags))
	for _, tag := range c.tags {
		names = append(names, tag.String())
	}
	slices.Sort(names)
	return names
}

// Has reports whether an error is one that native v1 words.
func (*Catalog) Has(id string) bool { return keys[id] != "" }

// Lookup is an error's text in the language that ZITADEL chooses: of those wanted, each a
// language or in Accept-Language's syntax (RFC 9110 section 12.5.4) and in order of
// preference, the nearest there is, or else the instance's default, "" if it is not
// known. false: there is no text.
func (c *Catalog) Lookup(id, instanceDefault string, wanted ...string) (text string, ok bool) {
	var desired []language.Tag
	for _, each := range wanted {
		if tags, _, err := language.ParseAcceptLanguage(each); err == nil {
			desired = append(desired, tags...)
		}
	}
	tags := c.tags
	standard, err := language.Parse(instanceDefault)
	known := err == nil && c.words[standard] != nil
	if known { // the first is chosen if none is near
		tags = slices.Concat([]language.Tag{standard}, tags)
	}
	_, chosen, confidence := language.NewMatcher(tags).Match(desired...)
	if confidence == language.No && !known {
		return "", false
	}
	text, ok = c.words[tags[chosen]][id]
	return text, ok
}
