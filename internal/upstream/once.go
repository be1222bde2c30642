package upstream

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptrace"
	"strings"
	"sync/atomic"
)

// ErrNotHandled is the error of a request with a body, sent over HTTP/2, of which the
// upstream says that it did not handle it: by a RST_STREAM with REFUSED_STREAM, or by a
// GOAWAY after an earlier stream (RFC 9113 sections 8.7 and 6.8). Or its connection
// ended before it was sent.
var ErrNotHandled = errors.New("the upstream did not handle the request")

// errSentOnce is the error of a request without a body that net/http wanted to send
// again: it was not handled, or the upstream found fault with it.
var errSentOnce = errors.New("the upstream did not answer the request")

// sendOnce sends a request once. Over HTTP/2, net/http would send it again, for ever
// and without a pause, not only where it was not handled, but also after a RST_STREAM
// with PROTOCOL_ERROR, handled or not (golang/go#47635).
func (t *Transport) sendOnce(request *http.Request) (*http.Response, error) {
	if request.Body == nil || request.Body == http.NoBody {
		once := stoppedBeforeAgain(request)
		response, err := t.send(once)
		if err != nil && errors.Is(context.Cause(once.Context()), errSentOnce) {
			return nil, errSentOnce
		}
		return response, err
	}
	unrepeatable := *request
	unrepeatable.GetBody = nil
	response, err := t.send(&unrepeatable)
	if err != nil && wantedAgain(err) {
		return nil, fmt.Errorf("%w: %w", ErrNotHandled, err)
	}
	return response, err
}

// wantedAgain reports whether net/http would have sent a request again that was not
// handled. It says so in words only, and they count only as a whole: other errors of
// its may hold words of the upstream's. Should it change them, no request that was sent
// is believed to be unhandled any more.
func wantedAgain(err error) bool {
	text := err.Error()
	if text == "net/http: cannot rewind body after connection loss" {
		return true
	}
	reason, ok := between(text, "http2: Transport: cannot retry err [", "] after Request.Body was written; define Request.GetBody to avoid this error")
	if !ok {
		return false
	}
	stream, refused := between(reason, "stream error: stream ID ", "; REFUSED_STREAM; received from peer")
	return reason == "http2: Transport received Server's graceful shutdown GOAWAY" ||
		refused && !strings.ContainsFunc(stream, func(c rune) bool { return c < '0' || c > '9' })
}

func between(text, prefix, suffix string) (inner string, ok bool) {
	if inner, ok = strings.CutPrefix(text, prefix); !ok {
		return "", false
	}
	return strings.CutSuffix(inner, suffix)
}

// stoppedBeforeAgain makes a request that is cancelled when net/http looks for a
// connection for it again, after it was sent.
func stoppedBeforeAgain(request *http.Request) *http.Request {
	ctx, stop := context.WithCancelCause(request.Context())
	var sent atomic.Bool
	return request.WithContext(httptrace.WithClientTrace(ctx, &httptrace.ClientTrace{
		WroteHeaders: func() { sent.Store(true) },
		GetConn: func(string) {
			if sent.Load() {
				stop(errSentOnce)
			}
		},
	}))
}
