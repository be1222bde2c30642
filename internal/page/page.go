// Package page is the migration page of the admin listener: may v1 go, who still calls it,
// and how the adapter does. It is whole without JavaScript, which only updates it.
//
// A section of the page is a type with a template beside it, which make generate turns into Go,
// and a line in view and in view.templ. html/template would do, but it finds methods by their
// names, so that the linker could drop none in all of the program: a sixth of it.
package page

import (
	"bytes"
	"context"
	"embed"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"github.com/labstack/echo/v4"

	"zitadel-v1-adapter/adapter"
	"zitadel-v1-adapter/internal/config"
	"zitadel-v1-adapter/internal/usage"
	"zitadel-v1-adapter/v2client"
)

// Ledger counts v1 calls by caller. A [usage.Ledger] is one.
type Ledger interface {
	Rows(ctx context.Context, since time.Time) ([]usage.Row, error)
	Callers(ctx context.Context) (map[string]usage.Span, error)
	Shadows() []usage.ShadowRow
}

// Config configures a Page.
type Config struct {
	// Ledger has the calls that the page shows.
	Ledger Ledger
	// Breaker is the state of the breaker in force.
	Breaker func() v2client.BreakerState
	// Settings are the adapter's, until Set.
	Settings config.Config
	// Version is the adapter's.
	Version string
	// Now is the clock. Default: [time.Now].
	Now func() time.Time
	// Log receives what could not be shown. Default: none.
	Log *slog.Logger
}

// Page is the handler of the page and of what belongs to it: see Patterns. It is safe for
// concurrent use.
type Page struct {
	config   Config
	started  time.Time
	settings atomic.Pointer[settingsInForce]
	recent   recent
	echo     *echo.Echo
	closing  context.Context //nolint:containedctx // of the Page, not of a request
	close    context.CancelFunc

	mu    sync.Mutex // of what was read last
	known snapshot
	next  time.Time // to read
}

// settingsInForce are settings, and how many there were before them.
type settingsInForce struct {
	config.Config

	number int
}

// Patterns are those of [http.ServeMux] for the requests that a Page answers.
func Patterns() []string { return []string{"GET /{$}", "GET /events", "GET /assets/"} }

//go:generate go tool -modfile=../../tools/go.mod templ generate -log-level error

//go:embed assets
var files embed.FS

// New returns a Page.
func New(c Config) *Page {
	if c.Now == nil {
		c.Now = time.Now
	}
	if c.Log == nil {
		c.Log = slog.New(slog.DiscardHandler)
	}
	p := &Page{config: c, started: c.Now(), echo: echo.New()}
	p.closing, p.close = context.WithCancel(context.Background())
	p.settings.Store(&settingsInForce{Config: c.Settings})
	p.echo.Logger.SetOutput(io.Discard) // Config.Log is told
	assets, err := fs.Sub(files, "assets")
	if err != nil {
		panic(fmt.Sprintf("embedded assets: %v", err)) //nolint:forbidigo // of the build
	}
	p.echo.Use(protect)
	for _, method := range []string{http.MethodGet, http.MethodHead} {
		p.echo.Add(method, "/", p.show)
		p.echo.Add(method, "/assets/*", echo.StaticDirectoryHandler(assets, false))
	}
	p.echo.GET("/events", p.events)
	return p
}

// Set replaces the settings that are shown.
func (p *Page) Set(settings config.Config) {
	p.settings.Store(&settingsInForce{Config: settings, number: p.settings.Load().number + 1})
}

// Observe notes how long a call took.
func (p *Page) Observe(event adapter.Event) {
	p.recent.add(call{at: event.Started.Add(event.Duration), took: event.Duration, way: event.Route})
}

// Close ends all streams of events, and lets none begin, so that a shutdown need not wait for
// them.
func (p *Page) Close() { p.close() }

// ServeHTTP implements [http.Handler].
func (p *Page) ServeHTTP(w http.ResponseWriter, r *http.Request) { p.echo.ServeHTTP(w, r) }

// policy lets the page load its own two files and icon, and nothing run that is written in it:
// much that it shows was written by clients.
const policy = "default-src 'none'; style-src 'self'; script-src 'self'; connect-src 'self'; img-src 'self'; " +
	"base-uri 'none'; form-action 'self'; frame-ancestors 'none'"

// protect sets the headers that keep other pages and caches away.
func protect(next echo.HandlerFunc) echo.HandlerFunc {
	return func(c echo.Context) error {
		header := c.Response().Header()
		header.Set("Content-Security-Policy", policy)
		header.Set("X-Content-Type-Options", "nosniff")
		header.Set("Referrer-Policy", "no-referrer")
		header.Set("Cross-Origin-Resource-Policy", "same-origin")
		header.Set("Cross-Origin-Opener-Policy", "same-origin")
		header.Set("Cache-Control", "no-store")
		return next(c)
	}
}

// show answers GET /.
func (p *Page) show(c echo.Context) error {
	var page bytes.Buffer // so that half a page is never sent
	if err := p.view(c.Request().Context(), questionOf(c.QueryParams())).page().Render(c.Request().Context(), &page); err != nil {
		p.config.Log.ErrorContext(c.Request().Context(), "the migration page cannot be shown", "cause", err.Error())
		return echo.ErrInternalServerError
	}
	return c.HTMLBlob(http.StatusOK, page.Bytes())
}
