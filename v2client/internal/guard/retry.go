package guard

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"
)

// RetryConfig says when a failed call is made again: a read always, a write only if not a byte
// of it was sent, or the upstream says that it did not handle it.
type RetryConfig struct {
	Attempts  int           `default:"3" yaml:"attempts"`     // at a call; 1 means no retries, 10 is the most
	BaseDelay time.Duration `default:"25ms" yaml:"baseDelay"` // before the second attempt, at most; doubles; above 0
	MaxDelay  time.Duration `default:"500ms" yaml:"maxDelay"` // longest of all; delays are random, to spread callers
	Budget    float64       `default:"0.2" yaml:"budget"`     // retries per call, over time; from 0 to 1
}

// Validate names each mistake, with the configuration key, its value, and what would be right.
func (c RetryConfig) Validate() error {
	const maxAttempts = 10
	return errors.Join(
		Checkf(c.Attempts >= 1 && c.Attempts <= maxAttempts, "retry.attempts: %d: use 1 (no retries) to %d", c.Attempts, maxAttempts),
		Checkf(c.BaseDelay > 0, "retry.baseDelay: %v: use a duration above 0, such as 25ms", c.BaseDelay),
		Checkf(c.MaxDelay >= c.BaseDelay, "retry.maxDelay: %v: use retry.baseDelay (%v) or more", c.MaxDelay, c.BaseDelay),
		Checkf(c.Budget >= 0 && c.Budget <= 1, "retry.budget: %v: use a share from 0 to 1, such as 0.2", c.Budget),
	)
}

// Checkf returns an error with the message unless ok.
func Checkf(ok bool, format string, args ...any) error {
	if ok {
		return nil
	}
	return fmt.Errorf(format, args...)
}

// retryReserve is the most that a budget saves up, and what it starts with: few calls earn none.
const retryReserve = 10

// retryBudget has the retries that are left.
type retryBudget struct {
	mu      sync.Mutex
	balance float64
}

// add changes the balance, and reports whether it sufficed for that.
func (b *retryBudget) add(retries float64) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.balance+retries < 0 {
		return false
	}
	b.balance = min(b.balance+retries, retryReserve)
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
