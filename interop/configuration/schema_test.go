// Package configuration_test holds config.schema.json, which editors use, against what the
// program takes.
package configuration_test

import (
	"io/fs"
	"math/big"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/santhosh-tekuri/jsonschema/v6"
	"go.yaml.in/yaml/v3"

	"zitadel-v1-adapter/internal/app"
	"zitadel-v1-adapter/internal/config"
)

const root = "../../"

// The schema is one, and takes config.yaml, which names it, and the default of every key.
func TestSchemaTakesTheExampleAndTheDefaults(t *testing.T) {
	t.Parallel()
	schema := compile(t)
	content, err := os.ReadFile(root + "config.yaml")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(root + schemaOf(t, content)); err != nil {
		t.Errorf("the schema that config.yaml names: %v", err)
	}
	if err := validate(t, schema, string(content)); err != nil {
		t.Errorf("config.yaml: %v", err)
	}
	keys := config.Keys()
	for _, key := range keys {
		property := propertyOf(t, schema, key)
		if property.Default == nil {
			t.Fatalf("%s has no default", key)
		}
		if err := property.Validate(*property.Default); err != nil {
			t.Errorf("the default of %s: %v", key, err)
		}
	}
	t.Logf("config.yaml and %d defaults are valid", len(keys))
}

// schemaOf is the schema that a file names for editors.
func schemaOf(t *testing.T, content []byte) string {
	t.Helper()
	found := regexp.MustCompile(`(?m)^# yaml-language-server: \$schema=(\S+)$`).FindSubmatch(content)
	if found == nil {
		t.Fatal("no line names the schema")
	}
	return string(found[1])
}

// The schema takes what the recipes in deploy/ set, in files and in the environment.
func TestSchemaTakesEveryRecipe(t *testing.T) {
	t.Parallel()
	schema := compile(t)
	variable := regexp.MustCompile(`\b(V1ADAPTER_[A-Z_0-9]+)(?:, value: ([^}\s]+)\}|: (\S+)|=(\S+))`)
	byVariable := map[string]string{}
	for _, key := range config.Keys() {
		byVariable[config.Variable(key)] = key
	}
	settings := 0
	err := filepath.WalkDir(root+"deploy", func(path string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		content, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		for _, found := range variable.FindAllStringSubmatch(string(content), -1) {
			key, value := byVariable[found[1]], strings.Trim(strings.Join(found[2:], ""), `"`)
			if key == "" {
				t.Errorf("%s: %s sets no key", path, found[1])
				continue
			}
			if _, isList := (*propertyOf(t, schema, key).Default).([]any); isList { // by commas
				value = strings.ReplaceAll(value, ",", `", "`)
				value = `["` + value + `"]`
			} else {
				value = strconv.Quote(value)
			}
			settings++
			if err := validate(t, schema, nested(key, value)); err != nil {
				t.Errorf("%s: %s: %v", path, found[0], err)
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if settings == 0 {
		t.Error("no recipe sets anything")
	}
	t.Logf("%d settings of recipes are valid", settings)
}

// What the schema takes the program takes, and what it refuses the program refuses.
func TestSchemaAndProgramAgree(t *testing.T) {
	t.Parallel()
	schema := compile(t)
	for file, want := range map[string]bool{
		"": true, "{}": true, "server:": true, "server: {listen: }": true, "log: ~": true,
		"upstream: {url: 'https://zitadel.example.com', host: client, protocol: grpc}": true,
		// Keys.
		"colour: red": false, "upstream: {uri: http://x}": false, "server: {tls: {cert: x}}": false, "Server: {listen: ':1'}": false,
		// What kind of value.
		"server: x": false, "log: [level]": false, "- upstream": false, "text": false, "42": false,
		"server: {trustedProxies: 10.0.0.0/8}": true, "server: {trustedProxies: '10.0.0.0/8,unix'}": true, "server: {trustedProxies: {a: b}}": false, "server: {trustedProxies: [{unix: }]}": false, "server: {trustedProxies: [10.0.0.0/8, unix]}": true,
		"server: {listen: [':1']}": false, "admin: {hosts: [a, 1]}": true, "deprecation: {exempt: [401037506155383846]}": true,
		// Durations.
		"server: {shutdownDelay: 5s}": true, "server: {shutdownDelay: 1m30s}": true, "server: {shutdownDelay: 1.5h}": true, "server: {shutdownDelay: '0s'}": true,
		"server: {shutdownDelay: 5}": false, "server: {shutdownDelay: 0}": false, "server: {shutdownDelay: 1d}": true, "server: {shutdownDelay: 1d12h}": true, "server: {shutdownDelay: 1.5d}": false, "server: {shutdownDelay: 1h1d}": false, "server: {shutdownDelay: 5 s}": false,
		"server: {shutdownDelay: ''}": false, "server: {shutdownDelay: soon}": false, "server: {shutdownDelay: true}": false,
		// Numbers.
		"retry: {attempts: 7}": true, "retry: {attempts: '7'}": true, "retry: {attempts: 12.5}": false, "retry: {attempts: many}": false, "retry: {attempts: true}": false, "retry: {attempts: ''}": false,
		"retry: {budget: 0.25}": true, "retry: {budget: '.5'}": true, "retry: {budget: 1e-2}": true, "retry: {budget: half}": false, "retry: {budget: .nan}": false, "retry: {budget: .inf}": false,
		// Yes and no.
		"rollout: {shadow: true, percent: 50}": true, "rollout: {shadow: 'false'}": true, "rollout: {shadow: yes}": false, "rollout: {shadow: 1}": false, "rollout: {shadow: ''}": false,
		// Choices.
		"orgScope: off": true, "orgScope: 'strict'": true, "orgScope: loose": false, "orgScope: Strict": false, "orgScope: true": false, "orgScope: ''": false,
		"upstream: {protocol: connect}": true, "upstream: {protocol: rest}": false, "server: {grpcHealth: own}": true, "server: {grpcReflection: none}": false,
		"deprecation: {afterSunset: serve}": true, "deprecation: {afterSunset: later}": false, "log: {format: text}": true, "log: {format: xml}": false,
		"server: {tls: {minVersion: 1.3}}": true, "server: {tls: {minVersion: '1.2'}}": true, "server: {tls: {minVersion: 1.1}}": false,
		"log: {level: WARN}": true, "log: {level: Debug}": true, "log: {level: loud}": false, "log: {level: info+2}": false, "log: {level: 0}": false,
		// Times.
		"deprecation: {since: 2025-11-03}": true, "deprecation: {since: '2025-11-03T12:00:00Z'}": true, "deprecation: {since: 2025-11-03T12:00:00+01:00}": true,
		"deprecation: {since: ''}": true, "deprecation: {since: soon}": false, "deprecation: {since: 2025}": false, "deprecation: {since: 03.11.2025}": false, "deprecation: {since: 2025-11-03 12:00}": false,
	} {
		refusal, said := validate(t, schema, file), run(t, file)
		if got := refusal == nil; got != want {
			t.Errorf("%s: the schema takes it: %v (%v), want %v", file, got, refusal, want)
		}
		if got := said == nil; got != want {
			t.Errorf("%s: the program takes it: %v (%v), want %v", file, got, said, want)
		}
	}
}

// The bounds of numbers in the schema are the program's: it takes what is on them, and refuses
// what is beyond.
func TestBoundsAreThePrograms(t *testing.T) {
	t.Parallel()
	schema := compile(t)
	bounds := 0
	for _, key := range config.Keys() {
		property := propertyOf(t, schema, key)
		if len(property.AnyOf) == 0 {
			continue
		}
		for value, want := range onAndBeyondBounds(property.AnyOf[0]) {
			bounds++
			file := nested(key, value)
			if refusal := validate(t, schema, file); (refusal == nil) != want {
				t.Errorf("%s: the schema says %v, want it taken: %v", file, refusal, want)
			}
			if said := run(t, file); (said == nil) != want {
				t.Errorf("%s: the program says %v, want it taken: %v", file, said, want)
			}
		}
	}
	t.Logf("%d values on bounds and beyond", bounds)
}

// onAndBeyondBounds are the values on the bounds of a number, and those beyond; true are those that
// are within.
func onAndBeyondBounds(number *jsonschema.Schema) map[string]bool {
	values := map[string]bool{}
	set := func(bound *big.Rat, beyond int64, within bool) {
		if bound != nil {
			at := bound.Num().Int64()
			values[strconv.FormatInt(at, 10)], values[strconv.FormatInt(at+beyond, 10)] = within, false
		}
	}
	set(number.Minimum, -1, true)
	set(number.ExclusiveMinimum, -1, false)
	set(number.Maximum, 1, true)
	return values
}

// compile compiles the schema, which its own schema checks.
func compile(t *testing.T) *jsonschema.Schema {
	t.Helper()
	schema, err := jsonschema.NewCompiler().Compile(root + "config.schema.json")
	if err != nil {
		t.Fatal(err)
	}
	return schema
}

// propertyOf is the schema of a key.
func propertyOf(t *testing.T, schema *jsonschema.Schema, key string) *jsonschema.Schema {
	t.Helper()
	for name := range strings.SplitSeq(key, ".") {
		if schema = schema.Properties[name]; schema == nil {
			t.Fatalf("the schema has no %s", key)
		}
	}
	return schema
}

// nested is a file that sets a key.
func nested(key, value string) string {
	names := strings.Split(key, ".")
	return strings.Join(names, ": {") + ": " + value + strings.Repeat("}", len(names)-1)
}

// run reads a file as the program does, which checks it before it starts. The error is the
// program's.
func run(t *testing.T, file string) error {
	t.Helper()
	path := filepath.Join(t.TempDir(), "config.yaml")
	if err := os.WriteFile(path, []byte(file), 0o600); err != nil {
		t.Fatal(err)
	}
	_, err := config.Read(path, []string{"V1ADAPTER_UPSTREAM_URL=https://zitadel.example.com"}, nil, app.Validate)
	return err
}

// validate is what the schema says of a file.
func validate(t *testing.T, schema *jsonschema.Schema, file string) error {
	t.Helper()
	var document yaml.Node
	if err := yaml.Unmarshal([]byte(file), &document); err != nil {
		t.Fatalf("%s: %v", file, err)
	}
	if len(document.Content) == 0 { // an empty file
		return schema.Validate(nil)
	}
	return schema.Validate(inJSON(t, document.Content[0]))
}

// inJSON is a YAML value as editors take it: times are text.
func inJSON(t *testing.T, node *yaml.Node) any {
	t.Helper()
	switch node.Tag {
	case "!!map":
		object := map[string]any{}
		for pair := range slices.Chunk(node.Content, 2) {
			object[pair[0].Value] = inJSON(t, pair[1])
		}
		return object
	case "!!seq":
		list := make([]any, len(node.Content))
		for i, element := range node.Content {
			list[i] = inJSON(t, element)
		}
		return list
	case "!!timestamp":
		return node.Value
	}
	var scalar any
	if err := node.Decode(&scalar); err != nil {
		t.Fatal(err)
	}
	return scalar
}
