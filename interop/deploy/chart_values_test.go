package deploy_test

import (
	"encoding/json"
	"flag"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"

	"go.yaml.in/yaml/v3"
	sigsyaml "sigs.k8s.io/yaml"
)

var update = flag.Bool("update", false, "write what is generated in deploy/: deploy/kubernetes, and parts of the chart's README.md and values.schema.json")

// updateCommand is what to do about a file that is not as it should be.
const updateCommand = "cd interop/deploy && go test . -run Chart -update"

// wantFile compares a file with what it should be. With -update, it is made to.
func wantFile(t *testing.T, path, want string) {
	t.Helper()
	if *update {
		if err := os.WriteFile(path, []byte(want), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	content, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if string(content) != want {
		t.Errorf("%s is not up to date: %s", path, updateCommand)
	}
}

// value is one of values.yaml: not a section, but what is in it.
type value struct {
	path, comment, byDefault string
}

// documentedValues reads values.yaml. What has no comment fails the test, but for sections.
func documentedValues(t *testing.T) []value {
	t.Helper()
	content, err := os.ReadFile(chart + "/values.yaml")
	if err != nil {
		t.Fatal(err)
	}
	var document yaml.Node
	if err := yaml.Unmarshal(content, &document); err != nil {
		t.Fatal(err)
	}
	return valuesIn(t, document.Content[0], "")
}

// valuesIn reads a section. One whose keys have no comments is one value.
func valuesIn(t *testing.T, section *yaml.Node, prefix string) []value {
	t.Helper()
	var all []value
	for pair := range slices.Chunk(section.Content, 2) {
		path, of := prefix+pair[0].Value, pair[1]
		comment := strings.ReplaceAll(strings.ReplaceAll(pair[0].HeadComment, "\n# ", " "), "# ", "")
		if hasComments(of) {
			all = append(all, valuesIn(t, of, path+".")...)
			continue
		}
		if !strings.HasSuffix(comment, ".") {
			t.Errorf("values.yaml: %s: got the comment %q, want a sentence", path, comment)
		}
		var byDefault any
		if err := of.Decode(&byDefault); err != nil {
			t.Fatal(err)
		}
		text, err := json.Marshal(byDefault)
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, value{path, comment, strings.Trim(string(text), `"`)})
	}
	return all
}

// hasComments tells whether a key in a section has a comment.
func hasComments(section *yaml.Node) bool {
	return slices.ContainsFunc(section.Content, func(in *yaml.Node) bool { return in.HeadComment != "" || hasComments(in) })
}

// README.md of the chart says of each value what values.yaml says. With -update, it is made to.
func TestChartDocument(t *testing.T) {
	t.Parallel()
	const path, begin = chart + "/README.md", "<!-- Generated from values.yaml: " + updateCommand + " -->\n"
	content, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	introduction, _, found := strings.Cut(string(content), begin)
	if !found {
		t.Fatalf("%s lacks the line %s", path, begin)
	}
	var table strings.Builder
	for _, each := range documentedValues(t) {
		byDefault := "none"
		if each.byDefault != "" {
			byDefault = "`" + each.byDefault + "`"
		}
		fmt.Fprintf(&table, "| `%s` | %s | %s |\n", each.path, byDefault, each.comment)
	}
	wantFile(t, path, introduction+begin+"\n| value | default | what |\n| --- | --- | --- |\n"+table.String())
}

// Each value is set in one of the value sets, so that the tests see what it does.
func TestChartValueSetsUseEachValue(t *testing.T) {
	t.Parallel()
	used := map[string]bool{}
	for _, file := range valueSets(t) {
		content, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		var set map[string]any
		if err := sigsyaml.Unmarshal(content, &set); err != nil {
			t.Fatal(err)
		}
		addPaths(used, set, "")
	}
	for _, each := range documentedValues(t) {
		if !used[each.path] {
			t.Errorf("no file in %s/ci sets %s", chart, each.path)
		}
	}
}

// addPaths adds the path of each key, those of sections included.
func addPaths(to map[string]bool, section map[string]any, prefix string) {
	for key, of := range section {
		to[prefix+key] = true
		if deeper, ok := of.(map[string]any); ok {
			addPaths(to, deeper, prefix+key+".")
		}
	}
}

// schema is what the tests look at in a JSON Schema.
type schema struct {
	Properties           map[string]schema `json:"properties"`
	AdditionalProperties any               `json:"additionalProperties"`
}

// values.schema.json has the values of values.yaml and no others, and those keys of the
// configuration that the chart does not set itself, as config.schema.json has them. With -update,
// the part about the configuration is made to.
func TestChartSchema(t *testing.T) {
	t.Parallel()
	const path, begin = chart + "/values.schema.json", "  \"$defs\": "
	content, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	values, _, _ := strings.Cut(string(content), begin)
	definitions, err := json.MarshalIndent(configDefinitions(t), "  ", "  ")
	if err != nil {
		t.Fatal(err)
	}
	wantFile(t, path, values+begin+string(definitions)+"\n}\n")

	var root schema
	if err := json.Unmarshal(content, &root); err != nil {
		t.Fatal(err)
	}
	inSchema, inValues := map[string]bool{}, map[string]bool{"global": true} // helm adds it to what dependencies get
	addProperties(t, inSchema, root, "")
	for _, each := range documentedValues(t) {
		inValues[each.path] = true
	}
	if !maps.Equal(inSchema, inValues) {
		t.Errorf("values.schema.json has %v, want the values of values.yaml, %v", slices.Sorted(maps.Keys(inSchema)), slices.Sorted(maps.Keys(inValues)))
	}
}

// addProperties adds the path of each property that has none itself.
func addProperties(t *testing.T, to map[string]bool, section schema, prefix string) {
	t.Helper()
	if section.AdditionalProperties != false {
		t.Errorf("values.schema.json: %s: other properties are allowed", prefix)
	}
	for name, property := range section.Properties {
		if len(property.Properties) == 0 {
			to[prefix+name] = true
			continue
		}
		addProperties(t, to, property, prefix+name+".")
	}
}

// setByChart are the keys of the configuration that the chart always sets, or only together
// with the Secret that they name a file of.
var setByChart = []string{
	"server.listen", "server.tls.certFile", "server.tls.keyFile", "server.tls.clientCAFile",
	"admin.listen", "admin.tls.certFile", "admin.tls.keyFile", "admin.tls.clientCAFile", "admin.tokenFile",
}

// configDefinitions are the schema of the configuration and those that it refers to. Helm makes
// large numbers in lists, such as the ids of users, inexact: there they have to be text.
func configDefinitions(t *testing.T) map[string]any {
	t.Helper()
	content, err := os.ReadFile("../../config.schema.json")
	if err != nil {
		t.Fatal(err)
	}
	var root map[string]any
	if err := json.Unmarshal(content, &root); err != nil {
		t.Fatal(err)
	}
	definitions := root["$defs"].(map[string]any)
	definitions["list"] = map[string]any{"type": []string{"array", "string"}, "items": map[string]any{"type": "string"}}
	definitions["config"] = sectionForChart(root, "")
	return definitions
}

// sectionForChart is the schema of a section without the keys that the chart sets. It is not null:
// templates look into it.
func sectionForChart(section map[string]any, path string) map[string]any {
	all := section["properties"].(map[string]any)
	properties := map[string]any{}
	for name, of := range all {
		key := strings.TrimPrefix(path+"."+name, ".")
		property := of.(map[string]any)
		if property["properties"] != nil {
			property = sectionForChart(property, key)
		}
		if !slices.Contains(setByChart, key) && !reflect.DeepEqual(property["properties"], map[string]any{}) {
			properties[name] = property
		}
	}
	return map[string]any{"type": "object", "additionalProperties": false, "properties": properties}
}

// Objects are named as users of helm's charts know it.
func TestChartNames(t *testing.T) {
	t.Parallel()
	for name, named := range map[string]struct{ release, set, want string }{
		"the release and the chart":      {"prod", "", "prod-zitadel-v1-adapter"},
		"a release named like the chart": {"zitadel-v1-adapter-prod", "", "zitadel-v1-adapter-prod"},
		"another name for the chart":     {"prod", "nameOverride=passwords", "prod-passwords"},
		"another name altogether":        {"prod", "fullnameOverride=passwords", "passwords"},
		"no more than 63 characters":     {strings.Repeat("a", 43) + "-bc", "", strings.Repeat("a", 43) + "-bc-zitadel-v1-adapt"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			out, err := helm(t, "template", named.release, chart, "--values", chart+"/ci/default-values.yaml", "--set", named.set)
			if err != nil {
				t.Fatal(err)
			}
			objects := parse(t, out)
			if deployment, service := objects.Deployments[0].Name, objects.Services[0].Name; deployment != named.want || service != named.want {
				t.Errorf("got the names %s and %s, want %s", deployment, service, named.want)
			}
		})
	}
}

// The chart passes helm's own strict look, with each value set and as it is.
func TestChartPassesLint(t *testing.T) {
	t.Parallel()
	for _, file := range append(valueSets(t), chart+"/values.yaml") {
		t.Run(filepath.Base(file), func(t *testing.T) {
			t.Parallel()
			if out, err := helm(t, "lint", "--strict", chart, "--values", file); err != nil {
				t.Errorf("%s%v", out, err)
			}
		})
	}
}
