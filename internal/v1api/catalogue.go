// Package v1api is the catalogue of ZITADEL's deprecated APIs: which of their methods a
// request calls, and which method of an API v2 takes its place. They are the Management,
// Admin, Auth and System API v1, the upload and download of assets, and what is left of
// v2beta. ZITADEL means to end all of them with its next major version.
package v1api

import (
	"iter"
	"net/http"
	"slices"
	"strings"
)

// v2beta is the API of many services, each with a prefix of its own.
const v2beta = "v2beta"

// Unknown is the Method.Name of all requests under an API's prefixes that none of its
// methods takes. Strangers choose paths, so these have no names of their own.
const Unknown = "(unknown)"

// Method is a method of a deprecated API. It belongs to its Catalogue and is not to be changed.
type Method struct {
	// API is "management", "admin", "auth", "system", "assets" or "v2beta".
	API string

	// Name is the method's name, such as "AddHumanUser", or Unknown. No other method of the
	// API has it: in v2beta, where services share names, it is "UserService/AddHumanUser".
	Name string

	// Service is the full name of the gRPC service. Assets have none, and neither has Unknown.
	Service string

	// Verb and Pattern are of REST, as ZITADEL's definitions have them: {id} is one segment of
	// the path, {role_key=**} all that are left. A few methods of v2beta have neither.
	Verb, Pattern string

	// Successor is the method to call instead, such as "user.v2.UserService/UpdateUser", which
	// is a gRPC name without the "zitadel." before it. It is empty if ZITADEL names none.
	Successor string

	// Via is what ZITADEL's own notice names if that is deprecated in favour of Successor, such
	// as "user.v2.UserService/SetPassword". Earlier releases may have no other. Mostly it is empty.
	Via string

	// Deprecated says that ZITADEL's definition of the method calls it deprecated already.
	// The others end together with these.
	Deprecated bool

	order int // of registration with ZITADEL's router, for which the last one wins
}

// Catalogue has the methods of all the deprecated APIs. It is safe for concurrent use.
type Catalogue struct {
	methods    []*Method             // in the order of the data
	named      map[[2]string]*Method // by API and Name, Unknown too
	procedures map[string]*Method    // by the path of gRPC, gRPC-Web and Connect
	patterns   map[string]*node      // by Verb
	prefixes   []prefix
}

// prefix is the beginning of an API's paths.
type prefix struct {
	path string
	api  string
}

// Find finds the method that a request calls. It is false for a request to none of the
// deprecated APIs; one to none of their methods, or with another verb, is Unknown.
//
// The path is decoded, as [net/url.URL] has it, because ZITADEL's router does so before it
// looks for segments (grpc-gateway in its default mode; recordings percent-encoded-*): %2F
// is a slash, a segment may be empty, and a slash at the end begins another one. Letters are
// not folded, and a colon is like any other character, as no pattern has a verb after one.
// An API's prefix in another spelling, such as /%6Danagement/v1/, is found as well: ZITADEL
// does not know it, but a proxy before it may.
//
// Paths with dot segments or double slashes are taken as they are. ZITADEL redirects them:
// where that leads is found by the path that [path.Clean] makes of them.
//
// Over gRPC, gRPC-Web and Connect, the path alone decides, whatever the verb. The preflight
// of a browser has the path of a call and is none: it is not to be asked for here.
func (c *Catalogue) Find(verb, path string) (*Method, bool) {
	api := c.apiOf(path)
	if api == "" {
		return nil, false
	}
	if m := c.procedures[path]; m != nil {
		return m, true
	}
	if m := c.patterns[verb].find(path[1:], true); m != nil {
		return m, true
	}
	return c.Named(api, Unknown)
}

// FindRequest is Find for a request with this path and the verb that ZITADEL's router takes
// it to have. Of a posted form, that is the one in X-HTTP-Method-Override, or GET where
// no POST has the path. The form is not read.
func (c *Catalogue) FindRequest(r *http.Request, path string) (*Method, bool) {
	if r.Method != http.MethodPost || r.Header.Get("Content-Type") != "application/x-www-form-urlencoded" {
		return c.Find(r.Method, path)
	}
	verb := http.MethodPost
	if override := r.Header.Get("X-Http-Method-Override"); override != "" {
		verb = strings.ToUpper(override)
	}
	m, ok := c.Find(verb, path)
	if ok && m.Name == Unknown && verb == http.MethodPost {
		return c.Find(http.MethodGet, path)
	}
	return m, ok
}

// Named finds a method by its API and Name, Unknown too.
func (c *Catalogue) Named(api, name string) (*Method, bool) {
	m, ok := c.named[[2]string{api, name}]
	return m, ok
}

// Successor is the Successor of a method by its API and Name; empty too if there is no such method.
func (c *Catalogue) Successor(api, name string) string {
	if m, ok := c.Named(api, name); ok {
		return m.Successor
	}
	return ""
}

// All has all methods, without the Unknown ones, API by API in the order of ZITADEL's definitions.
func (c *Catalogue) All() iter.Seq[*Method] { return slices.Values(c.methods) }

// apiOf is the API that a path belongs to; it is empty for none. Most requests that pass
// through are for none, so this comes before all maps.
func (c *Catalogue) apiOf(path string) string {
	for _, p := range c.prefixes {
		if strings.HasPrefix(path, p.path) {
			return p.api
		}
	}
	if name, isZITADEL := strings.CutPrefix(path, "/zitadel."); isZITADEL {
		service, _, _ := strings.Cut(name, "/")
		if strings.Contains(service, ".v2beta.") {
			return v2beta
		}
	}
	return ""
}
