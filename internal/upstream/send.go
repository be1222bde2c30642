package upstream

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/http/httptrace"
	"regexp"
	"sync/atomic"
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
	ctx, sent := traceSent(request.Context())
	response, err := t.RoundTrip(request.WithContext(ctx))
	// The connection may have ended before the request was on it.
	if answer := t.to.notHTTP2.Load(); err != nil && !sent.Load() && answer != nil && t.config.Version == HTTP2 && !IsDial(err) {
		err = answer
	}
	return response, Outcome{Dialed: !IsDial(err), Sent: sent.Load() && !errors.Is(err, ErrNotHandled)}, err
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

// RoundTrip implements [http.RoundTripper].
//
// Over HTTP/2, it sends a request a second time, immediately, in two cases: if it has a
// body that can be read again (GetBody) and the upstream did not handle it, and if it is
// a GET without a body that net/http itself would send again, handled or not (see
// sendOnce): an upstream that ends connections from time to time fails no call (gRFC A6).
// If a request with a body was not handled in the end, the error wraps ErrNotHandled.
func (t *Transport) RoundTrip(request *http.Request) (*http.Response, error) {
	if t.config.Version == HTTP1 {
		return t.send(request)
	}
	if t.largeHeaders != nil && mayEndConnection(request) {
		return t.largeHeaders.RoundTrip(request)
	}
	response, err := t.sendOnce(request)
	switch {
	case errors.Is(err, errSentOnce) && request.Method == http.MethodGet:
		return t.sendOnce(request)
	case errors.Is(err, ErrNotHandled) && request.GetBody != nil:
		again := *request
		if again.Body, err = request.GetBody(); err != nil {
			return nil, err
		}
		return t.sendOnce(&again)
	}
	return response, err
}

// send sends a request over the connections whose turn it is.
//
// If the upstream switches protocols, the connection is closed normally from then on: in
// another protocol, the last message may need no answer, and a reset could lose it.
func (t *Transport) send(request *http.Request) (*http.Response, error) {
	pools := t.current()
	next := pools[0]
	if count := uint32(len(pools)); count > 1 { //nolint:gosec // small
		next = pools[t.turn.Add(1)%count]
	}
	if request.Header["Upgrade"] == nil {
		return next.RoundTrip(request)
	}
	var used net.Conn
	response, err := next.RoundTrip(request.WithContext(httptrace.WithClientTrace(request.Context(), &httptrace.ClientTrace{
		GotConn: func(got httptrace.GotConnInfo) { used = got.Conn },
	})))
	if err == nil && response.StatusCode == http.StatusSwitchingProtocols {
		if secured, ok := used.(*tls.Conn); ok {
			used = secured.NetConn()
		}
		if conn, ok := used.(*abortableConn); ok {
			conn.graceful.Store(true)
		}
	}
	return response, err
}

// UsualHeaderBytes is the largest size, in bytes, of headers over which no load balancer
// ends a connection. The smallest common limit is 8 KiB; nearly all tokens are shorter.
const UsualHeaderBytes = 6 << 10

// mayEndConnection reports whether a load balancer may answer the request by ending the
// whole connection. How large trailers will be is not known.
func mayEndConnection(request *http.Request) bool {
	return HeaderBytes(request.Header)+len(request.URL.Path)+len(request.URL.RawQuery)+len(request.Host) > UsualHeaderBytes ||
		len(request.Trailer) > 0
}

// HeaderBytes returns the total length of all names and values, in bytes; a name
// counts once for each of its values.
func HeaderBytes(header http.Header) int {
	total := 0
	for name, values := range header {
		for _, value := range values {
			total += len(name) + len(value)
		}
	}
	return total
}

// ErrNotHandled is the error of a request with a body that the upstream certainly did
// not handle. Over HTTP/2, the upstream said so, by RST_STREAM with REFUSED_STREAM or
// by a GOAWAY whose last stream is an earlier one (RFC 9113 sections 8.7 and 6.8), or
// the connection ended before the request was sent.
var ErrNotHandled = errors.New("the upstream did not handle the request")

// errSentOnce is the error of a request without a body that net/http tried to send a
// second time. Whether the upstream handled the first one is unknown.
var errSentOnce = errors.New("the upstream did not answer the request")

// notSentAgain are the errors, without a value in net/http, that say only that it could not
// send an unhandled request again. The whole text must match: others quote the upstream. If
// net/http changes its texts, no request that was sent is taken for unhandled.
var notSentAgain = regexp.MustCompile(`^(net/http: cannot rewind body after connection loss|` +
	`http2: Transport: cannot retry err \[(http2: Transport received Server's graceful shutdown GOAWAY|` +
	`stream error: stream ID \d*; REFUSED_STREAM; received from peer)\]` +
	` after Request\.Body was written; define Request\.GetBody to avoid this error)$`)

// sendOnce sends a request exactly once. net/http would send it again over HTTP/2, without
// limit or delay, even after RST_STREAM with PROTOCOL_ERROR, which does not say that it was
// not handled (golang/go#47635).
func (t *Transport) sendOnce(request *http.Request) (*http.Response, error) {
	if request.Body == nil || request.Body == http.NoBody {
		return t.sendEmptyOnce(request)
	}
	unrepeatable := *request
	unrepeatable.GetBody = nil
	response, err := t.send(&unrepeatable)
	if err != nil && notSentAgain.MatchString(err.Error()) {
		err = fmt.Errorf("%w: %w", ErrNotHandled, err)
	}
	return response, err
}

// sendEmptyOnce cancels a request when net/http asks for another connection after it was sent.
func (t *Transport) sendEmptyOnce(request *http.Request) (*http.Response, error) {
	ctx, stop := context.WithCancelCause(request.Context())
	var sent atomic.Bool
	response, err := t.send(request.WithContext(httptrace.WithClientTrace(ctx, &httptrace.ClientTrace{
		WroteHeaders: func() { sent.Store(true) },
		GetConn: func(string) {
			if sent.Load() {
				stop(errSentOnce)
			}
		},
	})))
	if err != nil && errors.Is(context.Cause(ctx), errSentOnce) {
		err = errSentOnce
	}
	return response, err
}
