package v2client

import (
	"context"
	"sync/atomic"
	"time"

	"connectrpc.com/connect"

	userv2 "zitadel-v1-adapter/gen/zitadel/user/v2"
	"zitadel-v1-adapter/gen/zitadel/user/v2/userv2connect"
	"zitadel-v1-adapter/internal/upstream"
	"zitadel-v1-adapter/v2client/internal/guard"
	"zitadel-v1-adapter/v2client/internal/wire"
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

// protocol is one that ZITADEL may speak.
type protocol struct {
	name      Protocol
	userAgent string
	http      *wire.Client
	users     userv2connect.UserServiceClient // without the guard, for probes
}

// options are for the generated clients.
func (p *protocol) options() []connect.ClientOption {
	options := []connect.ClientOption{connect.WithAcceptCompression("gzip", nil, nil), connect.WithReadMaxBytes(wire.MaxAnswerBytes)}
	if p.name == ProtocolGRPC {
		options = append(options, connect.WithGRPC())
	}
	return options
}

// protocols are those that ZITADEL may speak, and which of them it does.
type protocols struct {
	all       []*protocol // Connect and gRPC for ProtocolAuto, else one
	active    atomic.Int32
	recheckAt atomic.Int64 // when to look for Connect, in Unix nanoseconds
}

// recheckConnect is how often a client that speaks gRPC looks for Connect, which ZITADEL
// speaks after an upgrade.
const recheckConnect = 10 * time.Minute

func newProtocols(config Config) *protocols {
	names := []Protocol{config.Protocol}
	if config.Protocol == ProtocolAuto {
		names = []Protocol{ProtocolConnect, ProtocolGRPC}
	}
	p := new(protocols)
	for _, name := range names {
		version := upstream.HTTP1
		if name == ProtocolGRPC {
			version = upstream.HTTP2
		}
		each := &protocol{name: name, userAgent: config.UserAgent, http: wire.NewClient(config.Upstream, version)}
		each.users = userv2connect.NewUserServiceClient(each.http, config.Upstream.Base().String(), each.options()...)
		p.all = append(p.all, each)
	}
	return p
}

func (p *protocols) current() *protocol { return p.all[p.active.Load()] }

// inUse is the index of the protocol for a call. While that is gRPC, it looks now and then, in the
// background, whether ZITADEL speaks Connect by now, and then changes to it.
func (p *protocols) inUse(host string) int32 {
	active := p.active.Load()
	if active == 0 {
		return active
	}
	if due, now := p.recheckAt.Load(), time.Now(); now.UnixNano() >= due && p.recheckAt.CompareAndSwap(due, now.Add(recheckConnect).UnixNano()) {
		go func() {
			if p.otherAnswers(context.Background(), active, host) {
				p.active.Store(0)
			}
		}()
	}
	return active
}

// use makes a protocol the one in use.
func (p *protocols) use(index int32) {
	p.recheckAt.Store(time.Now().Add(recheckConnect).UnixNano())
	p.active.Store(index)
}

// otherAnswers reports whether ZITADEL answers, with a refusal as a rule, over the protocol
// that is not active. false if there is none.
func (p *protocols) otherAnswers(ctx context.Context, active int32, host string) bool {
	if len(p.all) == 1 {
		return false
	}
	ctx, cancel := context.WithTimeout(ctx, guard.ProbeTimeout)
	defer cancel()
	err := p.all[1-active].getNobody(ctx, host)
	return err == nil || connect.IsWireError(err) && connect.CodeOf(err) != connect.CodeUnimplemented
}

// getNobody asks ZITADEL for a user without a token, which it refuses. No caller's token is
// used, and nothing can be written.
func (p *protocol) getNobody(ctx context.Context, host string) error {
	request := connect.NewRequest(new(userv2.GetUserByIDRequest))
	Caller{}.setHeader(request.Header(), p.userAgent, host)
	_, err := p.users.GetUserByID(ctx, request)
	return err
}
