package v2client

import (
	"context"
	"net/http"
	"sync/atomic"

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

// statusNoter notes the HTTP status of an answer where noteStatus asked for it:
// connect-go does not tell, and its codes do not say whose fault a failure is.
type statusNoter struct{ *upstream.Transport }

func (n statusNoter) RoundTrip(request *http.Request) (*http.Response, error) {
	response, err := n.Transport.RoundTrip(request)
	if noted, ok := request.Context().Value(statusKey{}).(*atomic.Int32); ok && err == nil {
		noted.Store(int32(response.StatusCode)) //nolint:gosec // three digits
	}
	return response, err
}

type statusKey struct{}

// noteStatus makes a context in which the HTTP status of the answer is noted.
func noteStatus(ctx context.Context) context.Context {
	return context.WithValue(ctx, statusKey{}, new(atomic.Int32))
}

// notedStatus is the HTTP status of the answer to a call made under ctx, 0 if
// there was none.
func notedStatus(ctx context.Context) int {
	if noted, ok := ctx.Value(statusKey{}).(*atomic.Int32); ok {
		return int(noted.Load())
	}
	return 0
}
