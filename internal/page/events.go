package page

import (
	"context"
	"fmt"
	"net/http"
	"time"

	"github.com/labstack/echo/v4"
)

const (
	// lookEvery is how often a stream looks for changes.
	lookEvery = 2 * time.Second
	// aliveEvery is how often a stream without changes says that it is there.
	aliveEvery = 15 * time.Second
	// eventTimeout is how long a browser may take to read an event. The stream itself lasts
	// as long as it likes.
	eventTimeout = 30 * time.Second
)

// events answers GET /events: the page's state now, and again whenever it has changed, as
// server-sent events. A page of another state loads itself again.
func (p *Page) events(c echo.Context) error {
	if p.closing.Err() != nil {
		return c.String(http.StatusServiceUnavailable, "shutting down\n")
	}
	ctx, w := c.Request().Context(), c.Response()
	w.Header().Set("Content-Type", "text/event-stream")
	w.Header().Set("X-Accel-Buffering", "no") // or nginx keeps events to itself
	controller := http.NewResponseController(w)
	send := func(event string) bool {
		_ = controller.SetWriteDeadline(time.Now().Add(eventTimeout)) // fails only for writers that are not net/http's
		_, err := fmt.Fprint(w, event)
		return err == nil && controller.Flush() == nil
	}
	look, alive := time.NewTicker(lookEvery), time.NewTicker(aliveEvery)
	defer look.Stop()
	defer alive.Stop()
	for sent, event := "", "retry: 3000\n\n"; ; {
		if state := p.state(ctx); state != sent {
			sent, event = state, event+"event: state\ndata: "+state+"\n\n"
		}
		if event != "" && !send(event) {
			return nil // the browser has gone
		}
		event = ""
		select {
		case <-ctx.Done():
			return nil
		case <-p.closing.Done():
			return nil
		case <-alive.C:
			event = ":\n\n"
		case <-look.C:
		}
	}
}

// state changes when the page would show something else: also every minute, because it says
// how long ago things were.
func (p *Page) state(ctx context.Context) string {
	return p.stateOf(p.look(ctx))
}

func (p *Page) stateOf(known snapshot) string {
	return fmt.Sprintf("%x.%d.%d.%d.%d.%d", p.started.UnixNano(), known.number, p.settings.Load().number, compared(p.config.Ledger.Shadows()), p.config.Breaker(), p.config.Now().Unix()/60)
}
