// Package v2client is the only door to ZITADEL v2. It makes calls with the caller's own
// token and says what became of them. It knows nothing of v1.
//
// Each of its files makes a few of ZITADEL's calls: RPCs by the generated connect-go clients
// (rpc), REST by rest. Package guard stands between these and the wire: it makes a call again,
// refuses it while ZITADEL is down, and judges what became of it.
package v2client

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"connectrpc.com/connect"
	"github.com/sony/gobreaker/v2"

	"zitadel-v1-adapter/gen/zitadel/internal_permission/v2/internal_permissionv2connect"
	"zitadel-v1-adapter/gen/zitadel/user/v2/userv2connect"
	"zitadel-v1-adapter/internal/upstream"
	"zitadel-v1-adapter/v2client/internal/guard"
)

// Config says how ZITADEL is called. Every field but UserAgent, OnBreaker and Log is
// required.
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
	// Log receives the breaker's changes of state. Default: none.
	Log *slog.Logger
}

// Types that the guard of all calls shares with this package.
type (
	// Error is the error of every method: a Code and a Message that the client may be shown,
	// ZITADEL's Details and their ID, the Origin, and RetryAfter. Error() is for the log.
	Error = guard.Error
	// Origin says who made an Error.
	Origin = guard.Origin
	// Attempt is one attempt at a call of ZITADEL's.
	Attempt = guard.Attempt
	// RetryConfig says when a call that failed is made again.
	RetryConfig = guard.RetryConfig
	// BreakerConfig says when calls to a failing upstream are refused without trying.
	BreakerConfig = guard.BreakerConfig
	// BreakerState is what the breaker does with calls.
	BreakerState = gobreaker.State
)

// Who made an Error, and the states of the breaker.
const (
	OriginZITADEL   = guard.OriginZITADEL
	OriginTransport = guard.OriginTransport
	OriginDeadline  = guard.OriginDeadline
	OriginCanceled  = guard.OriginCanceled
	OriginBreaker   = guard.OriginBreaker
	OriginSelf      = guard.OriginSelf

	BreakerClosed   = gobreaker.StateClosed   // calls go on
	BreakerHalfOpen = gobreaker.StateHalfOpen // calls wait for the outcome of a probe
	BreakerOpen     = gobreaker.StateOpen     // calls are refused
)

// Client makes ZITADEL v2 calls. It is safe for concurrent use. Every method
// returns an [*Error] as its error.
type Client struct {
	upstream  *upstream.Upstream
	userAgent string
	guard     *guard.Guard
	protocols *protocols
	authAPI   *authAPI

	// One client for each protocol. What writes is made again only if nothing was sent.
	writes          []userv2connect.UserServiceClient
	reads           []userv2connect.UserServiceClient
	permissions     []internal_permissionv2connect.InternalPermissionServiceClient
	permissionsBeta []*permissionServiceBeta
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
	return errors.Join(append(mistakes, c.Breaker.Validate(), c.Retry.Validate())...)
}

// New checks config and makes a Client; it does not connect yet. The error has a line for
// each mistake, with the configuration key, its value, and what would be right.
func New(config Config) (*Client, error) {
	if err := config.validate(); err != nil {
		return nil, err
	}
	c := &Client{upstream: config.Upstream, userAgent: config.UserAgent}
	var err error
	if c.authAPI, err = newAuthAPI(); err != nil {
		return nil, err
	}
	c.protocols = newProtocols(config)
	c.guard = guard.New(guard.Config{
		Breaker: config.Breaker, Retry: config.Retry, ReadTimeout: config.ReadTimeout,
		Upstream: config.Upstream,
		Probe: func(ctx context.Context, host string) error {
			return c.protocols.current().getNobody(ctx, host)
		},
		OnBreaker: config.OnBreaker, Log: cmp.Or(config.Log, slog.New(slog.DiscardHandler)),
	})
	base := config.Upstream.Base().String()
	for _, each := range c.protocols.all {
		options := append(each.options(), connect.WithInterceptors(connect.UnaryInterceptorFunc(c.guard.Intercept)))
		c.writes = append(c.writes, userv2connect.NewUserServiceClient(each.http, base, options...))
		options = append(options, connect.WithIdempotency(connect.IdempotencyNoSideEffects))
		c.reads = append(c.reads, userv2connect.NewUserServiceClient(each.http, base, options...))
		c.permissions = append(c.permissions, internal_permissionv2connect.NewInternalPermissionServiceClient(each.http, base, options...))
		c.permissionsBeta = append(c.permissionsBeta, newPermissionServiceBeta(each.http, base, options...))
	}
	return c, nil
}

// BreakerState is what the breaker does with calls now.
func (c *Client) BreakerState() BreakerState { return c.guard.BreakerState() }

// Protocol is the protocol in use: the configured one, or with ProtocolAuto the one in
// which ZITADEL answered last, and Connect before the first answer.
func (c *Client) Protocol() Protocol { return c.protocols.current().name }

// Close drops idle connections. Calls under way go on.
func (c *Client) Close() {
	for _, each := range c.protocols.all {
		each.http.CloseIdleConnections()
	}
}
