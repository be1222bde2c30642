// Package v2client is the only door to ZITADEL v2. It makes calls with the caller's own
// token and says what became of them. It knows nothing of v1.
package v2client

import (
	"cmp"
	"errors"
	"fmt"
	"log/slog"
	"sync/atomic"
	"time"

	"zitadel-v1-adapter/internal/tracing"
	"zitadel-v1-adapter/internal/upstream"
)

// Protocol is the protocol of v2 calls.
type Protocol string

// The protocols. ZITADEL speaks Connect from v4 on, and always gRPC.
const (
	// ProtocolAuto is Connect where ZITADEL speaks it, and else gRPC.
	ProtocolAuto    Protocol = "auto"
	ProtocolConnect Protocol = "connect"
	ProtocolGRPC    Protocol = "grpc"
)

// maxAnswerBytes bounds what is read of an upstream's answer: more than a page of
// administrators takes. connect-go keeps the buffers that answers were read into, so
// garbage from an upstream may cost this much for each call under way, and for some
// time after it.
const maxAnswerBytes = 256 << 10

// Config says how ZITADEL is called. Every field but UserAgent, OnBreaker, Tracer and Log
// is required.
type Config struct {
	// Upstream is where ZITADEL is.
	Upstream *upstream.Upstream
	// Protocol is ProtocolAuto, ProtocolConnect or ProtocolGRPC.
	Protocol Protocol
	Breaker  BreakerConfig
	Retry    RetryConfig
	// ReadTimeout is how long ZITADEL may answer nothing, neither this call nor another,
	// before an attempt at a call that only reads is given up. All calls end by
	// [Caller.WithDeadline] and their context besides. Above 0.
	ReadTimeout time.Duration
	// UserAgent is sent with every call.
	UserAgent string
	// OnBreaker is called with each new state of the breaker. It must be safe for
	// concurrent use. Default: none.
	OnBreaker func(BreakerState)
	// Tracer makes a span of each attempt at a call, in the trace of its context, and has
	// ZITADEL go on with it. Default: none, and ZITADEL gets the client's headers.
	Tracer *tracing.Tracer
	// Log receives the breaker's changes of state. Default: none.
	Log *slog.Logger
}

// Client makes ZITADEL v2 calls. It is safe for concurrent use. Every method
// returns an [*Error] as its error.
type Client struct {
	base        string
	upstream    *upstream.Upstream
	userAgent   string
	services    []*service // more than one for ProtocolAuto
	spoken      atomic.Int32
	recheckAt   atomic.Int64 // when to look for Connect, in Unix nanoseconds
	authAPI     *authAPI
	breaker     *breaker
	verified    *verifiedHosts
	openFor     time.Duration
	readTimeout time.Duration
	retry       RetryConfig
	budget      *retryBudget
	tracer      *tracing.Tracer
}

func (c Config) validate() error {
	var mistakes []error
	if c.Upstream == nil {
		mistakes = append(mistakes, errors.New("v2client: Config.Upstream is nil"))
	}
	switch c.Protocol {
	case ProtocolConnect, ProtocolGRPC, ProtocolAuto:
	default:
		mistakes = append(mistakes, fmt.Errorf("upstream.protocol: %q: use %q, %q (ZITADEL v4 and later) or %q", c.Protocol, ProtocolAuto, ProtocolConnect, ProtocolGRPC))
	}
	if c.ReadTimeout <= 0 {
		mistakes = append(mistakes, fmt.Errorf("upstream.readTimeout: %v: use a duration above 0, such as 20s", c.ReadTimeout))
	}
	return errors.Join(append(mistakes, c.Breaker.validate(), c.Retry.validate())...)
}

// New checks config and makes a Client; it does not connect yet. The error has a line for
// each mistake, with the configuration key, its value, and what would be right.
func New(config Config) (*Client, error) {
	if err := config.validate(); err != nil {
		return nil, err
	}
	protocols := []Protocol{config.Protocol}
	if config.Protocol == ProtocolAuto {
		protocols = []Protocol{ProtocolConnect, ProtocolGRPC}
	}
	verified, err := newVerifiedHosts(config.Upstream)
	if err != nil {
		return nil, err
	}
	log := cmp.Or(config.Log, slog.New(slog.DiscardHandler))
	authAPI, err := newAuthAPI()
	if err != nil {
		return nil, err
	}
	c := &Client{
		base:        config.Upstream.Base().String(),
		upstream:    config.Upstream,
		userAgent:   config.UserAgent,
		authAPI:     authAPI,
		verified:    verified,
		openFor:     config.Breaker.OpenFor,
		readTimeout: config.ReadTimeout,
		retry:       config.Retry,
		budget:      newRetryBudget(config.Retry.Budget),
		tracer:      config.Tracer,
	}
	c.breaker = newBreaker(config.Breaker, c.probe, config.OnBreaker, log)
	for _, protocol := range protocols {
		c.services = append(c.services, newService(config.Upstream, protocol))
	}
	return c, nil
}

// BreakerState is what the breaker does with calls now.
func (c *Client) BreakerState() BreakerState { return stateOf(c.breaker.state.State()) }

// Close drops idle connections. Calls under way go on.
func (c *Client) Close() {
	for _, service := range c.services {
		service.transport.upstream.CloseIdleConnections()
	}
}
