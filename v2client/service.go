package v2client

import (
	"context"
	"maps"
	"net/http"
	"time"

	"connectrpc.com/connect"

	permissionv2 "zitadel-v1-adapter/gen/zitadel/internal_permission/v2"
	"zitadel-v1-adapter/gen/zitadel/internal_permission/v2/internal_permissionv2connect"
	userv2 "zitadel-v1-adapter/gen/zitadel/user/v2"
	"zitadel-v1-adapter/gen/zitadel/user/v2/userv2connect"
	"zitadel-v1-adapter/internal/upstream"
)

// service is ZITADEL v2 over one protocol.
type service struct {
	protocol    Protocol
	transport   transport
	users       userv2connect.UserServiceClient
	permissions internal_permissionv2connect.InternalPermissionServiceClient
	lane        *lane // nil: not Connect
	beta        *connect.Client[permissionv2.ListAdministratorsRequest, permissionv2.ListAdministratorsResponse]
}

// betaListAdministrators is what ListAdministrators was before v4.5, with the same
// messages.
const betaListAdministrators = "/zitadel.internal_permission.v2beta.InternalPermissionService/ListAdministrators"

func newService(to *upstream.Upstream, protocol Protocol) *service {
	options := []connect.ClientOption{connect.WithAcceptCompression("gzip", nil, nil), connect.WithReadMaxBytes(maxAnswerBytes)}
	if protocol == ProtocolGRPC {
		options = append(options, connect.WithGRPC())
	}
	transport, base := newTransport(to, protocol), to.Base().String()
	s := &service{
		protocol:    protocol,
		transport:   transport,
		users:       userv2connect.NewUserServiceClient(transport, base, options...),
		permissions: internal_permissionv2connect.NewInternalPermissionServiceClient(transport, base, options...),
		beta:        connect.NewClient[permissionv2.ListAdministratorsRequest, permissionv2.ListAdministratorsResponse](transport, base+betaListAdministrators, options...),
	}
	if protocol == ProtocolConnect {
		s.lane = newLane(to, transport, options)
	}
	return s
}

// procedure is one of v2's, of which a service makes a call with a header that it may change.
type procedure[Req, Res any] func(s *service, ctx context.Context, header http.Header, message *Req) (*Res, error)

func (s *service) setPassword(ctx context.Context, header http.Header, message *userv2.SetPasswordRequest) (*userv2.SetPasswordResponse, error) {
	if s.lane != nil {
		return s.lane.setPassword(ctx, header, message)
	}
	return byConnect(ctx, s.users.SetPassword, header, message)
}

func (s *service) getUserByID(ctx context.Context, header http.Header, message *userv2.GetUserByIDRequest) (*userv2.GetUserByIDResponse, error) {
	return byConnect(ctx, s.users.GetUserByID, header, message)
}

func (s *service) listAdministrators(ctx context.Context, header http.Header, message *permissionv2.ListAdministratorsRequest) (*permissionv2.ListAdministratorsResponse, error) {
	return byConnect(ctx, s.permissions.ListAdministrators, header, message)
}

func (s *service) listAdministratorsBeta(ctx context.Context, header http.Header, message *permissionv2.ListAdministratorsRequest) (*permissionv2.ListAdministratorsResponse, error) {
	return byConnect(ctx, s.beta.CallUnary, header, message)
}

// byConnect makes a call with connect-go.
func byConnect[Req, Res any](
	ctx context.Context,
	call func(context.Context, *connect.Request[Req]) (*connect.Response[Res], error),
	header http.Header,
	message *Req,
) (*Res, error) {
	request := connect.NewRequest(message)
	maps.Copy(request.Header(), header)
	response, err := call(ctx, request)
	if err != nil {
		return nil, err
	}
	return response.Msg, nil
}

// service is ZITADEL over the protocol in use.
func (c *Client) service() *service { return c.services[c.spoken.Load()] }

// Protocol is the protocol in use: the configured one, or with ProtocolAuto the one in
// which ZITADEL answered last, and Connect before the first answer.
func (c *Client) Protocol() Protocol { return c.service().protocol }

// ask makes a call over the protocol that ZITADEL speaks. With ProtocolAuto, one that is
// not there is made over the other protocol too, if ZITADEL answers that: nothing handled
// the first, so no write is made twice. What answers there is spoken from then on.
func ask[Req, Res any](ctx context.Context, c *Client, method procedure[Req, Res], caller Caller, to target, message *Req) (*Res, error) {
	spoken := c.spoken.Load()
	c.lookForConnect(to)
	response, err := method(c.services[spoken], ctx, c.header(caller, to), message)
	if len(c.services) == 1 || !isUnknownCall(err) {
		return response, err
	}
	other := 1 - spoken
	if !c.speaks(ctx, c.services[other], to) {
		return response, err
	}
	otherResponse, otherErr := method(c.services[other], ctx, c.header(caller, to), message)
	if isUnknownCall(otherErr) {
		return response, err
	}
	if (otherErr == nil || connect.IsWireError(otherErr)) && c.spoken.CompareAndSwap(spoken, other) {
		c.recheckAt.Store(time.Now().Add(protocolRecheck).UnixNano())
	}
	return otherResponse, otherErr
}

// protocolRecheck is how often a client that speaks gRPC looks for Connect, which ZITADEL
// speaks after an upgrade.
const protocolRecheck = 10 * time.Minute

// lookForConnect switches to Connect if ZITADEL speaks it by now. Calls do not wait for
// that.
func (c *Client) lookForConnect(to target) {
	const auto = 2 // services
	if len(c.services) != auto || c.spoken.Load() == 0 {
		return
	}
	due, now := c.recheckAt.Load(), time.Now()
	if now.UnixNano() < due || !c.recheckAt.CompareAndSwap(due, now.Add(protocolRecheck).UnixNano()) {
		return
	}
	go func() {
		if c.speaks(context.Background(), c.services[0], to) {
			c.spoken.Store(0)
		}
	}()
}

// speaks asks ZITADEL over one protocol for a user without a token, and reports whether it
// answers, with a refusal as a rule.
func (c *Client) speaks(ctx context.Context, over *service, to target) bool {
	ctx, cancel := context.WithTimeout(ctx, probeTimeout)
	defer cancel()
	made := newNote(ctx, nil)
	_, err := over.getUserByID(made, c.header(Caller{}, to), new(userv2.GetUserByIDRequest))
	return err == nil || connect.IsWireError(err) && !isUnknownCall(err) && !made.known().foreign
}
