package adapter

import (
	"net/http"
	"path"
	"strings"
)

// maxParameters is the number of parameters that a method's REST path may have.
const maxParameters = 2

// match is the method whose path a request has.
type match struct {
	method *Method // nil: none
	// names and values are the parameters of a REST path.
	names  []string
	values [maxParameters]string
	isREST bool
}

// find looks for the method with a path, decoded, so that "%2F" is a slash and "%30" a
// zero (recordings percent-encoded-*).
func (a *Adapter) find(path string) match {
	if m := a.procedures[path]; m != nil {
		return match{method: m}
	}
	c := a.router.AcquireContext()
	defer a.router.ReleaseContext(c)
	c.Reset(nil, nil) // it comes from a pool, and goes back there with its values
	a.router.Router().Find(http.MethodPost, path, c)
	m := a.patterns[c.Path()]
	if m == nil {
		return match{}
	}
	result := match{method: m, names: c.ParamNames(), isREST: true}
	copy(result.values[:], c.ParamValues())
	return result
}

// value is the value of a path parameter; "" if there is none of that name.
func (m match) value(name string) string {
	for i, parameter := range m.names {
		if parameter == name {
			return m.values[i]
		}
	}
	return ""
}

// bind sets the fields that the path's parameters name.
func (m match) bind(into request) {
	for i, name := range m.names {
		if field := into.field(name); field != nil {
			*field = m.values[i]
		}
	}
}

// cleanPath is where a path with empty or dot segments is redirected to; others
// stay as they are. The path is taken decoded, so "%2E" counts as a dot.
func cleanPath(decoded string) string {
	if !strings.HasPrefix(decoded, "/") {
		decoded = "/" + decoded
	}
	clean := path.Clean(decoded)
	if strings.HasSuffix(decoded, "/") && clean != "/" {
		clean += "/"
	}
	return clean
}
