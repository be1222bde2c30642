package adapter

import (
	"context"
	"strings"
	"time"

	"connectrpc.com/connect"

	objectv2 "zitadel-v1-adapter/gen/zitadel/object/v2"
	"zitadel-v1-adapter/internal/rpcstatus"
	"zitadel-v1-adapter/internal/v1wire"
	"zitadel-v1-adapter/v2client"
)

// call is one v1 call, whatever protocol it came in.
type call struct {
	reads      Reads
	identities *identityCache
	event      *Event
	caller     v2client.Caller
	token      tokenHash
	request    request
	// write makes the call's one write. Shadow mode's makes none.
	write func(context.Context) (*objectv2.Details, error)
	// identity is the caller's, as far as it is known, and grant what it may do in the
	// organization of the call, once that has been asked.
	identity v2client.Identity
	grant    v2client.Grant
	asked    bool
}

// run answers a v1 call and notes in event what became of it. It gives up, with
// v1's words, when ctx or the upstream timeout ends.
func (a *Adapter) run(ctx context.Context, m *Method, request request, event *Event) (response, *rpcstatus.Status) {
	event.UserID, event.Organization = request.userID(), event.organization
	refusal := a.deprecationRefusal(ctx, m, event)
	var details *objectv2.Details
	if refusal == nil {
		caller := event.caller
		caller.Deadline = time.Now().Add(a.config.Timeout)
		details, refusal = a.execute(ctx, caller, request, event)
	}
	event.status = refusal
	if refusal != nil {
		return nil, refusal
	}
	return m.newResponse(objectDetails(details)), nil
}

func (a *Adapter) execute(ctx context.Context, caller v2client.Caller, request request, event *Event) (*objectv2.Details, *rpcstatus.Status) {
	if late := v1wire.ContextStatus(ctx); late != nil { // as v1: no look at anything once it is too late
		return nil, late
	}
	if refusal := a.admit(caller); refusal != nil {
		return nil, refusal
	}
	defer a.inFlight.Free()
	if refusal := event.hostRefusal(); refusal != nil {
		return nil, refusal
	}
	request.setUserID(bounded(request.userID()))
	c := call{
		reads: a.config.ZITADEL, identities: a.identities, event: event, caller: caller, token: event.token, request: request,
		write: func(ctx context.Context) (*objectv2.Details, error) {
			return request.execute(ctx, a.config.ZITADEL, caller)
		},
	}
	if a.config.OrgScope == OrgScopeOff && a.config.Identify {
		a.identify(ctx, event)
	}
	details, err := c.translate(ctx, a.config.OrgScope)
	if err != nil {
		return nil, a.localized(ctx, caller, event.language, statusOf(err))
	}
	return details, nil
}

// translate makes the v2 calls of c, and keeps to v1's organization unless scope says
// otherwise.
func (c *call) translate(ctx context.Context, scope OrgScope) (*objectv2.Details, error) {
	if scope == OrgScopeOff {
		return c.unscoped(ctx)
	}
	return c.inOrganization(ctx)
}

// admit takes a slot, to be freed, and one of the caller's calls; nil means that it has.
// A call counts from here on, when all of it is there: a slow sender takes no other
// call's place.
func (a *Adapter) admit(caller v2client.Caller) *rpcstatus.Status {
	if !a.inFlight.Take() {
		return overloaded()
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
		if runes > maxUserIDRunes {
			return userID[:at]
		}
		runes++
	}
	return userID
}

// unscoped is the plain translation, for OrgScopeOff. Without further calls
// it can only see whether there is an Authorization header, not whether the
// token is good, before it refuses an invalid request.
func (c *call) unscoped(ctx context.Context) (*objectv2.Details, error) {
	if invalid := c.request.validate(); invalid != nil {
		if missing := c.checkAuthorization(); missing != nil {
			return nil, missing
		}
		return nil, invalid
	}
	details, err := c.write(ctx)
	if err == nil {
		return details, nil
	}
	refusal := statusOf(err)
	switch {
	case isPermissionRefusal(refusal):
		return nil, noPermission()
	case refusal.Cause == nil && refusal.Code == connect.CodeInvalidArgument && refusal.ID == "":
		// v2's validation. It is stricter than v1's in one thing: ids of more
		// than maxUserIDRunes (recording 201-character-user).
		return nil, passwordNotFound()
	}
	return nil, refusal
}

// checkAuthorization looks at the Authorization header as ZITADEL's interceptor
// does before it looks at the token.
func (c *call) checkAuthorization() *rpcstatus.Status {
	authorization := c.caller.Authorization()
	if authorization == "" {
		return rpcstatus.New(connect.CodeUnauthenticated, "auth header missing")
	}
	if strings.Count(authorization, "Bearer ") != 1 {
		return newRefusal(connect.CodeUnauthenticated, idNoBearer, "invalid auth header")
	}
	return nil
}
