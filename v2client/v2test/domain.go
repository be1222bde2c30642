package v2test

import (
	"cmp"
	"net/http"

	"zitadel-v1-adapter/internal/forwarded"
)

// domain is what ZITADEL reads from a request's headers: instance selects the instance,
// public and scheme are for the URL that ZITADEL uses for itself (see origin).
type domain struct{ instance, public, scheme string }

// domainOf reads the headers in ZITADEL's order: X-Zitadel-Instance-Host, Forwarded and
// the headers with its syntax, X-Forwarded-Host, and finally Host, which connect-go adds
// to the headers. The scheme is http unless a header names another one, as on a server
// without ExternalSecure.
func domainOf(header http.Header) domain {
	found := domain{instance: header.Get("X-Zitadel-Instance-Host"), public: header.Get("X-Zitadel-Public-Host")}
	take := func(host, scheme string) {
		if found.instance == "" {
			found.instance = host
		}
		if found.scheme == "" && (scheme == "http" || scheme == "https") {
			found.scheme = scheme
		}
	}
	for _, name := range []string{"Forwarded", "X-Zitadel-Forwarded", "X-Forwarded-For"} {
		elements, _ := forwarded.Parse(header[name])
		for _, element := range elements {
			take(element.Host, element.Proto)
		}
	}
	take(header.Get("X-Forwarded-Host"), header.Get("X-Forwarded-Proto"))
	take(header.Get("Host"), "http")
	return found
}

// origin returns the URL that ZITADEL uses for itself.
func (d domain) origin() string {
	return d.scheme + "://" + cmp.Or(d.public, d.instance)
}
