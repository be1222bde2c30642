// Package v2client is the only door to ZITADEL v2. It makes single calls with
// the caller's own token and tells what became of them; it knows nothing of v1.
package v2client

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"time"

	"connectrpc.com/connect"

	filterv2 "zitadel-v1-adapter/gen/zitadel/filter/v2"
	permissionv2 "zitadel-v1-adapter/gen/zitadel/internal_permission/v2"
	"zitadel-v1-adapter/gen/zitadel/internal_permission/v2/internal_permissionv2connect"
	objectv2 "zitadel-v1-adapter/gen/zitadel/object/v2"
	userv2 "zitadel-v1-adapter/gen/zitadel/user/v2"
	"zitadel-v1-adapter/gen/zitadel/user/v2/userv2connect"
	"zitadel-v1-adapter/internal/upstream"
)

// Protocol is how the upstream is spoken to.
type Protocol string

// The protocols. ZITADEL knows Connect from v4 on, gRPC always.
const (
	ProtocolConnect Protocol = "connect"
	ProtocolGRPC    Protocol = "grpc"
)

// maxAnswerBytes bounds what is read of an upstream's answer: more than a page of
// administrators takes. connect-go keeps the buffers that answers were read into, so
// that is what garbage from an upstream may cost for each call under way, and for some
// time after it.
const maxAnswerBytes = 256 << 10

// Config says how ZITADEL is called. It has no defaults: every field but Log is
// required.
type Config struct {
	// Upstream is where ZITADEL is.
	Upstream *upstream.Upstream
	// Protocol is ProtocolConnect or ProtocolGRPC.
	Protocol Protocol
	Breaker  BreakerConfig
	Retry    RetryConfig
	// Timeout is how long calls may take at most, by the deadlines that their callers
	// set. The probe of a half-open breaker has so long, even if its caller leaves.
	Timeout time.Duration
	// UserAgent of the upstream calls.
	UserAgent string
	// OnBreaker is told each new state of the breaker: "closed", "open" or
	// "half-open"; nil means that nobody is. It must be safe for concurrent use.
	OnBreaker func(state string)
	// Log receives the breaker's changes of state; nil discards them.
	Log *slog.Logger
}

// Client makes ZITADEL v2 calls. It is safe for concurrent use. Every method
// returns an [*Error] as its error.
type Client struct {
	base        string
	upstream    *upstream.Upstream
	userAgent   string
	http        *http.Client
	users       userv2connect.UserServiceClient
	permissions internal_permissionv2connect.InternalPermissionServiceClient
	breaker     *breaker
	hosts       *hosts
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
	hosts, err := newHosts(config.Upstream)
	if err != nil {
		return nil, err
	}
	log := cmp.Or(config.Log, slog.New(slog.DiscardHandler))
	httpClient := &http.Client{
		Transport: exchangeNoter{newTransport(config.Upstream, config.Protocol)},
		// ZITADEL's API does not redirect. What does is not ZITADEL, and must
		// not be sent a token or a password.
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
	base := config.Upstream.Base().String()
	return &Client{
		base:        base,
		upstream:    config.Upstream,
		userAgent:   config.UserAgent,
		http:        httpClient,
		users:       userv2connect.NewUserServiceClient(httpClient, base, options...),
		permissions: internal_permissionv2connect.NewInternalPermissionServiceClient(httpClient, base, options...),
		breaker:     newBreaker(config.Breaker, config.OnBreaker, log),
		hosts:       hosts,
		openFor:     config.Breaker.OpenFor,
		timeout:     config.Timeout,
		retry:       config.Retry,
		budget:      newRetryBudget(config.Retry.Budget),
	}, nil
}

// Close drops idle connections. Calls under way go on.
func (c *Client) Close() { c.http.CloseIdleConnections() }

// errEmptyPassword is a defect of the program, not of a caller: an empty
// password has been refused long before.
var errEmptyPassword = errors.New("refusing to send an empty new password")

// SetPassword gives the user a new password, to be changed at the next login,
// by one UserService.SetPassword call. An empty password is never sent: v2
// would take a missing new_password and store the hash of "".
func (c *Client) SetPassword(ctx context.Context, caller Caller, userID, password string) (*objectv2.Details, error) {
	if password == "" {
		return nil, &Error{
			Code:    connect.CodeInvalidArgument,
			Message: errEmptyPassword.Error(),
			Origin:  OriginSelf,
		}
	}
	response, err := unary(ctx, c, write, caller, c.users.SetPassword, &userv2.SetPasswordRequest{
		UserId:      userID,
		NewPassword: &userv2.Password{Password: password, ChangeRequired: true},
	})
	if err != nil {
		return nil, err
	}
	return response.GetDetails(), nil
}

// UserOrganization tells the organization that a user belongs to, by one
// UserService.GetUserByID call. It never changes.
func (c *Client) UserOrganization(ctx context.Context, caller Caller, userID string) (string, error) {
	response, err := unary(ctx, c, read, caller, c.users.GetUserByID, &userv2.GetUserByIDRequest{UserId: userID})
	if err != nil {
		return "", err
	}
	organization := response.GetDetails().GetResourceOwner()
	if organization == "" {
		return "", unusable(errors.New("GetUserByID named no resource owner"))
	}
	return organization, nil
}

// Administrator is one of a user's administrator roles and where it holds.
type Administrator struct {
	// Instance is true for a role on the whole instance.
	Instance bool
	// Organizations for which the role counts: that of the resource, and for a
	// granted project the one it is granted to.
	Organizations []string
	// Roles by ZITADEL's names, such as "ORG_OWNER".
	Roles []string
}

// administratorsPage is ZITADEL's default, and smallest possible maximum, for
// the number of results of one call.
const administratorsPage = 100

// maxAdministratorPages bounds a list that never ends.
const maxAdministratorPages = 100

// Administrators lists a user's administrator roles, by as many
// InternalPermissionService.ListAdministrators calls as it has pages. One's own
// roles may be listed without any permission. ZITADEL before v4 answers
// CodeUnimplemented.
func (c *Client) Administrators(ctx context.Context, caller Caller, userID string) ([]Administrator, error) {
	var all []Administrator
	for range maxAdministratorPages {
		response, err := unary(ctx, c, read, caller, c.permissions.ListAdministrators, &permissionv2.ListAdministratorsRequest{
			Pagination: &filterv2.PaginationRequest{Offset: uint64(len(all)), Limit: administratorsPage},
			Filters: []*permissionv2.AdministratorSearchFilter{{
				Filter: &permissionv2.AdministratorSearchFilter_InUserIdsFilter{
					InUserIdsFilter: &filterv2.InIDsFilter{Ids: []string{userID}},
				},
			}},
		})
		if err != nil {
			return nil, err
		}
		page := response.GetAdministrators()
		for _, administrator := range page {
			all = append(all, newAdministrator(administrator))
		}
		if len(page) == 0 || uint64(len(all)) >= response.GetPagination().GetTotalResult() {
			return all, nil
		}
	}
	return nil, unusable(errors.New("ListAdministrators does not end"))
}

func newAdministrator(from *permissionv2.Administrator) Administrator {
	to := Administrator{Instance: from.GetInstance(), Roles: from.GetRoles()}
	for _, organization := range []string{
		from.GetOrganization().GetId(),
		from.GetProject().GetOrganizationId(),
		from.GetProjectGrant().GetOrganizationId(),
		from.GetProjectGrant().GetGrantedOrganizationId(),
	} {
		if organization != "" {
			to.Organizations = append(to.Organizations, organization)
		}
	}
	return to
}

// unary makes one call: host, headers, retries, breaker, error.
func unary[Req, Res any](
	ctx context.Context,
	c *Client,
	kind kind,
	caller Caller,
	method func(context.Context, *connect.Request[Req]) (*connect.Response[Res], error),
	message *Req,
) (*Res, error) {
	target, err := c.admit(caller)
	if err != nil {
		return nil, err
	}
	return repeated(ctx, c, kind, target, func(ctx context.Context) (*Res, error) {
		request := connect.NewRequest(message)
		caller.addTo(request.Header())
		request.Header()["User-Agent"] = []string{c.userAgent}
		request.Header()["Host"] = []string{target.host}
		response, err := method(ctx, request)
		if err != nil {
			return nil, err
		}
		return response.Msg, nil
	})
}

// maxForwardedBytes bounds the headers that a caller may have sent on. Tokens
// are a few kilobytes.
const maxForwardedBytes = 256 << 10

// target is where a call goes.
type target struct {
	host string
	// A failure may be the call's own fault if its headers are large, or if nobody has
	// ever seen its host answer as ZITADEL.
	large, stranger bool
}

func (t target) doubtful() bool { return t.large || t.stranger }

// mayBeWhy reports whether a call to t may have failed because of t. Without a connection
// it was not, and a load balancer that does not know a host says so at once.
func (t target) mayBeWhy(failure *Error) bool {
	switch {
	case upstream.IsDial(failure.cause):
		return false
	case failure.Origin == OriginDeadline:
		return t.large
	}
	return t.doubtful()
}

// admit says where a caller's calls go. It refuses what net/http
// would not send: a caller must not be able to fail calls in a way that looks
// like the upstream's fault.
func (c *Client) admit(caller Caller) (target, error) {
	if caller.size() > maxForwardedBytes {
		return target{}, &Error{Code: connect.CodeResourceExhausted, Message: "the request's headers are too large", Origin: OriginSelf}
	}
	host, ok := c.upstream.HostFor(caller.host)
	if !ok {
		return target{}, &Error{Code: connect.CodeNotFound, Message: "Instance not found: the request's host is not a host name", Origin: OriginSelf}
	}
	return target{host: host, large: caller.large(), stranger: !c.hosts.known(host)}, nil
}
