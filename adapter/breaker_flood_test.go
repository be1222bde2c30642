package adapter_test

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// A flood of one caller's calls, and the call that another caller makes meanwhile.

// flood makes calls one after the other, on connections of its own, until stop is closed.
// It returns how many calls it made.
func (s *stack) flood(tb testing.TB, stop <-chan struct{}, call func(client *http.Client, n int)) int {
	tb.Helper()
	client := &http.Client{Transport: newTransport(tb, false)}
	for n := 0; ; n++ {
		select {
		case <-stop:
			return n
		default:
			call(client, n)
		}
	}
}

// call makes a REST call for userA and returns the answer's HTTP status, or 0 if there is
// no answer.
func (s *stack) call(ctx context.Context, client *http.Client, token, password string) int {
	body := strings.NewReader(`{"password":"` + password + `"}`)
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, "http://"+s.address+userAPath, body)
	if err != nil {
		panic(err)
	}
	request.Host = "localhost:8088"
	request.Header.Set("Authorization", "Bearer "+token)
	response, err := client.Do(request)
	if err != nil {
		return 0
	}
	defer func() { _ = response.Body.Close() }()
	_, _ = io.Copy(io.Discard, response.Body)
	return response.StatusCode
}

// failingCall makes one of the calls that fail because of their caller: with a password
// longer than bcrypt takes, which ZITADEL answers with HTTP 500, with an invalid token, or
// with a client that cancels.
func (s *stack) failingCall(client *http.Client, n int) {
	switch n % 3 {
	case 0:
		s.call(context.Background(), client, "pat-org-owner-a", strings.Repeat("ä", 68)+"Aa1!")
	case 1:
		s.call(context.Background(), client, fmt.Sprintf("wrong-%d", n), "Sup3rPassw0rd!")
	case 2:
		ctx, cancel := context.WithTimeout(context.Background(), time.Duration(n%1000)*time.Microsecond)
		defer cancel()
		s.call(ctx, client, "pat-org-owner-a", "Sup3rPassw0rd!")
	}
}

// A caller whose calls fail, at full speed, neither opens the breaker nor fails another
// caller's calls.
func TestFloodOfFailingCallsFailsNoOtherCall(t *testing.T) {
	t.Parallel()
	for _, protocol := range upstreamProtocols {
		s := newStack(t, fixedHost, func(c *stackConfig) {
			c.protocol, c.timeout, c.breaker.MinimumCalls, c.breaker.FailureRate = protocol, time.Hour, 2, 0.01
		})
		stop := make(chan struct{})
		var failing atomic.Int64
		var flooding sync.WaitGroup
		for range 4 {
			flooding.Go(func() { failing.Add(int64(s.flood(t, stop, s.failingCall))) })
		}
		client := &http.Client{Transport: newTransport(t, false)}
		for range 100 {
			if status := s.call(t.Context(), client, "pat-org-owner-both", "Sup3rPassw0rd!"); status != http.StatusOK {
				t.Errorf("%s: another caller: got HTTP %d, want 200", protocol, status)
			}
		}
		close(stop)
		flooding.Wait()
		if s.breakerOpened() {
			t.Errorf("%s: breaker after %d failing calls: got open, want closed", protocol, failing.Load())
		}
	}
}

// BenchmarkFlood measures one caller's calls while nothing else happens, while other
// callers flood the adapter with calls that succeed, and while they flood it with calls
// that fail. The latter two should differ by no more than the CPU that the calls take.
func BenchmarkFlood(b *testing.B) {
	good := func(s *stack) func(*http.Client, int) {
		return func(client *http.Client, _ int) {
			s.call(context.Background(), client, "pat-org-owner-a", "Sup3rPassw0rd!")
		}
	}
	for _, test := range []struct {
		name   string
		floods int
		call   func(*stack) func(*http.Client, int)
	}{
		{"quiet", 0, good},
		{"good calls", 8, good},
		{"failing calls", 8, func(s *stack) func(*http.Client, int) { return s.failingCall }},
	} {
		b.Run(test.name, func(b *testing.B) {
			s := newStack(b, fixedHost, func(c *stackConfig) { c.quiet = true })
			stop := make(chan struct{})
			var made atomic.Int64
			var flooding sync.WaitGroup
			for range test.floods {
				flooding.Go(func() { made.Add(int64(s.flood(b, stop, test.call(s)))) })
			}
			client := &http.Client{Transport: newTransport(b, false)}
			b.ResetTimer()
			for b.Loop() {
				if status := s.call(b.Context(), client, "pat-org-owner-a", "Sup3rPassw0rd!"); status != http.StatusOK {
					b.Fatal(status)
				}
			}
			elapsed := b.Elapsed()
			close(stop)
			flooding.Wait()
			b.ReportMetric(float64(made.Load())/elapsed.Seconds(), "flood-calls/s")
		})
	}
}
