package v2client

import (
	"context"
	"errors"
	"sync/atomic"
	"time"

	"connectrpc.com/connect"
	"go.opentelemetry.io/otel/trace"

	userv2 "zitadel-v1-adapter/gen/zitadel/user/v2"
	"zitadel-v1-adapter/gen/zitadel/user/v2/userv2connect"
	"zitadel-v1-adapter/internal/upstream"
	"zitadel-v1-adapter/v2client/internal/guard"
	"zitadel-v1-adapter/v2client/internal/wire"
)

// Protocol is the protocol of v2 calls.
type Protocol string

// The protocols. ZITADEL speaks Connect from v4 on, and always gRPC.
const (
	ProtocolAuto    Protocol = "auto" // Connect where ZITADEL speaks it, and else gRPC
	ProtocolConnect Protocol = "connect"
	ProtocolGRPC    Protocol = "grpc"
)

// addProtocol makes the clients that speak a protocol.
func (c *Client) addProtocol(protocol Protocol) {
	version := upstream.HTTP1
	options := []connect.ClientOption{connect.WithAcceptCompression("gzip", nil, nil), connect.WithReadMaxBytes(wire.MaxAnswerBytes)}
	if protocol == ProtocolGRPC {
		version, options = upstream.HTTP2, append(options, connect.WithGRPC())
	}
	over, base := wire.NewClient(c.upstream, version), c.upstream.Base().String()
	c.protocols, c.wires = append(c.protocols, protocol), append(c.wires, over)
	c.unguarded = append(c.unguarded, userv2connect.NewUserServiceClient(over, base, options...))
	options = append(options, connect.WithInterceptors(connect.UnaryInterceptorFunc(c.guard.Intercept)))
	c.writes = append(c.writes, userv2connect.NewUserServiceClient(over, base, options...))
	options = append(options, connect.WithIdempotency(connect.IdempotencyNoSideEffects))
	c.reads = append(c.reads, userv2connect.NewUserServiceClient(over, base, options...))
	c.permissions = append(c.permissions, connect.NewClient[listRequest, listResponse](over, base+listProcedure, options...))
	c.permissionsBeta = append(c.permissionsBeta, connect.NewClient[listRequest, listResponse](over, base+listProcedureBeta, options...))
}

// choice is between the first and the second of two ways to do the same, of which ZITADEL may have
// only one. The first is preferred: while the second is in use, the first is looked for now and then.
type choice struct {
	active atomic.Int32 // 0 is the first
	lookAt atomic.Int64 // for the first, in Unix nanoseconds
}

// lookEvery is how often: ZITADEL may have been upgraded, or downgraded.
const lookEvery = 10 * time.Minute

func (c *choice) set(active int32) {
	c.lookAt.Store(time.Now().Add(lookEvery).UnixNano())
	c.active.Store(active)
}

// current is the one in use. When it is time, look finds out in the background whether the first is there.
func (c *choice) current(look func(context.Context) bool) int32 {
	active := c.active.Load()
	due, now := c.lookAt.Load(), time.Now()
	if active != 0 && now.UnixNano() >= due && c.lookAt.CompareAndSwap(due, now.Add(lookEvery).UnixNano()) {
		go func() {
			if look(context.Background()) {
				c.active.Store(0)
			}
		}()
	}
	return active
}

// speaks returns a look at whether ZITADEL answers GetUserByID over a protocol, by its index.
func (c *Client) speaks(protocol int32, host string) func(context.Context) bool {
	return func(ctx context.Context) bool {
		return answers(ctx, func(ctx context.Context) error { return c.getNobody(ctx, protocol, host) })
	}
}

// answers reports whether ZITADEL answers a call without a token, with a refusal as a rule.
func answers(ctx context.Context, call func(context.Context) error) bool {
	ctx = trace.ContextWithSpanContext(ctx, trace.SpanContext{}) // the call's span is not this look's
	ctx, cancel := context.WithTimeout(ctx, guard.ProbeTimeout)
	defer cancel()
	err := call(ctx)
	return err == nil || connect.IsWireError(err) && connect.CodeOf(err) != connect.CodeUnimplemented
}

// getNobody asks ZITADEL for a user without a token, which it refuses.
func (c *Client) getNobody(ctx context.Context, over int32, host string) error {
	return withoutToken(ctx, c, over, host, userv2connect.UserServiceClient.GetUserByID, new(userv2.GetUserByIDRequest))
}

// withoutToken makes a call that ZITADEL refuses: nothing can be written.
func withoutToken[Req, Res any](ctx context.Context, c *Client, over int32, host string, method userMethod[Req, Res], message *Req) error {
	request := connect.NewRequest(message)
	Caller{}.setHeader(request.Header(), c.userAgent, host)
	_, err := method(c.unguarded[over], ctx, request)
	return err
}

// userMethod is a method of the user service.
type userMethod[Req, Res any] = func(userv2connect.UserServiceClient, context.Context, *connect.Request[Req]) (*connect.Response[Res], error)

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
	active := c.protocol.current(c.speaks(0, host))
	response, err := send(active)
	if isMissing(err) && len(c.protocols) > 1 && c.speaks(1-active, host)(ctx) {
		if otherResponse, otherErr := send(1 - active); !isMissing(otherErr) {
			c.protocol.set(1 - active)
			response, err = otherResponse, otherErr
		}
	}
	if err != nil {
		return nil, err
	}
	return response.Msg, nil
}

// begin returns a context for a call on a caller's behalf, which ends by end, and the host that it is
// for. It refuses what net/http would not send: that would look like the upstream's fault.
func (c *Client) begin(ctx context.Context, caller Caller) (_ context.Context, host string, end context.CancelFunc, _ error) {
	host, ok := c.upstream.HostFor(caller.host)
	if caller.isTooLarge() {
		return nil, "", nil, &Error{Code: connect.CodeResourceExhausted, Message: "the request's headers are too large", Origin: OriginSelf}
	}
	if !ok {
		const message = "Instance not found: the request's host is not a host name"
		return nil, "", nil, &Error{Code: connect.CodeNotFound, Message: message, Origin: OriginSelf}
	}
	ctx, end = guard.WithAttempts(ctx, caller.Attempts), func() {}
	if !caller.Deadline.IsZero() {
		ctx, end = guard.WithDeadline(ctx, caller.Deadline)
	}
	return ctx, host, end, nil
}

// isMissing reports whether an error says that the upstream does not have what was called.
func isMissing(err error) bool {
	failure, ok := errors.AsType[*Error](err)
	return ok && failure.Missing
}
