package v2client_test

import (
	"net"
	"net/http"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"connectrpc.com/connect"

	"zitadel-v1-adapter/internal/wiretest"
	"zitadel-v1-adapter/v2client"
)

// Retries over real sockets: a write that arrived and was not answered is not made again. A
// read is, and so is a write that found no server.
func TestOnlyUnsentWritesAndReadsAreRetriedOnTheWire(t *testing.T) {
	t.Parallel()
	const unreachable = "ZITADEL cannot be reached"
	retry := v2client.RetryConfig{Attempts: 3, BaseDelay: time.Millisecond, MaxDelay: time.Millisecond, Budget: 1}
	for _, protocol := range []v2client.Protocol{v2client.ProtocolConnect, v2client.ProtocolGRPC} {
		var arrived atomic.Int32
		client := newClient(t, http.HandlerFunc(func(http.ResponseWriter, *http.Request) {
			arrived.Add(1)
			panic(http.ErrAbortHandler)
		}), func(c *v2client.Config) { c.Protocol, c.Retry, c.Breaker.MinimumCalls = protocol, retry, 100 })
		_, err := client.SetPassword(t.Context(), callerWith("t"), userA, "x", true)
		failure := asError(t, err)
		if got := arrived.Swap(0); got != 1 || !strings.Contains(failure.Message, "is unknown") || failure.Code != connect.CodeUnavailable {
			t.Errorf("%s: SetPassword: got %d calls and %v, want one call and unavailable, is unknown", protocol, got, failure)
		}
		_, err = client.UserOrganization(t.Context(), callerWith("t"), userA)
		failure = asError(t, err)
		if got := arrived.Swap(0); got != 3 || failure.Message != unreachable {
			t.Errorf("%s: GetUserByID: got %d calls and %v, want three and %s", protocol, got, failure, unreachable)
		}
		_, err = client.Identify(t.Context(), callerWith("t"))
		failure = asError(t, err)
		if got := arrived.Swap(0); got != 3 || failure.Message != unreachable {
			t.Errorf("%s: Identify: got %d calls and %v, want three and %s", protocol, got, failure, unreachable)
		}

		socket := filepath.Join(t.TempDir(), "s")
		patient := retry
		patient.Attempts, patient.BaseDelay, patient.MaxDelay = 10, 50*time.Millisecond, time.Second
		late := newClient(t, http.NotFoundHandler(), func(c *v2client.Config) {
			c.Protocol, c.Retry, c.Upstream = protocol, patient, wiretest.Upstream(t, "unix:"+socket, "localhost")
		})
		go func() { // ZITADEL starts during the call
			time.Sleep(10 * time.Millisecond)
			listener, err := net.Listen("unix", socket)
			if err != nil {
				t.Error(err)
				return
			}
			wiretest.Serve(t, listener, wiretest.NewZITADEL(t, wiretest.Fixture(t)))
		}()
		if _, err := late.SetPassword(t.Context(), callerWith("pat-org-owner-a"), userA, "Sup3rPassw0rd!", true); err != nil {
			t.Errorf("%s: ZITADEL starts during the call: got %v, want success", protocol, err)
		}
	}
}
