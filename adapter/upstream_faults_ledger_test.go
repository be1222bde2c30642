package adapter_test

import (
	"context"
	"flag"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"connectrpc.com/connect"
	"google.golang.org/protobuf/proto"

	managementv1 "zitadel-v1-adapter/gen/zitadel/management/v1"
	"zitadel-v1-adapter/gen/zitadel/management/v1/managementv1connect"
	userv2 "zitadel-v1-adapter/gen/zitadel/user/v2"
	"zitadel-v1-adapter/internal/wiretest"
	"zitadel-v1-adapter/v2client"
	"zitadel-v1-adapter/v2client/v2test"
)

var (
	ledgerCalls = flag.Int("ledger", 1000, "number of calls that TestLedger makes")
	ledgerSeed  = flag.Uint64("ledger-seed", 1, "seed of the faults that TestLedger's calls meet")
)

// entry is one call of the ledger. Each sets the password of a user of its own.
type entry struct {
	user, token, organization, password string
}

func newEntry(n int) entry {
	e := entry{
		user: fmt.Sprintf("l%d", n), password: fmt.Sprintf("Sup3rPassw0rd!%d", n),
		token: "pat-org-owner-a", organization: orgA,
	}
	if n%2 == 1 {
		e.token, e.organization = "pat-org-owner-both", orgB
	}
	return e
}

// Thousands of concurrent calls through an upstream with random faults. Each success is one
// write, and each write is answered with success or with an unknown outcome; no call gets
// the password, token, organization or request id of another; no connection is left open.
func TestLedger(t *testing.T) {
	t.Parallel()
	for _, protocol := range upstreamProtocols {
		t.Run(string(protocol), func(t *testing.T) {
			t.Parallel()
			testLedger(t, protocol)
		})
	}
}

func testLedger(t *testing.T, protocol v2client.Protocol) {
	t.Helper()
	f := newFaulty(t, protocol, 200*time.Millisecond, v2client.BreakerConfig{
		MinimumCalls: 20, FailureRate: 0.9, Window: time.Second, OpenFor: 5 * time.Millisecond,
	})
	for n := range *ledgerCalls {
		e := newEntry(n)
		f.zitadel.Add(v2test.User{ID: e.user, Org: e.organization, Type: v2test.Human, State: v2test.Active})
	}
	var mixed atomic.Int32
	faults := wiretest.RandomFaults(faultNames(protocol), *ledgerSeed, 10)
	f.choose(func(r *http.Request) string {
		if isSetPassword(r) && !isOneEntry(r) {
			mixed.Add(1)
		}
		return faults()
	})

	answers := make([]string, *ledgerCalls)
	var next atomic.Int64
	var workers sync.WaitGroup
	for worker := range 32 {
		workers.Go(func() {
			call := ledgerREST(t, f.address)
			if worker%2 == 1 {
				call = ledgerGRPC(t, f.address)
			}
			for n := int(next.Add(1)) - 1; n < *ledgerCalls; n = int(next.Add(1)) - 1 {
				answers[n] = call(newEntry(n))
			}
		})
	}
	workers.Wait()
	f.audit(t, answers)
	if got := mixed.Load(); got > 0 {
		t.Errorf("SetPassword calls with parts of another call: got %d, want none", got)
	}
	f.client.Close()
	eventually(t, "no open connection", func() bool { return f.Connections() == 0 })
}

// audit compares the answers with what was written.
func (f *faulty) audit(t *testing.T, answers []string) {
	t.Helper()
	counts := map[string]int{}
	for n, answer := range answers {
		e := newEntry(n)
		writes := f.zitadel.Writes(e.user)
		counts[fmt.Sprintf("%s, %d writes", answer, writes)]++
		right := writes == 0 || f.zitadel.PasswordIs(e.user, e.password)
		switch {
		case writes > 1:
			t.Errorf("call %d: got %q after %d writes, want at most one write", n, answer, writes)
		case !right:
			t.Errorf("call %d: got %q and another password, want its own", n, answer)
		case answer == "ok" && writes != 1:
			t.Errorf("call %d: got %q after %d writes, want one write", n, answer, writes)
		case answer == "not done" && writes != 0:
			t.Errorf("call %d: got %q after %d writes, want none", n, answer, writes)
		case answer != "ok" && answer != "not done" && answer != "unknown":
			t.Errorf("call %d: got %q, want ok, not done or unknown", n, answer)
		}
	}
	for outcome, count := range counts {
		t.Logf("%6d calls: %s", count, outcome)
	}
}

// isOneEntry reports whether all parts of a SetPassword call are of one entry.
func isOneEntry(r *http.Request) bool {
	body, err := readAll(r)
	var request userv2.SetPasswordRequest
	if r.ProtoMajor == 2 && len(body) > 5 { // gRPC's prefix
		body = body[5:]
	}
	if err != nil || proto.Unmarshal(body, &request) != nil {
		return false
	}
	var n int
	if _, err := fmt.Sscanf(request.GetUserId(), "l%d", &n); err != nil {
		return false
	}
	e := newEntry(n)
	return r.Header.Get("Authorization") == "Bearer "+e.token && r.Header.Get("X-Zitadel-Orgid") == e.organization &&
		r.Header.Get("X-Request-Id") == "r-"+e.user &&
		request.GetNewPassword().GetPassword() == e.password
}

// outcomeOf returns what an answer says of the write: ok, not done, or unknown. For an
// answer that says none of these, it returns its code and message.
func outcomeOf(code connect.Code, ok bool, message string) string {
	switch {
	case ok:
		return "ok"
	case code == connect.CodeDeadlineExceeded || strings.Contains(message, unknownOutcome):
		return "unknown"
	case code == connect.CodeUnavailable:
		return "not done"
	}
	return fmt.Sprintf("%v %s", code, message)
}

// ledgerREST returns a function that makes an entry's call over REST.
func ledgerREST(t *testing.T, address string) func(entry) string {
	t.Helper()
	transport := newTransport(t, false)
	return func(e entry) string {
		url := "http://" + address + "/management/v1/users/" + e.user + "/password/_initialize"
		request, err := http.NewRequestWithContext(context.WithoutCancel(t.Context()), http.MethodPost, url,
			strings.NewReader(`{"password":"`+e.password+`"}`))
		if err != nil {
			return err.Error()
		}
		request.Host = "localhost"
		request.Header.Set("Authorization", "Bearer "+e.token)
		request.Header.Set("X-Zitadel-Orgid", e.organization)
		request.Header.Set("X-Request-Id", "r-"+e.user)
		response, err := transport.RoundTrip(request)
		if err != nil {
			return err.Error()
		}
		defer func() { _ = response.Body.Close() }()
		body, err := io.ReadAll(response.Body)
		if err != nil {
			return err.Error()
		}
		text := string(body)
		if response.StatusCode == http.StatusOK && !strings.Contains(text, `"resourceOwner":"`+e.organization+`"`) {
			return "another organization: " + text
		}
		var code connect.Code
		_, _ = fmt.Sscanf(text, `{"code":%d`, &code)
		return outcomeOf(code, response.StatusCode == http.StatusOK, text)
	}
}

// ledgerGRPC returns a function that makes an entry's call over gRPC.
func ledgerGRPC(t *testing.T, address string) func(entry) string {
	t.Helper()
	client := managementv1connect.NewManagementServiceClient(
		&http.Client{Transport: newTransport(t, true)}, "http://"+address, connect.WithGRPC())
	return func(e entry) string {
		request := connect.NewRequest(&managementv1.SetHumanInitialPasswordRequest{UserId: e.user, Password: e.password})
		request.Header().Set("Host", "localhost")
		request.Header().Set("Authorization", "Bearer "+e.token)
		request.Header().Set("X-Zitadel-Orgid", e.organization)
		request.Header().Set("X-Request-Id", "r-"+e.user)
		response, err := client.SetHumanInitialPassword(context.WithoutCancel(t.Context()), request)
		if err != nil {
			return outcomeOf(connect.CodeOf(err), false, err.Error())
		}
		if owner := response.Msg.GetDetails().GetResourceOwner(); owner != e.organization {
			return "another organization: " + owner
		}
		return outcomeOf(0, true, "")
	}
}
