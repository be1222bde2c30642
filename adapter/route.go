package adapter

import (
	"net/http"
	"path"
	"strings"
)

// match is the method whose path a request has.
type match struct {
	method *Method // nil: none
	isREST bool
	userID string // of a REST path
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
	return match{method: m, isREST: true, userID: c.Param("user_id")}
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
