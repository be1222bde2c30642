// Package admin is what the platform sees of a running adapter.
package admin

import (
	"net/http"
	"sync/atomic"
)

// Server is the handler of the admin listener:
//
//   - /healthz answers 200 as long as the process lives;
//   - /readyz answers 200 while calls are taken, 503 before and after.
//
// It is safe for concurrent use.
type Server struct {
	ready atomic.Bool
	mux   *http.ServeMux
}

// New makes a Server that is not ready yet.
func New() *Server {
	s := &Server{mux: http.NewServeMux()}
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
	return s
}

// SetReady says whether calls are taken.
func (s *Server) SetReady(ready bool) { s.ready.Store(ready) }

// ServeHTTP answers a request.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) { s.mux.ServeHTTP(w, r) }

func answer(w http.ResponseWriter, status int, text string) {
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	w.Header().Set("Cache-Control", "no-store")
	w.WriteHeader(status)
	_, _ = w.Write([]byte(text + "\n")) // a probe that is gone needs no answer
}
