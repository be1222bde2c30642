package adapter_test

import (
	"bytes"
	"cmp"
	"io"
	"log/slog"
	"net"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"
	"google.golang.org/protobuf/proto"

	"zitadel-v1-adapter/gen/zitadel/management/v1/managementv1connect"
	userv2 "zitadel-v1-adapter/gen/zitadel/user/v2"
	"zitadel-v1-adapter/gen/zitadel/user/v2/userv2connect"

	"zitadel-v1-adapter/adapter"
	"zitadel-v1-adapter/internal/forwarded"
	"zitadel-v1-adapter/internal/grpcservices"
	"zitadel-v1-adapter/internal/ingress"
	"zitadel-v1-adapter/internal/passthrough"
	"zitadel-v1-adapter/internal/upstream"
	"zitadel-v1-adapter/internal/wiretest"
	"zitadel-v1-adapter/v2client"
	"zitadel-v1-adapter/v2client/v2test"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// stack is the adapter in front of the in-memory ZITADEL, over real sockets.
type stack struct {
	address  string
	handler  http.Handler
	zitadel  *v2test.Server
	upstream *witness
	log      *wiretest.Buffer

	fixture v2test.Fixture
	written int

	mu       sync.Mutex
	observed []adapter.Event
}

func (s *stack) observe(call adapter.Event) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.observed = append(s.observed, call)
}

// calls returns the v1 calls observed since the last time.
func (s *stack) calls() []adapter.Event {
	s.mu.Lock()
	defer s.mu.Unlock()
	calls := s.observed
	s.observed = nil
	return calls
}

// newWrites tells how many passwords were written since the last time.
func (s *stack) newWrites(tb testing.TB) int {
	tb.Helper()
	total := 0
	for _, user := range s.fixture.Users {
		total += s.zitadel.Writes(user.ID)
	}
	added := total - s.written
	s.written = total
	return added
}

// parts are what requests cross, in their order from the last one.
type parts struct {
	passthrough passthrough.Config // none without Upstream
	v1          adapter.Config
	services    grpcservices.Config
	edge        ingress.Config
}

// assemble puts the parts together as the program does.
func (p parts) assemble(tb testing.TB) http.Handler {
	tb.Helper()
	if p.passthrough.Upstream != nil {
		passing, err := passthrough.New(p.passthrough)
		if err != nil {
			tb.Fatal(err)
		}
		tb.Cleanup(passing.Close)
		p.v1.Passthrough, p.services.Passthrough = passing, true
	}
	facade, err := adapter.New(p.v1)
	if err != nil {
		tb.Fatal(err)
	}
	p.services.Service, p.services.Timeout = managementv1connect.ManagementServiceName, p.v1.Limits.BodyTimeout
	p.services.Health = cmp.Or(p.services.Health, grpcservices.AnswererUpstream)
	p.services.Reflection = cmp.Or(p.services.Reflection, grpcservices.AnswererUpstream)
	services, err := grpcservices.New(p.services, facade)
	if err != nil {
		tb.Fatal(err)
	}
	edge, err := ingress.New(p.edge, services)
	if err != nil {
		tb.Fatal(err)
	}
	return edge
}

// option changes what newStack builds.
type option func(*stackConfig)

type stackConfig struct {
	fixture  v2test.Fixture
	zitadel  v2test.Config
	scope    adapter.OrgScope
	protocol v2client.Protocol
	timeout  time.Duration
	upstream http.Handler    // instead of ZITADEL
	to       upstream.Config // where that is, if the test serves it itself
	breaker  v2client.BreakerConfig
	native   http.Handler // gets what passes through; nil: nothing passes through
	passes   bool         // what passes through goes to the upstream itself
	rollout  adapter.Rollout
	retry    v2client.RetryConfig
	limits   adapter.Limits

	writeTimeout time.Duration
	trusted      forwarded.TrustedProxies
	quiet        bool // no log, no witness: for benchmarks
}

func newStack(tb testing.TB, options ...option) *stack {
	tb.Helper()
	config := stackConfig{
		fixture: wiretest.Fixture(tb), scope: adapter.OrgScopeStrict,
		protocol: v2client.ProtocolConnect, timeout: 10 * time.Second, rollout: adapter.RolloutAll,
		retry: wiretest.NoRetry(), limits: roomy(), writeTimeout: time.Minute,
		breaker: v2client.BreakerConfig{MinimumCalls: 20, FailureRate: 0.5, Window: 10 * time.Second, OpenFor: time.Minute},
	}
	for _, option := range options {
		option(&config)
	}
	zitadel := wiretest.NewZITADELOf(tb, config.fixture, config.zitadel)
	if config.upstream == nil {
		config.upstream = zitadel
	}
	s := &stack{zitadel: zitadel, upstream: &witness{next: config.upstream}, log: &wiretest.Buffer{}, fixture: config.fixture}
	log := slog.New(slog.NewJSONHandler(s.log, &slog.HandlerOptions{Level: slog.LevelDebug}))
	arrives := http.Handler(s.upstream)
	if config.quiet {
		log, arrives = slog.New(slog.DiscardHandler), config.upstream
	}
	if config.to.URL == "" {
		config.to.URL = "http://" + wiretest.Listen(tb, arrives)
	}
	config.to.Host = cmp.Or(config.to.Host, upstream.HostClient)
	to, err := upstream.New(config.to)
	if err != nil {
		tb.Fatal(err)
	}
	client, err := v2client.New(v2client.Config{
		Timeout: config.timeout, Upstream: to, Protocol: config.protocol, Breaker: config.breaker, Retry: config.retry, Log: log,
	})
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(client.Close)
	whole := parts{
		v1: adapter.Config{
			ZITADEL: client, OrgScope: config.scope, Timeout: config.timeout, Rollout: config.rollout, Limits: config.limits, Log: log,
			Observe: s.observe,
		},
		edge: ingress.Config{
			Forwarding:   forwarded.Policy{Trusted: config.trusted, TellHost: to.HostByClient()},
			WriteTimeout: config.writeTimeout, Log: log,
		},
	}
	switch {
	case config.native != nil:
		whole.passthrough = passthrough.Config{Upstream: wiretest.Upstream(tb, "http://"+wiretest.Listen(tb, config.native), upstream.HostClient), Log: log}
	case config.passes:
		whole.passthrough = passthrough.Config{Upstream: to, Log: log}
	}
	handler := whole.assemble(tb)
	s.handler = handler
	s.address = wiretest.Listen(tb, handler)
	return s
}

// eventually waits for what has to come.
func eventually(t *testing.T, what string, holds func() bool) {
	t.Helper()
	for deadline := time.Now().Add(time.Minute); !holds(); time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("not so: %s", what)
		}
	}
}

// roomy are limits that no test meets by chance.
func roomy() adapter.Limits {
	return adapter.Limits{BodyTimeout: time.Minute}
}

// newTransport is a client's transport, of one protocol.
func newTransport(tb testing.TB, http2 bool) *http.Transport {
	tb.Helper()
	protocols := new(http.Protocols)
	protocols.SetHTTP1(!http2)
	protocols.SetUnencryptedHTTP2(http2)
	transport := &http.Transport{
		Protocols: protocols, DisableCompression: true,
		DialContext: (&net.Dialer{Timeout: 5 * time.Second}).DialContext,
	}
	tb.Cleanup(transport.CloseIdleConnections)
	return transport
}

// witness notes what arrives upstream, and condemns an empty new password: it
// proves at the wire that none is ever sent.
type witness struct {
	next http.Handler

	mu       sync.Mutex
	requests []*http.Request
	guilty   []string
	noChange bool // SetPassword without change_required is no crime
}

func (w *witness) ServeHTTP(out http.ResponseWriter, r *http.Request) {
	body, err := readAll(r)
	w.mu.Lock()
	w.requests = append(w.requests, r.Clone(r.Context()))
	if r.URL.Path == userv2connect.UserServiceSetPasswordProcedure {
		if strings.HasPrefix(r.Header.Get("Content-Type"), "application/grpc") && len(body) >= 5 {
			body = body[5:]
		}
		var request userv2.SetPasswordRequest
		if err != nil || proto.Unmarshal(body, &request) != nil ||
			request.GetNewPassword().GetPassword() == "" || !request.GetNewPassword().GetChangeRequired() && !w.noChange {
			w.guilty = append(w.guilty, "SetPassword without a new password, or without change_required")
		}
	}
	w.mu.Unlock()
	w.next.ServeHTTP(out, r)
}

// readAll reads a request's body and leaves it to be read again.
func readAll(r *http.Request) ([]byte, error) {
	body, err := io.ReadAll(r.Body)
	r.Body = io.NopCloser(bytes.NewReader(body))
	return body, err
}

// calls returns the paths called upstream since the last time.
func (w *witness) calls(tb testing.TB) []string {
	tb.Helper()
	w.mu.Lock()
	defer w.mu.Unlock()
	if len(w.guilty) > 0 {
		tb.Error(w.guilty)
	}
	paths := make([]string, 0, len(w.requests))
	for _, request := range w.requests {
		paths = append(paths, request.URL.Path[strings.LastIndexByte(request.URL.Path, '/')+1:])
	}
	w.requests = nil
	return paths
}

// setPasswordCalls tells how often SetPassword was called since the last time.
func (w *witness) setPasswordCalls(tb testing.TB) int {
	tb.Helper()
	return len(slices.DeleteFunc(w.calls(tb), func(path string) bool { return path != "SetPassword" }))
}

// taken returns the requests that arrived since the last time.
func (w *witness) taken(tb testing.TB) []*http.Request {
	tb.Helper()
	w.mu.Lock()
	defer w.mu.Unlock()
	requests := w.requests
	w.requests = nil
	if len(requests) == 0 {
		tb.Error("nothing arrived upstream")
	}
	return requests
}

// last is the last request that arrived.
func (w *witness) last(tb testing.TB) *http.Request {
	tb.Helper()
	w.mu.Lock()
	defer w.mu.Unlock()
	if len(w.requests) == 0 {
		tb.Fatal("nothing arrived upstream")
	}
	return w.requests[len(w.requests)-1]
}
