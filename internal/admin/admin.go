// Package admin serves the endpoints of the admin listener, with which the platform
// observes and controls a running adapter.
package admin

import (
	"net/http"
	"sync"
	"sync/atomic"
)

// Server is the handler of the admin listener:
//
//   - GET /healthz answers 200 while the process runs;
//   - GET /readyz answers 200 while the adapter accepts calls, otherwise 503;
//   - GET /metrics answers with the metrics in the format of Prometheus;
//   - POST /quitquitquit asks the program to shut down, so that a Job can end its
//     sidecar. It answers 403 unless SetMayQuit has allowed it.
//
// It is safe for concurrent use.
type Server struct {
	ready    atomic.Bool
	mayQuit  atomic.Bool
	quit     chan struct{}
	quitOnce sync.Once
	mux      *http.ServeMux
}

// New returns a Server that is not ready and does not allow /quitquitquit. metrics answers
// GET /metrics.
func New(metrics http.Handler) *Server {
	s := &Server{mux: http.NewServeMux(), quit: make(chan struct{})}
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
	s.mux.Handle("GET /metrics", metrics)
	s.mux.HandleFunc("POST /quitquitquit", func(w http.ResponseWriter, _ *http.Request) {
		if !s.mayQuit.Load() {
			answer(w, http.StatusForbidden, "not allowed: set admin.quitquitquit: true")
			return
		}
		answer(w, http.StatusOK, "quitting")
		s.quitOnce.Do(func() { close(s.quit) })
	})
	return s
}

// SetReady sets the answer of /readyz.
func (s *Server) SetReady(ready bool) { s.ready.Store(ready) }

// Ready reports whether /readyz answers 200.
func (s *Server) Ready() bool { return s.ready.Load() }

// SetMayQuit sets whether /quitquitquit is allowed.
func (s *Server) SetMayQuit(allowed bool) { s.mayQuit.Store(allowed) }

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
