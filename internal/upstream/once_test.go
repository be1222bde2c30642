package upstream_test

import (
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"

	"zitadel-v1-adapter/internal/upstream"
	"zitadel-v1-adapter/internal/wiretest"
)

// How often a request arrives over HTTP/2 that an upstream did not answer: what it did
// not handle once more, if the body can be had again, and so a GET that it may not have
// handled; everything else once. net/http would send each of them for ever.
func TestSentOnce(t *testing.T) {
	t.Parallel()
	type sent struct {
		arrives    int64
		notHandled bool
	}
	once, twice := sent{arrives: 1}, sent{arrives: 2}
	for fault, want := range map[string]struct{ rewindable, streamed, empty sent }{
		"refused stream":                           {sent{2, true}, sent{1, true}, twice},
		"GOAWAY before it is handled":              {sent{2, true}, sent{1, true}, twice},
		"GOAWAY before it is handled, then closed": {sent{2, true}, sent{1, true}, twice},
		"GOAWAY after it was handled":              {once, once, once},
		"protocol error after it was handled":      {once, once, twice},
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

// What an upstream says in a GOAWAY does not make a request one that it did not handle.
func TestGoAwayDebugText(t *testing.T) {
	t.Parallel()
	for _, said := range []string{
		"net/http: cannot rewind body after connection loss",
		"http2: Transport: cannot retry err [stream error: stream ID 1; REFUSED_STREAM; received from peer] after Request.Body was written; define Request.GetBody to avoid this error",
	} {
		request, err := http.NewRequestWithContext(t.Context(), http.MethodPost, "", strings.NewReader("body"))
		if err != nil {
			t.Fatal(err)
		}
		arrived, err := sendTo(t, func(stream *wiretest.FaultyStream, answer func() *httptest.ResponseRecorder) {
			answer()
			stream.Debug = said
			stream.GoAway(true)
			stream.Close()
		}, request)
		if arrived != 1 || err == nil || errors.Is(err, upstream.ErrNotHandled) {
			t.Errorf("%s: sent %d times: %v", said, arrived, err)
		}
	}
}

// sendInto sends a request to an upstream at fault, and tells how often it arrived; and
// then another one, which must succeed.
func sendInto(t *testing.T, fault string, request *http.Request) (arrived int64, err error) {
	t.Helper()
	return sendTo(t, wiretest.HTTP2Faults()[fault], request)
}

func sendTo(t *testing.T, fault wiretest.HTTP2Fault, request *http.Request) (arrived int64, err error) {
	t.Helper()
	var arrivals atomic.Int64
	proxy := wiretest.NewHTTP2FaultProxy(t, http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
	proxy.Choose(func(*http.Request) wiretest.HTTP2Fault {
		arrivals.Add(1)
		return fault
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
