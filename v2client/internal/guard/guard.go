// Package guard stands between calls and the wire, as an interceptor of connect-go's for RPCs and
// through [Guard.Do] for all else. It refuses calls while the upstream fails, makes them again if
// that is safe, judges and traces each attempt. It knows none of ZITADEL's methods.
package guard

import (
	"context"
	"errors"
	"log/slog"
	"math/rand/v2"
	"net/http"
	"path"
	"strconv"
	"strings"
	"sync"
	"time"

	"connectrpc.com/connect"
	"github.com/hashicorp/golang-lru/v2/expirable"
	"github.com/sony/gobreaker/v2"
	"go.opentelemetry.io/otel/attribute"
	semconv "go.opentelemetry.io/otel/semconv/v1.43.0"
	"go.opentelemetry.io/otel/trace"

	"zitadel-v1-adapter/internal/tracing"
	"zitadel-v1-adapter/internal/upstream"
)

// Config configures a Guard. Every field but OnBreaker is required.
type Config struct {
	Breaker     BreakerConfig
	Retry       RetryConfig
	ReadTimeout time.Duration // of the upstream's silence, after which an attempt at a read is given up
	Upstream    *upstream.Upstream
	// Probe asks the upstream under a host for something that takes no token and changes nothing.
	Probe     func(ctx context.Context, host string) error
	OnBreaker func(gobreaker.State) // called with each new state of the breaker; default: none
	Log       *slog.Logger
}

// Guard is safe for concurrent use.
type Guard struct {
	config  Config
	breaker *breaker
	budget  retryBudget
	// verified are hosts under which a call succeeded. If clients choose the Host, failures under others do
	// not count: anybody could open the breaker with hosts that a load balancer does not know.
	verified *expirable.LRU[string, struct{}]
}

// maxVerifiedHosts is more than most ZITADELs have instances.
const maxVerifiedHosts = 1000

// New makes a Guard of a valid configuration.
func New(config Config) *Guard {
	g := &Guard{config: config, verified: expirable.NewLRU[string, struct{}](maxVerifiedHosts, nil, 0)}
	if config.Retry.Budget > 0 {
		g.budget.balance = retryReserve
	}
	g.breaker = newBreaker(config.Breaker, g.probe, config.OnBreaker, config.Log)
	return g
}

// BreakerState is what the breaker does with calls now.
func (g *Guard) BreakerState() gobreaker.State { return g.breaker.state.State() }

// Attempt is one attempt at a call of ZITADEL's.
type Attempt struct {
	Method   string        // what was called, such as "SetPassword" or "userinfo"
	Duration time.Duration // to the end of the answer
	Retry    bool          // it was not the first attempt at the call
}

type attemptsKey struct{}

// WithAttempts returns a context for calls whose attempts are appended to a list when they
// have ended, on the goroutine of the call. A nil list is none.
func WithAttempts(ctx context.Context, list *[]Attempt) context.Context {
	return context.WithValue(ctx, attemptsKey{}, list)
}

// Call describes a call for [Guard.Do].
type Call struct {
	Name   string      // what is called, in spans and Attempts
	Writes bool        // it may change something
	Header http.Header // the request's, Host included; each attempt adds its trace context
	Method string      // of HTTP

	rpc []attribute.KeyValue // of an RPC's span
}

// Intercept is a [connect.UnaryInterceptorFunc]. A procedure only reads if its client was
// made with [connect.IdempotencyNoSideEffects].
func (g *Guard) Intercept(next connect.UnaryFunc) connect.UnaryFunc {
	return func(ctx context.Context, request connect.AnyRequest) (response connect.AnyResponse, err error) {
		spec := request.Spec()
		system := semconv.RPCSystemNameGRPC
		if request.Peer().Protocol == connect.ProtocolConnect {
			system = semconv.RPCSystemNameConnectrpc
		}
		call := Call{
			Name: path.Base(spec.Procedure), Writes: spec.IdempotencyLevel != connect.IdempotencyNoSideEffects,
			Header: request.Header(), Method: http.MethodPost,
			rpc: []attribute.KeyValue{system, semconv.RPCMethod(spec.Procedure[1:])},
		}
		err = g.Do(ctx, call, func(ctx context.Context) error {
			response, err = next(ctx, request)
			return err
		})
		return response, err
	}
}

// Do makes a call, each attempt by send, and makes it again as the configuration allows and
// while ctx has time for it. The error is an [*Error].
func (g *Guard) Do(ctx context.Context, call Call, send func(context.Context) error) error {
	retry := g.config.Retry
	g.budget.add(retry.Budget)
	delay := retry.BaseDelay
	for retries := 0; ; retries++ {
		failure := g.breaker.admit(ctx)
		if failure == nil {
			failure = g.attempt(ctx, &call, retries, send)
		}
		if failure == nil {
			return nil
		}
		jitter := rand.N(delay) //nolint:gosec // no secret
		if retries+1 >= retry.Attempts || !failure.retryable || !g.budget.add(-1) || !sleep(ctx, jitter) {
			return failure
		}
		delay = min(2*delay, retry.MaxDelay)
	}
}

// attempt makes one attempt, and reports it to the breaker. A read ends after ReadTimeout of silence.
func (g *Guard) attempt(ctx context.Context, call *Call, retries int, send func(context.Context) error) (failure *Error) {
	failure = &Error{Code: connect.CodeInternal} // of an attempt that panics
	host := call.Header.Get("Host")
	ctx, span := g.trace(ctx, call, retries)
	began := g.breaker.begin(host)
	defer func() {
		g.breaker.end(began, host, failure.outcome())
		if list, _ := ctx.Value(attemptsKey{}).(*[]Attempt); list != nil {
			*list = append(*list, Attempt{Method: call.Name, Duration: time.Since(began), Retry: retries > 0})
		}
		endTrace(span, call, failure)
	}()
	if !call.Writes {
		var stop context.CancelFunc
		ctx, stop = g.breaker.untilSilent(ctx, g.config.ReadTimeout)
		defer stop()
	}
	if failure = g.classify(ctx, send(ctx), call); failure == nil { // success takes a token
		g.verified.Add(strings.ToLower(host), struct{}{})
	}
	return failure
}

// probe asks the upstream whether it is there: any answer of its own says so.
func (g *Guard) probe(host string) health {
	ctx, cancel := WithDeadline(context.Background(), time.Now().Add(ProbeTimeout))
	defer cancel()
	return g.classify(ctx, g.config.Probe(ctx, host), &Call{Header: http.Header{"Host": {host}}}).outcome()
}

// classify judges the error of an attempt; nil is a success.
func (g *Guard) classify(ctx context.Context, err error, call *Call) *Error {
	if err == nil {
		return nil
	}
	return classify(err, endingOf(ctx), call.Writes, target{
		largeHeaders:   upstream.HeaderBytes(call.Header) > upstream.UsualHeaderBytes,
		unverifiedHost: g.config.Upstream.HostByClient() && !g.verified.Contains(strings.ToLower(call.Header.Get("Host"))),
	})
}

// trace begins the span of an attempt, if there are traces, and has ZITADEL go on with it.
func (g *Guard) trace(ctx context.Context, call *Call, retries int) (context.Context, trace.Span) {
	ctx, span := tracing.Start(ctx, call.Name, call.Header)
	base := g.config.Upstream.Base()
	span.SetAttributes(semconv.HTTPRequestMethodKey.String(call.Method), semconv.ServerAddress(base.Hostname()))
	if port, err := strconv.Atoi(base.Port()); err == nil {
		span.SetAttributes(semconv.ServerPort(port))
	}
	if retries > 0 {
		span.SetAttributes(semconv.HTTPRequestResendCount(retries))
	}
	span.SetAttributes(call.rpc...)
	return ctx, span
}

// endTrace ends an attempt's span, to which package wire adds the HTTP status.
func endTrace(span trace.Span, call *Call, failure *Error) {
	defer span.End()
	code := "ok"
	if failure != nil {
		code = failure.Code.String()
		span.SetAttributes(attribute.String("zitadel.error_id", failure.ID()))
		tracing.Fail(span, code)
	}
	if call.rpc != nil {
		span.SetAttributes(semconv.RPCResponseStatusCode(strings.ToUpper(code)))
	}
}

// RetryConfig says when a failed call is made again: a read always, a write only if not a byte
// of it was sent, or the upstream says that it did not handle it.
type RetryConfig struct {
	Attempts  int           `default:"3"     yaml:"attempts"`  // at a call; 1 means no retries, 10 is the most
	BaseDelay time.Duration `default:"25ms"  yaml:"baseDelay"` // before the second attempt, at most; doubles; above 0
	MaxDelay  time.Duration `default:"500ms" yaml:"maxDelay"`  // longest of all; delays are random, to spread callers
	Budget    float64       `default:"0.2"   yaml:"budget"`    // retries per call, over time; from 0 to 1
}

// Validate names each mistake, with the configuration key, its value, and what would be right.
func (c RetryConfig) Validate() error {
	const maxAttempts = 10
	return errors.Join(
		Checkf(c.Attempts >= 1 && c.Attempts <= maxAttempts, "retry.attempts: %d: use 1 (no retries) to %d", c.Attempts, maxAttempts),
		Checkf(c.BaseDelay > 0, "retry.baseDelay: %v: use a duration above 0, such as 25ms", c.BaseDelay),
		Checkf(c.MaxDelay >= c.BaseDelay, "retry.maxDelay: %v: use retry.baseDelay (%v) or more", c.MaxDelay, c.BaseDelay),
		Checkf(c.Budget >= 0 && c.Budget <= 1, "retry.budget: %v: use a share from 0 to 1, such as 0.2", c.Budget),
	)
}

// retryReserve is the most that a budget saves up, and what it starts with: few calls earn none.
const retryReserve = 10

// retryBudget has the retries that are left.
type retryBudget struct {
	mu      sync.Mutex
	balance float64
}

// add changes the balance, and reports whether it sufficed for that.
func (b *retryBudget) add(retries float64) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.balance+retries < 0 {
		return false
	}
	b.balance = min(b.balance+retries, retryReserve)
	return true
}

// sleep waits; false means that ctx has no time for that.
func sleep(ctx context.Context, delay time.Duration) bool {
	if deadline, ok := ctx.Deadline(); ok && time.Until(deadline) <= delay {
		return false
	}
	select {
	case <-time.After(delay):
		return true
	case <-ctx.Done():
		return false
	}
}
