package forwarded

import (
	"regexp"
	"strings"
)

// An Element is one element of a Forwarded header (RFC 7239 section 4): what one
// proxy saw of the request that it received. What the proxy did not say is "".
type Element struct {
	For   string
	Host  string
	Proto string
}

// token is RFC 9110's (section 5.6.2).
//
//nolint:gosec // no credential
const token = "[!#$%&'*+.^_`|~0-9A-Za-z-]+"

var (
	// pair is name and value, a token or a quoted-string, and the separator after them.
	pair      = regexp.MustCompile(`^[ \t]*(` + token + `)=(` + token + `|"(?s:[^"\\]|\\.)*")[ \t]*([,;]|$)`)
	isToken   = regexp.MustCompile("^" + token + "$").MatchString
	backslash = regexp.MustCompile(`(?s)\\(.)`)
	quoting   = strings.NewReplacer(`\`, `\\`, `"`, `\"`)
)

// Parse reads the values of a Forwarded header, or of another header with the same
// syntax. It reports false if one of them does not follow RFC 7239: ZITADEL then
// believes none of them.
func Parse(values []string) (elements []Element, ok bool) {
	for _, rest := range values {
		var element Element
		for separator := ";"; separator != ""; {
			match := pair.FindStringSubmatch(rest)
			if match == nil {
				return nil, false
			}
			value := match[2]
			if strings.HasPrefix(value, `"`) {
				value = backslash.ReplaceAllString(value[1:len(value)-1], "$1")
			}
			switch strings.ToLower(match[1]) {
			case "for":
				element.For = value
			case "host":
				element.Host = value
			case "proto":
				element.Proto = value
			}
			rest, separator = rest[len(match[0]):], match[3]
			if separator != ";" {
				elements = append(elements, element)
				element = Element{}
			}
		}
	}
	return elements, true
}

// String is the element as RFC 7239 writes it, without what is "".
func (e Element) String() string {
	var pairs []string
	for _, each := range [...]struct{ name, value string }{{"for=", e.For}, {"host=", e.Host}, {"proto=", e.Proto}} {
		switch {
		case isToken(each.value):
			pairs = append(pairs, each.name+each.value)
		case each.value != "":
			pairs = append(pairs, each.name+`"`+quoting.Replace(each.value)+`"`)
		}
	}
	return strings.Join(pairs, ";")
}
