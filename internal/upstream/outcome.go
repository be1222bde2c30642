package upstream

import (
	"context"
	"errors"
	"net/http"
	"net/http/httptrace"
	"sync/atomic"
)

// Outcome is what is known of a request besides its answer or error.
type Outcome struct {
	// Dialed says that there was a connection: a failure is not one to connect.
	Dialed bool
	// Sent says that the upstream may have handled the request.
	Sent bool
}

// Do is RoundTrip, and tells the Outcome.
func (t *Transport) Do(request *http.Request) (*http.Response, Outcome, error) {
	ctx, sent := traceSent(request.Context())
	response, err := t.RoundTrip(request.WithContext(ctx))
	return response, Outcome{Dialed: !IsDial(err), Sent: sent.Load() && !errors.Is(err, ErrNotHandled)}, err
}

// traceSent notes whether a request's headers were written. net/http makes a request
// again by itself if the pooled connection that it chose turns out to have been closed
// before a byte was written: that begins anew.
func traceSent(ctx context.Context) (context.Context, *atomic.Bool) {
	sent := new(atomic.Bool)
	return httptrace.WithClientTrace(ctx, &httptrace.ClientTrace{
		GetConn:      func(string) { sent.Store(false) },
		WroteHeaders: func() { sent.Store(true) },
	}), sent
}
