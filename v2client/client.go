// Package v2client is the only door to ZITADEL v2. It makes calls with the caller's own
// token and says what became of them. It knows nothing of v1.
package v2client

import (
	"cmp"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"connectrpc.com/connect"

	"zitadel-v1-adapter/gen/zitadel/internal_permission/v2/internal_permissionv2connect"
	"zitadel-v1-adapter/gen/zitadel/user/v2/userv2connect"
	"zitadel-v1-adapter/internal/upstream"
)

// Protocol is the protocol of v2 calls.
type Protocol string

// The protocols. ZITADEL speaks Connect from v4 on, and always gRPC.
const (
	ProtocolConnect Protocol = "connect"
	ProtocolGRPC    Protocol = "grpc"
)

// maxAnswerBytes bounds what is read of an upstream's answer: more than a page of
// administrators takes. connect-go keeps the buffers that answers were read into, so
// garbage from an upstream may cost this much for each call under way, and for some
// time after it.
const maxAnswerBytes = 256 << 10

// Config says how ZITADEL is called. Every field but UserAgent, OnBreaker and Log is
// required.
type Config struct {
	// Upstream is where ZITADEL is.
	Upstream *upstream.Upstream
	// Protocol is ProtocolConnect or ProtocolGRPC.
	Protocol Protocol
	Breaker  BreakerConfig
	Retry    RetryConfig
	// Timeout is the time that the probe of a half-open breaker may take: it outlives
	// its caller. Other calls end by [Caller.WithDeadline] and their context. Above 0.
	Timeout time.Duration
	// UserAgent is sent with every call.
	UserAgent string
	// OnBreaker is called with each new state of the breaker. It must be safe for
	// concurrent use. Default: none.
	OnBreaker func(BreakerState)
	// Log receives the breaker's changes of state. Default: none.
	Log *slog.Logger
}

// Client makes ZITADEL v2 calls. It is safe for concurrent use. Every method
// returns an [*Error] as its error.
type Client struct {
	base        string
	upstream    *upstream.Upstream
	userAgent   string
	transport   transport
	users       userv2connect.UserServiceClient
	permissions internal_permissionv2connect.InternalPermissionServiceClient
	breaker     *breaker
	verified    *verifiedHosts
	openFor     time.Duration
	timeout     time.Duration
	retry       RetryConfig
	budget      *retryBudget
}

// New checks config and makes a Client; it does not connect yet. The error
// names the configuration key, its value, and what would be right.
func New(config Config) (*Client, error) {
	if config.Upstream == nil {
		return nil, errors.New("v2client: Config.Upstream is nil")
	}
	options := []connect.ClientOption{connect.WithAcceptCompression("gzip", nil, nil), connect.WithReadMaxBytes(maxAnswerBytes)}
	switch config.Protocol {
	case ProtocolConnect:
	case ProtocolGRPC:
		options = append(options, connect.WithGRPC())
	default:
		return nil, fmt.Errorf("upstream.protocol: %q: use %q (ZITADEL v4 and later) or %q", config.Protocol, ProtocolConnect, ProtocolGRPC)
	}
	if config.Timeout <= 0 {
		return nil, fmt.Errorf("upstream.timeout: %v: use a duration above 0, such as 10s", config.Timeout)
	}
	if err := config.Breaker.validate(); err != nil {
		return nil, err
	}
	if err := config.Retry.validate(); err != nil {
		return nil, err
	}
	verified, err := newVerifiedHosts(config.Upstream)
	if err != nil {
		return nil, err
	}
	log := cmp.Or(config.Log, slog.New(slog.DiscardHandler))
	transport := newTransport(config.Upstream, config.Protocol)
	base := config.Upstream.Base().String()
	return &Client{
		base:        base,
		upstream:    config.Upstream,
		userAgent:   config.UserAgent,
		transport:   transport,
		users:       userv2connect.NewUserServiceClient(transport, base, options...),
		permissions: internal_permissionv2connect.NewInternalPermissionServiceClient(transport, base, options...),
		breaker:     newBreaker(config.Breaker, config.OnBreaker, log),
		verified:    verified,
		openFor:     config.Breaker.OpenFor,
		timeout:     config.Timeout,
		retry:       config.Retry,
		budget:      newRetryBudget(config.Retry.Budget),
	}, nil
}

// Close drops idle connections. Calls under way go on.
func (c *Client) Close() { c.transport.upstream.CloseIdleConnections() }
