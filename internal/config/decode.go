package config

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"reflect"
	"slices"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v3"
)

// decodeFile sets what a YAML file sets. It returns every mistake of the file, in the order of
// its lines, but for those of aliases.
func decodeFile(content []byte, config *Config) []error {
	documents := yaml.NewDecoder(bytes.NewReader(content))
	var document yaml.Node
	if err := documents.Decode(&document); errors.Is(err, io.EOF) { // an empty file
		return nil
	} else if err != nil {
		return []error{syntaxError(err)}
	}
	var found mistakes
	found.decode(document.Content[0], reflect.ValueOf(config).Elem(), "")
	if err := documents.Decode(new(yaml.Node)); err == nil {
		found = append(found, errors.New("more than one YAML document: keep one"))
	} else if !errors.Is(err, io.EOF) {
		found = append(found, syntaxError(err))
	}
	return found
}

// syntaxError is an error of the YAML parser, with the line if it knows one.
func syntaxError(err error) error {
	text := strings.TrimPrefix(err.Error(), "yaml: ")
	position, reason, _ := strings.Cut(text, ": ")
	line, err := strconv.Atoi(strings.TrimPrefix(position, "line "))
	if err != nil {
		return fmt.Errorf("not YAML: %s", text)
	}
	switch strings.TrimPrefix(reason, "did not find expected ") {
	case "key", "node content", "'-' indicator", "',' or ']'", "',' or '}'", "<document start>":
		line++ // with these, the parser names the previous line
	}
	return fmt.Errorf("line %d: not YAML: %s", line, reason)
}

// mistakes are what is wrong in a file, as far as it is decoded.
type mistakes []error

// addf adds a mistake in the value of a key; the key "" means the whole file.
func (m *mistakes) addf(line int, key, format string, args ...any) {
	text := strings.TrimPrefix(key+": "+fmt.Sprintf(format, args...), ": ")
	*m = append(*m, fmt.Errorf("line %d: %s", line, text))
}

// decode sets the field of a key from its value. The key of the whole file is "".
func (m *mistakes) decode(node *yaml.Node, field reflect.Value, key string) {
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
		m.addf(node.Line, key, "%q: leave this out: tags are not supported", value.Tag)
	case value.Tag == "!!null": // the default stays
	case want == yaml.SequenceNode && value.Kind == yaml.ScalarNode: // as in a variable
		_ = setField(field, value.Value) // no text is wrong for a list
	case value.Kind != want:
		m.addf(node.Line, key, "use %s, not %s", kinds[want], kinds[value.Kind])
	case want == yaml.MappingNode:
		m.decodeSection(value, field, key)
	case want == yaml.SequenceNode:
		m.decodeList(value, field, key)
	default:
		if err := setField(field, value.Value); err != nil {
			m.addf(node.Line, key, "%v", err)
		}
	}
}

func (m *mistakes) decodeSection(section *yaml.Node, fields reflect.Value, sectionKey string) {
	lines := map[string]int{}
	for pair := range slices.Chunk(section.Content, 2) {
		line, name := pair[0].Line, resolve(pair[0])
		key := strings.TrimPrefix(sectionKey+"."+name.Value, ".")
		field := fieldNamed(fields, name.Value)
		switch {
		case name.Kind != yaml.ScalarNode:
			m.addf(line, sectionKey, "use a name as key, not %s", kinds[name.Kind])
			continue
		case name.Tag == "!!merge":
			m.addf(line, key, "merging is not supported: write the keys out")
			continue
		case !field.IsValid():
			m.addf(line, "unknown key "+printable(key), "see config.yaml for all keys")
			continue
		case lines[key] != 0:
			m.addf(line, key, "already set in line %d: keep one", lines[key])
		default:
			lines[key] = line
		}
		m.decode(pair[1], field, key)
	}
}

func (m *mistakes) decodeList(list *yaml.Node, field reflect.Value, key string) {
	elements := make([]string, len(list.Content))
	for i, node := range list.Content {
		element := resolve(node)
		if element.Kind != yaml.ScalarNode {
			m.addf(node.Line, key, "use single values in the list, not %s", kinds[element.Kind])
		}
		elements[i] = element.Value
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

// printable is the key as it is, or quoted if it would break the line of a message.
func printable(key string) string {
	if quoted := strconv.Quote(key); quoted != `"`+key+`"` {
		return quoted
	}
	return key
}
