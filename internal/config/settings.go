package config

import (
	"fmt"
	"log/slog"
	"net/url"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"time"

	"zitadel-v1-adapter/internal/duration"
)

// Setting is a key and its value, for people to read.
type Setting struct {
	Key     string // its path, such as upstream.url
	Value   string // without secrets; "" is none
	Changed bool   // from the default
}

// Settings lists every key of a configuration, in the order of the structs, without secrets:
// see [Redacted].
func Settings(of Config) []Setting {
	fields, changed := fieldsOf(reflect.ValueOf(of), ""), Changes(Default(), of)
	settings := make([]Setting, len(fields))
	for i, field := range fields {
		settings[i] = Setting{Key: field.key, Value: settingText(field.key, field.value), Changed: slices.Contains(changed, field.key)}
	}
	return settings
}

// settingText is a value as a file would have it, without secrets.
func settingText(key string, value reflect.Value) string {
	switch value := value.Interface().(type) {
	case time.Duration:
		return duration.Format(value)
	case time.Time:
		if value.IsZero() {
			return ""
		}
		return value.Format(time.RFC3339)
	case []string:
		shown := make([]string, len(value))
		for i, element := range value {
			shown[i] = Redacted(key, element)
		}
		return strings.Join(shown, ", ")
	case slog.Level:
		return strings.ToLower(value.String())
	default:
		return Redacted(key, fmt.Sprint(value))
	}
}

const hidden = "(hidden)"

var (
	// secretName is in the names of keys, and of parameters of addresses, whose values are
	// secrets. A key of a file names one, and its value is a path.
	secretName = regexp.MustCompile(`(?i)password|passwd|secret|token|credential|authorization|headers$|api_?key`)
	// address is an address at the end of a value. A password may have any character.
	address = regexp.MustCompile(`(?s)[a-zA-Z][a-zA-Z0-9+.-]*://.*$`)
)

// Redacted is one value of a key without secrets: nothing of a key that is named like one, and no
// password in an address, nor a user, but for a database's, which some take for one.
func Redacted(key, value string) string {
	name := key[strings.LastIndexByte(key, '.')+1:]
	if value != "" && secretName.MatchString(name) && !strings.HasSuffix(name, "File") {
		return hidden
	}
	return address.ReplaceAllStringFunc(value, redactedAddress)
}

func redactedAddress(text string) string {
	parsed, err := url.Parse(text)
	if err != nil || strings.Contains(parsed.Host+parsed.Path+parsed.RawQuery+parsed.Fragment, "@") {
		// A password with a character that should be escaped, perhaps.
		scheme, _, _ := strings.Cut(text, "://")
		return scheme + "://" + hidden
	}
	const mark = "-hidden-" // as hidden, without what an address escapes
	if user := parsed.User; user != nil {
		parsed.User = url.User(mark)
		if strings.HasPrefix(parsed.Scheme, "postgres") {
			parsed.User = url.User(user.Username())
			if _, set := user.Password(); set {
				parsed.User = url.UserPassword(user.Username(), mark)
			}
		}
	}
	parsed.RawQuery = redactedQuery(parsed.RawQuery)
	return strings.ReplaceAll(parsed.String(), mark, hidden)
}

func redactedQuery(query string) string {
	parameters := strings.FieldsFunc(query, func(r rune) bool { return r == '&' || r == ';' })
	for i, parameter := range parameters {
		name, _, _ := strings.Cut(parameter, "=")
		if plain, err := url.QueryUnescape(name); err != nil || secretName.MatchString(plain) {
			parameters[i] = name + "=" + hidden
		}
	}
	return strings.Join(parameters, "&")
}
