package v2client_test

import (
	"context"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"connectrpc.com/connect"

	"zitadel-v1-adapter/internal/wiretest"
	"zitadel-v1-adapter/v2client"
)

// The breaker, through a Client's methods. Its states, probes and suspect calls are in
// breaker_internal_test.go.

// The breaker opens when the upstream fails, and neither because of a caller's mistakes nor
// because of clients that cancel.
func TestOnlyUpstreamFailuresOpenBreaker(t *testing.T) {
	t.Parallel()
	var status atomic.Int32
	zitadel := wiretest.NewZITADEL(t, wiretest.Fixture(t))
	var arrived atomic.Int32
	client := newClient(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		arrived.Add(1)
		if code := status.Load(); code != 0 {
			w.WriteHeader(int(code))
			return
		}
		zitadel.ServeHTTP(w, r)
	}), nil)
	set := func(password string) *v2client.Error {
		_, err := client.SetPassword(t.Context(), callerWith("pat-org-owner-a"), userA, password, true)
		return asError(t, err)
	}
	for range 20 { // COMMAND-CahN2 is HTTP 500, but the caller's mistake
		if failure := set(strings.Repeat("aA1!", 20)); failure.Code != connect.CodeInternal || failure.ID() != "COMMAND-CahN2" {
			t.Fatalf("password that is too long: got %+v, want internal with COMMAND-CahN2", failure)
		}
	}
	canceled, cancel := context.WithCancel(t.Context())
	cancel()
	for range 20 {
		_, _ = client.SetPassword(canceled, callerWith("pat-org-owner-a"), userA, "x", true)
	}
	arrived.Store(0)
	status.Store(http.StatusServiceUnavailable)
	var failure *v2client.Error
	for range 41 {
		failure = set("Sup3rPassw0rd!")
	}
	if failure.Origin != v2client.OriginBreaker || failure.Code != connect.CodeUnavailable {
		t.Errorf("after failures: got %+v, want unavailable of origin %v", failure, v2client.OriginBreaker)
	}
	if n := arrived.Load(); n != 4 { // in a row, which the 20 before do not outvote
		t.Errorf("failures before the breaker opened: got %d, want 4", n)
	}
}

// After breaker.openFor, one probe that succeeds closes the breaker.
func TestBreakerClosesAfterSuccessfulProbe(t *testing.T) {
	t.Parallel()
	var healthy atomic.Bool
	zitadel := wiretest.NewZITADEL(t, wiretest.Fixture(t))
	client := newClient(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if !healthy.Load() {
			w.WriteHeader(http.StatusBadGateway)
			return
		}
		zitadel.ServeHTTP(w, r)
	}), func(c *v2client.Config) { c.Breaker.OpenFor = time.Millisecond })
	for range 10 {
		_, _ = client.SetPassword(t.Context(), callerWith("pat-org-owner-a"), userA, "Sup3rPassw0rd!", true)
	}
	healthy.Store(true)
	deadline := time.Now().Add(10 * time.Second)
	for {
		if _, err := client.SetPassword(t.Context(), callerWith("pat-org-owner-a"), userA, "Sup3rPassw0rd!", true); err == nil {
			return
		}
		if time.Now().After(deadline) {
			t.Fatal("breaker: got none closed within 10 s, want it closed")
		}
	}
}
