package forwarded

import (
	"strings"
)

// An Element is one element of a Forwarded header (RFC 7239 section 4): what one
// proxy saw of the request that it received. What the proxy did not say is "".
type Element struct {
	For   string
	Host  string
	Proto string
}

// Parse reads the values of a Forwarded header, or of another header with the same
// syntax. It reports false if one of them does not follow RFC 7239: ZITADEL then
// believes none of them.
func Parse(values []string) (elements []Element, ok bool) {
	for _, value := range values {
		rest := value
		for {
			var element Element
			if element, rest, ok = parseElement(rest); !ok {
				return nil, false
			}
			elements = append(elements, element)
			if rest == "" {
				break
			}
			rest = rest[1:] // a comma
		}
	}
	return elements, true
}

// parseElement reads one element, up to the comma after it or the end.
func parseElement(text string) (element Element, rest string, ok bool) {
	for {
		name, after, found := strings.Cut(text, "=")
		name = strings.TrimLeft(name, " \t")
		if !found || !isToken(name) {
			return Element{}, "", false
		}
		var value string
		if value, text, ok = parseValue(after); !ok {
			return Element{}, "", false
		}
		switch strings.ToLower(name) {
		case "for":
			element.For = value
		case "host":
			element.Host = value
		case "proto":
			element.Proto = value
		}
		text = strings.TrimLeft(text, " \t")
		switch {
		case text == "" || text[0] == ',':
			return element, text, true
		case text[0] != ';':
			return Element{}, "", false
		}
		text = text[1:]
	}
}

// parseValue reads a token or a quoted-string (RFC 9110 section 5.6).
func parseValue(text string) (value, rest string, ok bool) {
	if !strings.HasPrefix(text, `"`) {
		end := strings.IndexFunc(text, func(c rune) bool { return !isTokenRune(c) })
		if end < 0 {
			end = len(text)
		}
		return text[:end], text[end:], end > 0
	}
	var unquoted strings.Builder
	for at := 1; at < len(text); at++ {
		switch text[at] {
		case '"':
			return unquoted.String(), text[at+1:], true
		case '\\':
			if at++; at == len(text) {
				return "", "", false
			}
		}
		unquoted.WriteByte(text[at])
	}
	return "", "", false
}

// String is the element as RFC 7239 writes it, without what is "".
func (e Element) String() string { return join([]Element{e}) }

func (e Element) writeTo(text *strings.Builder) {
	separator := ""
	for _, pair := range [...]struct{ name, value string }{{"for=", e.For}, {"host=", e.Host}, {"proto=", e.Proto}} {
		if pair.value == "" {
			continue
		}
		text.WriteString(separator)
		text.WriteString(pair.name)
		if isToken(pair.value) {
			text.WriteString(pair.value)
		} else {
			text.WriteString(`"` + strings.NewReplacer(`\`, `\\`, `"`, `\"`).Replace(pair.value) + `"`)
		}
		separator = ";"
	}
}

func join(elements []Element) string {
	var text strings.Builder
	const usual = 32
	text.Grow(usual * len(elements))
	for i, element := range elements {
		if i > 0 {
			text.WriteString(", ")
		}
		element.writeTo(&text)
	}
	return text.String()
}

func isToken(text string) bool {
	return text != "" && !strings.ContainsFunc(text, func(c rune) bool { return !isTokenRune(c) })
}

// isTokenRune is tchar of RFC 9110 section 5.6.2.
func isTokenRune(c rune) bool {
	return c >= '0' && c <= '9' || c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || strings.ContainsRune("!#$%&'*+-.^_`|~", c)
}
