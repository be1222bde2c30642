package v2test

import (
	"cmp"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"connectrpc.com/connect"

	"zitadel-v1-adapter/internal/forwarded"
	"zitadel-v1-adapter/internal/rpcstatus"
)

// ZITADEL's errors, as recorded in v2_calls.jsonl and update_user; AUTH-Swrgg2 comes from the source of
// ZITADEL's permission check.
var (
	errNoAuthorization    = rpcstatus.New(connect.CodeUnauthenticated, "auth header missing")
	errAuthorization      = rpcstatus.NewZITADEL(connect.CodeUnauthenticated, "AUTH-toLo1", "invalid auth header")
	errToken              = rpcstatus.NewZITADEL(connect.CodeUnauthenticated, "AUTH-7fs1e", "Errors.Token.Invalid")
	errOrganization       = rpcstatus.NewZITADEL(connect.CodePermissionDenied, "AUTH-Bs7Ds", "Organisation doesn't exist")
	errMembershipNotFound = rpcstatus.NewZITADEL(connect.CodeNotFound, "AUTHZ-cdgFk", "membership not found")
	errNoPermission       = rpcstatus.NewZITADEL(connect.CodePermissionDenied, "AUTH-AWfge", "No matching permissions found")
	errPermissionOnOther  = rpcstatus.NewZITADEL(connect.CodePermissionDenied, "AUTH-Swrgg2", "No matching permissions found")
	errUserNotFound       = rpcstatus.NewZITADEL(connect.CodeNotFound, "QUERY-Dfbg2", "User could not be found")
	errPasswordNotFound   = rpcstatus.NewZITADEL(connect.CodeFailedPrecondition, "COMMAND-G8dh3", "Password not found")
	errNothingToUpdate    = rpcstatus.NewZITADEL(connect.CodeNotFound, "COMMAND-ugjs0upun6", "User could not be found")
	errNotInitialized     = rpcstatus.NewZITADEL(connect.CodeFailedPrecondition, "COMMAND-M9dse", "User is not yet initialized")
	errTooShort           = rpcstatus.NewZITADEL(connect.CodeInvalidArgument, "DOMAIN-HuJf6", "Password is too short")
	errNoLower            = rpcstatus.NewZITADEL(connect.CodeInvalidArgument, "DOMAIN-co3Xw", "Password must contain lower case")
	errNoUpper            = rpcstatus.NewZITADEL(connect.CodeInvalidArgument, "DOMAIN-VoaRj", "Password must contain upper case")
	errNoNumber           = rpcstatus.NewZITADEL(connect.CodeInvalidArgument, "DOMAIN-ZBv4H", "Password must contain number")
	errNoSymbol           = rpcstatus.NewZITADEL(connect.CodeInvalidArgument, "DOMAIN-ZDLwA", "Password must contain symbol")
	errHash               = rpcstatus.NewZITADEL(connect.CodeInternal, "COMMAND-CahN2", "An internal error occurred")
)

// authenticate does what ZITADEL's interceptors do before every v2 method: it checks the
// instance, the token, and the organization in the x-zitadel-orgid header, in this order.
func (s *Server) authenticate(header http.Header) (*Caller, *rpcstatus.Status) {
	if refusal := s.checkInstance(domainOf(header)); refusal != nil {
		return nil, refusal
	}
	authorization := header.Get("Authorization")
	if authorization == "" {
		return nil, errNoAuthorization
	}
	parts := strings.Split(authorization, "Bearer ")
	if len(parts) != 2 {
		return nil, errAuthorization
	}
	caller := s.callers[parts[1]]
	if caller == nil {
		return nil, errToken
	}
	if org := header.Get("X-Zitadel-Orgid"); org != "" && !slices.Contains(s.orgs, org) {
		return nil, errOrganization
	}
	return caller, nil
}

// checkInstance refuses a request that selects no instance.
func (s *Server) checkInstance(asked domain) *rpcstatus.Status {
	if name := (&url.URL{Host: asked.instance}).Hostname(); slices.Contains(s.hosts, name) {
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

// domainOf reads the headers in ZITADEL's order; connect-go adds Host to them. The scheme is http
// unless a header names another one, as on a server without ExternalSecure.
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
