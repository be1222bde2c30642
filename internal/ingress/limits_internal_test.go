package ingress

import (
	"fmt"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// A caller gets its burst, then its rate, and is told when to come back; another one
// is not concerned.
func TestRatesLimitEachCaller(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		rates, err := NewRates(0.5, 3)
		if err != nil {
			t.Fatal(err)
		}
		passes := func(authorization string) int {
			passed := 0
			for {
				if _, ok := rates.Take(authorization); !ok {
					return passed
				}
				passed++
			}
		}
		if got := passes("Bearer a"); got != 3 {
			t.Errorf("%d calls at once", got)
		}
		retryAfter, _ := rates.Take("Bearer a")
		if retryAfter != 2*time.Second {
			t.Errorf("retry after %v, want 2s", retryAfter)
		}
		// ZITADEL takes these for the same token.
		for _, same := range []string{"xBearer a", "BearerBearer a"} {
			if _, ok := rates.Take(same); ok {
				t.Errorf("%q is another caller", same)
			}
		}
		for _, other := range []string{"Bearer b", ""} {
			if got := passes(other); got != 3 {
				t.Errorf("%q: %d calls", other, got)
			}
		}
		time.Sleep(retryAfter)
		if got := passes("Bearer a"); got != 1 {
			t.Errorf("%d calls two seconds later", got)
		}
		var impatient sync.WaitGroup // whose refusals cost no more than their calls
		for range 8 {
			impatient.Go(func() {
				for range 1000 {
					_, _ = rates.Take("Bearer a")
				}
			})
		}
		impatient.Wait()
		time.Sleep(retryAfter)
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
func TestRatesAreBounded(t *testing.T) {
	t.Parallel()
	rates, err := NewRates(1, 1)
	if err != nil {
		t.Fatal(err)
	}
	for n := range 2 * rateEntries {
		if _, ok := rates.Take(fmt.Sprintf("Bearer %d", n)); !ok {
			t.Fatalf("the first call of caller %d is refused", n)
		}
	}
	if got := rates.callers.Len(); got != rateEntries {
		t.Errorf("%d callers are remembered", got)
	}
	unlimited, err := NewRates(0, 0)
	if _, ok := unlimited.Take("Bearer a"); err != nil || !ok {
		t.Error("there is a limit where none is set")
	}
}
