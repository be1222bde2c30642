package page

import (
	"fmt"
	"net/http"
	"time"
)

const (
	// checkEvery is how often a stream looks for changes.
	checkEvery = 2 * time.Second
	// keepAliveEvery is how often a stream without changes sends a comment.
	keepAliveEvery = 15 * time.Second
	// eventTimeout is how long a browser may take to read an event. The stream itself has no
	// limit.
	eventTimeout = 30 * time.Second
)

// serveEvents sends the page's state now and whenever it has changed, as server-sent events.
// The page's script loads the page again if that has another state.
func (p *Page) serveEvents(w http.ResponseWriter, r *http.Request) {
	if p.closing.Err() != nil {
		http.Error(w, "shutting down", http.StatusServiceUnavailable)
		return
	}
	w.Header().Set("Content-Type", "text/event-stream")
	w.Header().Set("X-Accel-Buffering", "no") // nginx would hold events back
	if r.Method == http.MethodHead {
		return // without a body, which would have no end
	}
	controller := http.NewResponseController(w)
	send := func(event string) bool {
		_ = controller.SetWriteDeadline(time.Now().Add(eventTimeout)) // fails only for writers that are not net/http's
		_, err := fmt.Fprint(w, event)
		return err == nil && controller.Flush() == nil
	}
	check, keepAlive := time.NewTicker(checkEvery), time.NewTicker(keepAliveEvery)
	defer check.Stop()
	defer keepAlive.Stop()
	for sent, event := "", "retry: 3000\n\n"; ; {
		if state := p.state(p.snapshot(r.Context(), p.refresh())); state != sent {
			sent, event = state, event+"event: state\ndata: "+state+"\n\n"
		}
		if event != "" && !send(event) {
			return // the browser has gone
		}
		event = ""
		select {
		case <-r.Context().Done():
			return
		case <-p.closing.Done():
			return
		case <-keepAlive.C:
			event = ":\n\n"
		case <-check.C:
		}
	}
}

// state changes when the page would show something else: also every minute, because it says
// how long ago things were.
func (p *Page) state(s snapshot) string {
	var compared int64
	for _, row := range p.config.Ledger.Shadows() {
		compared += row.Calls
	}
	return fmt.Sprintf("%x.%d.%d.%d.%d.%d", p.started.UnixNano(), s.number, p.settings.Load().number, compared, p.config.Breaker(), p.config.Now().Unix()/60)
}
