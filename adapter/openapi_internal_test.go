package adapter

import (
	"bytes"
	"encoding/json"
	"flag"
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"unicode"

	"google.golang.org/protobuf/reflect/protoreflect"
)

//go:generate go test . -run TestOpenAPIIsGenerated -update

var update = flag.Bool("update", false, "write openapi.json")

// openapi.json says what the methods' data and their messages say. With -update, it is made to.
// interop/openapi holds it against everything that was recorded.
func TestOpenAPIIsGenerated(t *testing.T) {
	t.Parallel()
	var made bytes.Buffer
	encoder := json.NewEncoder(&made)
	encoder.SetEscapeHTML(false)
	encoder.SetIndent("", "  ")
	if err := encoder.Encode(newDescription(t)); err != nil {
		t.Fatal(err)
	}
	switch {
	case made.String() == OpenAPI():
	case *update:
		if err := os.WriteFile("openapi.json", made.Bytes(), 0o600); err != nil {
			t.Fatal(err)
		}
	default:
		t.Errorf("openapi.json is not what the methods say, which is\n%s\nTo update it: go test ./adapter -run TestOpenAPIIsGenerated -update", &made)
	}
}

// object is one in JSON.
type object = map[string]any

// description is an OpenAPI document, in the order in which people read one.
type description struct {
	OpenAPI    string `json:"openapi"`
	Info       object `json:"info"`
	Servers    []any  `json:"servers"`
	Security   []any  `json:"security"`
	Paths      object `json:"paths"`
	Components object `json:"components"`
}

func newDescription(t *testing.T) description {
	t.Helper()
	schemas, paths, docs := schemas{}, object{}, methodComments(t)
	schemas.addRefusal()
	for _, m := range Methods() {
		paths[restPath(&m)] = pathItem(t, schemas, &m, docs)
	}
	return description{
		OpenAPI: "3.1.0",
		Info: object{
			"title":   "Calls of ZITADEL's Management API v1 that zitadel-v1-adapter answers",
			"version": "v1",
			"description": "The deprecated REST calls, as ZITADEL's own v1 takes and answers them. A body is JSON whatever its Content-Type says; " +
				"fields that v1 does not know, and what follows the first JSON document, are ignored; a body with a name twice is refused. " +
				"Everything else that the adapter is asked passes through to ZITADEL.",
			"license": object{"name": "Apache License 2.0", "identifier": "Apache-2.0"},
		},
		Servers:  []any{object{"url": "http://127.0.0.1:8080", "description": "The adapter at the default of server.listen. Yours may be elsewhere."}},
		Security: []any{object{"token": []string{}}},
		Paths:    paths,
		Components: object{
			"securitySchemes": object{"token": object{
				"type": "http", "scheme": "bearer",
				"description": "The caller's own token for ZITADEL, after the word Bearer, with a capital B.",
			}},
			"parameters": requestHeaders(),
			"headers":    answerHeaders(t),
			"responses":  refusals(),
			"schemas":    schemas,
		},
	}
}

// restPath is a method's path, with the parameters named as v1 documents them.
func restPath(m *Method) string {
	path := m.Pattern
	for _, name := range parameters(m) {
		path = strings.Replace(path, ":"+name, "{"+fieldOf(m, name).JSONName()+"}", 1)
	}
	return path
}

// parameters are the names of the fields that the path sets.
func parameters(m *Method) []string {
	var names []string
	for segment := range strings.SplitSeq(m.Pattern, "/") {
		if name, ok := strings.CutPrefix(segment, ":"); ok {
			names = append(names, name)
		}
	}
	return names
}

// fieldOf is the request's field with a name.
func fieldOf(m *Method, name string) protoreflect.FieldDescriptor {
	return m.newRequest("", "").ProtoReflect().Descriptor().Fields().ByName(protoreflect.Name(name))
}

// pathItem is what can be done under a method's path: call it, or, in a browser, ask first.
func pathItem(t *testing.T, known schemas, m *Method, docs map[string]string) object {
	t.Helper()
	names := parameters(m)
	inPath := make([]object, len(names))
	for i, name := range names {
		inPath[i] = pathParameter(m, fieldOf(m, name))
	}
	return object{
		"parameters": inPath,
		"post": object{
			"operationId": m.Name(), "summary": docs[m.Name()], "deprecated": true,
			"description": "Use SetPassword of the user service v2 instead.",
			"parameters":  refs("parameters", requestHeaders()),
			"requestBody": object{
				"required": true,
				"content":  object{"*/*": object{"schema": known.addRequest(t, m)}},
			},
			"responses": answers(known.addMessage(m.newResponse(nil).ProtoReflect().Descriptor())),
		},
		"options": object{
			"operationId": m.Name() + "Preflight", "summary": "Says what a page of another origin may send.", "deprecated": true,
			"security": []any{},
			"parameters": []any{
				object{"name": "Origin", "in": "header", "required": true, "schema": object{"type": "string"}},
				object{"name": "Access-Control-Request-Method", "in": "header", "required": true, "schema": object{"type": "string"}},
				object{"name": "Access-Control-Request-Headers", "in": "header", "schema": object{"type": "string"}},
			},
			"responses": preflightAnswers(),
		},
	}
}

func pathParameter(m *Method, field protoreflect.FieldDescriptor) object {
	schema := lengths(m, field)
	schema["type"], schema["pattern"] = "string", "^[^/]+$"
	return object{
		"name": field.JSONName(), "in": "path", "required": true, "schema": schema,
		"description": "No slash, percent-encoded or not: v1 takes it for the path's.",
	}
}

// requestHeaders are the headers that v1 reads, by name.
func requestHeaders() object {
	header := func(name, description string, schema object) object {
		schema["type"] = "string"
		return object{"name": name, "in": "header", "description": description, "schema": schema}
	}
	organization := "The id of the organization whose user is meant. Without it, or empty, it is the caller's own."
	return object{
		"organization":        header("x-zitadel-orgid", organization, object{}),
		"gatewayOrganization": header("Grpc-Metadata-x-zitadel-orgid", "The same, where x-zitadel-orgid is missing.", object{}),
		"language":            header("Accept-Language", "The languages of refusals, if messages.dir is set. What a human caller has chosen in ZITADEL takes precedence.", object{}),
		"timeout": header("Grpc-Timeout", "How long the call may take: a number and its unit, of H, M, S, m (milliseconds), u or n.",
			object{"pattern": "^([-+]?[0-9]+[HMSmun])?$"}),
	}
}

// refs are references to all components of a kind, in the order of their names.
func refs(kind string, components object) []any {
	all := make([]any, 0, len(components))
	for _, name := range sortedKeys(components) {
		all = append(all, ref(kind, name))
	}
	return all
}

func ref(kind, name string) object { return object{"$ref": "#/components/" + kind + "/" + name} }

// methodComments are the first sentences about the functions that make the methods, by the
// methods' names.
func methodComments(t *testing.T) map[string]string {
	t.Helper()
	comments := map[string]string{}
	files, err := filepath.Glob("set_*.go")
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range files {
		file, err := parser.ParseFile(token.NewFileSet(), name, nil, parser.ParseComments)
		if err != nil {
			t.Fatal(err)
		}
		for _, declaration := range file.Decls {
			function, ok := declaration.(*ast.FuncDecl)
			if !ok || function.Recv != nil {
				continue
			}
			text, _ := strings.CutPrefix(strings.Join(strings.Fields(function.Doc.Text()), " "), function.Name.Name+" ")
			comments[capitalized(function.Name.Name)] = capitalized(text)
		}
	}
	for _, m := range Methods() {
		if comments[m.Name()] == "" {
			t.Errorf("the function that makes %s has no comment", m.Name())
		}
	}
	return comments
}

func capitalized(text string) string {
	first := []rune(text)
	if len(first) > 0 {
		first[0] = unicode.ToUpper(first[0])
	}
	return string(first)
}
