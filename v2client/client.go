// Package v2client is the only door to ZITADEL v2. It makes calls with the caller's own token,
// RPCs by connect-go's clients (rpc) and REST by rest, all of them through package guard, and
// says what became of them. It knows nothing of v1.
package v2client

import (
	"cmp"
	"context"
	"errors"
	"log/slog"
	"slices"
	"time"

	"github.com/hashicorp/golang-lru/v2/expirable"
	"github.com/sony/gobreaker/v2"

	"zitadel-v1-adapter/gen/zitadel/user/v2/userv2connect"
	"zitadel-v1-adapter/internal/upstream"
	"zitadel-v1-adapter/v2client/internal/guard"
	"zitadel-v1-adapter/v2client/internal/wire"
)

// Config says how ZITADEL is called. Every field but UserAgent, OnBreaker and Log is required.
type Config struct {
	Upstream *upstream.Upstream // where ZITADEL is
	Protocol Protocol
	Breaker  BreakerConfig
	Retry    RetryConfig
	// ReadTimeout is how long ZITADEL may answer nothing, neither this call nor another, before an
	// attempt at a read is given up. Calls end by [Caller.Deadline] and their context too. Above 0.
	ReadTimeout time.Duration
	// UserWriters are the roles with the permission user.write, judged by where the Auth API v1 is
	// not there. Default: DefaultUserWriters.
	UserWriters []string
	UserAgent   string             // sent with every call
	OnBreaker   func(BreakerState) // called with each new state, by many goroutines; default: none
	Log         *slog.Logger       // of the breaker's changes of state; default: none
}

func (c Config) validate() error {
	return errors.Join(
		guard.Checkf(c.Upstream != nil, "v2client: Config.Upstream is nil"),
		guard.Checkf(slices.Contains([]Protocol{ProtocolAuto, ProtocolConnect, ProtocolGRPC}, c.Protocol),
			"upstream.protocol: %q: use %q, %q (ZITADEL v4 and later) or %q", c.Protocol, ProtocolAuto, ProtocolConnect, ProtocolGRPC),
		guard.Checkf(c.ReadTimeout > 0, "upstream.readTimeout: %v: use a duration above 0, such as 20s", c.ReadTimeout),
		c.Breaker.Validate(),
		c.Retry.Validate(),
	)
}

// Types that the guard of all calls shares with this package.
type (
	// Error is the error of every method. Its Message may be shown to the client; Error() is for the log.
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

// Client makes ZITADEL v2 calls. It is safe for concurrent use. Errors of its methods are [*Error].
type Client struct {
	upstream    *upstream.Upstream
	userAgent   string
	userWriters []string
	guard       *guard.Guard

	protocols []Protocol     // that ZITADEL may speak: Connect and gRPC for ProtocolAuto, else one
	protocol  choice         // of these
	setter    choice         // of SetPassword and UpdateUser
	wires     []*wire.Client // of each protocol, and so are the clients that follow

	unguarded       []userv2connect.UserServiceClient // for probes
	writes          []userv2connect.UserServiceClient // made again only if nothing was sent
	reads           []userv2connect.UserServiceClient
	permissions     []*listClient
	permissionsBeta []*listClient

	authAbsentUntil *expirable.LRU[string, time.Time] // the Auth API v1, by instance
}

// New checks config and makes a Client; it does not connect yet. The error has a line for
// each mistake, with the configuration key, its value, and what would be right.
func New(config Config) (*Client, error) {
	if err := config.validate(); err != nil {
		return nil, err
	}
	c := &Client{
		upstream: config.Upstream, userAgent: config.UserAgent, userWriters: config.UserWriters,
		authAbsentUntil: expirable.NewLRU[string, time.Time](authAPIEntries, nil, 0),
	}
	if len(c.userWriters) == 0 {
		c.userWriters = DefaultUserWriters()
	}
	c.guard = guard.New(guard.Config{
		Breaker: config.Breaker, Retry: config.Retry, ReadTimeout: config.ReadTimeout,
		Upstream: config.Upstream, OnBreaker: config.OnBreaker, Log: cmp.Or(config.Log, slog.New(slog.DiscardHandler)),
		Probe: func(ctx context.Context, host string) error { return c.getNobody(ctx, c.protocol.active.Load(), host) },
	})
	for _, protocol := range []Protocol{ProtocolConnect, ProtocolGRPC} {
		if config.Protocol == ProtocolAuto || config.Protocol == protocol {
			c.addProtocol(protocol)
		}
	}
	return c, nil
}

// BreakerState is what the breaker does with calls now.
func (c *Client) BreakerState() BreakerState { return c.guard.BreakerState() }

// Protocol is the protocol in use: the configured one, or with ProtocolAuto the one in which
// ZITADEL answered last, and Connect before the first answer.
func (c *Client) Protocol() Protocol { return c.protocols[c.protocol.active.Load()] }

// Close drops idle connections. Calls under way go on.
func (c *Client) Close() {
	for _, each := range c.wires {
		each.CloseIdleConnections()
	}
}
