package v2client

import (
	"context"
	"net"
	"net/http"
	"sync/atomic"
	"time"
)

// newTransport is the one place that decides how bytes reach the upstream.
//
// Connect runs over HTTP/1.1 keep-alive connections, which cost less than half
// of HTTP/2's work per call on both sides; gRPC needs HTTP/2, in clear text
// (h2c) for an http:// upstream.
func newTransport(protocol Protocol) *http.Transport {
	protocols := new(http.Protocols)
	if protocol == ProtocolGRPC {
		protocols.SetHTTP2(true)
		protocols.SetUnencryptedHTTP2(true)
	} else {
		protocols.SetHTTP1(true)
	}
	dialer := &net.Dialer{Timeout: 5 * time.Second, KeepAlive: 15 * time.Second}
	return &http.Transport{
		Protocols:   protocols,
		Proxy:       http.ProxyFromEnvironment,
		DialContext: dialer.DialContext,
		// net/http's default of two idle connections a host would open and
		// close a connection for nearly every concurrent call.
		MaxIdleConnsPerHost:    256,
		IdleConnTimeout:        90 * time.Second,
		TLSHandshakeTimeout:    5 * time.Second,
		MaxResponseHeaderBytes: 64 << 10,
		// Answers are tens of bytes: unpacking them costs more than it saves.
		DisableCompression: true,
		HTTP2: &http.HTTP2Config{
			SendPingTimeout: 15 * time.Second,
			PingTimeout:     5 * time.Second,
		},
	}
}

// statusNoter notes the HTTP status of an answer where noteStatus asked for it:
// connect-go does not tell, and its codes do not say whose fault a failure is.
type statusNoter struct{ *http.Transport }

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
