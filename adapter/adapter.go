// Package adapter is the deprecated Management API v1 facade: it answers
// SetHumanInitialPassword over REST, gRPC and gRPC-Web exactly as ZITADEL's own
// v1 does, by way of ZITADEL v2.
//
// One file speaks one protocol (rest.go, grpc.go, grpcweb_text.go); between them
// and the v2 client stands one use case (set_human_initial_password.go) with
// v1's organization rule (organization.go); one mapping leads back (status.go,
// details.go).
package adapter

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"path"
	"strings"
	"time"

	"connectrpc.com/connect"
	"github.com/labstack/echo/v4"

	"zitadel-v1-adapter/internal/forwarded"
)

// Config says how v1 calls are answered.
type Config struct {
	// ZITADEL does the work. Required.
	ZITADEL ZITADEL
	// OrgScope is OrgScopeStrict or OrgScopeOff.
	OrgScope OrgScope
	// Timeout is the budget of all upstream calls of one v1 call together. A
	// client's own shorter deadline goes before. Above 0.
	Timeout time.Duration
	// Passthrough takes every other request to ZITADEL; nil answers them with
	// HTTP 404 or UNIMPLEMENTED in v1's shape.
	Passthrough *Passthrough
	// Rollout is the share of calls that are translated. Less than RolloutAll
	// needs Passthrough.
	Rollout Rollout
	// Forwarding says which proxies are believed when they say where a request came
	// from, and what ZITADEL is told of it.
	Forwarding forwarded.Policy
	// Limits of v1 calls.
	Limits Limits
	// GRPCHealth and GRPCReflection say who answers grpc.health.v1.Health and
	// server reflection. "" is AnswererUpstream.
	GRPCHealth     Answerer
	GRPCReflection Answerer
	// Ready is what gRPC health tells; nil means always.
	Ready func() bool
	// Observe is told of each v1 call, for metrics; nil means that nobody is. It
	// must be safe for concurrent use.
	Observe func(Call)
	// OnPanic is told of each panic in a request, which is logged and costs no
	// other; nil means that nobody is. As Observe.
	OnPanic func()
	// Log receives one line a call; nil discards them.
	Log *slog.Logger
}

// New checks config and makes the handler of everything that a v1 client may
// send. Its errors name the configuration key, its value, and what would be
// right.
func New(config Config) (http.Handler, error) {
	config.GRPCHealth = cmp.Or(config.GRPCHealth, AnswererUpstream)
	config.GRPCReflection = cmp.Or(config.GRPCReflection, AnswererUpstream)
	if err := config.validate(); err != nil {
		return nil, err
	}
	log := cmp.Or(config.Log, slog.New(slog.DiscardHandler))
	journal := &journal{log: log, observe: config.Observe}
	memory, err := newMemory()
	if err != nil {
		return nil, err
	}
	rates, err := newCallerRates(config.Limits)
	if err != nil {
		return nil, err
	}
	ownServices, err := newOwnServices(config.GRPCHealth, config.GRPCReflection, config.Ready)
	if err != nil {
		return nil, err
	}
	useCase := &setHumanInitialPassword{
		zitadel: config.ZITADEL, scope: config.OrgScope, timeout: config.Timeout, memory: memory, rates: rates,
		inFlight: slots{most: int64(config.Limits.CallsInFlight)},
	}
	f := &facade{
		rest:        &restHandler{useCase: useCase, journal: journal},
		grpc:        newGRPCHandler(useCase, journal),
		journal:     journal,
		errors:      newErrorWriter(log),
		onPanic:     config.OnPanic,
		passthrough: config.Passthrough,
		rollout:     config.Rollout,
		forwarding:  config.Forwarding,
		largeBodies: slots{most: largeBodies},
		limits:      config.Limits,
		ownServices: ownServices,
	}
	f.router = f.newRouter(log)
	f.restCORS, f.grpcWebCORS = newCORS(0, f.serveREST), newCORS(grpcWebMaxAge, f.serveGRPCWeb)
	return f, nil
}

func (config Config) validate() error {
	if config.ZITADEL == nil {
		return errors.New("adapter: Config.ZITADEL is nil")
	}
	if config.OrgScope != OrgScopeStrict && config.OrgScope != OrgScopeOff {
		return fmt.Errorf("orgScope: %q: use %q or %q", config.OrgScope, OrgScopeStrict, OrgScopeOff)
	}
	if config.Timeout <= 0 {
		return fmt.Errorf("upstream.timeout: %v: use a duration above 0, such as 10s", config.Timeout)
	}
	if err := config.Limits.validate(); err != nil {
		return err
	}
	if err := config.Rollout.validate(); err != nil {
		return err
	}
	if config.Rollout < RolloutAll && config.Passthrough == nil {
		return fmt.Errorf("rollout.percent: %d: the other calls go to native v1 by passthrough: use 100, or passthrough.enabled: true", config.Rollout)
	}
	if err := config.GRPCHealth.validate("server.grpcHealth"); err != nil {
		return err
	}
	return config.GRPCReflection.validate("server.grpcReflection")
}

// facade routes requests to the protocols. ZITADEL decides by path cleaning,
// then by gRPC's content types, then by REST's paths, and so does it. What is not
// the translated call, in any spelling, passes through before any of that.
type facade struct {
	rest        *restHandler
	grpc        *grpcHandler
	restCORS    http.Handler
	grpcWebCORS http.Handler
	router      *echo.Echo
	journal     *journal
	errors      errorWriter
	onPanic     func() // may be nil
	passthrough *Passthrough
	rollout     Rollout
	forwarding  forwarded.Policy
	largeBodies slots
	limits      Limits
	ownServices []*ownService
}

func (f *facade) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	out := &answer{ResponseWriter: w, timeout: f.limits.WriteTimeout}
	defer f.recoverPanic(out, r, r.Header.Get("Content-Type"))
	f.route(out, r)
	out.finish()
}

func (f *facade) route(w *answer, r *http.Request) {
	if !validTarget(r) {
		f.errors.write(w, r, newStatus(connect.CodeInvalidArgument, "malformed request target"))
		return
	}
	f.forwarding.Apply(r)
	protocol := rpcProtocol(r)
	if own := f.ownService(r, protocol); own != nil {
		w.streamed = true
		body := limitBody(w, r, f.limits.BodyTimeout, &bodyBudget{streamed: true}) // which is all the time that a stream has
		defer body.end()
		own.ServeHTTP(w, r)
		return
	}
	clean := cleanPath(r.URL.Path)
	userID, isREST := callUserID(clean)
	// Whatever has the call's path stays here: what is no call to this router may
	// be one to ZITADEL's, for example by a second Content-Type.
	if f.passthrough != nil && !isREST && clean != procedure {
		w.streamed = true
		f.passthrough.ServeHTTP(w, r)
		return
	}
	if clean != r.URL.Path {
		// As gorilla/mux in ZITADEL does it (recordings double-slash, empty-user).
		to := *r.URL
		to.Path = clean
		w.Header()["Location"] = []string{to.String()}
		w.WriteHeader(http.StatusMovedPermanently)
		return
	}
	f.serveCall(w, r, protocol, userID)
}

// serveCall answers the translated call, or lets native v1 do so. userID is that of a
// REST path.
func (f *facade) serveCall(w *answer, r *http.Request, protocol, userID string) {
	budget := &bodyBudget{large: &f.largeBodies}
	defer budget.release()
	body := limitBody(w, r, f.limits.BodyTimeout, budget)
	defer body.end()
	if f.rollout != RolloutAll {
		if protocol != "" {
			var crowded bool
			if userID, crowded = peekUserID(r, protocol, body); crowded {
				f.refuseCrowded(w, r, protocol)
				return
			}
		}
		if !f.rollout.translates(userID) {
			w.streamed, budget.streamed = true, true
			f.serveNative(w, r, cmp.Or(protocol, "rest"), userID)
			return
		}
	}
	w.Header()["X-Robots-Tag"] = []string{"none"}
	switch {
	case protocol == "grpc":
		f.grpc.serve(w, r, protocol)
	case protocol != "", isGRPCWebPreflight(r):
		f.grpcWebCORS.ServeHTTP(w, r)
	default:
		f.restCORS.ServeHTTP(w, r)
	}
}

// refuseCrowded refuses a call of which nobody knows for whom it is, because there was
// no room to look at its body.
func (f *facade) refuseCrowded(w http.ResponseWriter, r *http.Request, protocol string) {
	rec := newRecord(protocol, r)
	rec.status = overloaded()
	f.errors.write(w, r, rec.status)
	f.journal.write(r.Context(), rec)
}

// serveNative lets native v1 answer a call for a user whom the rollout has not
// reached.
func (f *facade) serveNative(w http.ResponseWriter, r *http.Request, protocol, userID string) {
	rec := newRecord(protocol, r)
	rec.way, rec.userID, rec.organization = WayV1, userID, restHeader(r.Header, "X-Zitadel-Orgid")
	out := &passedResponse{ResponseWriter: w}
	defer func() {
		rec.nativeCode = nativeCode(out.status, out.grpcStatus())
		if r.Method == http.MethodPost { // others are no calls
			f.journal.write(r.Context(), rec)
		}
	}()
	f.passthrough.pass(out, r)
}

func (f *facade) serveGRPCWeb(w http.ResponseWriter, r *http.Request) {
	if isPreflight(r) {
		w.WriteHeader(http.StatusNoContent)
		return
	}
	f.grpc.serve(w, r, rpcProtocol(r))
}

func (f *facade) serveREST(w http.ResponseWriter, r *http.Request) {
	if isPreflight(r) {
		w.Header().Add("Vary", "Cookie") // v1 adds it to every 2xx
		w.WriteHeader(http.StatusNoContent)
		return
	}
	f.router.ServeHTTP(w, decodedPath(r))
}

// cleanPath is where a path with empty or dot segments is redirected to; others
// stay as they are. The path is taken decoded, so "%2E" counts as a dot.
func cleanPath(decoded string) string {
	clean := path.Clean("/" + decoded)
	if strings.HasSuffix(decoded, "/") && clean != "/" {
		clean += "/"
	}
	return clean
}

// decodedPath is r with the path that grpc-gateway matches: decoded, so that
// "%2F" is a slash and "%30" a zero (recordings percent-encoded-*).
func decodedPath(r *http.Request) *http.Request {
	if r.URL.RawPath == "" {
		return r
	}
	decoded := *r.URL
	decoded.RawPath = ""
	routed := *r
	routed.URL = &decoded
	return &routed
}

// newRouter routes REST paths.
func (f *facade) newRouter(log *slog.Logger) *echo.Echo {
	router := echo.New()
	router.Logger.SetOutput(io.Discard)
	router.HTTPErrorHandler = func(err error, c echo.Context) {
		w := c.Response()
		switch {
		case errors.Is(err, echo.ErrNotFound):
			writeStatus(w, http.StatusNotFound, newStatus(connect.CodeNotFound, "Not Found"))
		case errors.Is(err, echo.ErrMethodNotAllowed): // a method that Echo has never heard of
			w.Header().Del("Allow") // v1 sends none
			writeMethodNotAllowed(w)
		default:
			log.ErrorContext(c.Request().Context(), "request not answered", "cause", fmt.Sprintf("%T", err))
			writeStatus(w, http.StatusInternalServerError, newStatus(connect.CodeInternal, "internal error"))
		}
	}
	router.Any(callPathBefore+":user_id"+callPathAfter, func(c echo.Context) error {
		f.rest.serve(c.Response(), c.Request(), c.Param("user_id"))
		return nil
	})
	return router
}
