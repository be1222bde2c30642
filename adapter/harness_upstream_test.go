package adapter_test

import (
	"bufio"
	"bytes"
	"cmp"
	"errors"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"connectrpc.com/connect"
	"google.golang.org/protobuf/proto"

	"zitadel-v1-adapter/adapter"
	userv2 "zitadel-v1-adapter/gen/zitadel/user/v2"
	"zitadel-v1-adapter/gen/zitadel/user/v2/userv2connect"
	"zitadel-v1-adapter/internal/forwarded"
	"zitadel-v1-adapter/internal/ingress"
	"zitadel-v1-adapter/internal/passthrough"
	"zitadel-v1-adapter/internal/upstream"
	"zitadel-v1-adapter/internal/wiretest"
	"zitadel-v1-adapter/v2client"
)

// The upstreams that tests put in place of ZITADEL or in front of it. Those that go wrong
// on the wire are in internal/wiretest.

// witness keeps the requests that arrive upstream. It is in front of nearly every
// ZITADEL of these tests, and proves on the wire that an empty password is never sent.
type witness struct {
	next http.Handler

	mu         sync.Mutex
	requests   []*http.Request
	violations []string
	noChange   bool // SetPassword may lack change_required
}

func (w *witness) ServeHTTP(out http.ResponseWriter, r *http.Request) {
	body, err := readAll(r)
	w.mu.Lock()
	w.requests = append(w.requests, r.Clone(r.Context()))
	if to, isWrite := newPassword(r, body); isWrite && (err != nil || to.GetPassword() == "" || !to.GetChangeRequired() && !w.noChange) {
		w.violations = append(w.violations, "SetPassword without a new password, or without change_required")
	}
	w.mu.Unlock()
	w.next.ServeHTTP(out, r)
}

// newPassword is the password that a call of SetPassword or UpdateUser brings.
func newPassword(r *http.Request, body []byte) (to *userv2.Password, isWrite bool) {
	if strings.HasPrefix(r.Header.Get("Content-Type"), "application/grpc") && len(body) >= 5 {
		body = body[5:]
	}
	var set userv2.SetPasswordRequest
	var update userv2.UpdateUserRequest
	switch r.URL.Path {
	case userv2connect.UserServiceSetPasswordProcedure:
		_ = proto.Unmarshal(body, &set) // what is none has no password
		return set.GetNewPassword(), true
	case userv2connect.UserServiceUpdateUserProcedure:
		_ = proto.Unmarshal(body, &update)
		return update.GetHuman().GetPassword().GetPassword(), true
	}
	return nil, false
}

// readAll reads a request's body, which can be read again afterwards.
func readAll(r *http.Request) ([]byte, error) {
	body, err := io.ReadAll(r.Body)
	r.Body = io.NopCloser(bytes.NewReader(body))
	return body, err
}

// calls returns the methods that were called upstream since calls was last called.
func (w *witness) calls(tb testing.TB) []string {
	tb.Helper()
	w.mu.Lock()
	defer w.mu.Unlock()
	if len(w.violations) > 0 {
		tb.Errorf("arrived upstream: %q", w.violations)
	}
	paths := make([]string, 0, len(w.requests))
	for _, request := range w.requests {
		paths = append(paths, request.URL.Path[strings.LastIndexByte(request.URL.Path, '/')+1:])
	}
	w.requests = nil
	return paths
}

// setPasswordCalls returns how many of calls are SetPassword, or UpdateUser where there is no
// SetPassword: that is looked for first, and is not counted.
func (w *witness) setPasswordCalls(tb testing.TB) int {
	tb.Helper()
	set, update := 0, 0
	for _, method := range w.calls(tb) {
		switch method {
		case "SetPassword":
			set++
		case "UpdateUser":
			update++
		}
	}
	return cmp.Or(update, set)
}

// takeRequests returns the requests that arrived since it was last called.
func (w *witness) takeRequests(tb testing.TB) []*http.Request {
	tb.Helper()
	w.mu.Lock()
	defer w.mu.Unlock()
	requests := w.requests
	w.requests = nil
	if len(requests) == 0 {
		tb.Error("requests that arrived upstream: got none, want some")
	}
	return requests
}

// last returns the request that arrived last.
func (w *witness) last(tb testing.TB) *http.Request {
	tb.Helper()
	w.mu.Lock()
	defer w.mu.Unlock()
	if len(w.requests) == 0 {
		tb.Fatal("requests that arrived upstream: got none, want some")
	}
	return w.requests[len(w.requests)-1]
}

// isSetPassword reports whether a call sets a password.
func isSetPassword(r *http.Request) bool {
	return strings.HasSuffix(r.URL.Path, "/SetPassword") || strings.HasSuffix(r.URL.Path, "/UpdateUser")
}

// failWith returns an upstream that answers every Connect and gRPC call with an error.
func failWith(t *testing.T, code connect.Code, message string, details ...proto.Message) http.Handler {
	t.Helper()
	err := connect.NewError(code, errors.New(message))
	for _, message := range details {
		detail, detailErr := connect.NewErrorDetail(message)
		if detailErr != nil {
			t.Fatal(detailErr)
		}
		err.AddDetail(detail)
	}
	writer := connect.NewErrorWriter()
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = readAll(r)
		_ = writer.Write(w, r, err)
	})
}

// hanging returns an upstream that never answers.
func hanging() http.Handler {
	return http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		_, _ = readAll(r)
		<-r.Context().Done()
	})
}

// reportsDeadline returns an upstream that answers with "deadline exceeded" shortly before
// the deadline passes.
func reportsDeadline() http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = readAll(r)
		timeout, err := time.ParseDuration(r.Header.Get("Connect-Timeout-Ms") + "ms")
		if err != nil {
			w.WriteHeader(http.StatusInternalServerError)
			return
		}
		time.Sleep(timeout - 2*time.Millisecond)
		exceeded := connect.NewError(connect.CodeDeadlineExceeded, errors.New("context deadline exceeded"))
		_ = connect.NewErrorWriter().Write(w, r, exceeded)
	})
}

func answerJSON(w http.ResponseWriter, status int, body string) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_, _ = io.WriteString(w, body)
}

// recordHeads starts an upstream that keeps the bytes of each request's head, takes one
// request per connection, and answers with fixed bytes.
func recordHeads(t *testing.T, answer string) (address string, heads <-chan string) {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	taken := make(chan string, 100)
	done := make(chan struct{})
	go func() {
		defer close(done)
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			reader := bufio.NewReader(conn)
			var head strings.Builder
			for !strings.HasSuffix(head.String(), "\r\n\r\n") {
				line, err := reader.ReadString('\n')
				head.WriteString(line)
				if err != nil {
					break
				}
			}
			taken <- head.String()
			_, _ = io.WriteString(conn, answer)
			_ = conn.Close()
		}
	}()
	t.Cleanup(func() { _ = listener.Close(); <-done })
	return listener.Addr().String(), taken
}

const okAnswer = "HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"

// newPassing starts an adapter that passes requests through to the upstream at a base URL.
// It returns the adapter's address.
func newPassing(t *testing.T, base string, change func(*parts)) string {
	t.Helper()
	to := wiretest.Upstream(t, base, upstream.HostClient)
	client, err := v2client.New(v2client.Config{
		ReadTimeout: patience,
		Upstream:    to, Protocol: v2client.ProtocolConnect,
		Breaker: v2client.BreakerConfig{MinimumCalls: 20, FailureRate: 0.5, Window: time.Hour, OpenFor: time.Minute},
		Retry:   wiretest.NoRetry(),
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(client.Close)
	whole := parts{
		passthrough: passthrough.Config{Upstream: to},
		v1: adapter.Config{
			ZITADEL: client, OrgScope: adapter.OrgScopeStrict, Timeout: patience,
			Rollout: adapter.RolloutAll, Limits: roomy(),
		},
		edge: ingress.Config{Forwarding: forwarded.Policy{TellHost: true}, WriteTimeout: time.Minute},
	}
	if change != nil {
		change(&whole)
	}
	return wiretest.Listen(t, whole.assemble(t))
}

// nativeV1 keeps the requests that arrive and answers roughly as native v1 would.
type nativeV1 struct {
	mu     sync.Mutex
	bodies [][]byte
	paths  []string
}

func (n *nativeV1) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, _ := io.ReadAll(r.Body)
	n.mu.Lock()
	n.bodies, n.paths = append(n.bodies, body), append(n.paths, r.Method+" "+r.URL.Path)
	n.mu.Unlock()
	if contentType := r.Header.Get("Content-Type"); strings.HasPrefix(contentType, "application/grpc") {
		w.Header().Set("Content-Type", contentType)
		w.Header().Set(http.TrailerPrefix+"Grpc-Status", "9")
		return
	}
	w.WriteHeader(http.StatusTeapot)
}
