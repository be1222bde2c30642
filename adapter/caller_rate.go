package adapter

import (
	"crypto/sha256"
	"fmt"
	"strings"
	"time"

	"connectrpc.com/connect"
	lru "github.com/hashicorp/golang-lru/v2"
	"golang.org/x/time/rate"
)

// callerRates limits how often each caller calls. Callers are told apart by the
// SHA-256 of their tokens; those without one count as one caller. It is safe for
// concurrent use.
type callerRates struct {
	perSecond rate.Limit
	burst     int
	callers   *lru.Cache[[sha256.Size]byte, *rate.Limiter]
}

// rateEntries is how many callers are told apart. When there are more, the one who
// has not called for the longest time begins anew.
const rateEntries = 10_000

// newCallerRates makes the limits; nil, which limits nothing, if there are none.
func newCallerRates(limits Limits) (*callerRates, error) {
	if limits.CallerRate == 0 {
		return nil, nil //nolint:nilnil // nil limits nothing
	}
	callers, err := lru.New[[sha256.Size]byte, *rate.Limiter](rateEntries)
	if err != nil {
		return nil, fmt.Errorf("callers' rates: %w", err)
	}
	return &callerRates{perSecond: rate.Limit(limits.CallerRate), burst: limits.CallerBurst, callers: callers}, nil
}

// take counts a call, and refuses it if it is one too many; nil lets it pass. Unlike
// an adapter that has too much to do, this is the caller's own doing: code 8, HTTP
// 429.
func (c *callerRates) take(authorization string) *status {
	if c == nil {
		return nil
	}
	// ZITADEL looks no further than to what follows "Bearer ": neither may this, or
	// one token would be many callers.
	_, token, _ := strings.Cut(authorization, "Bearer ")
	caller := sha256.Sum256([]byte(token))
	limiter, ok := c.callers.Get(caller)
	if !ok {
		limiter = rate.NewLimiter(c.perSecond, c.burst)
		if earlier, raced, _ := c.callers.PeekOrAdd(caller, limiter); raced {
			limiter = earlier
		}
	}
	now := time.Now()
	if limiter.AllowN(now, 1) {
		return nil
	}
	refusal := newStatus(connect.CodeResourceExhausted, "too many calls with this token, try again later")
	const mostSeconds = 1e9
	seconds := min((1-limiter.TokensAt(now))/float64(c.perSecond), mostSeconds)
	refusal.retryAfter = max(time.Duration(seconds*float64(time.Second)), time.Nanosecond)
	return refusal
}
