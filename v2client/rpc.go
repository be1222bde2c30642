package v2client

import (
	"context"
	"errors"

	"connectrpc.com/connect"

	"zitadel-v1-adapter/internal/upstream"
	"zitadel-v1-adapter/v2client/internal/guard"
)

// rpc makes a call on a caller's behalf, by a method of generated clients, over the protocol
// that ZITADEL speaks. With ProtocolAuto, one that is not there is made over the other
// protocol too, if ZITADEL answers that: nothing handled the first, so no write is made twice.
func rpc[Service, Req, Res any](
	ctx context.Context,
	c *Client,
	caller Caller,
	services []Service,
	method func(Service, context.Context, *connect.Request[Req]) (*connect.Response[Res], error),
	message *Req,
) (*Res, error) {
	ctx, host, end, err := c.begin(ctx, caller)
	if err != nil {
		return nil, err
	}
	defer end()
	send := func(over int32) (*connect.Response[Res], error) {
		request := connect.NewRequest(message)
		caller.setHeader(request.Header(), c.userAgent, host)
		return method(services[over], ctx, request)
	}
	active := c.protocols.inUse(host)
	response, err := send(active)
	if isMissing(err) && c.protocols.otherAnswers(ctx, active, host) {
		if otherResponse, otherErr := send(1 - active); !isMissing(otherErr) {
			c.protocols.use(1 - active)
			response, err = otherResponse, otherErr
		}
	}
	if err != nil {
		return nil, err
	}
	return response.Msg, nil
}

// maxForwardedBytes bounds the headers that a caller may have sent on. Tokens
// are a few kilobytes.
const maxForwardedBytes = 256 << 10

// begin returns a context for a call on a caller's behalf, which ends by end, and the host
// that it is for. It refuses what net/http would not send: a caller must not be able to fail
// calls in a way that looks like the upstream's fault.
func (c *Client) begin(ctx context.Context, caller Caller) (_ context.Context, host string, end context.CancelFunc, _ error) {
	host, ok := c.upstream.HostFor(caller.host)
	switch {
	case len(caller.host)+upstream.HeaderBytes(caller.header) > maxForwardedBytes:
		return nil, "", nil, &Error{Code: connect.CodeResourceExhausted, Message: "the request's headers are too large", Origin: OriginSelf}
	case !ok:
		const message = "Instance not found: the request's host is not a host name"
		return nil, "", nil, &Error{Code: connect.CodeNotFound, Message: message, Origin: OriginSelf}
	}
	if caller.attempts != nil {
		ctx = guard.WithAttempts(ctx, caller.attempts)
	}
	if caller.deadline.IsZero() {
		return ctx, host, func() {}, nil
	}
	ctx, end = guard.WithDeadline(ctx, caller.deadline)
	return ctx, host, end, nil
}

// isMissing reports whether an error says that the upstream does not have what was
// called.
func isMissing(err error) bool {
	failure, ok := errors.AsType[*Error](err)
	return ok && failure.Missing
}
