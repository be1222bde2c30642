package adapter_test

import (
	"cmp"
	"flag"
	"log/slog"
	"net/http"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"go.opentelemetry.io/otel/trace"
	"go.uber.org/goleak"

	"zitadel-v1-adapter/adapter"
	"zitadel-v1-adapter/gen/zitadel/management/v1/managementv1connect"
	"zitadel-v1-adapter/internal/forwarded"
	"zitadel-v1-adapter/internal/grpcservices"
	"zitadel-v1-adapter/internal/ingress"
	"zitadel-v1-adapter/internal/passthrough"
	"zitadel-v1-adapter/internal/tracing"
	"zitadel-v1-adapter/internal/upstream"
	"zitadel-v1-adapter/internal/v1api"
	"zitadel-v1-adapter/internal/wiretest"
	"zitadel-v1-adapter/v2client"
	"zitadel-v1-adapter/v2client/v2test"
)

// Where to find which tests:
//
//	recordings_test.go       every recorded v1 answer, over REST, gRPC and gRPC-Web
//	releases_test.go         releases of ZITADEL, session tokens, protocols found out
//	words_test.go            the language of refusals
//	deadline_test.go         a client's timeout
//	organization*_test.go    v1's organization rule, against a plain model of v1
//	identity_cache_test.go   what is remembered of callers, and for how long
//	instance_test.go         which instance of ZITADEL is asked
//	requests_*_test.go       unusual REST and gRPC requests, answered as v1 answers them
//	headers_test.go          which headers reach ZITADEL; CORS
//	log*_test.go             what is logged, and that it holds no secrets
//	trace*_test.go           what spans tell, what ZITADEL goes on with, and no secrets
//	rollout_test.go          which users are translated at which share
//	upstream_faults*_test.go a ZITADEL that fails: faults of single requests, outages,
//	                         its errors, and the ledger of calls through random faults
//	breaker*_test.go         what opens the circuit breaker, and what must not
//	limits*_test.go          calls in flight, rates, sizes, and timeouts of slow clients
//	passthrough*_test.go     requests that are not translated, and the rollout's
//	own_services_test.go     gRPC health and reflection
//	panics_test.go           a defect of the adapter costs one call
//	fuzz*_test.go            decoders, frames, timeouts, and whole requests
//	harness*_test.go         what the tests share: this file the adapter, _client how it
//	                         is called, _outcome its gRPC answers, _upstream its upstreams

// TestMain runs more tests at once than there are processors, unless -parallel says otherwise:
// they wait for sockets and timers more than they compute, most of all on a busy machine.
func TestMain(m *testing.M) {
	flag.Parse()
	if parallel := flag.Lookup("test.parallel"); parallel.Value.String() == parallel.DefValue {
		_ = parallel.Value.Set("8")
	}
	goleak.VerifyTestMain(m)
}

// stack is the adapter in front of the in-memory ZITADEL, over real sockets.
type stack struct {
	address  string
	handler  http.Handler
	zitadel  *v2test.Server
	upstream *witness
	log      *wiretest.Buffer

	release v2test.Release
	fixture v2test.Fixture
	written int
	busy    atomic.Int64 // handlers

	observed events
}

// events are what an adapter told of its calls. It is safe for concurrent use.
type events struct {
	mu    sync.Mutex
	calls []adapter.Event
}

func (e *events) add(call adapter.Event) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.calls = append(e.calls, call)
}

// all returns the events so far.
func (e *events) all() []adapter.Event {
	e.mu.Lock()
	defer e.mu.Unlock()
	return slices.Clone(e.calls)
}

// take returns the events since the last time.
func (e *events) take() []adapter.Event {
	e.mu.Lock()
	defer e.mu.Unlock()
	calls := e.calls
	e.calls = nil
	return calls
}

// breakerOpened reports whether the log says that the breaker opened.
func (s *stack) breakerOpened() bool { return strings.Contains(s.log.String(), `"to":"open"`) }

// ServeHTTP counts the handlers that have not returned: a REST call is logged and observed
// when its answer is on its way.
func (s *stack) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	s.busy.Add(1)
	defer s.busy.Add(-1)
	s.handler.ServeHTTP(w, r)
}

// settle waits until all calls have been logged and observed.
func (s *stack) settle() {
	for s.busy.Load() > 0 {
		time.Sleep(100 * time.Microsecond)
	}
}

// logged returns the log of all calls that were answered.
func (s *stack) logged() string {
	s.settle()
	return s.log.String()
}

// calls returns the v1 calls observed since calls was last called, in the order in which
// they began: a REST call is observed when its client may be making the next one.
func (s *stack) calls() []adapter.Event {
	s.settle()
	calls := s.observed.take()
	slices.SortStableFunc(calls, func(a, b adapter.Event) int { return a.Started.Compare(b.Started) })
	return calls
}

// newWrites returns how many passwords were written since newWrites was last called.
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

// parts are the handlers of the program, from the innermost to the outermost.
type parts struct {
	passthrough passthrough.Config // without Upstream, nothing passes through
	v1          adapter.Config
	services    grpcservices.Config
	edge        ingress.Config
}

// assemble wraps the parts around each other as the program does.
func (p parts) assemble(tb testing.TB) http.Handler {
	tb.Helper()
	var facade *adapter.Adapter
	if p.passthrough.Upstream != nil {
		p.passthrough.Review = func(w http.ResponseWriter, r *http.Request, answer *http.Response) http.Handler {
			return facade.Review(w, r, answer)
		}
		passing, err := passthrough.New(p.passthrough)
		if err != nil {
			tb.Fatal(err)
		}
		tb.Cleanup(passing.Close)
		p.v1.Passthrough, p.services.Passthrough = passing, true
	}
	var err error
	if facade, err = adapter.New(p.v1); err != nil {
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
	upstream http.Handler    // in place of the in-memory ZITADEL
	to       upstream.Config // its address, if the test serves the upstream itself
	breaker  v2client.BreakerConfig
	native   http.Handler // receives what passes through; nil: nothing passes through
	passes   bool         // what passes through goes to the upstream, as translated calls do
	rollout  adapter.Rollout
	retry    v2client.RetryConfig
	limits   adapter.Limits
	messages adapter.Messages

	spans        trace.TracerProvider // nil: no traces
	deprecation  adapter.Deprecation
	shadow       func(adapter.Shadow) // nil: off
	writeTimeout time.Duration
	trusted      forwarded.TrustedProxies
	identify     bool
	count        func(adapter.Event)
	quiet        bool // without log and witness, for benchmarks
}

// newStack starts an adapter. Without options it is in front of the in-memory ZITADEL,
// asks it by Connect, translates all calls, and makes no retries.
func newStack(tb testing.TB, options ...option) *stack {
	tb.Helper()
	config := stackConfig{
		fixture: wiretest.Fixture(tb), scope: adapter.OrgScopeStrict,
		protocol: v2client.ProtocolConnect, timeout: patience, rollout: adapter.RolloutAll,
		retry: wiretest.NoRetry(), limits: roomy(), writeTimeout: time.Minute,
		breaker: v2client.BreakerConfig{MinimumCalls: 20, FailureRate: 0.5, Window: time.Hour, OpenFor: time.Minute},
	}
	for _, option := range options {
		option(&config)
	}
	zitadel := wiretest.NewZITADELOf(tb, config.fixture, config.zitadel)
	if config.upstream == nil {
		config.upstream = zitadel
	}
	s := &stack{zitadel: zitadel, upstream: &witness{next: config.upstream}, log: &wiretest.Buffer{}, release: config.zitadel.Release, fixture: config.fixture}
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
		ReadTimeout: config.timeout, Upstream: to, Protocol: config.protocol, Breaker: config.breaker, Retry: config.retry,
		Log: log,
	})
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(client.Close)
	whole := parts{
		v1: adapter.Config{
			ZITADEL: client, OrgScope: config.scope, Timeout: config.timeout, Rollout: config.rollout, Limits: config.limits, Log: log,
			Shadow: config.shadow != nil, ObserveShadow: config.shadow, Deprecation: config.deprecation,
			Identify: config.identify, Count: config.count, Catalogue: catalogue(tb), Observe: s.observed.add, Messages: config.messages,
		},
		edge: ingress.Config{
			Forwarding:   forwarded.Policy{Trusted: config.trusted, TellHost: to.HostByClient()},
			WriteTimeout: config.writeTimeout, Log: log,
		},
	}
	switch {
	case config.native != nil:
		native := wiretest.Upstream(tb, "http://"+wiretest.Listen(tb, config.native), upstream.HostClient)
		whole.passthrough = passthrough.Config{Upstream: native, Log: log}
	case config.passes:
		whole.passthrough = passthrough.Config{Upstream: to, Log: log}
	}
	s.handler = whole.assemble(tb)
	if config.spans != nil {
		s.handler = tracing.Handler(s.handler, config.spans)
	}
	s.address = wiretest.Listen(tb, s)
	return s
}

// fixedHost is an option: ZITADEL is asked under a host that is configured. Failures under
// a host that a client chose do not count for the breaker.
func fixedHost(c *stackConfig) { c.to.Host = upstream.HostUpstream }

// roomy returns limits so generous that only tests that lower them meet them.
func roomy() adapter.Limits {
	return adapter.Limits{BodyTimeout: time.Minute}
}

// neverOpens returns the configuration of a breaker that never opens.
func neverOpens() v2client.BreakerConfig {
	return v2client.BreakerConfig{MinimumCalls: 1 << 30, FailureRate: 1, Window: time.Minute, OpenFor: time.Minute}
}

var upstreamProtocols = []v2client.Protocol{v2client.ProtocolConnect, v2client.ProtocolGRPC}

// bothUpstreams runs a test once for each upstream protocol.
func bothUpstreams(t *testing.T, test func(t *testing.T, protocol v2client.Protocol)) {
	t.Helper()
	for _, protocol := range upstreamProtocols {
		t.Run(string(protocol), func(t *testing.T) {
			t.Parallel()
			test(t, protocol)
		})
	}
}

// patience is how long calls may take that are to end well, on any machine.
const patience = 5 * time.Minute

// eventually waits until a condition holds.
func eventually(t *testing.T, condition string, holds func() bool) {
	t.Helper()
	for deadline := time.Now().Add(patience); !holds(); time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("condition does not hold after %v, want %s", patience, condition)
		}
	}
}

// loadCatalogue loads it once for all tests, which only read it.
var loadCatalogue = sync.OnceValues(v1api.Load)

func catalogue(tb testing.TB) *v1api.Catalogue {
	tb.Helper()
	all, err := loadCatalogue()
	if err != nil {
		tb.Fatal(err)
	}
	return all
}
