package v2client_test

import (
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"zitadel-v1-adapter/internal/wiretest"
	"zitadel-v1-adapter/v2client"
)

// ProtocolAuto: which protocol is spoken, and that no write is lost or made twice when
// that changes.

// isConnect reports whether r is a call over Connect; gRPC has another content type.
func isConnect(r *http.Request) bool { return r.Header.Get("Content-Type") == "application/proto" }

// noRoute is how a ZITADEL that does not speak Connect answers it.
func noRoute(w http.ResponseWriter) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(http.StatusNotFound)
	_, _ = w.Write([]byte(`{"code":5,"message":"Not Found","details":[]}`))
}

// A client that speaks gRPC looks for Connect once in a while, by a read without a token and
// beside the calls: one that is under way waits for nothing, and the write is made once.
func TestConnectIsFoundAgainAfterUpgrade(t *testing.T) {
	t.Parallel()
	zitadel := wiretest.NewZITADEL(t, wiretest.Fixture(t))
	var upgraded atomic.Bool
	looked, answer := make(chan *http.Request, 1), make(chan struct{})
	client := newClient(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch {
		case isConnect(r) && !upgraded.Load():
			noRoute(w)
			return
		case isConnect(r) && r.Header.Get("Authorization") == "":
			looked <- r
			<-answer
		}
		zitadel.ServeHTTP(w, r)
	}), func(c *v2client.Config) { c.Protocol = v2client.ProtocolAuto })
	writes := 0
	set := func() {
		t.Helper()
		writes++
		if _, err := client.SetPassword(t.Context(), callerWith("pat-org-owner-a"), userA, "Sup3rPassw0rd!", true); err != nil {
			t.Fatal(err)
		}
		if got := zitadel.Writes(userA); got != writes {
			t.Fatalf("got %d writes, want %d", got, writes)
		}
	}
	set()
	upgraded.Store(true)
	set()
	if got := client.Protocol(); got != v2client.ProtocolGRPC {
		t.Fatalf("protocol before it is looked for again: got %s, want gRPC", got)
	}
	client.RecheckProtocolNow()
	set() // while the look waits for its answer
	if r := <-looked; !strings.HasSuffix(r.URL.Path, "/GetUserByID") {
		t.Errorf("looked by %s, want a read", r.URL.Path)
	}
	close(answer)
	for deadline := time.Now().Add(time.Minute); client.Protocol() != v2client.ProtocolConnect; time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal("protocol after an upgrade: got gRPC for a minute, want Connect")
		}
	}
	set()
	upgraded.Store(false) // and a downgrade
	set()
	if got := client.Protocol(); got != v2client.ProtocolGRPC {
		t.Errorf("protocol after a downgrade: got %s, want gRPC", got)
	}
}

// A write is made over gRPC only where ZITADEL has answered gRPC: a proxy that speaks only
// HTTP/1.1, or hangs up, gets none.
func TestWriteGoesOnlyWhereGRPCIsAnswered(t *testing.T) {
	t.Parallel()
	var arrived atomic.Int32
	client := newClient(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if isConnect(r) {
			noRoute(w)
			return
		}
		if strings.HasSuffix(r.URL.Path, "/SetPassword") {
			arrived.Add(1)
		}
		panic(http.ErrAbortHandler)
	}), func(c *v2client.Config) { c.Protocol = v2client.ProtocolAuto })
	_, err := client.SetPassword(t.Context(), callerWith("t"), userA, "x", true)
	if failure := asError(t, err); strings.Contains(failure.Message, "unknown") || arrived.Load() != 0 {
		t.Errorf("got %v and %d writes, want no unknown outcome and none", failure, arrived.Load())
	}
}
