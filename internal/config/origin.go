package config

import (
	"cmp"
	"errors"
	"fmt"
	"math"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// origin is where a key was set. The zero origin is that of a key whose value is not known, because
// of a mistake in it.
type origin struct {
	line int    // of the file; 0: elsewhere
	name string // what mistakes call it: the key, or a variable or a flag
}

// mistakes are what is wrong, as far as a configuration is read.
type mistakes struct {
	path string // of the file
	// origins are by key, by section, and by entry of a list, as in `server.trustedProxies: "unix"`.
	// The key "" is the whole file.
	origins map[string]origin
	found   []mistake
}

type mistake struct {
	line int // of the file; 0: elsewhere
	text string
}

// addf adds a mistake in a line of the file, or 0.
func (m *mistakes) addf(line int, format string, args ...any) {
	text := fmt.Sprintf(format, args...)
	if line != 0 {
		text = fmt.Sprintf("%s:%d: %s", m.path, line, text)
	}
	m.found = append(m.found, mistake{line, text})
}

// wrongf adds a mistake in the value of a key, which is then not known. The key "" is the whole file.
func (m *mistakes) wrongf(line int, key, format string, args ...any) {
	m.addf(line, "%s", strings.TrimPrefix(printable(key)+": "+fmt.Sprintf(format, args...), ": "))
	m.origins[key] = origin{}
}

// all are in the order of the file's lines, then the others.
func (m *mistakes) all() error {
	slices.SortStableFunc(m.found, func(a, b mistake) int {
		return cmp.Compare(cmp.Or(a.line, math.MaxInt), cmp.Or(b.line, math.MaxInt))
	})
	all := make([]error, len(m.found))
	for i, each := range m.found {
		all[i] = errors.New(each.text)
	}
	return errors.Join(all...)
}

// originOf is the origin of a key. Without one it is false, unless its section has a mistake.
func (m *mistakes) originOf(key string) (origin, bool) {
	from, known := m.origins[key]
	for !known && key != "" {
		key = key[:max(0, strings.LastIndexByte(key, '.'))]
		section, found := m.origins[key]
		known = found && section == origin{}
	}
	return from, known
}

// keyName is a key in a mistake's text.
var keyName = regexp.MustCompile(`[a-z][a-zA-Z]*(\.[a-zA-Z]+)+|orgScope`)

// locate adds each line of an error, with where the first of its keys that is set was set. A line
// about a key whose value is not known is left out: it follows from another mistake.
func (m *mistakes) locate(err error) {
	if err == nil {
		return
	}
	for text := range strings.SplitSeq(err.Error(), "\n") {
		if line, located, known := m.locateLine(text); known {
			m.addf(line, "%s", located)
		}
	}
}

func (m *mistakes) locateLine(text string) (line int, located string, known bool) {
	located = text
	for _, at := range slices.Backward(keyName.FindAllStringIndex(text, -1)) { // the first decides
		before, key, after := text[:at[0]], text[at[0]:at[1]], text[at[1]:]
		from, set := m.originOf(key)
		switch {
		case !set:
			continue
		case from == origin{}:
			return 0, "", false
		}
		line = from.line
		entry, _ := strconv.QuotedPrefix(strings.TrimPrefix(after, ": ")) // "" is none
		if of, isEntry := m.origins[key+": "+entry]; isEntry && line != 0 {
			line = of.line
		}
		located = before + from.name + after
	}
	return line, located, true
}
