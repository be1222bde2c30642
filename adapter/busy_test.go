package adapter_test

import (
	"context"
	"flag"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"connectrpc.com/connect"

	userv2 "zitadel-v1-adapter/gen/zitadel/user/v2"
	"zitadel-v1-adapter/gen/zitadel/user/v2/userv2connect"
	"zitadel-v1-adapter/internal/wiretest"
)

// A ZITADEL that is busy, hangs, or comes back: issue 12.

// hashTime is short, so that the tests are; 950ms is that of ZITADEL's default. With it, the
// larger burst still keeps ZITADEL silent for longer than the breaker waits before it asks.
var hashTime = flag.Duration("hash-time", 100*time.Millisecond, "how long the hash of a password takes in TestBusyZITADELAnswersAll")

// Whatever ZITADEL itself answers while clients wait, the adapter answers too, though
// hashes keep both cores of ZITADEL busy and nothing else is answered for seconds.
func TestBusyZITADELAnswersAll(t *testing.T) {
	t.Parallel()
	for _, burst := range []int{32, 100} {
		busy := func() http.Handler { return busyMachine(2, *hashTime, wiretest.NewZITADEL(t, wiretest.Fixture(t))) }
		native := userv2connect.NewUserServiceClient(http.DefaultClient, "http://"+wiretest.Listen(t, busy()))
		s := newStack(t, fixedHost, func(c *stackConfig) { c.upstream = busy() })
		t.Run(strconv.Itoa(burst), func(t *testing.T) {
			t.Parallel()
			var answeredNatively, answered atomic.Int32
			var bursts sync.WaitGroup
			bursts.Go(func() {
				atOnce(burst, func() {
					request := connect.NewRequest(&userv2.SetPasswordRequest{UserId: userA, NewPassword: &userv2.Password{Password: "Sup3rPassw0rd!"}})
					request.Header().Set("Authorization", "Bearer pat-org-owner-a")
					request.Header().Set("Host", "localhost")
					if _, err := native.SetPassword(t.Context(), request); err == nil {
						answeredNatively.Add(1)
					}
				})
			})
			bursts.Go(func() {
				atOnce(burst, func() {
					if code, _ := v1Protocols["REST"](t, s.address, userA, "pat-org-owner-a"); code == "0" {
						answered.Add(1)
					}
				})
			})
			bursts.Wait()
			if answeredNatively.Load() != int32(burst) || answered.Load() != int32(burst) {
				t.Errorf("got %d answers from ZITADEL itself and %d by the adapter, want all", answeredNatively.Load(), answered.Load())
			}
			if s.breakerOpened() {
				t.Error("breaker: got open, want closed")
			}
		})
	}
}

// busyMachine is a machine whose cores ZITADEL's requests share as Go's scheduler has it: whatever
// needs more than a slice takes turns with all else. So one burst of hashes ends nearly at once,
// late, and a look-up in the middle of it is done soon.
func busyMachine(cores int, hashTime time.Duration, zitadel http.Handler) http.Handler {
	const (
		slice  = 10 * time.Millisecond // how long Go's scheduler lets a goroutine run
		lookUp = time.Millisecond      // the work of a request without a hash
	)
	free := make(chan struct{}, cores)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		needed := lookUp
		if r.URL.Path == userv2connect.UserServiceSetPasswordProcedure {
			needed += hashTime
		}
		for ; needed > 0; needed -= slice {
			free <- struct{}{} // waiting senders take turns
			time.Sleep(min(needed, slice))
			<-free
		}
		zitadel.ServeHTTP(w, r)
	})
}

func atOnce(count int, call func()) {
	var calls sync.WaitGroup
	for range count {
		calls.Go(call)
	}
	calls.Wait()
}

// An upstream that takes calls and answers none of them opens the breaker in seconds.
func TestHungZITADELOpensBreaker(t *testing.T) {
	t.Parallel()
	s := newStack(t, fixedHost, func(c *stackConfig) { c.upstream = hanging() })
	ctx, cancel := context.WithCancel(t.Context())
	var calls sync.WaitGroup
	for range 2 {
		calls.Go(func() {
			request, err := http.NewRequestWithContext(ctx, http.MethodPost, "http://"+s.address+userAPath, strings.NewReader(good))
			if err != nil {
				t.Error(err)
				return
			}
			if response, err := http.DefaultClient.Do(request); err == nil {
				_ = response.Body.Close()
				t.Errorf("call to an upstream that hangs: got HTTP %d, want none", response.StatusCode)
			}
		})
	}
	started := time.Now()
	eventually(t, "an open breaker", s.breakerOpened)
	t.Logf("noticed after %v", time.Since(started).Round(time.Millisecond))
	response := sendRaw(t, s.address, aCall())
	checkREST(t, "hung", response, http.StatusServiceUnavailable, `{"code":14,"message":"ZITADEL is unavailable, try again later"}`)
	cancel()
	calls.Wait()
}

// While a ZITADEL that was away starts, calls wait for it; when it answers, all of them go
// on. Nothing was written before.
func TestCallsWaitForZITADELToStart(t *testing.T) {
	t.Parallel()
	const (
		waiting = 50
		openFor = time.Millisecond
	)
	zitadel := wiretest.NewZITADEL(t, wiretest.Fixture(t))
	var starts, probed atomic.Bool
	up := make(chan struct{})
	s := newStack(t, fixedHost, func(c *stackConfig) {
		c.breaker.OpenFor = openFor
		c.upstream = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if !starts.Load() {
				w.WriteHeader(http.StatusServiceUnavailable)
				return
			}
			if r.Header.Get("Authorization") == "" {
				probed.Store(true)
				<-up
			}
			zitadel.ServeHTTP(w, r)
		})
	})
	for range 20 {
		bodyOf(t, sendRaw(t, s.address, aCall()))
	}
	if !s.breakerOpened() {
		t.Fatal("breaker: got closed, want open")
	}
	starts.Store(true)
	time.Sleep(openFor) // until then, calls are refused
	var arrived atomic.Int32
	done := make(chan struct{})
	go func() {
		defer close(done)
		atOnce(waiting, func() {
			arrived.Add(1)
			if code, message := v1Protocols["gRPC"](t, s.address, userA, "pat-org-owner-a"); code != "0" {
				t.Errorf("got code %s %q, want 0", code, message)
			}
		})
	}()
	eventually(t, "a probe", func() bool { return probed.Load() && arrived.Load() == waiting })
	if writes := zitadel.Writes(userA); writes != 0 {
		t.Errorf("before the probe's answer: got %d writes, want none", writes)
	}
	close(up)
	<-done
	if writes := zitadel.Writes(userA); writes != waiting {
		t.Errorf("got %d writes, want %d", writes, waiting)
	}
}
