package v2client

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/http/httptrace"
	"strconv"
	"sync/atomic"

	"connectrpc.com/connect"

	"zitadel-v1-adapter/internal/rpccode"
	"zitadel-v1-adapter/internal/upstream"
)

// newTransport is the one place that decides how v2 calls reach the upstream.
//
// Connect runs over HTTP/1.1 keep-alive connections, which cost less than half
// of HTTP/2's work per call on both sides; gRPC needs HTTP/2.
func newTransport(to *upstream.Upstream, protocol Protocol) *upstream.Transport {
	version := upstream.HTTP1
	if protocol == ProtocolGRPC {
		version = upstream.HTTP2
	}
	return to.NewTransport(upstream.TransportConfig{Version: version, MaxResponseHeaderBytes: 64 << 10, SmallRequests: true})
}

// exchange is what connect-go does not tell of an attempt at a call.
type exchange struct {
	// status is that of the answer over HTTP, 0 if there was none: connect-go's codes
	// do not say whose fault a failure is.
	status atomic.Int32
	// sent says that the request may have been handled.
	sent atomic.Bool
	// foreign says that the answer is no error of a Connect server's: connect-go takes
	// any JSON for one.
	foreign atomic.Bool
}

type exchangeKey struct{}

// withExchange makes a context for one attempt.
//
// net/http sends a request again itself if the pooled connection that it chose turns
// out to be closed before a byte was written: that begins anew.
func withExchange(ctx context.Context) (context.Context, *exchange) {
	e := new(exchange)
	ctx = context.WithValue(ctx, exchangeKey{}, e)
	return httptrace.WithClientTrace(ctx, &httptrace.ClientTrace{
		GetConn:      func(string) { e.sent.Store(false) },
		WroteHeaders: func() { e.sent.Store(true) },
	}), e
}

// exchangeNoter notes what becomes of attempts.
type exchangeNoter struct{ *upstream.Transport }

func (n exchangeNoter) RoundTrip(request *http.Request) (*http.Response, error) {
	response, err := n.Transport.RoundTrip(request)
	attempt, ok := request.Context().Value(exchangeKey{}).(*exchange)
	if !ok {
		return response, err
	}
	switch {
	case err == nil:
		attempt.status.Store(int32(response.StatusCode)) //nolint:gosec // three digits
		// connect-go repeats the upstream's reason phrase.
		response.Status = strconv.Itoa(response.StatusCode) + " " + http.StatusText(response.StatusCode)
		if response.Header["X-Envoy-Ratelimited"] != nil { // to gRPC, Envoy says it with code 14
			attempt.status.Store(http.StatusTooManyRequests)
			attempt.foreign.Store(true)
			return response, nil
		}
		if response.StatusCode != http.StatusOK && request.Method == http.MethodPost {
			attempt.foreign.Store(!isConnectError(response))
		}
	case errors.Is(err, upstream.ErrNotHandled):
		attempt.sent.Store(false)
	}
	return response, err
}

// isConnectError looks whether an answer is an error as the Connect protocol has it: its
// code is named in the body, and belongs to its HTTP status.
func isConnectError(response *http.Response) bool {
	body, _ := io.ReadAll(io.LimitReader(response.Body, maxAnswerBytes)) // an error comes again below
	response.Body = struct {
		io.Reader
		io.Closer
	}{io.MultiReader(bytes.NewReader(body), response.Body), response.Body}
	var told struct {
		Code connect.Code `json:"code"`
	}
	return json.Unmarshal(body, &told) == nil && told.Code != 0 && rpccode.HTTPStatus(told.Code) == response.StatusCode
}
