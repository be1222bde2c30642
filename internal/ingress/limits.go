package ingress

import (
	"crypto/sha256"
	"fmt"
	"math"
	"strings"
	"sync/atomic"
	"time"

	lru "github.com/hashicorp/golang-lru/v2"
	"golang.org/x/time/rate"
)

// Slots limit how much is under way at once.
type Slots struct {
	// Limit is their number; 0 is unlimited.
	Limit int64

	taken atomic.Int64
}

// Take takes a slot, which Free gives back. It reports false if none is left.
func (s *Slots) Take() bool {
	if s.taken.Add(1) > s.Limit && s.Limit > 0 {
		s.taken.Add(-1)
		return false
	}
	return true
}

// Taken is the number of slots that are taken.
func (s *Slots) Taken() int { return int(s.taken.Load()) }

// Free gives a slot back.
func (s *Slots) Free() { s.taken.Add(-1) }

// Rates limit how often each caller calls. Callers are told apart by the SHA-256 of their tokens;
// those without one are one caller. A nil *Rates limits nothing. It is safe for concurrent use.
type Rates struct {
	perSecond rate.Limit
	burst     int
	callers   *lru.Cache[[sha256.Size]byte, *rate.Limiter]
}

// rateEntries is how many callers are told apart. With more, the least recent one begins anew.
const rateEntries = 10_000

// NewRates limits to perSecond calls on average and burst at once; nil if perSecond is 0. The
// error names the configuration key.
func NewRates(perSecond float64, burst int) (*Rates, error) {
	switch {
	case !(perSecond >= 0) || math.IsInf(perSecond, 1): // written so that NaN fails too
		return nil, fmt.Errorf("limits.callerRate: %v: use a number of calls a second such as 5 or 0.5, or 0 for no limit", perSecond)
	case perSecond == 0:
		return nil, nil //nolint:nilnil // nil limits nothing
	case burst < 1:
		return nil, fmt.Errorf("limits.callerBurst: %d: use 1 or more, such as 20", burst)
	}
	callers, err := lru.New[[sha256.Size]byte, *rate.Limiter](rateEntries)
	return &Rates{perSecond: rate.Limit(perSecond), burst: burst, callers: callers}, err
}

// Take counts a call with an Authorization header. ok is false if that is one too many.
func (r *Rates) Take(authorization string) (retryAfter time.Duration, ok bool) {
	if r == nil {
		return 0, true
	}
	// ZITADEL looks only at what follows "Bearer ": so must this, or one token would be many callers.
	_, token, _ := strings.Cut(authorization, "Bearer ")
	caller := sha256.Sum256([]byte(token))
	limiter, known := r.callers.Get(caller)
	if !known {
		limiter = rate.NewLimiter(r.perSecond, r.burst)
		if earlier, raced, _ := r.callers.PeekOrAdd(caller, limiter); raced {
			limiter = earlier
		}
	}
	now := time.Now()
	if limiter.AllowN(now, 1) {
		return 0, true
	}
	const mostSeconds = 1e9
	seconds := min((1-limiter.TokensAt(now))/float64(r.perSecond), mostSeconds)
	return max(time.Duration(seconds*float64(time.Second)), time.Nanosecond), false
}
