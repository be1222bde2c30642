package v2client

import (
	"context"
	"errors"

	"connectrpc.com/connect"
)

// guarded makes a call unless the breaker is open, and tells the breaker what
// became of it.
func guarded[Res any](ctx context.Context, c *Client, target target, call func(context.Context) (*Res, error)) (*Res, *Error) {
	if err := ctx.Err(); err != nil {
		return nil, stoppedBy(ctx, err)
	}
	pass, err := c.breaker.enter(target.doubtful())
	if err != nil {
		return nil, &Error{
			Code: connect.CodeUnavailable, Message: "ZITADEL is unavailable, try again later",
			Origin: OriginBreaker, RetryAfter: c.openFor, cause: err,
		}
	}
	if pass.probe {
		return probed(ctx, c, target, pass, call)
	}
	return attempted(ctx, c, target, pass, call)
}

// attempted makes a call, and tells the breaker.
func attempted[Res any](ctx context.Context, c *Client, target target, pass pass, call func(context.Context) (*Res, error)) (*Res, *Error) {
	// Until it is answered: a half-open breaker must not wait for ever for a call that
	// panicked.
	failure := &Error{Code: connect.CodeInternal, Origin: OriginSelf}
	defer func() { pass.leave(failure) }()
	ctx, attempt := withExchange(ctx)
	response, err := call(ctx)
	if err == nil {
		failure = nil
		c.hosts.answered(target.host)
		return response, nil
	}
	if !errors.As(err, &failure) {
		failure = newError(ctx, err, attempt)
	}
	failure.judge(attempt, target)
	return nil, failure
}

// probed makes a call for which a half-open breaker may wait. It goes on without its
// caller, for as long as others have: those who leave early, again and again, would shut
// everybody out. (Of a write, who left does not know the outcome either way.)
func probed[Res any](ctx context.Context, c *Client, target target, pass pass, call func(context.Context) (*Res, error)) (*Res, *Error) {
	type outcome struct {
		response *Res
		failure  *Error
		panicked any
	}
	outcomes := make(chan outcome, 1) // nobody may be there to take it
	go func() {
		var of outcome
		defer func() {
			of.panicked = recover()
			outcomes <- of
		}()
		ctx, cancel := context.WithTimeoutCause(context.WithoutCancel(ctx), c.timeout, ErrTimeout)
		defer cancel()
		of.response, of.failure = attempted(ctx, c, target, pass, call)
	}()
	select {
	case of := <-outcomes:
		if of.panicked != nil {
			panic(of.panicked) //nolint:forbidigo // where it is answered and logged
		}
		return of.response, of.failure
	case <-ctx.Done():
		return nil, stoppedBy(ctx, ctx.Err())
	}
}
