// Package admin serves the endpoints of the admin listener, with which the platform
// observes and controls a running adapter.
package admin

import (
	"context"
	"crypto/subtle"
	"fmt"
	"net"
	"net/http"
	"net/http/pprof"
	"net/netip"
	"os"
	"slices"
	"strings"
	"sync/atomic"

	"zitadel-v1-adapter/adapter"
	"zitadel-v1-adapter/internal/config"
	"zitadel-v1-adapter/internal/page"
)

// Server is the handler of the admin listener:
//
//   - GET /healthz answers 200 while the process runs;
//   - GET /readyz answers 200 while the adapter accepts calls, otherwise 503;
//   - GET /metrics answers with the metrics in the format of Prometheus;
//   - GET /usage answers who called v1, as JSON;
//   - GET /openapi.json describes the REST calls of v1, in OpenAPI;
//   - GET / and what belongs to it is the migration page;
//   - POST /quitquitquit asks the program to shut down, so that a Job can end its
//     sidecar. It answers 403 unless the settings allow it.
//
// and Go's profiles at /debug/pprof/, if the settings allow it.
//
// All but the first two refuse whoever may not ask: see authorized. They also refuse what a
// web page may have made a browser send: requests under a name that is not the adapter's
// (DNS rebinding), and, if they change something, those from other sites. It is safe for
// concurrent use.
type Server struct {
	settings func() config.Admin
	forAll   bool
	mux      *http.ServeMux
	ready    atomic.Bool
	sites    *http.CrossOriginProtection
	quitting context.Context //nolint:containedctx // of the program, not of a request
	quit     context.CancelFunc
}

// New returns a Server that is not ready. metrics and usage answer GET /metrics and GET
// /usage, migration what [page.Patterns] lists. settings are asked for at each request.
// forAll says that without a token file whoever asks is answered, from wherever.
func New(metrics, usage, migration http.Handler, forAll bool, settings func() config.Admin) *Server {
	s := &Server{settings: settings, forAll: forAll, mux: http.NewServeMux(), sites: http.NewCrossOriginProtection()}
	s.quitting, s.quit = context.WithCancel(context.Background())
	s.mux.HandleFunc("GET /healthz", func(w http.ResponseWriter, _ *http.Request) {
		answer(w, http.StatusOK, "ok")
	})
	s.mux.HandleFunc("GET /readyz", func(w http.ResponseWriter, _ *http.Request) {
		if !s.ready.Load() {
			answer(w, http.StatusServiceUnavailable, "not ready")
			return
		}
		answer(w, http.StatusOK, "ready")
	})
	guarded := map[string]http.Handler{
		"GET /metrics":       metrics,
		"GET /usage":         usage,
		"GET /openapi.json":  http.HandlerFunc(describe),
		"POST /quitquitquit": http.HandlerFunc(s.serveQuit),
		"/debug/pprof/":      http.HandlerFunc(s.profile),
	}
	for _, pattern := range page.Patterns() {
		guarded[pattern] = migration
	}
	for pattern, handler := range guarded {
		s.mux.Handle(pattern, s.guarded(handler))
	}
	return s
}

func (s *Server) serveQuit(w http.ResponseWriter, _ *http.Request) {
	if !s.settings().QuitQuitQuit {
		answer(w, http.StatusForbidden, "not allowed: set admin.quitquitquit: true")
		return
	}
	answer(w, http.StatusOK, "quitting")
	s.quit()
}

// describe answers with the description of the REST calls.
func describe(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Content-Type", "application/json")
	_, _ = w.Write([]byte(adapter.OpenAPI())) // fails if the client has closed the connection
}

// profile answers with one of Go's profiles.
func (s *Server) profile(w http.ResponseWriter, r *http.Request) {
	if !s.settings().Pprof {
		answer(w, http.StatusForbidden, "not allowed: set admin.pprof: true")
		return
	}
	switch r.URL.Path {
	case "/debug/pprof/profile":
		pprof.Profile(w, r)
	case "/debug/pprof/trace":
		pprof.Trace(w, r)
	default: // which has no command line: flags may hold secrets
		pprof.Index(w, r)
	}
}

// guarded refuses what a web page may have made a browser send.
func (s *Server) guarded(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch {
		case !s.knows(r.Host) && !isOnSocket(r):
			answer(w, http.StatusForbidden, "this Host is not allowed: use an IP address or add it to admin.hosts")
		case s.sites.Check(r) != nil:
			answer(w, http.StatusForbidden, "not for web pages of other sites")
		case s.authorized(w, r):
			next.ServeHTTP(w, r)
		}
	})
}

// authorized reports whether a request may be answered, and refuses it if not. One with a
// verified client certificate may. With a token file, one with the token may; a browser sends it as
// the password of HTTP Basic (RFC 7617), with any name. Without a token file, one that comes to a
// loopback address or a Unix socket may: whoever sends it is on this machine, or in this pod.
func (s *Server) authorized(w http.ResponseWriter, r *http.Request) bool {
	file := s.settings().TokenFile
	switch {
	case r.TLS != nil && len(r.TLS.VerifiedChains) > 0:
		return true
	case file == "" && (s.forAll || isOnSocket(r) || isLoopback(r)):
		return true
	case file == "":
		answer(w, http.StatusForbidden, "not on this address: ask on a loopback one, or set admin.tokenFile or admin.tls.clientCAFile")
		return false
	}
	content, err := os.ReadFile(file) //nolint:gosec // the operator names the file
	token := strings.TrimSpace(string(content))
	if err != nil || token == "" {
		answer(w, http.StatusServiceUnavailable, "admin.tokenFile cannot be read, or is empty")
		return false
	}
	sent, isBearer := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer ")
	if _, password, isBasic := r.BasicAuth(); isBasic { // of a browser
		sent, isBearer = password, true
	}
	if isBearer && subtle.ConstantTimeCompare([]byte(sent), []byte(token)) == 1 {
		return true
	}
	w.Header()["Www-Authenticate"] = []string{`Basic realm="zitadel-v1-adapter: any name, the token as password"`, "Bearer"}
	answer(w, http.StatusUnauthorized, "the token in admin.tokenFile is needed: as Authorization: Bearer TOKEN, or as the password of HTTP Basic")
	return false
}

// isLoopback reports whether a request came to a loopback address.
func isLoopback(r *http.Request) bool {
	at, err := netip.ParseAddrPort(fmt.Sprint(r.Context().Value(http.LocalAddrContextKey)))
	return err == nil && at.Addr().Unmap().IsLoopback()
}

// knows reports whether a Host is an address or a name of the adapter's.
func (s *Server) knows(host string) bool {
	if name, _, err := net.SplitHostPort(host); err == nil {
		host = name
	}
	if _, err := netip.ParseAddr(strings.Trim(host, "[]")); err == nil || strings.EqualFold(host, "localhost") {
		return true
	}
	return slices.ContainsFunc(s.settings().Hosts, func(known string) bool { return strings.EqualFold(known, host) })
}

// isOnSocket reports whether a request came on a Unix socket, which browsers cannot reach.
func isOnSocket(r *http.Request) bool {
	_, err := netip.ParseAddrPort(r.RemoteAddr)
	return err != nil
}

// SetReady sets the answer of /readyz.
func (s *Server) SetReady(ready bool) { s.ready.Store(ready) }

// Ready reports whether /readyz answers 200.
func (s *Server) Ready() bool { return s.ready.Load() }

// Quit returns a channel that is closed by the first allowed POST /quitquitquit.
func (s *Server) Quit() <-chan struct{} { return s.quitting.Done() }

// ServeHTTP implements [http.Handler].
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) { s.mux.ServeHTTP(w, r) }

func answer(w http.ResponseWriter, status int, text string) {
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	w.Header().Set("Cache-Control", "no-store")
	w.WriteHeader(status)
	_, _ = w.Write([]byte(text + "\n")) // fails if the client has closed the connection
}
