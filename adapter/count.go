package adapter

import (
	"cmp"
	"context"
	"net/http"
	"net/url"
	"path"
	"strconv"
	"strings"

	semconv "go.opentelemetry.io/otel/semconv/v1.43.0"
	"go.opentelemetry.io/otel/trace"

	"zitadel-v1-adapter/internal/ingress"
	"zitadel-v1-adapter/internal/rpcstatus"
	"zitadel-v1-adapter/internal/v1api"
	"zitadel-v1-adapter/internal/v1wire"
	"zitadel-v1-adapter/v2client"
)

// managementAPI is Event.API of translated calls.
const managementAPI = "management"

// The outcomes of a call.
const (
	OutcomeOK       = "ok"
	OutcomeRefused  = "refused"  // in v1's words, or by limits.callerRate
	OutcomeFailed   = "failed"   // ZITADEL or the adapter could not do it, or too late
	OutcomeBrownout = "brownout" // refused by a brownout
	OutcomeSunset   = "sunset"   // refused after deprecation.sunset
)

// Outcome is one of the Outcome constants: how the call ended, by its code and by who refused it.
func (e *Event) Outcome() string {
	switch e.RefusedBy {
	case RefusedByBrownout:
		return OutcomeBrownout
	case RefusedBySunset:
		return OutcomeSunset
	case RefusedByRate:
		return OutcomeRefused
	}
	switch e.Code {
	case "ok":
		return OutcomeOK
	case "unavailable", "deadline_exceeded", "internal", "unknown", "canceled", "data_loss", "aborted":
		return OutcomeFailed
	}
	status, err := strconv.Atoi(e.Code) // of REST answered by native v1
	switch {
	case err != nil:
		return OutcomeRefused
	case status == 0 || status >= http.StatusInternalServerError: // 0: the client did not wait
		return OutcomeFailed
	case status >= http.StatusBadRequest:
		return OutcomeRefused
	}
	return OutcomeOK
}

// passThrough lets ZITADEL answer, and counts the call if it is one of a deprecated API. What a
// browser asks before a call is none. The path is that which ZITADEL's router looks at.
func (a *Adapter) passThrough(w http.ResponseWriter, r *http.Request, clean string) {
	if a.config.Catalogue == nil || r.Method == http.MethodOptions {
		a.config.Passthrough.ServeHTTP(w, r)
		return
	}
	method, found := a.config.Catalogue.FindRequest(r, clean)
	if !found {
		a.config.Passthrough.ServeHTTP(w, r)
		return
	}
	x, r := ingress.ExchangeOf(w, r)
	protocol := cmp.Or(string(rpcstatus.ProtocolOf(r)), protocolREST)
	header, event := metadataOf(protocol, r), newEvent(protocol, r)
	event.API, event.Method, event.Route, event.Organization = method.API, method.Name, RouteNative, header.Get("X-Zitadel-Orgid")
	if rpcstatus.Protocol(protocol).IsWeb() {
		x.Keep(v1wire.RefusalBytes)
	}
	traceNative(r.Context(), method, protocol)
	x.Method = method.API + " " + method.Name
	defer func() {
		event.Code = nativeCode(x, protocol)
		caller := a.newCaller(r.Host, header)
		a.count(event, caller, hashToken(caller))
	}()
	a.config.Passthrough.ServeHTTP(x, r)
}

// traceNative names a request's span by the method, as those of translated calls are named.
func traceNative(ctx context.Context, method *v1api.Method, protocol string) {
	span := trace.SpanFromContext(ctx)
	switch {
	case !span.IsRecording() || method.Name == v1api.Unknown:
		return
	case protocol != protocolREST && method.Service != "":
		span.SetAttributes(semconv.RPCSystemNameGRPC, semconv.RPCMethod(method.Service+"/"+path.Base(method.Name)))
	case method.Pattern != "":
		span.SetAttributes(semconv.HTTPRoute(method.Pattern))
	}
	span.SetName(method.Name)
}

// ownPage names ZITADEL's own page that makes a request, by the fact that tells: its address, which
// a browser sends as Referer, is one of this host under /ui/. "" is everybody else.
func ownPage(r *http.Request) string {
	if r.Header["Referer"] == nil {
		return ""
	}
	page, err := url.Parse(r.Header.Get("Referer"))
	switch {
	case err != nil || page.Host == "" || !strings.EqualFold(page.Host, r.Host):
		return ""
	case strings.HasPrefix(page.Path, "/ui/console"):
		return "console (by Referer)"
	case strings.HasPrefix(page.Path, "/ui/"):
		return "login page (by Referer)"
	}
	return ""
}

// count counts a call when its caller has a name: now, or when ZITADEL has been asked.
func (a *Adapter) count(event Event, caller v2client.Caller, token tokenHash) {
	if a.config.Count == nil {
		return
	}
	event, known := a.named(event, caller, token)
	if known || !a.config.Identify || !a.naming.add(event, caller, token) {
		a.config.Count(event)
	}
}

// named is an event with the name of its caller, as far as that is known, and with a hash of the
// token until it is.
func (a *Adapter) named(event Event, caller v2client.Caller, token tokenHash) (_ Event, known bool) {
	identity, known := a.identities.identity(token)
	switch {
	case event.Code == "unauthenticated" || event.Code == "401":
		event.Caller = ""
	case known:
		event.Caller, event.LoginName = identity.UserID, identity.LoginName
		event.Organization = cmp.Or(event.Organization, identity.Organization)
	case caller.Authorization() == "" || a.identities.isRefused(token):
		event.Caller = ""
	default:
		event.Caller = a.hashedCaller(caller, token)
		return event, false
	}
	return event, true
}

// Finish counts the calls whose callers have no name yet; after ctx, without asking ZITADEL. It
// comes after the last call.
func (a *Adapter) Finish(ctx context.Context) { a.naming.finish(ctx) }
