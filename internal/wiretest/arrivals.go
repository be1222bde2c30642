package wiretest

import (
	"fmt"
	"io"
	"net/http"
	"sync"
)

// Arrivals is an upstream that records the requests that arrive whole, and answers each of them.
type Arrivals struct {
	// Describe says what else is recorded of a request. Default: nothing.
	Describe func(*http.Request) string

	mu   sync.Mutex
	seen []string
}

func (a *Arrivals) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	if err != nil { // the end of the request did not come
		w.WriteHeader(http.StatusBadRequest)
		return
	}
	seen := fmt.Sprintf("%s %s %q", r.Method, r.RequestURI, body)
	if a.Describe != nil {
		seen += a.Describe(r)
	}
	a.mu.Lock()
	a.seen = append(a.seen, seen)
	a.mu.Unlock()
	_, _ = io.WriteString(w, "ok")
}

// Take returns what has arrived since the last call.
func (a *Arrivals) Take() []string {
	a.mu.Lock()
	defer a.mu.Unlock()
	seen := a.seen
	a.seen = nil
	return seen
}
