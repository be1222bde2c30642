package config_test

import (
	"go/ast"
	"go/parser"
	"go/token"
	"strings"
	"testing"
)

// fieldComments are the comments of the fields of the sections' structs, by type and field
// ("Server.Listen"), each paragraph on one line, with an empty line between paragraphs. What is
// written about the keys, for people and for editors, is made of them.
type fieldComments map[string]string

func readFieldComments(t *testing.T) fieldComments {
	t.Helper()
	comments := fieldComments{}
	for _, name := range []string{"config.go", "migration.go"} {
		file, err := parser.ParseFile(token.NewFileSet(), name, nil, parser.ParseComments)
		if err != nil {
			t.Fatal(err)
		}
		comments.add(file)
	}
	return comments
}

func (c fieldComments) add(file *ast.File) {
	ast.Inspect(file, func(node ast.Node) bool {
		declared, ok := node.(*ast.TypeSpec)
		if !ok {
			return true
		}
		if fields, ok := declared.Type.(*ast.StructType); ok {
			for _, field := range fields.Fields.List {
				for _, name := range field.Names {
					paragraphs := strings.Split(strings.TrimSpace(field.Doc.Text()), "\n\n")
					for i, paragraph := range paragraphs {
						paragraphs[i] = strings.ReplaceAll(paragraph, "\n", " ")
					}
					c[declared.Name.Name+"."+name.Name] = strings.Join(paragraphs, "\n\n")
				}
			}
		}
		return false
	})
}

// about is the comment of a field without "<Name> is".
func (c fieldComments) about(t *testing.T, typeName, name string) string {
	t.Helper()
	comment := c[typeName+"."+name]
	what, ok := strings.CutPrefix(comment, name+" is ")
	if !ok {
		what, ok = strings.CutPrefix(comment, name+" are ")
	}
	if !ok || !strings.HasSuffix(what, ".") {
		t.Errorf("%s.%s needs a comment of whole sentences that begins with %q", typeName, name, name+" is")
		return comment
	}
	return strings.ToUpper(what[:1]) + what[1:]
}
