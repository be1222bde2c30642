package config

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"reflect"
	"slices"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v3"
)

// readFile sets what a YAML file sets. It finds every mistake of the file.
func (r *reader) readFile() {
	content, err := os.ReadFile(r.path)
	if err != nil {
		r.fail("--config: " + err.Error())
		return
	}
	documents := yaml.NewDecoder(bytes.NewReader(content))
	var document, second yaml.Node
	if err := documents.Decode(&document); errors.Is(err, io.EOF) { // an empty file
		return
	} else if err != nil {
		r.fail(r.path + syntaxError(err))
		return
	}
	r.decode(document.Content[0], reflect.ValueOf(&r.config).Elem(), "")
	if err := documents.Decode(&second); err == nil {
		r.addf(second.Line, "more than one YAML document: keep one")
	} else if !errors.Is(err, io.EOF) {
		r.fail(r.path + syntaxError(err))
	}
}

// fail adds a mistake after which what the file sets is not known.
func (r *reader) fail(text string) { r.wrongf(0, "", "%s", text) }

// syntaxError is an error of the YAML parser, after the line if it knows one.
func syntaxError(err error) string {
	text := strings.TrimPrefix(err.Error(), "yaml: ")
	position, reason, _ := strings.Cut(text, ": ")
	line, err := strconv.Atoi(strings.TrimPrefix(position, "line "))
	if err != nil {
		return ": not YAML: " + text
	}
	switch strings.TrimPrefix(reason, "did not find expected ") {
	case "key", "node content", "'-' indicator", "',' or ']'", "',' or '}'", "<document start>":
		line++ // with these, the parser names the previous line
	}
	return fmt.Sprintf(":%d: not YAML: %s", line, reason)
}

// decode sets the field of a key from its value. The key of the whole file is "".
func (r *reader) decode(node *yaml.Node, field reflect.Value, key string) {
	value := resolve(node)
	want := yaml.ScalarNode
	switch {
	case isSection(field):
		want = yaml.MappingNode
	case field.Kind() == reflect.Slice:
		want = yaml.SequenceNode
	}
	switch {
	case value.Style&yaml.TaggedStyle != 0:
		r.wrongf(node.Line, key, "%q: leave this out: tags are not supported", value.Tag)
	case value.Tag == "!!null": // the default stays
	case want == yaml.SequenceNode && value.Kind == yaml.ScalarNode: // as in a variable
		_ = setField(field, value.Value) // no text is wrong for a list
	case value.Kind != want:
		r.wrongf(node.Line, key, "use %s, not %s", kinds[want], kinds[value.Kind])
	case want == yaml.MappingNode:
		r.decodeSection(value, field, key)
	case want == yaml.SequenceNode:
		r.decodeList(value, field, key)
	default:
		if err := setField(field, value.Value); err != nil {
			r.wrongf(node.Line, key, "%v", err)
		}
	}
}

func (r *reader) decodeSection(section *yaml.Node, fields reflect.Value, sectionKey string) {
	lines := map[string]int{}
	for pair := range slices.Chunk(section.Content, 2) {
		line, name := pair[0].Line, resolve(pair[0])
		key := strings.TrimPrefix(sectionKey+"."+name.Value, ".")
		field := fieldNamed(fields, name.Value)
		switch {
		case name.Kind != yaml.ScalarNode:
			r.wrongf(line, sectionKey, "use a name as key, not %s", kinds[name.Kind])
			continue
		case name.Tag == "!!merge":
			r.wrongf(line, key, "merging is not supported: write the keys out")
			continue
		case strings.Contains(name.Value, "."):
			r.wrongf(line, key, "a key has no dot: write its section, as in upstream: {url: ...}")
			continue
		case !field.IsValid():
			r.wrongf(line, key, "unknown key: %s", r.meant(key, sectionsAndKeys(), itself, seeExample))
			continue
		case lines[key] != 0:
			r.wrongf(line, key, "already set in line %d: keep one", lines[key])
		}
		lines[key] = line
		r.origins[key] = origin{line, key}
		r.decode(pair[1], field, key)
	}
}

func (r *reader) decodeList(list *yaml.Node, field reflect.Value, key string) {
	elements := make([]string, len(list.Content))
	for i, node := range list.Content {
		element := resolve(node)
		if element.Kind != yaml.ScalarNode {
			r.wrongf(node.Line, key, "use single values in the list, not %s", kinds[element.Kind])
		}
		elements[i] = element.Value
		r.origins[key+": "+strconv.Quote(element.Value)] = origin{node.Line, key}
	}
	field.Set(reflect.ValueOf(elements))
}

// resolve follows an alias (*name) to its value.
func resolve(node *yaml.Node) *yaml.Node {
	if node.Kind == yaml.AliasNode {
		return node.Alias
	}
	return node
}

// kinds are how mistakes call the kinds of values.
var kinds = map[yaml.Kind]string{yaml.MappingNode: "a section of keys", yaml.SequenceNode: "a list", yaml.ScalarNode: "a single value"}

// printable is a key as it is, but for a password in it, or quoted if it would break the line of a
// message.
func printable(key string) string {
	key = Redacted("", key)
	if quoted := strconv.Quote(key); quoted != `"`+key+`"` {
		return quoted
	}
	return key
}
