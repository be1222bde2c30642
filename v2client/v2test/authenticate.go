package v2test

import (
	"cmp"
	"fmt"
	"net"
	"net/http"
	"slices"
	"strings"

	"connectrpc.com/connect"

	"zitadel-v1-adapter/internal/forwarded"
	"zitadel-v1-adapter/internal/rpcstatus"
)

// authenticate does what ZITADEL's interceptors do before every v2 method: it checks the
// instance, the token, and the organization in the x-zitadel-orgid header, in this order.
func (s *Server) authenticate(header http.Header) (*Caller, *rpcstatus.Status) {
	if refusal := s.checkInstance(domainOf(header)); refusal != nil {
		return nil, refusal
	}
	authorization := header.Get("Authorization")
	if authorization == "" {
		return nil, faultNoAuthorization
	}
	parts := strings.Split(authorization, "Bearer ")
	if len(parts) != 2 {
		return nil, faultAuthorization
	}
	caller := s.callers[parts[1]]
	if caller == nil {
		return nil, faultToken
	}
	if org := header.Get("X-Zitadel-Orgid"); org != "" && !slices.Contains(s.orgs, org) {
		return nil, faultOrganization
	}
	return caller, nil
}

// checkInstance refuses a request that selects no instance.
func (s *Server) checkInstance(asked domain) *rpcstatus.Status {
	name := asked.instance
	if withoutPort, _, err := net.SplitHostPort(name); err == nil {
		name = withoutPort
	}
	if slices.Contains(s.hosts, name) {
		return nil
	}
	return rpcstatus.New(connect.CodeNotFound, fmt.Sprintf(
		"unable to set instance using origin &{%s %s %s} (ExternalDomain is localhost): ID=QUERY-1kIjX "+
			"Message=Instance not found. Make sure you got the domain right. "+
			"Check out https://zitadel.com/docs/apis/introduction#domains",
		asked.instance, asked.public, asked.scheme))
}

// domain is what ZITADEL reads from a request's headers: instance selects the instance,
// public and scheme are for the URL that ZITADEL uses for itself.
type domain struct{ instance, public, scheme string }

// domainOf reads the headers in ZITADEL's order: X-Zitadel-Instance-Host, Forwarded and
// the headers with its syntax, X-Forwarded-Host, and finally Host, which connect-go adds
// to the headers. The scheme is http unless a header names another one, as on a server
// without ExternalSecure.
func domainOf(header http.Header) domain {
	found := domain{instance: header.Get("X-Zitadel-Instance-Host"), public: header.Get("X-Zitadel-Public-Host")}
	take := func(host, scheme string) {
		found.instance = cmp.Or(found.instance, host)
		if scheme == "http" || scheme == "https" {
			found.scheme = cmp.Or(found.scheme, scheme)
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
