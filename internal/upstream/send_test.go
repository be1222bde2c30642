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

// A request over HTTP/2 that the upstream does not answer arrives a second time only if
// the upstream did not handle it and the body can be read again, or if it is a GET that
// net/http would send again. net/http alone would send each of them without limit.
func TestUnansweredRequestIsSentAgainOnlyIfSafe(t *testing.T) {
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
		"throttled (ENHANCE_YOUR_CALM)":            {once, once, once},
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
				arrived, err := sendWithFault(t, fault, request)
				if got := (sent{arrived, errors.Is(err, upstream.ErrNotHandled)}); got != test.want || err == nil {
					t.Errorf("got %+v, want %+v; got error %v, want one", got, test.want, err)
				}
			})
		}
	}
}

// A GOAWAY whose debug text imitates net/http's errors does not make a handled request
// count as not handled.
func TestGoAwayDebugTextCannotClaimNotHandled(t *testing.T) {
	t.Parallel()
	for _, debug := range []string{
		"net/http: cannot rewind body after connection loss",
		"http2: Transport: cannot retry err [stream error: stream ID 1; REFUSED_STREAM; received from peer]" +
			" after Request.Body was written; define Request.GetBody to avoid this error",
	} {
		request, err := http.NewRequestWithContext(t.Context(), http.MethodPost, "", strings.NewReader("body"))
		if err != nil {
			t.Fatal(err)
		}
		arrived, err := sendTo(t, func(stream *wiretest.FaultyStream, answer func() *httptest.ResponseRecorder) {
			answer()
			stream.Debug = debug
			stream.GoAway(true)
			stream.Close()
		}, request)
		if arrived != 1 || err == nil || errors.Is(err, upstream.ErrNotHandled) {
			t.Errorf("%s: the request arrived %d times with error %v, want once with an error other than ErrNotHandled", debug, arrived, err)
		}
	}
}

// sendWithFault sends a request to an upstream with the named fault, and returns how often
// the request arrived. See sendTo.
func sendWithFault(t *testing.T, fault string, request *http.Request) (arrived int64, err error) {
	t.Helper()
	return sendTo(t, wiretest.HTTP2Faults()[fault], request)
}

// sendTo sends a request to an upstream with a fault, and returns how often it arrived.
// It then sends another request without a fault, which must succeed.
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
		t.Fatalf("the next request, without a fault: %v", nextErr)
	}
	_ = response.Body.Close()
	return arrived, err
}
