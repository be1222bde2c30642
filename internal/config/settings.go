package config

import (
	"fmt"
	"log/slog"
	"net/url"
	"reflect"
	"regexp"
	"strings"
	"time"
)

// Setting is a key and its value, for people to read.
type Setting struct {
	// Key is the key's path, such as upstream.url.
	Key string
	// Value is the value without secrets; "" is none.
	Value string
	// Changed is whether the value is not the default.
	Changed bool
}

// Settings lists every key of a configuration, in the order of the structs, without secrets:
// see [Redacted].
func Settings(of Config) []Setting {
	defaults := fieldsOf(reflect.ValueOf(Default()), "")
	settings := make([]Setting, len(defaults))
	for i, field := range fieldsOf(reflect.ValueOf(of), "") {
		settings[i] = Setting{
			Key: field.key, Value: settingText(field.key, field.value),
			Changed: !reflect.DeepEqual(field.value.Interface(), defaults[i].value.Interface()),
		}
	}
	return settings
}

// settingText is a value as a file would have it, without secrets.
func settingText(key string, value reflect.Value) string {
	switch value := value.Interface().(type) {
	case time.Duration:
		text := strings.TrimSuffix(value.String(), "m0s")
		if text != value.String() {
			text += "m"
		}
		if hours, whole := strings.CutSuffix(text, "h0m"); whole {
			text = hours + "h"
		}
		return text
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
	userinfo := ""
	if parsed.User != nil {
		userinfo = hidden + "@"
		if strings.HasPrefix(parsed.Scheme, "postgres") {
			userinfo = url.User(parsed.User.Username()).String() + "@"
			if _, set := parsed.User.Password(); set {
				userinfo = url.User(parsed.User.Username()).String() + ":" + hidden + "@"
			}
		}
	}
	shown := parsed.Scheme + "://" + userinfo + parsed.Host + parsed.EscapedPath()
	if parsed.RawQuery != "" {
		shown += "?" + redactedQuery(parsed.RawQuery)
	}
	if parsed.Fragment != "" {
		shown += "#" + parsed.EscapedFragment()
	}
	return shown
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
