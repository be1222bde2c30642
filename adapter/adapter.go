// Package adapter is the facade of the deprecated Management API v1: it answers v1
// methods over REST, gRPC and gRPC-Web exactly as ZITADEL's own v1 does, by way of
// ZITADEL v2.
//
// Package v1wire reads requests and writes answers (rest.go and grpc.go call it). A v1 method
// is data in a file of its own (method.go says which). Between them stands the call (call.go)
// with v1's organization rule (organization.go); status.go maps v2's answer back.
package adapter

import (
	"cmp"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"path"
	"strings"
	"time"

	"connectrpc.com/connect"
	"github.com/labstack/echo/v4"

	objectv2 "zitadel-v1-adapter/gen/zitadel/object/v2"
	"zitadel-v1-adapter/internal/crossorigin"
	"zitadel-v1-adapter/internal/ingress"
	"zitadel-v1-adapter/internal/rpcstatus"
	"zitadel-v1-adapter/internal/v1api"
	"zitadel-v1-adapter/internal/v1wire"
	"zitadel-v1-adapter/v2client"
)

// ZITADEL is what the adapter needs of ZITADEL v2: a [v2client.Client], whose methods say what
// each does. Errors are [*v2client.Error].
type ZITADEL interface {
	Reads
	Writes
}

// Writes are the calls that change something.
type Writes interface {
	SetPassword(ctx context.Context, caller v2client.Caller, userID, password string, changeRequired bool) (*objectv2.Details, error)
}

// Reads are the calls that change nothing. Shadow mode has no others.
type Reads interface {
	UserOrganization(ctx context.Context, caller v2client.Caller, userID string) (string, error)
	IsHuman(ctx context.Context, caller v2client.Caller, userID string) (bool, error)
	Identify(ctx context.Context, caller v2client.Caller) (v2client.Identity, error)
	Authorize(ctx context.Context, caller v2client.Caller, known v2client.Identity) (v2client.Grant, v2client.Identity, error)
	DefaultLanguage(ctx context.Context, caller v2client.Caller) (string, error)
}

// Messages are the texts of errors in ZITADEL's languages.
type Messages interface {
	// Has reports whether native v1 words the error with this id in other languages.
	Has(id string) bool
	// Lookup returns the error's text in the language nearest to a wanted one (each a language, or
	// in Accept-Language's syntax, the most wanted first), or else in the instance's default.
	Lookup(id, instanceDefault string, wanted ...string) (text string, ok bool)
}

// OrgScope is how the organization of a call is treated.
type OrgScope string

const (
	// OrgScopeStrict keeps v1's rule: only users of the organization of the call.
	OrgScopeStrict OrgScope = "strict"
	// OrgScopeOff leaves it to v2's permission check, with one upstream call.
	OrgScopeOff OrgScope = "off"
)

// Config says how v1 calls are answered.
type Config struct {
	// ZITADEL does the work. Required.
	ZITADEL ZITADEL
	// OrgScope is OrgScopeStrict or OrgScopeOff.
	OrgScope OrgScope
	// Timeout is for all upstream calls of one v1 call together; a client's shorter deadline
	// takes precedence. Above 0.
	Timeout time.Duration
	// Passthrough answers every other request. Default: HTTP 404 or UNIMPLEMENTED, as v1.
	Passthrough http.Handler
	// Rollout is the share of calls that are translated. Passthrough leads the others to native v1.
	Rollout Rollout
	// Shadow compares native v1's answers with what the adapter would have answered.
	Shadow bool
	// ObserveShadow is called with each comparison, concurrently. Default: none.
	ObserveShadow func(Shadow)
	// Limits of v1 calls.
	Limits Limits
	// Deprecation is what callers are told of v1's end, and when they are refused.
	// Default: nothing, and never.
	Deprecation Deprecation
	// Messages words refusals as native v1 does. Default: as v2 words them.
	Messages Messages
	// Observe is called with each v1 call when it has ended, concurrently. Default: none.
	Observe func(Event)
	// Catalogue names the calls of deprecated APIs that pass through, to be counted. Default: none is.
	Catalogue *v1api.Catalogue
	// Count is called once with each call of a deprecated API, concurrently: with a translated one,
	// and with one that passed through. Default: none.
	Count func(Event)
	// Identify says that Count waits until ZITADEL was asked whose token a call has, in the
	// background and once for each token, so that [Event.Caller] is a user id.
	Identify bool
	// CallerKey is the key of the hashes in [Event.Caller].
	CallerKey [32]byte
	// Log receives one line a call. Default: none.
	Log *slog.Logger
}

// Limits bound what clients may take of the adapter.
type Limits struct {
	// CallsInFlight is the number of calls at once, from the end of the request to ZITADEL's
	// answer; 0 is unlimited. Further ones are refused with code 14, HTTP 503 and Retry-After:
	// another replica may have room.
	CallsInFlight int
	// BodyTimeout is how long a request may take from its headers to its end. Above 0.
	BodyTimeout time.Duration
	// CallerRate is the number of translated calls a second with one token, on average; 0 is
	// unlimited. CallerBurst is their number at once, then at least 1. Further ones are refused
	// with code 8, HTTP 429 and Retry-After.
	CallerRate  float64
	CallerBurst int
}

// Adapter is the handler of everything that a v1 client may send. As ZITADEL it decides by path
// cleaning, then by REST's paths, then by content types. Requests for other paths, in any
// spelling, are passed through first. It is safe for concurrent use.
type Adapter struct {
	config     Config
	procedures map[string]*Method // by path
	patterns   map[string]*Method // by Echo's pattern
	router     *echo.Echo
	restCORS   *crossorigin.Policy
	webCORS    *crossorigin.Policy
	deprecated *deprecation
	identities *identityCache
	rates      *ingress.Rates
	inFlight   ingress.Slots
	largeBody  ingress.Slots
	shadow     *shadowMode
	naming     *naming
	// nobody is a random text. ZITADEL has no token and no organization of that name.
	nobody string
}

// grpcWebMaxAge is how long v1 lets a browser remember a gRPC-Web preflight; for REST it says
// nothing (recordings cors-preflight of both).
const grpcWebMaxAge = 10 * time.Minute

// New checks config and makes an Adapter. The error has a line for each mistake, with the
// configuration key, its value, and what would be right.
func New(config Config) (*Adapter, error) {
	rates, ratesErr := ingress.NewRates(config.Limits.CallerRate, config.Limits.CallerBurst)
	deprecated, deprecationErr := newDeprecation(config.Deprecation)
	identities, identitiesErr := newIdentityCache()
	if err := errors.Join(config.validate(), ratesErr, deprecationErr, identitiesErr); err != nil {
		return nil, err
	}
	if config.Log == nil {
		config.Log = slog.New(slog.DiscardHandler)
	}
	a := &Adapter{
		config:     config,
		procedures: map[string]*Method{},
		patterns:   map[string]*Method{},
		router:     echo.New(),
		restCORS:   crossorigin.New(0, deprecated.headers()...),
		webCORS:    crossorigin.New(grpcWebMaxAge, deprecated.headers()...),
		deprecated: deprecated,
		identities: identities,
		rates:      rates,
		inFlight:   ingress.Slots{Limit: int64(config.Limits.CallsInFlight)},
		largeBody:  ingress.Slots{Limit: largeBodies},
		shadow:     newShadowMode(config, identities),
		nobody:     rand.Text(),
	}
	a.naming = newNaming(a)
	for _, m := range Methods() {
		a.procedures[m.Procedure], a.patterns[m.Pattern] = &m, &m
		a.router.POST(m.Pattern, func(echo.Context) error { return nil }) // it says which method, and no more
	}
	return a, nil
}

func (config Config) validate() error {
	var mistakes []error
	addf := func(wrong bool, format string, args ...any) {
		if wrong {
			mistakes = append(mistakes, fmt.Errorf(format, args...))
		}
	}
	addf(config.ZITADEL == nil, "adapter: Config.ZITADEL is nil")
	addf(config.OrgScope != OrgScopeStrict && config.OrgScope != OrgScopeOff, "orgScope: %q: use %q or %q", config.OrgScope, OrgScopeStrict, OrgScopeOff)
	addf(config.Timeout <= 0, "upstream.timeout: %v: use a duration above 0, such as 1m", config.Timeout)
	addf(config.Limits.CallsInFlight < 0, "limits.callsInFlight: %d: use a number such as 1000, or 0 for no limit", config.Limits.CallsInFlight)
	addf(config.Limits.BodyTimeout <= 0, "limits.bodyTimeout: %v: use a duration above 0, such as 30s", config.Limits.BodyTimeout)
	addf(config.Rollout < 0 || config.Rollout > RolloutAll, "rollout.percent: %d: use a whole number from 0 (none is translated) to 100 (all are)", config.Rollout)
	addf(config.Rollout < RolloutAll && config.Passthrough == nil,
		"rollout.percent: %d: the other calls go to native v1 by passthrough: use 100, or passthrough.enabled: true", config.Rollout)
	return errors.Join(mistakes...)
}

// CallsInFlight is the number of translated calls in progress, as Limits counts them.
func (a *Adapter) CallsInFlight() int { return a.inFlight.Taken() }

// NextBrownout is when the next brownout begins, or the present one began; zero is never.
func (a *Adapter) NextBrownout() time.Time {
	next := append(a.deprecated.schedule.Next(time.Now(), 1), Window{})
	return next[0].From
}

// Sunset is Deprecation.Sunset.
func (a *Adapter) Sunset() time.Time { return a.deprecated.Sunset }

// ServeHTTP implements [http.Handler].
func (a *Adapter) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	clean := cleanPath(r.URL.Path)
	called := a.find(clean)
	switch {
	case r.URL.Scheme != "" && clean != r.URL.Path: // a target in absolute-form, which does not pass through as it is
		redirect(w, r, clean)
	// Whatever has a method's path stays here: what is no call to this router may
	// be one to ZITADEL's, for example by a second Content-Type.
	case called.method == nil && a.config.Passthrough != nil:
		a.passThrough(w, r, clean)
	case clean != r.URL.Path:
		redirect(w, r, clean)
	default:
		a.serve(w, r, called)
	}
}

// redirect answers as gorilla/mux in ZITADEL does (recordings double-slash, empty-user). To
// net/http a target without a slash, such as "a:b", has no path: it is redirected to "/".
func redirect(w http.ResponseWriter, r *http.Request, clean string) {
	to := *r.URL
	to.Path = clean
	w.Header().Set("Location", to.String())
	w.WriteHeader(http.StatusMovedPermanently)
}

// serve answers a call, or what only looks like one.
func (a *Adapter) serve(w http.ResponseWriter, r *http.Request, called match) {
	x, r := ingress.ExchangeOf(w, r)
	x.LimitBody(a.config.Limits.BodyTimeout)
	var protocol rpcstatus.Protocol
	if !called.isREST { // ZITADEL's router looks for REST's paths before it looks at content types
		if protocol = rpcstatus.ProtocolOf(r); protocol == "" {
			called.method = nil
		}
	}
	if called.method != nil && !crossorigin.IsPreflight(r) {
		a.deprecated.announce(x.Header())
	}
	if protocol != "" {
		a.serveRPC(x, r, protocol, called.method)
		return
	}
	if !a.config.Rollout.translates(called.userID) {
		c := a.newCall(protocolREST, called.method, r)
		c.event.UserID = called.userID
		a.serveNative(x, r, c)
		return
	}
	x.Header().Set("X-Robots-Tag", "none")
	if !called.isREST && crossorigin.IsGRPCWebPreflight(r) {
		a.webCORS.Allow(x, r)
		x.WriteHeader(http.StatusNoContent)
		return
	}
	a.restCORS.Allow(x, r)
	a.serveREST(x, r, called)
}

// serveNative lets native v1 answer a call for a user whom the rollout has not reached.
func (a *Adapter) serveNative(x *ingress.Exchange, r *http.Request, c *call) {
	c.event.Route, c.event.Organization = RouteNative, c.namedOrganization
	identity, _ := a.identities.identity(c.token)
	c.event.Caller = identity.UserID
	if r.Method != http.MethodPost || c.method == nil { // no call
		a.config.Passthrough.ServeHTTP(x, r)
		return
	}
	c.beginTrace(r.Context())
	x.HasLine = true
	defer func() {
		c.event.Code = nativeCode(x, c.event.Protocol)
		a.end(r.Context(), c, x.Status())
	}()
	if rpcstatus.Protocol(c.event.Protocol).IsWeb() {
		x.Keep(v1wire.RefusalBytes)
	}
	if c.refusal = a.deprecationRefusal(r.Context(), c); c.refusal != nil {
		rpcstatus.Write(x, r, c.refusal)
		return
	}
	if names := a.deprecated.headers(); names != nil && r.Header["Origin"] != nil {
		x.Header().Add("Access-Control-Expose-Headers", strings.Join(names, ", "))
	}
	if a.config.Shadow {
		r = observe(x, r, c)
	}
	a.config.Passthrough.ServeHTTP(x, r)
	if a.config.Shadow {
		c.event.Caller = cmp.Or(c.event.Caller, a.hashedCaller(c.caller, c.token))
		a.shadow.judge(r.Context(), x, c)
	}
}

// deprecationRefusal refuses a call because of a brownout, or because the method's time is over.
func (a *Adapter) deprecationRefusal(ctx context.Context, c *call) *rpcstatus.Status {
	return a.deprecated.refusal(time.Now(), c.method.Name(), func() string {
		c.event.Caller = a.identify(ctx, c.caller, c.token).UserID
		return c.event.Caller
	})
}

// identify returns whose token it is. ZITADEL is asked once for each token, and once a minute for
// one that it refuses. The UserID is "" if ZITADEL does not say.
func (a *Adapter) identify(ctx context.Context, caller v2client.Caller, token tokenHash) v2client.Identity {
	identity, known := a.identities.identity(token)
	if known || a.identities.isRefused(token) {
		return identity
	}
	caller.Deadline = time.Now().Add(a.config.Timeout)
	identity, err := a.config.ZITADEL.Identify(ctx, caller)
	switch {
	case err == nil && identity.UserID != "":
		a.identities.keepIdentity(token, identity)
		return identity
	case err != nil:
		if refusal := statusOf(err); refusal.Code == connect.CodeUnauthenticated && refusal.Cause == nil { // ZITADEL's own
			a.identities.keepRefusal(token)
		}
	}
	return v2client.Identity{}
}

// match is the method whose path a request has.
type match struct {
	method *Method // nil: none
	isREST bool
	userID string // of a REST path
}

// find looks for the method with a path, decoded: "%2F" is a slash (recordings percent-encoded-*).
func (a *Adapter) find(decoded string) match {
	if m := a.procedures[decoded]; m != nil {
		return match{method: m}
	}
	c := a.router.AcquireContext()
	defer a.router.ReleaseContext(c)
	c.Reset(nil, nil) // it comes from a pool, and goes back there with its values
	a.router.Router().Find(http.MethodPost, decoded, c)
	m := a.patterns[c.Path()]
	if m == nil {
		return match{}
	}
	return match{method: m, isREST: true, userID: c.Param("user_id")}
}

// cleanPath is where a path, decoded, with empty or dot segments is redirected to; others stay.
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
