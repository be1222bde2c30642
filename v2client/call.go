package v2client

import (
	"context"
	"time"

	"connectrpc.com/connect"
)

// call is one v2 call, however often it is made.
type call[Res any] struct {
	client *Client
	kind   kind
	to     target
	own    time.Time // the adapter's deadline; zero is none
	// send makes one attempt.
	send func(ctx context.Context, to target) (*Res, error)
}

// do makes a v2 call on behalf of a caller: where it goes, how long it may take, how
// often it is tried, and whether at all.
func do[Res any](ctx context.Context, c *Client, kind kind, caller Caller, send func(context.Context, target) (*Res, error)) (*Res, error) {
	to, err := c.targetOf(caller)
	if err != nil {
		return nil, err
	}
	if !caller.deadline.IsZero() {
		var cancel context.CancelFunc
		ctx, cancel = context.WithDeadline(ctx, caller.deadline)
		defer cancel()
	}
	pending := call[Res]{client: c, kind: kind, to: to, own: caller.deadline, send: send}
	response, failure := pending.withRetry(ctx)
	if failure != nil {
		return nil, failure
	}
	return response, nil
}

// unary is do for a method of connect-go's.
func unary[Req, Res any](
	ctx context.Context,
	c *Client,
	kind kind,
	caller Caller,
	method func(*service, context.Context, *connect.Request[Req]) (*connect.Response[Res], error),
	message *Req,
) (*Res, error) {
	return do(ctx, c, kind, caller, func(ctx context.Context, to target) (*Res, error) {
		request := connect.NewRequest(message)
		caller.addTo(request.Header())
		request.Header()["User-Agent"] = []string{c.userAgent}
		request.Header()["Host"] = []string{to.host}
		response, err := ask(ctx, c, method, request)
		if err != nil {
			return nil, err
		}
		return response.Msg, nil
	})
}

// guarded makes an attempt unless the breaker is open, and tells the breaker what
// became of it.
func (c *call[Res]) guarded(ctx context.Context) (*Res, *Error) {
	if end := endingOf(ctx, c.own, time.Now()); ctx.Err() != nil {
		return nil, newEndedError(ctx.Err(), end)
	}
	permit, err := c.client.breaker.acquire(c.to.suspect())
	if err != nil {
		return nil, &Error{
			Code: connect.CodeUnavailable, Message: "ZITADEL is unavailable, try again later",
			Origin: OriginBreaker, RetryAfter: c.client.openFor, cause: err,
		}
	}
	if permit.probe {
		return c.probe(ctx, permit)
	}
	return c.attempt(ctx, permit)
}

// attempt makes one attempt, and reports it to the breaker.
func (c *call[Res]) attempt(ctx context.Context, permit permit) (*Res, *Error) {
	// If the attempt panics, a half-open breaker must not wait for it for ever.
	failure := &Error{Code: connect.CodeInternal, Origin: OriginSelf}
	defer func() { permit.report(failure) }()
	ctx, made := withAttempt(ctx)
	response, err := c.send(ctx, c.to)
	if err == nil {
		failure = nil
		c.client.verified.add(c.to.host)
		return response, nil
	}
	failure = classify(err, c.kind, made.known(), c.to, endingOf(ctx, c.own, time.Now()))
	return nil, failure
}

// probe makes the attempt for which a half-open breaker waits. It outlives its caller,
// for as long as any call may take: callers that leave early, again and again, would
// hold the breaker half-open otherwise. (A write that was left has an unknown outcome
// either way.)
func (c *call[Res]) probe(ctx context.Context, permit permit) (*Res, *Error) {
	type outcome struct {
		response *Res
		failure  *Error
		panicked any
	}
	outcomes := make(chan outcome, 1) // the caller may have left
	probe := *c
	probe.own = time.Now().Add(c.client.timeout)
	go func() {
		var of outcome
		defer func() {
			of.panicked = recover()
			outcomes <- of
		}()
		ctx, cancel := context.WithDeadline(context.WithoutCancel(ctx), probe.own)
		defer cancel()
		of.response, of.failure = probe.attempt(ctx, permit)
	}()
	select {
	case of := <-outcomes:
		if of.panicked != nil {
			panic(of.panicked) //nolint:forbidigo // where it is answered and logged
		}
		return of.response, of.failure
	case <-ctx.Done():
		return nil, newEndedError(ctx.Err(), endingOf(ctx, c.own, time.Now()))
	}
}
