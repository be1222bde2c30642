package upstream_test

import (
	"errors"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"

	"zitadel-v1-adapter/internal/upstream"
	"zitadel-v1-adapter/internal/wiretest"
)

// How often a request arrives over HTTP/2 that an upstream did not answer: what it did
// not handle once more, if the body can be had again; everything else once. net/http
// would send each of them for ever.
func TestSentOnce(t *testing.T) {
	t.Parallel()
	type sent struct {
		arrives    int64
		notHandled bool
	}
	once := sent{arrives: 1}
	for fault, want := range map[string]struct{ rewindable, streamed, empty sent }{
		"refused stream":                           {sent{2, true}, sent{1, true}, once},
		"GOAWAY before it is handled":              {sent{2, true}, sent{1, true}, once},
		"GOAWAY before it is handled, then closed": {sent{2, true}, sent{1, true}, once},
		"GOAWAY after it was handled":              {once, once, once},
		"protocol error after it was handled":      {once, once, once},
		"stream reset after it was handled":        {once, once, once},
		"told to be calm":                          {once, once, once},
		"closed after it was handled":              {once, once, once},
	} {
		for name, test := range map[string]struct {
			request func() (*http.Request, error)
			want    sent
		}{
			"rewindable": {func() (*http.Request, error) {
				return http.NewRequestWithContext(t.Context(), http.MethodPost, "", strings.NewReader("body"))
			}, want.rewindable},
			"streamed": {func() (*http.Request, error) {
				return http.NewRequestWithContext(t.Context(), http.MethodPost, "", struct{ *strings.Reader }{strings.NewReader("body")})
			}, want.streamed},
			"empty": {func() (*http.Request, error) {
				return http.NewRequestWithContext(t.Context(), http.MethodGet, "", http.NoBody)
			}, want.empty},
		} {
			t.Run(fault+"/"+name, func(t *testing.T) {
				t.Parallel()
				request, err := test.request()
				if err != nil {
					t.Fatal(err)
				}
				arrived, err := sendInto(t, fault, request)
				if got := (sent{arrived, errors.Is(err, upstream.ErrNotHandled)}); got != test.want || err == nil {
					t.Errorf("%+v, want %+v: %v", got, test.want, err)
				}
			})
		}
	}
}

// sendInto sends a request to an upstream at fault, and tells how often it arrived; and
// then another one, which must succeed.
func sendInto(t *testing.T, fault string, request *http.Request) (arrived int64, err error) {
	t.Helper()
	var arrivals atomic.Int64
	proxy := wiretest.NewHTTP2FaultProxy(t, http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
	proxy.Choose(func(*http.Request) wiretest.HTTP2Fault {
		arrivals.Add(1)
		return wiretest.HTTP2Faults()[fault]
	})
	to := wiretest.Upstream(t, "http://"+proxy.Address(), upstream.HostClient)
	transport := to.NewTransport(upstream.TransportConfig{Version: upstream.HTTP2})
	t.Cleanup(transport.CloseIdleConnections)
	request.URL = to.Base()
	response, err := transport.RoundTrip(request)
	if err == nil {
		_ = response.Body.Close()
	}
	arrived = arrivals.Load()

	proxy.Choose(func(*http.Request) wiretest.HTTP2Fault { return nil })
	next, nextErr := http.NewRequestWithContext(t.Context(), http.MethodGet, to.Base().String(), http.NoBody)
	if nextErr != nil {
		t.Fatal(nextErr)
	}
	response, nextErr = transport.RoundTrip(next)
	if nextErr != nil {
		t.Fatalf("the next request: %v", nextErr)
	}
	_ = response.Body.Close()
	return arrived, err
}
