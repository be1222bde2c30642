package adapter

import (
	"fmt"
	"math"
	"sync/atomic"
	"time"

	"connectrpc.com/connect"
)

// Limits bound what clients may take of the adapter. All but WriteTimeout are for v1
// calls: what passes through is ZITADEL's to limit.
type Limits struct {
	// CallsInFlight is how many calls may be under way at once, from the end of the
	// request to ZITADEL's answer; 0 means any number. Further ones are refused at
	// once with code 14, HTTP 503 and Retry-After: it is this adapter that has too much to do, not the caller who
	// asked for too much, and another replica may do it.
	CallsInFlight int
	// BodyTimeout is how long a request may take from its headers to the end of
	// its body. Above 0.
	BodyTimeout time.Duration
	// WriteTimeout is how long a client may leave what is written to it untaken.
	// Above 0.
	WriteTimeout time.Duration
	// CallerRate is how many translated calls a second may come with one token, on
	// average; 0 means any number. CallerBurst, then at least 1, is how many may come
	// at once.
	CallerRate  float64
	CallerBurst int
}

func (l Limits) validate() error {
	if l.CallsInFlight < 0 {
		return fmt.Errorf("limits.callsInFlight: %d: use a number such as 1000, or 0 for any number", l.CallsInFlight)
	}
	if l.BodyTimeout <= 0 {
		return fmt.Errorf("limits.bodyTimeout: %v: use a duration above 0, such as 30s", l.BodyTimeout)
	}
	if l.WriteTimeout <= 0 {
		return fmt.Errorf("limits.writeTimeout: %v: use a duration above 0, such as 1m", l.WriteTimeout)
	}
	if !(l.CallerRate >= 0) || math.IsInf(l.CallerRate, 1) { // written so that NaN fails too
		return fmt.Errorf("limits.callerRate: %v: use a number of calls a second such as 5 or 0.5, or 0 for any number", l.CallerRate)
	}
	if l.CallerRate > 0 && l.CallerBurst < 1 {
		return fmt.Errorf("limits.callerBurst: %d: use 1 or more, such as 20", l.CallerBurst)
	}
	return nil
}

// overloaded is the status of a call that is one too many.
func overloaded() *status {
	s := newStatus(connect.CodeUnavailable, "too many calls at once, try again later")
	s.retryAfter = time.Second
	return s
}

// slots counts calls under way.
type slots struct {
	taken atomic.Int64
	most  int64 // 0: any number
}

func (s *slots) take() bool {
	if s.taken.Add(1) > s.most && s.most > 0 {
		s.taken.Add(-1)
		return false
	}
	return true
}

func (s *slots) free() { s.taken.Add(-1) }
