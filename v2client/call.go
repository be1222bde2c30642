package v2client

import (
	"context"
	"errors"
	"net/http"
	"time"

	"connectrpc.com/connect"
	"github.com/sony/gobreaker/v2"

	userv2 "zitadel-v1-adapter/gen/zitadel/user/v2"
)

// operation is what a call does.
type operation struct {
	name string // the last part of the procedure's or the path
	kind kind
}

// Attempt is one attempt at a call of ZITADEL's.
type Attempt struct {
	// Method is the name of what was called, such as "SetPassword" or "userinfo".
	Method string
	// Duration lasts to the end of the answer.
	Duration time.Duration
	// Retry says that it was not the first attempt at the call.
	Retry bool
}

// call is one v2 call, however often it is made.
type call[Res any] struct {
	operation

	client   *Client
	attempts *[]Attempt // nil: nobody wants to know
	to       target
	own      time.Time // the adapter's deadline; zero is none
	traces   int       // spans made
	// send makes one attempt.
	send func(ctx context.Context, to target) (*Res, error)
}

// do makes a v2 call on behalf of a caller: where it goes, how long it may take, how
// often it is tried, and whether at all.
func do[Res any](ctx context.Context, c *Client, does operation, caller Caller, send func(context.Context, target) (*Res, error)) (*Res, error) {
	to, err := c.targetOf(caller)
	if err != nil {
		return nil, err
	}
	if !caller.deadline.IsZero() {
		var cancel context.CancelFunc
		ctx, cancel = context.WithDeadline(ctx, caller.deadline)
		defer cancel()
	}
	pending := call[Res]{operation: does, client: c, attempts: caller.attempts, to: to, own: caller.deadline, send: send}
	response, failure := pending.withRetry(ctx)
	if failure != nil {
		return nil, failure
	}
	return response, nil
}

// unary is do for a procedure of v2's.
func unary[Req, Res any](
	ctx context.Context,
	c *Client,
	does operation,
	caller Caller,
	method procedure[Req, Res],
	message *Req,
) (*Res, error) {
	return do(ctx, c, does, caller, func(ctx context.Context, to target) (*Res, error) {
		return ask(ctx, c, method, caller, to, message)
	})
}

// header is that of an attempt at a call, in which Host is where connect-go looks for it.
func (c *Client) header(caller Caller, to target) http.Header {
	const (
		own  = 3 // fields
		lane = 4 // that it adds
	)
	header := make(http.Header, len(caller.fields)+own+lane)
	values := make([]string, 0, len(caller.fields)+own)
	set := func(name, value string) {
		values = append(values, value)
		header[name] = values[len(values)-1 : len(values) : len(values)]
	}
	for _, field := range caller.fields {
		set(field.name, field.value)
	}
	if caller.requestID != "" {
		set(requestIDHeader, caller.requestID)
	}
	set("User-Agent", c.userAgent)
	set("Host", to.host)
	return header
}

// guarded makes an attempt unless the breaker is open.
func (c *call[Res]) guarded(ctx context.Context, retry bool) (*Res, *Error) {
	err := ctx.Err()
	if err == nil {
		err = c.client.breaker.admit(ctx)
	}
	switch {
	case err == nil:
		return c.attempt(ctx, retry)
	case errors.Is(err, gobreaker.ErrOpenState):
		return nil, &Error{
			Code: connect.CodeUnavailable, Message: "ZITADEL is unavailable, try again later",
			Origin: OriginBreaker, RetryAfter: c.client.openFor, cause: err,
		}
	}
	return nil, newEndedError(err, endingOf(ctx, c.own, time.Now()))
}

// attempt makes one attempt, and reports it to the breaker. One that only reads ends when
// ZITADEL has answered nothing for readTimeout.
func (c *call[Res]) attempt(ctx context.Context, retry bool) (*Res, *Error) {
	outcome := notCounted // of an attempt that panics
	var failure *Error
	ctx, span := c.traced(ctx)
	began := c.client.breaker.begin(c.to)
	if c.kind == read {
		var stop context.CancelFunc
		ctx, stop = c.client.breaker.untilSilent(ctx, c.client.readTimeout)
		defer stop()
	}
	defer func() {
		c.client.breaker.end(began, outcome)
		if c.attempts != nil {
			*c.attempts = append(*c.attempts, Attempt{Method: c.name, Duration: time.Since(began), Retry: retry})
		}
		endSpan(span, failure, outcome)
	}()
	made := newNote(ctx, span)
	response, err := c.send(made, c.to)
	if err == nil {
		outcome = healthy
		c.client.verified.add(c.to.host)
		return response, nil
	}
	failure = classify(err, c.kind, made.known(), c.to, endingOf(ctx, c.own, time.Now()))
	outcome = failure.health
	return nil, failure
}

// probe asks ZITADEL for a user without a token, which it refuses: what any answer of its
// own says is that it is there. No caller's token is used, and nothing can be written.
func (c *Client) probe(to target) health {
	deadline := time.Now().Add(probeTimeout)
	ctx, cancel := context.WithDeadline(context.Background(), deadline)
	defer cancel()
	made := newNote(ctx, nil)
	if _, err := ask(made, c, (*service).getUserByID, Caller{}, to, new(userv2.GetUserByIDRequest)); err != nil {
		return classify(err, read, made.known(), to, endingOf(ctx, deadline, time.Now())).health
	}
	return healthy
}
