package guard

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"
)

// RetryConfig says when a call that failed is made again. What may have reached
// ZITADEL is made again only if it is a read: SetPassword is made again only if not a
// byte of it was sent, or the upstream says that it did not handle it.
type RetryConfig struct {
	// Attempts is the largest number of attempts at a call. 1 means no retries.
	Attempts int
	// BaseDelay is the longest time before the second attempt; it doubles with each
	// further one, up to MaxDelay. The time itself is random ("full jitter"), so
	// that callers that failed together do not come back together. Above 0.
	BaseDelay time.Duration
	MaxDelay  time.Duration
	// Budget is the number of retries for each call that was made, over time, so that
	// an outage is not multiplied. From 0 to 1.
	Budget float64
}

// Validate names each mistake, with the configuration key, its value, and what would be right.
func (c RetryConfig) Validate() error {
	const maxAttempts = 10
	var mistakes []error
	if c.Attempts < 1 || c.Attempts > maxAttempts {
		mistakes = append(mistakes, fmt.Errorf("retry.attempts: %d: use 1 (no retries) to %d", c.Attempts, maxAttempts))
	}
	if c.BaseDelay <= 0 {
		mistakes = append(mistakes, fmt.Errorf("retry.baseDelay: %v: use a duration above 0, such as 25ms", c.BaseDelay))
	}
	if c.MaxDelay < c.BaseDelay {
		mistakes = append(mistakes, fmt.Errorf("retry.maxDelay: %v: use retry.baseDelay (%v) or more", c.MaxDelay, c.BaseDelay))
	}
	if !(c.Budget >= 0 && c.Budget <= 1) { // written so that NaN fails too
		mistakes = append(mistakes, fmt.Errorf("retry.budget: %v: use a share from 0 to 1, such as 0.2", c.Budget))
	}
	return errors.Join(mistakes...)
}

// retryReserve is the number of retries that a budget may save up, and starts with:
// with few calls, there would be none otherwise.
const retryReserve = 10

// retryBudget is the number of retries that are left.
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

// earn adds the share of a call.
func (b *retryBudget) earn() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.balance = min(b.balance+b.share, retryReserve)
}

// spend takes a retry; false means that none is left.
func (b *retryBudget) spend() bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.balance < 1 {
		return false
	}
	b.balance--
	return true
}

// sleep waits; false means that ctx has no time for that.
func sleep(ctx context.Context, delay time.Duration) bool {
	if deadline, ok := ctx.Deadline(); ok && time.Until(deadline) <= delay {
		return false
	}
	select {
	case <-time.After(delay):
		return true
	case <-ctx.Done():
		return false
	}
}
