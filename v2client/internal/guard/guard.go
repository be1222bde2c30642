// Package guard makes calls to an upstream that may fail: it asks a circuit breaker before
// each attempt, tells what became of it, and makes it again where that is safe. RPCs go
// through [Guard.Intercept], everything else through [Guard.Do]. It knows none of ZITADEL's
// methods.
package guard

import (
	"context"
	"errors"
	"log/slog"
	"math/rand/v2"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"connectrpc.com/connect"
	lru "github.com/hashicorp/golang-lru/v2"
	"github.com/sony/gobreaker/v2"
	"go.opentelemetry.io/otel/attribute"
	semconv "go.opentelemetry.io/otel/semconv/v1.43.0"
	"go.opentelemetry.io/otel/trace"

	"zitadel-v1-adapter/internal/rpcstatus"
	"zitadel-v1-adapter/internal/tracing"
	"zitadel-v1-adapter/internal/upstream"
	"zitadel-v1-adapter/v2client/internal/wire"
)

// Config configures a Guard. Breaker, Retry, ReadTimeout, Base, Probe and Log are required.
type Config struct {
	Breaker BreakerConfig
	Retry   RetryConfig
	// ReadTimeout is how long the upstream may answer nothing, neither this call nor another,
	// before an attempt at a call that only reads is given up.
	ReadTimeout time.Duration
	// Base is where the upstream is, for spans.
	Base *url.URL
	// HostByClient says that clients choose the Host of calls. Failures under a host under
	// which the upstream has never answered do not count then: anybody could open the
	// breaker with hosts that a load balancer does not know.
	HostByClient bool
	// Probe asks the upstream under a host for something that takes no token and changes
	// nothing. It returns the error of the attempt, as calls do.
	Probe func(ctx context.Context, host string) error
	// OnBreaker is called with each new state of the breaker. Default: none.
	OnBreaker func(BreakerState)
	Log       *slog.Logger
}

// Guard is safe for concurrent use.
type Guard struct {
	config   Config
	breaker  *breaker
	budget   *retryBudget
	verified *lru.Cache[string, struct{}] // hosts under which the upstream has answered; nil: all
}

// maxVerifiedHosts is more than most ZITADELs have instances.
const maxVerifiedHosts = 1000

// New makes a Guard. The error has a line for each mistake of the configuration.
func New(config Config) (*Guard, error) {
	if err := errors.Join(config.Breaker.Validate(), config.Retry.Validate()); err != nil {
		return nil, err
	}
	g := &Guard{config: config, budget: newRetryBudget(config.Retry.Budget)}
	if config.HostByClient {
		var err error
		if g.verified, err = lru.New[string, struct{}](maxVerifiedHosts); err != nil {
			return nil, err
		}
	}
	g.breaker = newBreaker(config.Breaker, g.probe, config.OnBreaker, config.Log)
	return g, nil
}

// BreakerState is what the breaker does with calls now.
func (g *Guard) BreakerState() BreakerState { return g.breaker.state.State() }

// Attempt is one attempt at a call of ZITADEL's.
type Attempt struct {
	// Method is the name of what was called, such as "SetPassword" or "userinfo".
	Method string
	// Duration lasts to the end of the answer.
	Duration time.Duration
	// Retry says that it was not the first attempt at the call.
	Retry bool
}

type attemptsKey struct{}

// WithAttempts returns a context for calls whose attempts are appended to a list when they
// have ended, on the goroutine of the call.
func WithAttempts(ctx context.Context, list *[]Attempt) context.Context {
	return context.WithValue(ctx, attemptsKey{}, list)
}

// Call describes a call for [Guard.Do].
type Call struct {
	// Name is what is called, in spans and Attempts.
	Name string
	// Writes says that the call may change something. What may have reached the upstream is
	// made again only if it does not.
	Writes bool
	// Header is the request's, Host included. Each attempt adds its trace context.
	Header http.Header
	// Method is the HTTP method.
	Method string

	procedure string             // of an RPC; "" is none
	system    attribute.KeyValue // of an RPC
}

// Intercept is a [connect.UnaryInterceptorFunc]. A procedure only reads if its client was
// made with [connect.IdempotencyNoSideEffects].
func (g *Guard) Intercept(next connect.UnaryFunc) connect.UnaryFunc {
	return func(ctx context.Context, request connect.AnyRequest) (response connect.AnyResponse, err error) {
		spec := request.Spec()
		call := Call{
			Name:   spec.Procedure[strings.LastIndexByte(spec.Procedure, '/')+1:],
			Writes: spec.IdempotencyLevel != connect.IdempotencyNoSideEffects,
			Header: request.Header(), Method: http.MethodPost,
			procedure: spec.Procedure, system: semconv.RPCSystemNameGRPC,
		}
		if request.Peer().Protocol == connect.ProtocolConnect {
			call.system = semconv.RPCSystemNameConnectrpc
		}
		err = g.Do(ctx, call, func(ctx context.Context) error {
			response, err = next(ctx, request)
			return err
		})
		return response, err
	}
}

// Do makes a call, each attempt by send, and makes it again as the configuration allows and
// while ctx has time for it. Every attempt asks the breaker, and counts. The error is an
// [*Error].
func (g *Guard) Do(ctx context.Context, call Call, send func(context.Context) error) error {
	g.budget.earn()
	delay := g.config.Retry.BaseDelay
	for attempts := 1; ; attempts++ {
		failure := g.admit(ctx)
		if failure == nil {
			failure = g.attempt(ctx, &call, attempts-1, send)
		}
		if failure == nil {
			return nil
		}
		jitter := rand.N(delay) //nolint:gosec // no secret
		if attempts >= g.config.Retry.Attempts || !failure.retryable || !g.budget.spend() || !sleep(ctx, jitter) {
			return failure
		}
		delay = min(2*delay, g.config.Retry.MaxDelay)
	}
}

// admit returns nil if an attempt may be made.
func (g *Guard) admit(ctx context.Context) *Error {
	switch err := g.breaker.admit(ctx); {
	case err == nil:
		return nil
	case errors.Is(err, gobreaker.ErrOpenState):
		return &Error{
			Code: connect.CodeUnavailable, Message: "ZITADEL is unavailable, try again later",
			Origin: OriginBreaker, RetryAfter: g.config.Breaker.OpenFor, cause: err,
		}
	default:
		return newEndedError(err, endingOf(ctx))
	}
}

// attempt makes one attempt, and reports it to the breaker. One that only reads ends when the
// upstream has answered nothing for ReadTimeout.
func (g *Guard) attempt(ctx context.Context, call *Call, retries int, send func(context.Context) error) (failure *Error) {
	outcome := notCounted // of an attempt that panics
	host := call.Header.Get("Host")
	list, _ := ctx.Value(attemptsKey{}).(*[]Attempt)
	ctx, span := g.trace(ctx, call, retries)
	began := g.breaker.begin(host)
	defer func() {
		g.breaker.end(began, host, outcome)
		if list != nil {
			*list = append(*list, Attempt{Method: call.Name, Duration: time.Since(began), Retry: retries > 0})
		}
		endTrace(span, call, failure, outcome)
	}()
	if !call.Writes {
		var stop context.CancelFunc
		ctx, stop = g.breaker.untilSilent(ctx, g.config.ReadTimeout)
		defer stop()
	}
	err := send(ctx)
	if err == nil {
		outcome = healthy
		if g.verified != nil { // success takes a token
			g.verified.Add(strings.ToLower(host), struct{}{})
		}
		return nil
	}
	failure = classify(err, endingOf(ctx), call.Writes, target{upstream.HeaderBytes(call.Header) > upstream.UsualHeaderBytes, !g.isVerified(host)})
	outcome = failure.health
	return failure
}

func (g *Guard) isVerified(host string) bool {
	return g.verified == nil || g.verified.Contains(strings.ToLower(host))
}

// probe asks the upstream whether it is there: any answer of its own says so.
func (g *Guard) probe(host string) health {
	ctx, cancel := WithDeadline(context.Background(), time.Now().Add(ProbeTimeout))
	defer cancel()
	err := g.config.Probe(ctx, host)
	if err == nil {
		return healthy
	}
	return classify(err, endingOf(ctx), false, target{unverifiedHost: !g.isVerified(host)}).health
}

// trace begins the span of an attempt, if there are traces, and has ZITADEL go on with it.
func (g *Guard) trace(ctx context.Context, call *Call, retries int) (context.Context, trace.Span) {
	ctx, span := tracing.Start(ctx, call.Name, call.Header)
	if !span.IsRecording() {
		return ctx, span
	}
	span.SetAttributes(semconv.HTTPRequestMethodKey.String(call.Method), semconv.ServerAddress(g.config.Base.Hostname()))
	if port, err := strconv.Atoi(g.config.Base.Port()); err == nil {
		span.SetAttributes(semconv.ServerPort(port))
	}
	if retries > 0 {
		span.SetAttributes(semconv.HTTPRequestResendCount(retries))
	}
	if call.procedure != "" {
		span.SetAttributes(call.system, semconv.RPCMethod(call.procedure[1:]))
	}
	return ctx, span
}

// endTrace ends an attempt's span. No failure and not healthy: the attempt panicked.
func endTrace(span trace.Span, call *Call, failure *Error, outcome health) {
	defer span.End()
	if !span.IsRecording() {
		return
	}
	code, httpStatus := "ok", http.StatusOK
	switch {
	case failure != nil:
		code, httpStatus = failure.Code.String(), failure.httpStatus(call.system)
		span.SetAttributes(attribute.String("zitadel.error_id", failure.ID()))
	case outcome != healthy:
		code, httpStatus = connect.CodeInternal.String(), 0
	}
	if httpStatus != 0 {
		span.SetAttributes(semconv.HTTPResponseStatusCode(httpStatus))
	}
	if call.procedure != "" {
		span.SetAttributes(semconv.RPCResponseStatusCode(strings.ToUpper(code)))
	}
	if code != "ok" {
		tracing.Fail(span, code)
	}
}

// httpStatus is the HTTP status of the answer; 0 is no answer.
func (e *Error) httpStatus(system attribute.KeyValue) int {
	if failed, ok := errors.AsType[*wire.Error](e.cause); ok {
		return failed.Status
	}
	switch {
	case !connect.IsWireError(e.cause):
		return 0
	case system == semconv.RPCSystemNameGRPC:
		return http.StatusOK
	}
	return rpcstatus.HTTPStatus(connect.CodeOf(e.cause))
}
