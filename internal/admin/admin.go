// Package admin serves the endpoints of the admin listener, with which the platform
// observes and controls a running adapter.
package admin

import (
	"net"
	"net/http"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
)

// Server is the handler of the admin listener:
//
//   - GET /healthz answers 200 while the process runs;
//   - GET /readyz answers 200 while the adapter accepts calls, otherwise 503;
//   - GET /metrics answers with the metrics in the format of Prometheus;
//   - GET /usage answers who called v1, as JSON;
//   - POST /quitquitquit asks the program to shut down, so that a Job can end its
//     sidecar. It answers 403 unless Settings allow it.
//
// All but the first two refuse what a web page may have made a browser send: requests
// under a name that is not the adapter's (DNS rebinding), and, if they change something,
// those from other sites. It is safe for concurrent use.
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
	// MayQuit allows /quitquitquit.
	MayQuit bool
}

// New returns a Server that is not ready. metrics and usage answer GET /metrics and GET
// /usage.
func New(metrics, usage http.Handler, settings Settings) *Server {
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
	s.mux.Handle("POST /quitquitquit", s.guarded(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		if !s.settings.Load().MayQuit {
			answer(w, http.StatusForbidden, "not allowed: set admin.quitquitquit: true")
			return
		}
		answer(w, http.StatusOK, "quitting")
		s.quitOnce.Do(func() { close(s.quit) })
	})))
	return s
}

// guarded refuses what a web page may have made a browser send.
func (s *Server) guarded(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch {
		case !s.knows(r.Host) && !isOnSocket(r):
			answer(w, http.StatusForbidden, "not under this name: ask by address, or add the name to admin.hosts")
		case r.Method != http.MethodGet && isFromElsewhere(r):
			answer(w, http.StatusForbidden, "not for web pages of other sites")
		default:
			next.ServeHTTP(w, r)
		}
	})
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
