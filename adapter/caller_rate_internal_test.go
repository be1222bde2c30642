package adapter

import (
	"fmt"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"connectrpc.com/connect"
)

// A caller gets its burst, then its rate, and is told when to come back; another one
// is not concerned.
func TestCallerRates(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		rates, err := newCallerRates(Limits{CallerRate: 0.5, CallerBurst: 3})
		if err != nil {
			t.Fatal(err)
		}
		passes := func(authorization string) int {
			passed := 0
			for rates.take(authorization) == nil {
				passed++
			}
			return passed
		}
		if got := passes("Bearer a"); got != 3 {
			t.Errorf("%d calls at once", got)
		}
		refusal := rates.take("Bearer a")
		if refusal.code != connect.CodeResourceExhausted || refusal.retryAfter != 2*time.Second {
			t.Errorf("%+v", refusal)
		}
		// ZITADEL takes these for the same token.
		for _, same := range []string{"xBearer a", "BearerBearer a"} {
			if rates.take(same) == nil {
				t.Errorf("%q is another caller", same)
			}
		}
		for _, other := range []string{"Bearer b", ""} {
			if got := passes(other); got != 3 {
				t.Errorf("%q: %d calls", other, got)
			}
		}
		time.Sleep(refusal.retryAfter)
		if got := passes("Bearer a"); got != 1 {
			t.Errorf("%d calls two seconds later", got)
		}
		var impatient sync.WaitGroup // whose refusals cost no more than their calls
		for range 8 {
			impatient.Go(func() {
				for range 1000 {
					_ = rates.take("Bearer a")
				}
			})
		}
		impatient.Wait()
		time.Sleep(refusal.retryAfter)
		if got := passes("Bearer a"); got != 1 {
			t.Errorf("%d calls after many refusals", got)
		}
		time.Sleep(time.Hour)
		if got := passes("Bearer a"); got != 3 {
			t.Errorf("%d calls an hour later", got)
		}
	})
}

// Strangers with ever new tokens cost a bounded memory.
func TestCallerRatesAreBounded(t *testing.T) {
	t.Parallel()
	rates, err := newCallerRates(Limits{CallerRate: 1, CallerBurst: 1})
	if err != nil {
		t.Fatal(err)
	}
	for n := range 2 * rateEntries {
		if refusal := rates.take(fmt.Sprintf("Bearer %d", n)); refusal != nil {
			t.Fatal(refusal)
		}
	}
	if got := rates.callers.Len(); got != rateEntries {
		t.Errorf("%d callers are remembered", got)
	}
	if unlimited, err := newCallerRates(Limits{}); err != nil || unlimited.take("Bearer a") != nil {
		t.Error("there is a limit where none is set")
	}
}
