package config_test

import (
	"encoding/json"
	"go/ast"
	"go/parser"
	"go/token"
	"log/slog"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"zitadel-v1-adapter/internal/config"
)

// config.schema.json, a JSON Schema for editors, says of every key what docs/configuration.md, the
// type and the default of its field say. With -update, it is made to. interop/configuration holds
// it against what the program takes.
func TestConfigurationSchema(t *testing.T) {
	t.Parallel()
	const path = "../../config.schema.json" // beside config.yaml, which names it
	schema := section(t, readDescription(t), "", reflect.ValueOf(config.Default()))
	schema["$schema"], schema["title"] = "https://json-schema.org/draft/2020-12/schema", "The configuration of zitadel-v1-adapter"
	schema["$defs"] = kinds()
	made, err := json.MarshalIndent(schema, "", "  ")
	if err != nil {
		t.Fatal(err)
	}
	content, err := os.ReadFile(path)
	if err != nil && !*update {
		t.Fatal(err)
	}
	wantFile(t, path, string(content), string(made)+"\n", "go test ./internal/config -run TestConfigurationSchema -update")
}

// object is one in JSON.
type object = map[string]any

// section is the schema of a section and of those in it. A key without a value is as good as
// none.
func section(t *testing.T, described description, path string, fields reflect.Value) object {
	t.Helper()
	properties := object{}
	for field, value := range fields.Fields() {
		key := strings.TrimPrefix(path+"."+field.Tag.Get("yaml"), ".")
		about := described.sentences(t, key)
		var schema object
		if value.Kind() == reflect.Struct && value.Type() != reflect.TypeFor[time.Time]() {
			schema = section(t, described, key, value)
		} else {
			schema = schemaOf(t, value, about)
		}
		schema["description"] = about
		properties[field.Tag.Get("yaml")] = schema
	}
	return object{"type": []string{"object", "null"}, "properties": properties, "additionalProperties": false}
}

// The texts of numbers, as config.Load reads them.
const (
	wholeNumber = `^[-+]?[0-9]+$`
	number      = `^[-+]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][-+]?[0-9]+)?$`
)

// kinds are the schemas of values that many keys have, as config.Load reads them. A value counts
// as the text that is written, so that true may stand in quotation marks, and a text may look
// like a number.
func kinds() object {
	null, text := object{"type": "null"}, []string{"string", "number", "boolean", "null"}
	pattern := func(pattern string) object { return object{"type": "string", "pattern": pattern} }
	return object{
		"text":     object{"type": text},
		"list":     object{"type": append([]string{"array"}, text...), "items": object{"type": text}},
		"boolean":  object{"enum": []any{true, false, "true", "false", nil}},
		"duration": object{"anyOf": []any{pattern(`^[-+]?([0-9]+d|([0-9]+d)?(([0-9]+(\.[0-9]*)?|\.[0-9]+)(ns|us|µs|μs|ms|s|m|h))+)$`), null}},
		"time": object{"anyOf": []any{
			pattern(`^([0-9]{4}-[0-9]{2}-[0-9]{2}(T[0-9]{1,2}:[0-9]{2}:[0-9]{2}([.,][0-9]+)?(Z|[-+][0-9]{2}:[0-9]{2}))?)?$`), null,
		}},
		"level": object{"anyOf": []any{
			object{"enum": []string{"debug", "info", "warn", "error"}},
			pattern(`^([Dd][Ee][Bb][Uu][Gg]|[Ii][Nn][Ff][Oo]|[Ww][Aa][Rr][Nn]|[Ee][Rr][Rr][Oo][Rr])$`), null,
		}},
	}
}

// schemaOf is the schema of a key's value.
func schemaOf(t *testing.T, value reflect.Value, about string) object {
	t.Helper()
	kind := func(name string, unset any) object { return object{"$ref": "#/$defs/" + name, "default": unset} }
	switch of := value.Interface().(type) {
	case time.Duration:
		return kind("duration", strings.Trim(printed(value), "`"))
	case time.Time:
		return kind("time", "")
	case slog.Level:
		return kind("level", strings.ToLower(of.String()))
	case []string:
		return kind("list", of)
	}
	null := object{"type": "null"}
	switch value.Kind() {
	case reflect.Bool:
		return kind("boolean", value.Bool())
	case reflect.Int:
		return object{"anyOf": []any{bounded("integer", about), object{"type": "string", "pattern": wholeNumber}, null}, "default": value.Int()}
	case reflect.Float64:
		return object{"anyOf": []any{bounded("number", about), object{"type": "string", "pattern": number}, null}, "default": value.Float()}
	case reflect.String:
		if known := constants(t, value.Type()); known != nil {
			return object{"enum": append(known, nil), "default": value.String()}
		}
		return kind("text", value.String())
	default:
		t.Errorf("%v has no schema", value.Type())
		return object{}
	}
}

// bounded is the schema of a number with the bounds that its description names.
func bounded(kind, about string) object {
	schema := object{"type": kind}
	for keyword, phrase := range map[string]string{
		"minimum":          `(?i)\b(?:from ([0-9]+) to|at least ([0-9]+)\.|(0) means)`,
		"exclusiveMinimum": `\bAbove ([0-9]+)\b`,
		"maximum":          `(?i)\b(?:from [0-9]+ to|up to) ([0-9]+)\b`,
	} {
		if found := regexp.MustCompile(phrase).FindStringSubmatch(about); found != nil {
			bound, _ := strconv.Atoi(strings.Join(found[1:], "")) // digits
			schema[keyword] = bound
		}
	}
	return schema
}

// constants are the values of a type of text that its package declares, in their order; none
// for a plain string.
func constants(t *testing.T, of reflect.Type) []any {
	t.Helper()
	folder, own := strings.CutPrefix(of.PkgPath(), "zitadel-v1-adapter/")
	if !own {
		return nil
	}
	files, err := filepath.Glob("../../" + folder + "/*.go")
	if err != nil {
		t.Fatal(err)
	}
	var values []any
	for _, name := range files {
		file, err := parser.ParseFile(token.NewFileSet(), name, nil, 0)
		if err != nil {
			t.Fatal(err)
		}
		ast.Inspect(file, func(node ast.Node) bool {
			declared, ok := node.(*ast.ValueSpec)
			if !ok {
				return true
			}
			if typeName, ok := declared.Type.(*ast.Ident); !ok || typeName.Name != of.Name() {
				return false
			}
			for _, value := range declared.Values {
				if literal, ok := value.(*ast.BasicLit); ok {
					text, _ := strconv.Unquote(literal.Value) // Go's own
					values = append(values, text)
					if number, err := strconv.ParseFloat(text, 64); err == nil { // it may stand without quotation marks
						values = append(values, number)
					}
				}
			}
			return false
		})
	}
	if values == nil {
		t.Errorf("%v has no constants", of)
	}
	return values
}
