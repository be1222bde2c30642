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
)

//go:generate go test . -run TestConfiguration(Document|Schema) -update

var update = flag.Bool("update", false, "write the generated part of docs/configuration.md, and config.schema.json")

// docs/configuration.md says of every key what the comment of its field and the
// default say. With -update, it is made to.
func TestConfigurationDocument(t *testing.T) {
	t.Parallel()
	const (
		path    = "../../docs/configuration.md"
		command = "go test ./internal/config -run TestConfigurationDocument -update"
		begin   = "<!-- Generated from the comments in internal/config: " + command + " -->\n"
		end     = "<!-- End of the generated part. -->\n"
	)
	content, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	introduction, rest, begins := strings.Cut(string(content), begin)
	_, after, ends := strings.Cut(rest, end)
	if !begins || !ends {
		t.Fatalf("%s lacks one of these lines:\n%s%s", path, begin, end)
	}
	document := keyDocument{comments: readFieldComments(t)}
	document.section(t, "", "", reflect.ValueOf(config.Default()))
	for _, key := range config.Keys() {
		if !strings.Contains(document.String(), "\n| `"+key+"` | ") {
			t.Errorf("no row for %s", key)
		}
	}
	wantFile(t, path, string(content), introduction+begin+document.String()+"\n"+end+after, command)
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

// keyDocument is the generated part: a heading, an introduction and a table for each
// section, and for each key that is in none.
type keyDocument struct {
	strings.Builder

	comments fieldComments
}

// section writes about a section, then about those in it. The path of the whole
// configuration is "".
func (d *keyDocument) section(t *testing.T, path, introduction string, fields reflect.Value) {
	t.Helper()
	if path != "" {
		d.heading(path)
		fmt.Fprintf(d, "\n%s\n", introduction)
		d.tableHead()
	}
	var sections []func()
	for field, value := range fields.Fields() {
		key := strings.TrimPrefix(path+"."+field.Tag.Get("yaml"), ".")
		what := inMarkdown(d.comments.about(t, fields.Type().Name(), field.Name))
		switch {
		case value.Kind() == reflect.Struct && value.Type() != reflect.TypeFor[time.Time]():
			sections = append(sections, func() { d.section(t, key, what, value) })
		case path == "":
			sections = append(sections, func() {
				d.heading(key)
				d.tableHead()
				d.row(key, what, value)
			})
		default:
			d.row(key, what, value)
		}
	}
	for _, write := range sections {
		write()
	}
}

func (d *keyDocument) heading(key string) { fmt.Fprintf(d, "\n### `%s`\n", key) }

func (d *keyDocument) tableHead() { fmt.Fprint(d, "\n| key | default | what |\n| --- | --- | --- |\n") }

func (d *keyDocument) row(key, what string, value reflect.Value) {
	fmt.Fprintf(d, "| `%s` | %s | %s |\n", key, printed(value), what)
}

// inMarkdown is a comment in a table of Markdown. Keys, flags, and what has quotation marks,
// become code.
func inMarkdown(comment string) string {
	code := regexp.MustCompile(`"[^"]*"|--[a-z-]+[a-z]|\b[a-z][a-zA-Z0-9]*(\.[a-zA-Z0-9]+)+|\borgScope\b`)
	comment = code.ReplaceAllStringFunc(comment, func(found string) string {
		if text := strings.Trim(found, `"`); text != "" {
			found = text
		}
		return "`" + found + "`"
	})
	return strings.NewReplacer("|", `\|`, "\n\n", "<br>").Replace(comment)
}

// printed is a default in Markdown.
func printed(value reflect.Value) string {
	text := fmt.Sprint(value.Interface())
	switch typed := value.Interface().(type) {
	case time.Duration:
		if strings.HasSuffix(text, "m0s") {
			text = strings.TrimSuffix(text, "0s")
		}
		if strings.HasSuffix(text, "h0m") {
			text = strings.TrimSuffix(text, "0m")
		}
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
