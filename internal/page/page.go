// Package page serves the migration page of the admin listener: whether v1 can go, who still
// calls it, and how the adapter is doing. The page works without JavaScript, which only keeps
// it up to date.
//
// A section of the page is a field of view, and a template in templates that shows it.
package page

import (
	"bytes"
	"context"
	"embed"
	"fmt"
	"html/template"
	"io/fs"
	"log/slog"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"zitadel-v1-adapter/adapter"
	"zitadel-v1-adapter/internal/config"
	"zitadel-v1-adapter/internal/usage"
	"zitadel-v1-adapter/v2client"
)

// Ledger counts v1 calls by caller. A [usage.Ledger] is one.
type Ledger interface {
	Rows(ctx context.Context, q usage.Query) ([]usage.Row, error)
	Evidence(ctx context.Context, since time.Time, where map[string][]string) (usage.Evidence, error)
	Shadows() []usage.ShadowRow
}

// Config configures a Page.
type Config struct {
	// Ledger has the calls that the page shows.
	Ledger Ledger
	// Successor names what takes the place of a method, or is "" if nothing does yet. Required.
	Successor func(api, method string) string
	// Breaker returns the breaker's current state.
	Breaker func() v2client.BreakerState
	// Settings are the adapter's, until Set.
	Settings config.Config
	// Version is the adapter's.
	Version string
	// Now is the clock. Default: [time.Now].
	Now func() time.Time
	// Log receives errors that the page does not show. Default: none.
	Log *slog.Logger
}

// Page is the handler of the page and its assets: see Patterns. It is safe for concurrent use.
type Page struct {
	config   Config
	started  time.Time
	settings atomic.Pointer[numberedSettings]
	recent   recent
	template *template.Template
	mux      *http.ServeMux
	closing  context.Context //nolint:containedctx // of the Page, not of a request
	close    context.CancelFunc

	mu       sync.Mutex // guards what follows
	last     snapshot
	reading  chan struct{} // closed when the ledger has been read; nil: nobody reads it
	nextRead time.Time     // of the ledger
	wasQuick bool          // the last read
}

// numberedSettings are settings, and how many there were before them.
type numberedSettings struct {
	config.Config

	number int
}

//go:embed assets templates
var files embed.FS

const patternPage, patternEvents, patternAsset = "GET /{$}", "GET /events", "GET /assets/{file}"

// Patterns are those of [http.ServeMux] for the requests that a Page answers.
func Patterns() []string { return []string{patternPage, patternEvents, patternAsset} }

// New returns a Page. It fails if an embedded file is missing, or a template cannot be parsed.
func New(c Config) (*Page, error) {
	if c.Now == nil {
		c.Now = time.Now
	}
	if c.Log == nil {
		c.Log = slog.New(slog.DiscardHandler)
	}
	templates, err := template.New("page.html").Funcs(functions()).ParseFS(files, "templates/*.html")
	if err != nil {
		return nil, fmt.Errorf("the migration page: %w", err)
	}
	assets, err := fs.Sub(files, "assets") // without the templates
	if err != nil {
		return nil, fmt.Errorf("the migration page: %w", err)
	}
	p := &Page{config: c, started: c.Now(), template: templates, mux: http.NewServeMux()}
	p.closing, p.close = context.WithCancel(context.Background())
	p.settings.Store(&numberedSettings{Config: c.Settings})
	p.mux.HandleFunc(patternPage, p.servePage)
	p.mux.HandleFunc(patternEvents, p.serveEvents)
	p.mux.Handle(patternAsset, http.StripPrefix("/assets/", http.FileServerFS(assets)))
	return p, nil
}

// Set replaces the settings that are shown.
func (p *Page) Set(settings config.Config) {
	p.settings.Store(&numberedSettings{Config: settings, number: p.settings.Load().number + 1})
}

// Observe records how long a call took.
func (p *Page) Observe(event adapter.Event) {
	p.recent.add(latency{at: event.Started.Add(event.Duration), took: event.Duration, route: event.Route})
}

// Close ends all event streams and refuses new ones, so that a shutdown does not wait for them. The
// ledger is not read any more.
func (p *Page) Close() {
	p.close()
	p.mu.Lock()
	reading := p.reading
	p.mu.Unlock()
	if reading != nil {
		<-reading
	}
}

// policy lets the page load its own files, and run no script that is written in it: much of
// what it shows was chosen by clients.
const policy = "default-src 'none'; style-src 'self'; script-src 'self'; connect-src 'self'; img-src 'self'; " +
	"base-uri 'none'; form-action 'self'; frame-ancestors 'none'"

// ServeHTTP implements [http.Handler]. Its headers keep other pages and caches away.
func (p *Page) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	header := w.Header()
	header.Set("Content-Security-Policy", policy)
	header.Set("X-Content-Type-Options", "nosniff")
	header.Set("Referrer-Policy", "no-referrer")
	header.Set("Cross-Origin-Resource-Policy", "same-origin")
	header.Set("Cross-Origin-Opener-Policy", "same-origin")
	header.Set("Cache-Control", "no-store")
	p.mux.ServeHTTP(w, r)
}

func (p *Page) servePage(w http.ResponseWriter, r *http.Request) {
	var page bytes.Buffer // so that half a page is never sent
	if err := p.template.Execute(&page, p.view(r.Context(), questionOf(r.URL.Query()))); err != nil {
		p.config.Log.ErrorContext(r.Context(), "the migration page cannot be shown", "cause", err.Error())
		http.Error(w, http.StatusText(http.StatusInternalServerError), http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", "text/html; charset=UTF-8")
	_, _ = w.Write(page.Bytes()) // fails if the client has closed the connection
}
