package adapter

import (
	"maps"
	"net/http"
	"strings"

	"zitadel-v1-adapter/internal/v1wire"
	"zitadel-v1-adapter/v2client"
)

// ZITADEL's interceptors compare a call's metadata byte by byte: to native v1, a token that ends
// in a space is another token, and an organization id that begins with one another organization.
// HTTP would trim such a value on the way to v2, or refuse it. No such token or organization
// exists, so one that nobody has is sent in its place, and ZITADEL refuses it in v1's order and
// words.

// newCaller returns the caller with this metadata: a request's header, over REST as
// grpc-gateway passes it on.
func (a *Adapter) newCaller(host string, metadata http.Header) v2client.Caller {
	token, organization := first(metadata, "Authorization"), first(metadata, "X-Zitadel-Orgid")
	sentToken, sentOrganization := a.sentAuthorization(token), organization
	if !isCarried(organization) {
		sentOrganization = a.nobody
	}
	if sentToken != token || sentOrganization != organization {
		metadata = maps.Clone(metadata)
		metadata["Authorization"], metadata["X-Zitadel-Orgid"] = []string{sentToken}, []string{sentOrganization}
	}
	return v2client.NewCaller(host, metadata)
}

// sentAuthorization returns what goes to ZITADEL for an Authorization header. ZITADEL splits it
// at "Bearer ", whatever stands before that, and takes what follows for the token.
func (a *Adapter) sentAuthorization(value string) string {
	parts := strings.Split(value, "Bearer ")
	switch {
	case len(parts) == 2 && parts[1] != "" && isCarried(parts[1]):
		return "Bearer " + parts[1]
	case len(parts) == 2:
		return "Bearer " + a.nobody
	case isCarried(value):
		return value
	}
	return a.nobody // no Bearer either
}

// isCarried reports whether HTTP carries a value to ZITADEL as it is.
func isCarried(value string) bool {
	return v1wire.IsPrintable(value) && value == strings.Trim(value, " ")
}

// hostName returns a host without its port, as ZITADEL looks for its instance.
func hostName(host string) string {
	if end := strings.LastIndexByte(host, ']'); end >= 0 { // an IPv6 address
		return host[:end+1]
	}
	name, _, _ := strings.Cut(host, ":")
	return name
}

// first returns the first value of a header, or "".
func first(header http.Header, name string) string {
	if values := header[name]; len(values) > 0 {
		return values[0]
	}
	return ""
}
