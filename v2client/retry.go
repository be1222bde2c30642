package v2client

import (
	"context"
	"fmt"
	"math/rand/v2"
	"sync"
	"time"

	"connectrpc.com/connect"
)

// RetryConfig says when a call that failed is made again. What may have reached
// ZITADEL is made again only if it is a read: SetPassword is made again only if not a
// byte of it was sent, or the upstream says that it did not handle it
// ([upstream.ErrNotHandled]).
type RetryConfig struct {
	// Attempts is how often a call is made at most. 1 means never again.
	Attempts int
	// BaseDelay is the most time before the second attempt; it doubles with each
	// further one, up to MaxDelay. The time itself is random ("full jitter"), so
	// that callers who failed together do not come back together. Above 0.
	BaseDelay time.Duration
	MaxDelay  time.Duration
	// Budget is how many retries there may be for each call that was made, over
	// time: an outage is not multiplied. From 0 to 1.
	Budget float64
}

func (c RetryConfig) validate() error {
	const maxAttempts = 10
	switch {
	case c.Attempts < 1 || c.Attempts > maxAttempts:
		return fmt.Errorf("retry.attempts: %d: use 1 (never again) to %d", c.Attempts, maxAttempts)
	case c.BaseDelay <= 0:
		return fmt.Errorf("retry.baseDelay: %v: use a duration above 0, such as 25ms", c.BaseDelay)
	case c.MaxDelay < c.BaseDelay:
		return fmt.Errorf("retry.maxDelay: %v: use retry.baseDelay (%v) or more", c.MaxDelay, c.BaseDelay)
	case !(c.Budget >= 0 && c.Budget <= 1): // written so that NaN fails too
		return fmt.Errorf("retry.budget: %v: use a share from 0 to 1, such as 0.2", c.Budget)
	}
	return nil
}

// retryReserve is how many retries a budget may save up, and starts with: with
// few calls, there would be none otherwise.
const retryReserve = 10

// retryBudget counts what is left.
type retryBudget struct {
	mu      sync.Mutex
	share   float64
	balance float64
}

func newRetryBudget(share float64) *retryBudget {
	balance := 0.0
	if share > 0 {
		balance = retryReserve
	}
	return &retryBudget{share: share, balance: balance}
}

// earn is for a call.
func (b *retryBudget) earn() {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.share > 0 {
		b.balance = min(b.balance+b.share, retryReserve)
	}
}

// spend is for a retry; false means that there is none left.
func (b *retryBudget) spend() bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.balance < 1 {
		return false
	}
	b.balance--
	return true
}

// kind is what a call does to ZITADEL.
type kind int

const (
	read kind = iota
	write
)

// again reports whether a call that failed may be made again.
func (e *Error) again(kind kind) bool {
	switch {
	case e.refused:
		return false
	case e.Origin == OriginTransport:
		return kind == read || !e.sent
	}
	return kind == read && e.Origin == OriginZITADEL && e.looksLikeUpstream()
}

// repeated makes a call, and makes it again as the configuration allows and while
// ctx has time for it. Every attempt asks the breaker, and counts.
func repeated[Res any](ctx context.Context, c *Client, kind kind, target target, call func(context.Context) (*Res, error)) (*Res, error) {
	c.budget.earn()
	delay := c.retry.BaseDelay
	for attempt := 1; ; attempt++ {
		response, failure := guarded(ctx, c, target, call)
		if failure == nil {
			return response, nil
		}
		jitter := rand.N(delay) //nolint:gosec // no secret
		if attempt >= c.retry.Attempts || !failure.again(kind) || !c.budget.spend() || !sleep(ctx, jitter) {
			if kind == write && failure.Origin == OriginTransport && failure.sent && failure.Code == connect.CodeUnavailable {
				failure.Message = unknownOutcome
			}
			return nil, failure
		}
		delay = min(2*delay, c.retry.MaxDelay)
	}
}

// unknownOutcome is the message of a write that was sent, and to which ZITADEL's
// own answer did not come. (A load balancer's 429 is believed: it let nothing
// through.)
const unknownOutcome = "ZITADEL did not answer: whether the change was made is unknown"

// sleep waits, unless there is no time left for that; then it is false.
func sleep(ctx context.Context, delay time.Duration) bool {
	if deadline, ok := ctx.Deadline(); ok && time.Until(deadline) <= delay {
		return false
	}
	timer := time.NewTimer(delay)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-ctx.Done():
		return false
	}
}
