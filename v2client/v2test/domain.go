package v2test

import (
	"cmp"
	"net/http"

	"zitadel-v1-adapter/internal/forwarded"
)

// domain is what ZITADEL takes of a request's headers to find its instance and to
// name itself.
type domain struct{ instance, public, scheme string }

// domainOf reads them in ZITADEL's order: the instance host header, Forwarded and
// what follows its syntax, X-Forwarded-Host, and last Host, which connect-go puts
// among the headers. The scheme is http unless one of them names it, as on a server
// that does not enforce https.
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

// origin is the URL by which ZITADEL names itself.
func (d domain) origin() string {
	return d.scheme + "://" + cmp.Or(d.public, d.instance)
}
