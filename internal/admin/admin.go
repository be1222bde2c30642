// Package admin is what the platform sees of a running adapter.
package admin

import (
	"net/http"
	"sync"
	"sync/atomic"
)

// Server is the handler of the admin listener:
//
//   - /healthz answers 200 as long as the process lives;
//   - /readyz answers 200 while calls are taken, 503 before and after;
//   - /metrics is for Prometheus;
//   - POST /quitquitquit ends the program, if that is allowed: a sidecar ends
//     with the job that it was there for.
//
// It is safe for concurrent use.
type Server struct {
	ready    atomic.Bool
	mayQuit  atomic.Bool
	quit     chan struct{}
	quitOnce sync.Once
	mux      *http.ServeMux
}

// New makes a Server that is not ready yet and does not allow quitting.
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

// SetReady says whether calls are taken.
func (s *Server) SetReady(ready bool) { s.ready.Store(ready) }

// Ready reports what SetReady said.
func (s *Server) Ready() bool { return s.ready.Load() }

// SetMayQuit says whether /quitquitquit is allowed.
func (s *Server) SetMayQuit(may bool) { s.mayQuit.Store(may) }

// Quit is closed when somebody asked for the end.
func (s *Server) Quit() <-chan struct{} { return s.quit }

// ServeHTTP answers a request.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) { s.mux.ServeHTTP(w, r) }

func answer(w http.ResponseWriter, status int, text string) {
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	w.Header().Set("Cache-Control", "no-store")
	w.WriteHeader(status)
	_, _ = w.Write([]byte(text + "\n")) // a probe that is gone needs no answer
}
