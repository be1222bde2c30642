package upstream

import (
	"context"
	"errors"
	"net/http"
	"net/http/httptrace"
	"sync/atomic"

	"zitadel-v1-adapter/internal/http1"
)

// Outcome says how far a request came.
type Outcome struct {
	// Dialed says that connecting did not fail: either there was a TCP connection or
	// the request failed for another reason.
	Dialed bool
	// Sent says that the upstream may have handled the request.
	Sent bool
}

// Do sends a request like RoundTrip and also returns its Outcome.
func (t *Transport) Do(request *http.Request) (*http.Response, Outcome, error) {
	ctx, traced := traceSent(request.Context())
	response, err := t.RoundTrip(request.WithContext(ctx))
	sent := traced.Load()
	if failure, ok := errors.AsType[*http1.Error](err); ok {
		sent, err = failure.Sent, failure.Err
	}
	// The connection may have ended before the request was on it.
	if answer := t.to.notHTTP2.Load(); err != nil && !sent && answer != nil && t.config.Version == HTTP2 && !IsDial(err) {
		err = answer
	}
	return response, Outcome{Dialed: !IsDial(err), Sent: sent && !errors.Is(err, ErrNotHandled)}, err
}

// traceSent returns a context for a request, and whether that request's headers were
// written. If a pooled connection turns out to have been closed before a byte was
// written, net/http sends the request again on another one; sent is then false again.
func traceSent(ctx context.Context) (context.Context, *atomic.Bool) {
	sent := new(atomic.Bool)
	return httptrace.WithClientTrace(ctx, &httptrace.ClientTrace{
		GetConn:      func(string) { sent.Store(false) },
		WroteHeaders: func() { sent.Store(true) },
	}), sent
}
