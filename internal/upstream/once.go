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

// ErrNotHandled is the error of a request with a body that the upstream certainly did
// not handle. Over HTTP/2, the upstream said so, by RST_STREAM with REFUSED_STREAM or
// by a GOAWAY whose last stream is an earlier one (RFC 9113 sections 8.7 and 6.8), or
// the connection ended before the request was sent.
var ErrNotHandled = errors.New("the upstream did not handle the request")

// errSentOnce is the error of a request without a body that net/http tried to send a
// second time. Whether the upstream handled the first one is unknown.
var errSentOnce = errors.New("the upstream did not answer the request")

// sendOnce sends a request exactly once. net/http alone would send it again over
// HTTP/2, without limit or delay, and not only if the upstream did not handle it but
// also after RST_STREAM with PROTOCOL_ERROR, which says nothing about that
// (golang/go#47635).
func (t *Transport) sendOnce(request *http.Request) (*http.Response, error) {
	if request.Body == nil || request.Body == http.NoBody {
		once := cancelledOnResend(request)
		response, err := t.send(once)
		if err != nil && errors.Is(context.Cause(once.Context()), errSentOnce) {
			return nil, errSentOnce
		}
		return response, err
	}
	unrepeatable := *request
	unrepeatable.GetBody = nil
	response, err := t.send(&unrepeatable)
	if err != nil && triedToResend(err) {
		return nil, fmt.Errorf("%w: %w", ErrNotHandled, err)
	}
	return response, err
}

// triedToResend reports whether net/http failed only because it could not send an
// unhandled request again. net/http has no error value for that, only these texts.
// They must match completely, because other errors of net/http quote what the upstream
// sent. If net/http changes its texts, the result is false: a request that was sent is
// then never taken for unhandled.
func triedToResend(err error) bool {
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

// between returns what is between prefix and suffix, if text has both.
func between(text, prefix, suffix string) (inner string, ok bool) {
	if inner, ok = strings.CutPrefix(text, prefix); !ok {
		return "", false
	}
	return strings.CutSuffix(inner, suffix)
}

// cancelledOnResend returns a copy of the request that is cancelled, with the cause
// errSentOnce, when net/http asks for another connection after it was sent.
func cancelledOnResend(request *http.Request) *http.Request {
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
