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
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/url"
	"path"
	"strings"
	"time"

	"connectrpc.com/connect"
	"github.com/labstack/echo/v4"
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
	// Log receives one line a call; nil discards them.
	Log *slog.Logger
}

// New checks config and makes the handler of everything that a v1 client may
// send. Its errors name the configuration key, its value, and what would be
// right.
func New(config Config) (http.Handler, error) {
	if config.ZITADEL == nil {
		return nil, errors.New("adapter: Config.ZITADEL is nil")
	}
	if config.OrgScope != OrgScopeStrict && config.OrgScope != OrgScopeOff {
		return nil, fmt.Errorf("orgScope: %q: use %q or %q", config.OrgScope, OrgScopeStrict, OrgScopeOff)
	}
	if config.Timeout <= 0 {
		return nil, fmt.Errorf("upstream.timeout: %v: use a duration above 0, such as 10s", config.Timeout)
	}
	log := config.Log
	if log == nil {
		log = slog.New(slog.DiscardHandler)
	}
	memory, err := newMemory()
	if err != nil {
		return nil, err
	}
	useCase := &setHumanInitialPassword{
		zitadel: config.ZITADEL, scope: config.OrgScope, timeout: config.Timeout, memory: memory,
	}
	f := &facade{
		rest: &restHandler{useCase: useCase, log: log},
		grpc: newGRPCHandler(useCase, log),
	}
	f.router = f.newRouter(log)
	f.restCORS, f.grpcWebCORS = newCORS(0, f.serveREST), newCORS(grpcWebMaxAge, f.serveGRPCWeb)
	return f, nil
}

// facade routes requests to the protocols. ZITADEL decides by path cleaning,
// then by gRPC's content types, then by REST's paths, and so does it.
type facade struct {
	rest        *restHandler
	grpc        *grpcHandler
	restCORS    http.Handler
	grpcWebCORS http.Handler
	router      *echo.Echo
}

func (f *facade) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if location, unclean := cleanLocation(r.URL); unclean {
		// As gorilla/mux in ZITADEL does it (recordings double-slash, empty-user).
		w.Header()["Location"] = []string{location}
		w.WriteHeader(http.StatusMovedPermanently)
		return
	}
	w.Header()["X-Robots-Tag"] = []string{"none"}
	switch protocol := rpcProtocol(r); {
	case protocol == "grpc":
		f.grpc.serve(w, r, protocol)
	case protocol != "", isGRPCWebPreflight(r):
		f.grpcWebCORS.ServeHTTP(w, r)
	default:
		f.restCORS.ServeHTTP(w, r)
	}
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

// cleanLocation is where a path with empty or dot segments is redirected to.
// The path is taken decoded, so "%2E" counts as a dot.
func cleanLocation(from *url.URL) (location string, unclean bool) {
	clean := path.Clean("/" + from.Path)
	if strings.HasSuffix(from.Path, "/") && clean != "/" {
		clean += "/"
	}
	if clean == from.Path {
		return "", false
	}
	to := *from
	to.Path = clean
	return to.String(), true
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
	router.Any("/management/v1/users/:user_id/password/_initialize", func(c echo.Context) error {
		f.rest.serve(c.Response(), c.Request(), c.Param("user_id"))
		return nil
	})
	return router
}
