package adapter_test

import (
	"cmp"
	"log/slog"
	"net/http"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"zitadel-v1-adapter/adapter"
	"zitadel-v1-adapter/gen/zitadel/management/v1/managementv1connect"
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
	zitadel := wiretest.NewZITADEL(tb, config.fixture)
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

// ownHost lets ZITADEL be asked under one host, so that no failure can be that of the
// host that a client chose.
func ownHost(c *stackConfig) { c.to.Host = upstream.HostUpstream }

// roomy are limits that no test meets by chance.
func roomy() adapter.Limits {
	return adapter.Limits{BodyTimeout: time.Minute}
}

// patient is a breaker that never opens.
func patient() v2client.BreakerConfig {
	return v2client.BreakerConfig{MinimumCalls: 1 << 30, FailureRate: 1, Window: time.Minute, OpenFor: time.Minute}
}

// bothUpstreams runs a test for each upstream protocol.
func bothUpstreams(t *testing.T, test func(t *testing.T, protocol v2client.Protocol)) {
	t.Helper()
	for _, protocol := range []v2client.Protocol{v2client.ProtocolConnect, v2client.ProtocolGRPC} {
		t.Run(string(protocol), func(t *testing.T) {
			t.Parallel()
			test(t, protocol)
		})
	}
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
