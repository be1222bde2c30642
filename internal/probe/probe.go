// Package probe sends single requests to an upstream, for check and compare.
package probe

import (
	"bytes"
	"context"
	"io"
	"net/http"

	"zitadel-v1-adapter/internal/ingress"
	"zitadel-v1-adapter/internal/upstream"
	"zitadel-v1-adapter/internal/v1wire"
)

// Client sends requests to one upstream.
type Client struct {
	*upstream.Upstream

	http1, http2 *upstream.Transport
}

// New makes a Client. It connects when the first request is sent.
func New(to *upstream.Upstream) *Client {
	return &Client{
		to,
		to.NewTransport(upstream.TransportConfig{Version: upstream.HTTP1}),
		to.NewTransport(upstream.TransportConfig{Version: upstream.HTTP2}),
	}
}

// Close closes idle connections.
func (c *Client) Close() {
	c.http1.CloseIdleConnections()
	c.http2.CloseIdleConnections()
}

// Answer is an answer whose body was read and closed.
type Answer struct {
	*http.Response

	Content []byte // the first 64 KiB of the body
}

// Send sends a request once, gRPC over HTTP/2 and all else over HTTP/1.1, and follows no
// redirect. If an adapter answers, the answer has [ingress.ViaHeader].
func (c *Client) Send(ctx context.Context, verb, host string, sent v1wire.Request) (Answer, error) {
	request, err := http.NewRequestWithContext(ctx, verb, c.Base().String()+sent.Path, bytes.NewReader(sent.Body))
	if err != nil {
		return Answer{}, err
	}
	request.Host, request.Header = host, sent.Header.Clone()
	request.Header.Set(ingress.ViaHeader, ingress.ViaQuestion)
	transport := c.http1
	if sent.Header.Get("Content-Type") == "application/grpc" {
		transport = c.http2
	}
	response, err := transport.RoundTrip(request)
	if err != nil {
		return Answer{}, err
	}
	defer func() { _ = response.Body.Close() }()
	const most = 64 << 10
	content, err := io.ReadAll(io.LimitReader(response.Body, most))
	return Answer{response, content}, err
}
