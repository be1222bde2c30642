package config_test

import (
	"flag"
	"fmt"
	"log/slog"
	"os"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"zitadel-v1-adapter/internal/config"
	"zitadel-v1-adapter/internal/duration"
)

//go:generate go test . -run TestConfigurationSchema -update

var update = flag.Bool("update", false, "write config.schema.json")

// description is what docs/configuration.md says of the keys.
type description struct {
	outline []string          // its headings, and of its entries the key and the default
	about   map[string]string // by key or section
}

var (
	headingLine = regexp.MustCompile("^### `(.+)`$")
	entryLine   = regexp.MustCompile("^(- `(.+?)`, default (?:none|`.*?`): )(.*)$")
)

func readDescription(t *testing.T) description {
	t.Helper()
	content, err := os.ReadFile("../../docs/configuration.md")
	if err != nil {
		t.Fatal(err)
	}
	_, keys, found := strings.Cut(string(content), "\n## Keys\n")
	if !found {
		t.Fatal("docs/configuration.md has no heading Keys")
	}
	keys, _, _ = strings.Cut(keys, "\n## ")
	d := description{about: map[string]string{}}
	about := "" // what the lines are about
	for line := range strings.SplitSeq(keys, "\n") {
		text := strings.TrimPrefix(line, "  - ") // a value of a key
		if heading := headingLine.FindStringSubmatch(line); heading != nil {
			d.outline, about, text = append(d.outline, line), heading[1], ""
		} else if entry := entryLine.FindStringSubmatch(line); entry != nil {
			d.outline, about, text = append(d.outline, entry[1]), entry[2], entry[3]
		} else if text != line {
			d.about[about] += "\n\n"
		} else if d.about[about] != "" {
			text = " " + strings.TrimSpace(line)
		}
		d.about[about] += text
	}
	for name, text := range d.about {
		d.about[name] = strings.TrimSpace(withoutMarkdown(text))
	}
	return d
}

// withoutMarkdown is a text for editors, most of which show it as it is: keys and flags stand in it
// without a mark, and values in quotation marks.
func withoutMarkdown(text string) string {
	plain := regexp.MustCompile(`^(""|--[a-z-]+|[a-z][a-zA-Z0-9]*(\.[a-zA-Z0-9]+)+|orgScope)$`)
	text = regexp.MustCompile("`[^`]*`").ReplaceAllStringFunc(text, func(code string) string {
		if code = strings.Trim(code, "`"); plain.MatchString(code) {
			return code
		}
		return `"` + code + `"`
	})
	return text
}

// sentences is what is said of a key or a section.
func (d description) sentences(t *testing.T, key string) string {
	t.Helper()
	if about := d.about[key]; len(about) > 1 && strings.HasSuffix(about, ".") {
		return about
	}
	t.Errorf("docs/configuration.md says of %s %q, want whole sentences", key, d.about[key])
	return ""
}

// docs/configuration.md describes every section and every key, in the order of the structs, and
// names its default.
func TestConfigurationDocument(t *testing.T) {
	t.Parallel()
	got, want := readDescription(t).outline, outline("", reflect.ValueOf(config.Default()))
	if !slices.Equal(got, want) {
		t.Errorf("docs/configuration.md is not what internal/config says:\n%s",
			lineDiff(strings.Join(got, "\n"), strings.Join(want, "\n")))
	}
}

// outline is a section's heading and entries, then those of the sections in it. The path of the
// whole configuration is "".
func outline(path string, fields reflect.Value) []string {
	var entries, sections []string
	for field, value := range fields.Fields() {
		key := strings.TrimPrefix(path+"."+field.Tag.Get("yaml"), ".")
		heading, entry := "### `"+key+"`", "- `"+key+"`, default "+printed(value)+": "
		switch {
		case value.Kind() == reflect.Struct && value.Type() != reflect.TypeFor[time.Time]():
			sections = append(append(sections, heading), outline(key, value)...)
		case path == "":
			sections = append(sections, heading, entry)
		default:
			entries = append(entries, entry)
		}
	}
	return append(entries, sections...)
}

// wantFile compares the content of a generated file with what it should be. With -update, the
// file is made to be that.
func wantFile(t *testing.T, path, content, want, command string) {
	t.Helper()
	switch {
	case want == content:
	case *update:
		if err := os.WriteFile(path, []byte(want), 0o600); err != nil {
			t.Fatal(err)
		}
	default:
		t.Errorf("%s is not what internal/config says:\n%s\nTo update it: %s", path, lineDiff(content, want), command)
	}
}

// printed is a default in Markdown.
func printed(value reflect.Value) string {
	text := fmt.Sprint(value.Interface())
	switch typed := value.Interface().(type) {
	case time.Duration:
		text = duration.Format(typed)
	case time.Time:
		if typed.IsZero() {
			text = ""
		}
	case slog.Level:
		text = strings.ToLower(text)
	case []string:
		text = "[" + strings.Join(typed, ", ") + "]"
	}
	if text == "" {
		return "none"
	}
	return "`" + text + "`"
}

// lineDiff is the lines between the first and the last that differ.
func lineDiff(got, want string) string {
	gotLines, wantLines := strings.Split(got, "\n"), strings.Split(want, "\n")
	first := 0
	for first < min(len(gotLines), len(wantLines)) && gotLines[first] == wantLines[first] {
		first++
	}
	gotLines, wantLines = gotLines[first:], wantLines[first:]
	for len(gotLines) > 0 && len(wantLines) > 0 && gotLines[len(gotLines)-1] == wantLines[len(wantLines)-1] {
		gotLines, wantLines = gotLines[:len(gotLines)-1], wantLines[:len(wantLines)-1]
	}
	var diff strings.Builder
	fmt.Fprintf(&diff, "line %d:\n", first+1)
	for _, line := range slices.Concat(prefixed("- ", gotLines), prefixed("+ ", wantLines)) {
		diff.WriteString(line + "\n")
	}
	return strings.TrimSuffix(diff.String(), "\n")
}

func prefixed(prefix string, lines []string) []string {
	all := make([]string, len(lines))
	for i, line := range lines {
		all[i] = prefix + line
	}
	return all
}
