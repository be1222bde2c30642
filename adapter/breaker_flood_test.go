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

	"zitadel-v1-adapter/v2client"
)

// flood makes calls of one kind, one after the other on connections of its own, until
// stop is closed; it returns how many.
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

// call makes a REST call of org-owner-a's, and returns the HTTP status, 0 if there was
// none.
func (s *stack) call(ctx context.Context, client *http.Client, token, password string) int {
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, "http://"+s.address+userAPath, strings.NewReader(`{"password":"`+password+`"}`))
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

// hostile makes one of the calls that fail because of their caller: a password of 140
// bytes, which bcrypt does not take and ZITADEL answers with HTTP 500, a wrong token,
// or a call that is given up.
func (s *stack) hostile(client *http.Client, n int) {
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

// One caller's failing calls at full speed neither open the breaker nor fail another
// caller's calls.
func TestFlood(t *testing.T) {
	t.Parallel()
	for _, protocol := range []v2client.Protocol{v2client.ProtocolConnect, v2client.ProtocolGRPC} {
		s := newStack(t, ownHost, func(c *stackConfig) { c.protocol, c.breaker.MinimumCalls, c.breaker.FailureRate = protocol, 2, 0.01 })
		stop := make(chan struct{})
		var hostile atomic.Int64
		var flooding sync.WaitGroup
		for range 4 {
			flooding.Go(func() { hostile.Add(int64(s.flood(t, stop, s.hostile))) })
		}
		client := &http.Client{Transport: newTransport(t, false)}
		for range 300 {
			if status := s.call(t.Context(), client, "pat-org-owner-both", "Sup3rPassw0rd!"); status != http.StatusOK {
				t.Errorf("%s: another caller's call: %d", protocol, status)
			}
		}
		close(stop)
		flooding.Wait()
		if strings.Contains(s.log.String(), `"to":"open"`) {
			t.Errorf("%s: %d failing calls opened the breaker", protocol, hostile.Load())
		}
	}
}

// BenchmarkFlood makes one caller's calls while nothing else happens, while others
// flood the adapter with good calls, and while they do so with failing ones: the last
// may cost no more than the CPU that they take.
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
		{"failing calls", 8, func(s *stack) func(*http.Client, int) { return s.hostile }},
	} {
		b.Run(test.name, func(b *testing.B) {
			s := newStack(b, ownHost, func(c *stackConfig) { c.quiet = true })
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
