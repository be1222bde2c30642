package adapter

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"strings"
	"sync"
	"time"

	"connectrpc.com/connect"

	objectv2 "zitadel-v1-adapter/gen/zitadel/object/v2"
	"zitadel-v1-adapter/internal/ingress"
	"zitadel-v1-adapter/internal/rpcstatus"
	"zitadel-v1-adapter/v2client"
)

// Shadow is how native v1's answer to a call compares with what the adapter would have
// answered, which it finds out by reading alone.
type Shadow struct {
	// Method and Protocol are those of [Event].
	Method, Protocol string
	// Result is one of the Shadow constants.
	Result string
	// Native is native v1's error id, or its code by name if it has no id, or "ok"; Verdict
	// is the same of the adapter, with ShadowWrites for a call of SetPassword.
	Native, Verdict string
	// RequestID is that of [Event].
	RequestID string
}

// The values of Shadow.Result.
const (
	// ShadowAgrees: both succeed, or both refuse with the same code and id.
	ShadowAgrees = "agrees"
	// ShadowUndecided: native v1 refuses for something that only the write can know, or that
	// this ZITADEL does not tell: the user's state, the password's policy, roles.
	ShadowUndecided = "undecided"
	// ShadowDiffers: a client would notice the switch.
	ShadowDiffers = "differs"
	// ShadowDropped: too much was under way, the call was too large or could not be read,
	// ZITADEL failed, or its answer came too late.
	ShadowDropped = "dropped"
)

// ShadowWrites is Shadow.Verdict of a call that the adapter would have made.
const ShadowWrites = "would have called SetPassword"

const (
	// shadowsAtOnce is the number of calls that are judged at once. Further ones are dropped:
	// native v1's callers wait for none of them.
	shadowsAtOnce = 16
	// shadowBytes is how much is kept of a request and of its answer.
	shadowBytes = 16 << 10
)

// shadowing is a call that native v1 answers, and that is judged when it has.
type shadowing struct {
	event  *Event
	method *method
	called found // over REST
	body   keptBody
	// request is the call's over the RPC protocols, nil if it cannot be read.
	request request
	// refusal is v1's gateway's, over REST: a malformed Grpc-Timeout.
	refusal *rpcstatus.Status
}

// readsOnly is ZITADEL without its one write.
type readsOnly struct{ ZITADEL }

// errWouldWrite is what a call comes to that would write.
var errWouldWrite = errors.New(ShadowWrites)

// SetPassword makes no call.
func (readsOnly) SetPassword(context.Context, v2client.Caller, string, string, bool) (*objectv2.Details, error) {
	return nil, errWouldWrite
}

// observe makes r one whose body is kept, as far as there is room, and has the answer kept.
func (s *shadowing) observe(x *ingress.Exchange, r *http.Request) *http.Request {
	x.Keep(shadowBytes)
	if s.event.Protocol == protocolREST {
		var cancel context.CancelFunc
		_, cancel, s.refusal = withGatewayTimeout(r)
		defer cancel()
	}
	kept := *r
	kept.Body = struct {
		io.Reader
		io.Closer
	}{io.TeeReader(r.Body, &s.body), r.Body}
	return &kept
}

// keptBody is the beginning of a body. A transport may still read it when the answer is there.
type keptBody struct {
	mu     sync.Mutex
	kept   []byte
	length int64
}

func (b *keptBody) Write(data []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.kept = append(b.kept, data[:min(len(data), shadowBytes-len(b.kept))]...)
	b.length += int64(len(data))
	return len(data), nil
}

// whole is the body of a request that has come and was kept as a whole.
func (b *keptBody) whole(x *ingress.Exchange, r *http.Request) (body []byte, ok bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	come := x.Body().Whole || r.ContentLength == b.length
	return b.kept, come && int64(len(b.kept)) == b.length
}

// judge compares native v1's answer with what the adapter would have answered, in its own
// time: the answer is on its way.
func (a *Adapter) judge(r *http.Request, x *ingress.Exchange, s *shadowing) {
	native, ok := nativeAnswer(x, s.event.Protocol)
	body, whole := s.body.whole(x, r)
	readable := s.request != nil || s.event.Protocol == protocolREST && whole
	if !ok || !readable || !a.shadows.Take() {
		a.compared(s, ShadowDropped, "", "")
		return
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(r.Context()), a.config.Timeout)
	go func() {
		defer a.shadows.Free()
		defer cancel()
		verdict := a.verdictOf(ctx, s, body)
		a.compared(s, verdict.result(native), native.name(), verdict.name())
	}()
}

func (a *Adapter) compared(s *shadowing, result, native, verdict string) {
	shadow := Shadow{Method: s.method.name(), Protocol: s.event.Protocol, Result: result, Native: native, Verdict: verdict, RequestID: s.event.RequestID}
	if a.config.ObserveShadow != nil {
		a.config.ObserveShadow(shadow)
	}
	level := slog.LevelDebug
	if result == ShadowDiffers {
		level = slog.LevelWarn
	}
	a.log.LogAttrs(context.Background(), level, "shadow", slog.String("method", shadow.Method), slog.String("protocol", shadow.Protocol),
		slog.String("result", result), slog.String("native", native), slog.String("verdict", verdict), slog.String("request_id", shadow.RequestID))
}

// shadowAnswer is as much of an answer as is compared.
type shadowAnswer struct {
	code connect.Code // 0 is success
	id   string
}

func (s shadowAnswer) name() string {
	switch {
	case s.id != "":
		return s.id
	case s.code == 0:
		return "ok"
	}
	return s.code.String()
}

// verdict is what the adapter would have answered.
type verdict struct {
	shadowAnswer // ShadowWrites being an id

	failed       bool // ZITADEL did, or the adapter
	rolesUnknown bool // it is v2 that would have looked at them
}

// verdictOf judges a call, over REST by its body.
func (a *Adapter) verdictOf(ctx context.Context, s *shadowing, body []byte) verdict {
	if s.refusal != nil {
		return verdict{shadowAnswer: shadowAnswer{code: s.refusal.Code}}
	}
	request := s.request
	if request == nil {
		request = s.method.newRequest()
		if refusal := decodeJSON(body, nil, request); refusal != nil {
			return verdict{shadowAnswer: shadowAnswer{refusal.Code, refusal.ID}}
		}
		s.called.bind(request)
	}
	c := call{
		zitadel: readsOnly{a.config.ZITADEL}, identities: a.identities, event: new(Event),
		caller: s.event.caller.WithAttempts(nil).WithDeadline(time.Now().Add(a.config.Timeout)), token: s.event.token, request: request,
	}
	_, err := a.translate(ctx, &c)
	refusal := statusOf(err)
	if errors.Is(refusal.Cause, errWouldWrite) {
		writes := verdict{shadowAnswer: shadowAnswer{id: ShadowWrites}, rolesUnknown: true}
		if a.config.OrgScope == OrgScopeOff {
			return writes
		}
		if err = c.wouldBeRefused(ctx); err == nil {
			writes.rolesUnknown = c.grant == v2client.GrantUnknown
			return writes
		}
		refusal = statusOf(err)
	}
	if refusal.ID == idNoBearer && c.caller.NoToken() {
		refusal = noToken()
	}
	return verdict{shadowAnswer: shadowAnswer{refusal.Code, refusal.ID}, failed: refusal.Cause != nil}
}

// wouldBeRefused asks what v2 looks at itself before it writes, as far as it can be read: the
// caller's roles, and whether the user is one who can have a password.
func (c *call) wouldBeRefused(ctx context.Context) error {
	if err := c.authorize(ctx); err != nil {
		return err
	}
	human, err := c.zitadel.IsHuman(ctx, c.caller, c.request.userID())
	if err == nil && !human {
		return passwordNotFound()
	}
	return err
}

// result compares native v1's answer with the verdict.
func (v verdict) result(native shadowAnswer) string {
	switch native.code { //nolint:exhaustive // the others say something about the call
	case connect.CodeCanceled, connect.CodeDeadlineExceeded, connect.CodeUnavailable:
		return ShadowDropped
	}
	switch {
	case v.failed:
		return ShadowDropped
	case v.shadowAnswer == native, v.id == ShadowWrites && native.code == 0:
		return ShadowAgrees
	case v.id == ShadowWrites && (onlyWriteKnows(native.id) || v.rolesUnknown && strings.HasPrefix(native.id, "AUTH")):
		return ShadowUndecided
	}
	return ShadowDiffers
}

// onlyWriteKnows reports whether a refusal of native v1's is about what no read tells: the
// user's state, the password's policy, or how long a password the hash takes.
func onlyWriteKnows(id string) bool {
	return id != idPasswordNotFound && (strings.HasPrefix(id, "DOMAIN-") || strings.HasPrefix(id, "COMMAND-") || strings.HasPrefix(id, "CRYPT"))
}
