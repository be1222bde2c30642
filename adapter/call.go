package adapter

import (
	"cmp"
	"context"
	"crypto/rand"
	"maps"
	"net/http"
	"strings"
	"time"

	"connectrpc.com/connect"

	objectv2 "zitadel-v1-adapter/gen/zitadel/object/v2"
	"zitadel-v1-adapter/internal/ingress"
	"zitadel-v1-adapter/internal/rpcstatus"
	"zitadel-v1-adapter/internal/tracing"
	"zitadel-v1-adapter/internal/v1wire"
	"zitadel-v1-adapter/v2client"
)

// call is one v1 call, whatever protocol it came in.
type call struct {
	event  Event
	method *Method // nil: v1 has no such method
	caller v2client.Caller
	token  tokenHash
	// The client's x-zitadel-orgid header, and the languages that it accepts.
	namedOrganization, languages string
	// rejected is why the headers, or in shadow mode also the body, are no call's. hostRefusal
	// is why its host is not one.
	rejected, hostRefusal *rpcstatus.Status
	request               request // nil until it is read

	reads      Reads
	identities *identityCache
	// write makes the call's one write. Shadow mode's makes none.
	write func(context.Context) (*objectv2.Details, error)
	// identity is the caller's, as far as it is known, and grant what it may do in the
	// organization of the call, once that has been asked.
	identity v2client.Identity
	grant    v2client.Grant
	asked    bool

	refusal            *rpcstatus.Status // that the client gets; nil: success
	actualOrganization string            // the user's, if it is not the one remembered
}

// newCall begins a call, which counts as broken down until it is answered: a panic leaves it so.
func (a *Adapter) newCall(protocol string, m *Method, r *http.Request) *call {
	header := metadataOf(protocol, r)
	c := &call{
		event: newEvent(protocol, r), method: m, namedOrganization: header.Get("X-Zitadel-Orgid"), languages: header.Get("Accept-Language"),
		hostRefusal: hostRefusal(protocol, r.Host, header.Get("Host")),
		reads:       a.config.ZITADEL, identities: a.identities,
		refusal: rpcstatus.New(connect.CodeInternal, "internal error"),
	}
	c.event.Route, c.event.RequestID = RouteTranslated, cmp.Or(ingress.RequestID(r), rand.Text())
	if m != nil {
		c.event.API, c.event.Method = managementAPI, m.Name()
	}
	c.caller = a.newCaller(r.Host, header)
	c.caller.RequestID, c.caller.Attempts = c.event.RequestID, &c.event.Upstream
	c.token = hashToken(c.caller)
	c.write = func(ctx context.Context) (*objectv2.Details, error) {
		return m.execute(ctx, a.config.ZITADEL, c.caller, c.request)
	}
	return c
}

// newEvent begins the Event of a request.
func newEvent(protocol string, r *http.Request) Event {
	return Event{
		Protocol: protocol, Started: time.Now(), UserAgent: ingress.UserAgent(r), Peer: ingress.Peer(r), TraceID: tracing.ID(r), ZITADEL: ownPage(r),
	}
}

// metadataOf is what ZITADEL gets of a request's header.
func metadataOf(protocol string, r *http.Request) http.Header {
	if protocol == protocolREST {
		return v1wire.RESTMetadata(r.Header)
	}
	return r.Header
}

// ZITADEL compares metadata byte by byte: to native v1, a token that ends in a space is another
// token. On the way to v2, HTTP would trim such a value or refuse it. No such token or
// organization exists, so one that nobody has is sent in its place, and ZITADEL refuses that in
// v1's order and words.

// newCaller returns the caller with this metadata, over REST as grpc-gateway passes it on.
func (a *Adapter) newCaller(host string, metadata http.Header) v2client.Caller {
	token, organization := metadata.Get("Authorization"), metadata.Get("X-Zitadel-Orgid")
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

const bearer = "Bearer "

// sentAuthorization returns what goes to ZITADEL for an Authorization header. ZITADEL splits it
// at "Bearer ", whatever stands before that, and takes what follows for the token.
func (a *Adapter) sentAuthorization(value string) string {
	before, token, found := strings.Cut(value, bearer)
	switch isOne := found && !strings.Contains(token, bearer); {
	case isOne && token != "" && isCarried(token):
		return value[len(before):]
	case isOne:
		return bearer + a.nobody
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

// run answers a call whose request has been read. It gives up, with v1's words, when ctx or the
// upstream timeout ends.
func (a *Adapter) run(ctx context.Context, c *call) (response, *rpcstatus.Status) {
	c.event.UserID, c.event.Organization = c.request.GetUserId(), c.namedOrganization
	if refusal := a.deprecationRefusal(ctx, c); refusal != nil {
		return nil, refusal
	}
	if late := v1wire.ContextStatus(ctx); late != nil { // as v1: no look at anything once it is too late
		return nil, late
	}
	c.caller.Deadline = time.Now().Add(a.config.Timeout)
	if refusal := a.admit(c.caller); refusal != nil {
		return nil, refusal
	}
	defer a.inFlight.Free()
	if c.hostRefusal != nil {
		return nil, c.hostRefusal
	}
	setUserID(c.request, bounded(c.request.GetUserId()))
	details, err := c.translate(ctx, a.config.OrgScope)
	if err != nil {
		return nil, a.localized(ctx, c, statusOf(err))
	}
	return c.method.newResponse(objectDetails(details)), nil
}

func (c *call) translate(ctx context.Context, scope OrgScope) (*objectv2.Details, error) {
	if scope == OrgScopeOff {
		return c.unscoped(ctx)
	}
	return c.inOrganization(ctx)
}

// admit takes a slot, to be freed, and one of the caller's calls; nil means that it has. A call
// counts only when all of it is there: a slow sender takes no other call's place.
func (a *Adapter) admit(caller v2client.Caller) *rpcstatus.Status {
	if !a.inFlight.Take() {
		return overloaded(errShed)
	}
	retryAfter, ok := a.rates.Take(caller.Authorization())
	if ok {
		return nil
	}
	a.inFlight.Free()
	// Unlike too much to do, this is the caller's own doing: code 8, HTTP 429.
	refusal := rpcstatus.New(connect.CodeResourceExhausted, "too many calls with this token, try again later")
	refusal.RetryAfter, refusal.Cause = retryAfter, errRate
	return refusal
}

// maxUserIDRunes is the longest user id that v2 takes, and so that anybody has.
const maxUserIDRunes = 200

// bounded cuts a user id that nobody has down to one rune too many, which v2 refuses just the
// same. Oversized ids are never sent upstream.
func bounded(userID string) string {
	runes := 0
	for at := range userID {
		if runes++; runes > maxUserIDRunes+1 {
			return userID[:at]
		}
	}
	return userID
}

// unscoped is the plain translation, for OrgScopeOff. Of the caller of an invalid request it sees
// the Authorization header alone.
func (c *call) unscoped(ctx context.Context) (*objectv2.Details, error) {
	if invalid := c.method.validate(c.request); invalid != nil {
		return nil, cmp.Or(c.checkAuthorization(), invalid)
	}
	details, err := c.write(ctx)
	if err == nil {
		if details != nil && details.GetResourceOwner() == "" { // of UpdateUser
			details.ResourceOwner, _ = c.organizationOf(ctx, c.request.GetUserId()) // not every caller may see it
		}
		return details, nil
	}
	refusal := statusOf(err)
	switch {
	case isPermissionRefusal(refusal):
		return nil, noPermission()
	case refusal.Cause == nil && refusal.Code == connect.CodeInvalidArgument && refusal.ID == "":
		// v2's validation is stricter in ids of more than maxUserIDRunes (recording 201-character-user).
		return nil, passwordNotFound()
	}
	return nil, refusal
}

// checkAuthorization is what ZITADEL's interceptor does before it looks at the token.
func (c *call) checkAuthorization() *rpcstatus.Status {
	authorization := c.caller.Authorization()
	if authorization == "" {
		return rpcstatus.New(connect.CodeUnauthenticated, "auth header missing")
	}
	if strings.Count(authorization, bearer) != 1 {
		return newRefusal(connect.CodeUnauthenticated, idNoBearer, "invalid auth header")
	}
	return nil
}
