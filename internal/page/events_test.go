package page_test

import (
	"context"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"zitadel-v1-adapter/internal/config"
	"zitadel-v1-adapter/internal/page"
	"zitadel-v1-adapter/internal/usage"
	"zitadel-v1-adapter/internal/wiretest"
	"zitadel-v1-adapter/v2client"
)

// stream is an answer of /events, as far as it has come.
type stream struct {
	header http.Header
	status int
	body   wiretest.Buffer
	ended  atomic.Bool
	read   int
}

func (s *stream) Header() http.Header             { return s.header }
func (s *stream) WriteHeader(status int)          { s.status = status }
func (s *stream) Write(event []byte) (int, error) { return s.body.Write(event) }
func (s *stream) Flush()                          {}

// news is what has come since the last time.
func (s *stream) news() string {
	synctest.Wait()
	news := s.body.String()[s.read:]
	s.read += len(news)
	return news
}

// after is what has come when some time has passed.
func (s *stream) after(d time.Duration) string {
	time.Sleep(d)
	return s.news()
}

// A stream tells the page's state, and again when that changes: by a call, the breaker, the
// configuration, or a minute that has gone by. It ends when the browser leaves, or at Close.
func TestEvents(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var breaker atomic.Int64
		counted, err := usage.NewLedger(usage.Config{})
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = counted.Close(t.Context()) }()
		s := &site{ledger: &ledger{Ledger: counted}, settings: config.Default()}
		made, err := page.New(page.Config{Ledger: s.ledger, Successor: successor, Breaker: func() v2client.BreakerState { return v2client.BreakerState(breaker.Load()) }, Settings: s.settings})
		if err != nil {
			t.Fatal(err)
		}
		s.Page = made
		open := func(ctx context.Context) *stream {
			opened := &stream{header: http.Header{}}
			go func() {
				s.ServeHTTP(opened, httptest.NewRequestWithContext(ctx, http.MethodGet, "/events", http.NoBody))
				opened.ended.Store(true)
			}()
			return opened
		}
		ctx, leave := context.WithCancel(t.Context())
		one, other := open(ctx), open(t.Context())
		first := one.news()
		if !strings.HasPrefix(first, "retry: 3000\n\nevent: state\ndata: ") || one.Header().Get("Content-Type") != "text/event-stream" {
			t.Errorf("got %q, %v", first, one.Header())
		}
		_, state, _ := strings.Cut(first, "data: ")
		if got := s.get("/").Body.String(); !strings.Contains(got, `data-state="`+strings.TrimSpace(state)+`"`) {
			t.Errorf("the page has another state than %q", state)
		}
		if got := one.after(3 * time.Second); got != "" {
			t.Errorf("nothing has changed: got %q", got)
		}
		for what, change := range map[string]func(){
			"a call":            func() { s.call(0, nil) },
			"the breaker":       func() { breaker.Store(int64(v2client.BreakerOpen)) },
			"the configuration": func() { s.Set(s.settings) },
		} {
			change()
			if got := one.after(3 * time.Second); strings.Count(got, "event: state\ndata: ") != 1 {
				t.Errorf("%s has changed: got %q, want one event", what, got)
			}
		}
		if got := one.after(time.Minute); !strings.Contains(got, "event: state\n") || !strings.Contains(got, "\n:\n\n") {
			t.Errorf("after a minute: got %q, want an event, and comments", got)
		}
		leave()
		if one.news(); !one.ended.Load() || other.ended.Load() {
			t.Errorf("when one has left: got %t, %t, want true, false", one.ended.Load(), other.ended.Load())
		}
		s.Close()
		if other.news(); !other.ended.Load() {
			t.Error("Close ends no stream")
		}
		if late := open(t.Context()); late.news() == "" || !late.ended.Load() || late.status != http.StatusServiceUnavailable {
			t.Errorf("after Close: got status %d, ended %t, want 503", late.status, late.ended.Load())
		}
	})
}

// HEAD /events has the stream's headers and ends at once: there is no body to wait for.
func TestHeadOfEvents(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s, began, recorder := newSite(t, nil), time.Now(), httptest.NewRecorder()
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		s.ServeHTTP(recorder, httptest.NewRequestWithContext(ctx, http.MethodHead, "/events", http.NoBody))
		if got := recorder.Header().Get("Content-Type"); got != "text/event-stream" || recorder.Body.Len() > 0 || !time.Now().Equal(began) {
			t.Errorf("got %s, %d bytes, after %v, want the headers at once", got, recorder.Body.Len(), time.Since(began))
		}
	})
}
