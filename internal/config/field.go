package config

import (
	"fmt"
	"log/slog"
	"reflect"
	"strconv"
	"strings"
	"time"

	"zitadel-v1-adapter/internal/duration"
)

// field is one key, its value, and the text of its default.
type field struct {
	key   string
	value reflect.Value
	unset string
}

// fieldsOf lists the keys of a section and of the sections in it. The prefix is the section's path
// and a dot, or "" for the whole configuration.
func fieldsOf(of reflect.Value, prefix string) []field {
	var fields []field
	for structField, value := range of.Fields() {
		key := prefix + structField.Tag.Get("yaml")
		if isSection(value) {
			fields = append(fields, fieldsOf(value, key+".")...)
			continue
		}
		fields = append(fields, field{key, value, structField.Tag.Get("default")})
	}
	return fields
}

// Keys lists the path of every key, in the order of the structs.
func Keys() []string {
	fields := fieldsOf(reflect.ValueOf(Config{}), "")
	keys := make([]string, len(fields))
	for i, field := range fields {
		keys[i] = field.key
	}
	return keys
}

// Changes lists the keys whose values differ.
func Changes(from, to Config) []string {
	var changed []string
	after := fieldsOf(reflect.ValueOf(to), "")
	for i, before := range fieldsOf(reflect.ValueOf(from), "") {
		if !reflect.DeepEqual(before.value.Interface(), after[i].value.Interface()) {
			changed = append(changed, before.key)
		}
	}
	return changed
}

// isSection reports whether a value has keys of its own.
func isSection(value reflect.Value) bool {
	return value.Kind() == reflect.Struct && value.Type() != reflect.TypeFor[time.Time]()
}

// fieldNamed is the field of a section whose key ends in name; zero if there is none.
func fieldNamed(of reflect.Value, name string) reflect.Value {
	for structField, value := range of.Fields() {
		if structField.Tag.Get("yaml") == name {
			return value
		}
	}
	return reflect.Value{}
}

// setField sets a field from text. The error names the text and what is allowed.
func setField(field reflect.Value, text string) error {
	switch target := field.Addr().Interface().(type) {
	case *time.Duration:
		parsed, err := duration.Parse(text)
		if err != nil || !strings.ContainsAny(text, "smhd") { // Parse takes a bare 0
			return fmt.Errorf("%q: use a duration such as 10s, 1h30m or 400d", text)
		}
		*target = parsed
	case *time.Time:
		at, err := time.Parse(time.RFC3339, text)
		if err != nil {
			at, err = time.Parse(time.DateOnly, text)
		}
		if err != nil && text != "" {
			return fmt.Errorf("%q: use a date such as 2027-01-31, or a time such as 2027-01-31T12:00:00Z", text)
		}
		*target = at
	case *slog.Level:
		if strings.ContainsAny(text, "+-") || target.UnmarshalText([]byte(text)) != nil { // UnmarshalText takes info+2
			return fmt.Errorf("%q: use debug, info, warn or error", text)
		}
	case *[]string:
		*target = []string{}
		for element := range strings.SplitSeq(text, ",") {
			if element = strings.TrimSpace(element); element != "" {
				*target = append(*target, element)
			}
		}
	default:
		return setBasic(field, text)
	}
	return nil
}

// setBasic sets a field whose type has no syntax of its own.
func setBasic(field reflect.Value, text string) error {
	switch field.Kind() {
	case reflect.Bool:
		if text != "true" && text != "false" {
			return fmt.Errorf("%q: use true or false", text)
		}
		field.SetBool(text == "true")
	case reflect.Int:
		number, err := strconv.ParseInt(text, 10, field.Type().Bits())
		if err != nil {
			return fmt.Errorf("%q: use a whole number such as 20", text)
		}
		field.SetInt(number)
	case reflect.Float64:
		number, err := strconv.ParseFloat(text, 64)
		if err != nil || strings.ContainsAny(text, "nNxX_") { // ParseFloat takes inf, NaN, 0x1p-2 and 1_0
			return fmt.Errorf("%q: use a number such as 0.5", text)
		}
		field.SetFloat(number)
	default: // text, or a choice that the package with its type checks
		field.SetString(text)
	}
	return nil
}
