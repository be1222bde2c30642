package config_test

import (
	"flag"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
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

//go:generate go test . -run TestConfigurationDocument -update

var update = flag.Bool("update", false, "write the generated part of docs/configuration.md")

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
	document := keyDocument{comments: fieldComments(t)}
	document.section(t, "", "", reflect.ValueOf(config.Default()))
	for _, key := range config.Keys() {
		if !strings.Contains(document.String(), "\n| `"+key+"` | ") {
			t.Errorf("no row for %s", key)
		}
	}
	want := introduction + begin + document.String() + "\n" + end + after
	switch {
	case want == string(content):
	case *update:
		if err := os.WriteFile(path, []byte(want), 0o600); err != nil {
			t.Fatal(err)
		}
	default:
		t.Errorf("%s is not what internal/config says:\n%s\nTo update it: %s", path, lineDiff(string(content), want), command)
	}
}

// fieldComments are the comments of the fields of the sections' structs, by type and
// field ("Server.Listen"), on one line, with <br> between paragraphs.
func fieldComments(t *testing.T) map[string]string {
	t.Helper()
	comments := map[string]string{}
	for _, name := range []string{"config.go", "migration.go"} {
		file, err := parser.ParseFile(token.NewFileSet(), name, nil, parser.ParseComments)
		if err != nil {
			t.Fatal(err)
		}
		addFieldComments(comments, file)
	}
	return comments
}

func addFieldComments(comments map[string]string, file *ast.File) {
	ast.Inspect(file, func(node ast.Node) bool {
		declared, ok := node.(*ast.TypeSpec)
		if !ok {
			return true
		}
		if fields, ok := declared.Type.(*ast.StructType); ok {
			for _, field := range fields.Fields.List {
				for _, name := range field.Names {
					paragraphs := strings.ReplaceAll(strings.TrimSpace(field.Doc.Text()), "\n\n", "<br>")
					comments[declared.Name.Name+"."+name.Name] = strings.ReplaceAll(paragraphs, "\n", " ")
				}
			}
		}
		return false
	})
}

// keyDocument is the generated part: a heading, an introduction and a table for each
// section, and for each key that is in none.
type keyDocument struct {
	strings.Builder

	comments map[string]string
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
		what := d.what(t, fields.Type().Name(), field.Name)
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

// what is the comment of a field in Markdown, without "<Name> is". Keys, flags, and what
// has quotation marks, become code.
func (d *keyDocument) what(t *testing.T, typeName, name string) string {
	t.Helper()
	comment := d.comments[typeName+"."+name]
	what, ok := strings.CutPrefix(comment, name+" is ")
	if !ok {
		what, ok = strings.CutPrefix(comment, name+" are ")
	}
	if !ok || !strings.HasSuffix(what, ".") {
		t.Errorf("%s.%s needs a comment of whole sentences that begins with %q", typeName, name, name+" is")
		return comment
	}
	code := regexp.MustCompile(`"[^"]*"|--[a-z-]+[a-z]|\b[a-z][a-zA-Z0-9]*(\.[a-zA-Z0-9]+)+|\borgScope\b`)
	what = code.ReplaceAllStringFunc(strings.ToUpper(what[:1])+what[1:], func(found string) string {
		if text := strings.Trim(found, `"`); text != "" {
			found = text
		}
		return "`" + found + "`"
	})
	return strings.ReplaceAll(what, "|", `\|`)
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
