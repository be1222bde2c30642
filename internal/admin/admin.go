// Package admin serves the endpoints of the admin listener, with which the platform
// observes and controls a running adapter.
package admin

import (
	"crypto/subtle"
	"net"
	"net/http"
	"net/http/pprof"
	"net/netip"
	"os"
	"slices"
	"strings"
	"sync"
	"sync/atomic"

	"zitadel-v1-adapter/adapter"
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
//     sidecar. It answers 403 unless Settings allow it.
//
// and Go's profiles at /debug/pprof/, if Settings allow it.
//
// All but the first two refuse whoever may not ask: see authorized. They also refuse what a
// web page may have made a browser send: requests under a name that is not the adapter's
// (DNS rebinding), and, if they change something, those from other sites. It is safe for
// concurrent use.
type Server struct {
	ready    atomic.Bool
	settings atomic.Pointer[Settings]
	quit     chan struct{}
	quitOnce sync.Once
	mux      *http.ServeMux
}

// Settings may change while a Server runs.
type Settings struct {
	// Hosts are the names of the adapter, besides localhost and addresses.
	Hosts []string
	// TokenFile is a file with the token that requests need. Default: none.
	TokenFile string
	// MayQuit allows /quitquitquit.
	MayQuit bool
	// Pprof allows /debug/pprof/.
	Pprof bool
}

// New returns a Server that is not ready. metrics and usage answer GET /metrics and GET
// /usage, migration what [page.Patterns] lists.
func New(metrics, usage, migration http.Handler, settings Settings) *Server {
	s := &Server{mux: http.NewServeMux(), quit: make(chan struct{})}
	s.settings.Store(&settings)
	s.mux.HandleFunc("GET /healthz", func(w http.ResponseWriter, _ *http.Request) {
		answer(w, http.StatusOK, "ok")
	})
	s.mux.HandleFunc("GET /readyz", func(w http.ResponseWriter, _ *http.Request) {
		if s.ready.Load() {
			answer(w, http.StatusOK, "ready")
			return
		}
		answer(w, http.StatusServiceUnavailable, "not ready")
	})
	s.mux.Handle("GET /metrics", s.guarded(metrics))
	s.mux.Handle("GET /usage", s.guarded(usage))
	s.mux.Handle("GET /openapi.json", s.guarded(http.HandlerFunc(describe)))
	for _, pattern := range page.Patterns() {
		s.mux.Handle(pattern, s.guarded(migration))
	}
	s.mux.Handle("POST /quitquitquit", s.guarded(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		if !s.settings.Load().MayQuit {
			answer(w, http.StatusForbidden, "not allowed: set admin.quitquitquit: true")
			return
		}
		answer(w, http.StatusOK, "quitting")
		s.quitOnce.Do(func() { close(s.quit) })
	})))
	s.mux.Handle("/debug/pprof/", s.guarded(http.HandlerFunc(s.profile)))
	return s
}

// describe answers with the description of the REST calls.
func describe(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Content-Type", "application/json")
	_, _ = w.Write([]byte(adapter.OpenAPI())) // fails if the client has closed the connection
}

// profile answers with one of Go's profiles.
func (s *Server) profile(w http.ResponseWriter, r *http.Request) {
	if !s.settings.Load().Pprof {
		answer(w, http.StatusForbidden, "not allowed: set admin.pprof: true")
		return
	}
	switch r.URL.Path {
	case "/debug/pprof/profile":
		pprof.Profile(w, r)
	case "/debug/pprof/trace":
		pprof.Trace(w, r)
	case "/debug/pprof/cmdline": // flags may hold secrets
		http.NotFound(w, r)
	default:
		pprof.Index(w, r)
	}
}

// guarded refuses what a web page may have made a browser send.
func (s *Server) guarded(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch {
		case !s.knows(r.Host) && !isOnSocket(r):
			answer(w, http.StatusForbidden, "this Host is not allowed: use an IP address or add it to admin.hosts")
		case r.Method != http.MethodGet && isFromElsewhere(r):
			answer(w, http.StatusForbidden, "not for web pages of other sites")
		case s.authorized(w, r):
			next.ServeHTTP(w, r)
		}
	})
}

// authorized reports whether a request may be answered, and refuses it if not. One with a
// verified client certificate may. With a token file, one with the token may. Without a token
// file, one that comes to a loopback address or a Unix socket may: whoever sends it is on this
// machine, or in this pod.
func (s *Server) authorized(w http.ResponseWriter, r *http.Request) bool {
	file := s.settings.Load().TokenFile
	switch {
	case r.TLS != nil && len(r.TLS.VerifiedChains) > 0:
		return true
	case file == "" && (isOnSocket(r) || isLoopback(r)):
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
	if subtle.ConstantTimeCompare([]byte(r.Header.Get("Authorization")), []byte("Bearer "+token)) == 1 {
		return true
	}
	w.Header().Set("WWW-Authenticate", "Bearer")
	answer(w, http.StatusUnauthorized, "the token in admin.tokenFile is needed: Authorization: Bearer TOKEN")
	return false
}

// isLoopback reports whether a request came to a loopback address.
func isLoopback(r *http.Request) bool {
	address, _ := r.Context().Value(http.LocalAddrContextKey).(net.Addr)
	if address == nil {
		return false
	}
	at, err := netip.ParseAddrPort(address.String())
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
	return slices.ContainsFunc(s.settings.Load().Hosts, func(known string) bool { return strings.EqualFold(known, host) })
}

// isOnSocket reports whether a request came on a Unix socket, which browsers cannot reach.
func isOnSocket(r *http.Request) bool {
	_, err := netip.ParseAddrPort(r.RemoteAddr)
	return err != nil
}

// isFromElsewhere reports whether a browser sent the request for a page. Old browsers tell
// only by Origin.
func isFromElsewhere(r *http.Request) bool {
	site := r.Header.Get("Sec-Fetch-Site")
	return r.Header.Get("Origin") != "" || site != "" && site != "none" && site != "same-origin"
}

// SetReady sets the answer of /readyz.
func (s *Server) SetReady(ready bool) { s.ready.Store(ready) }

// Ready reports whether /readyz answers 200.
func (s *Server) Ready() bool { return s.ready.Load() }

// Set replaces the settings.
func (s *Server) Set(settings Settings) { s.settings.Store(&settings) }

// Quit returns a channel that is closed by the first allowed POST /quitquitquit.
func (s *Server) Quit() <-chan struct{} { return s.quit }

// ServeHTTP implements [http.Handler].
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) { s.mux.ServeHTTP(w, r) }

func answer(w http.ResponseWriter, status int, text string) {
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	w.Header().Set("Cache-Control", "no-store")
	w.WriteHeader(status)
	_, _ = w.Write([]byte(text + "\n")) // fails if the client has closed the connection
}
