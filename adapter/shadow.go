package adapter

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"slices"
	"strings"
	"time"

	"connectrpc.com/connect"

	objectv2 "zitadel-v1-adapter/gen/zitadel/object/v2"
	"zitadel-v1-adapter/internal/ingress"
	"zitadel-v1-adapter/internal/redact"
	"zitadel-v1-adapter/internal/rpcstatus"
	"zitadel-v1-adapter/internal/v1wire"
	"zitadel-v1-adapter/v2client"
)

// Shadow is how native v1's answer compares with what the adapter would have answered, which it
// finds out read-only.
type Shadow struct {
	// Method and Protocol are those of [Event].
	Method, Protocol string
	// Result is one of the Shadow constants.
	Result string
	// Native is native v1's error id, or else its code by name, or "ok"; Verdict is the
	// adapter's, with ShadowWrites for a call of SetPassword.
	Native, Verdict string
	// RequestID is that of [Event].
	RequestID string
}

// The values of Shadow.Result.
const (
	// ShadowAgrees: both succeed, or both refuse with the same code and id.
	ShadowAgrees = "agrees"
	// ShadowUndecided: native v1 refuses for what only the write can know, or this ZITADEL does
	// not tell: the user's state, the password's policy, roles.
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
	shadowsAtOnce = 16       // judgements; further calls are dropped
	shadowBytes   = 16 << 10 // that are kept of a request, and of its answer
)

// shadowMode judges calls. It has no way to write: v2's writes are another interface.
type shadowMode struct {
	reads      Reads
	identities *identityCache
	orgScope   OrgScope
	timeout    time.Duration
	slots      ingress.Slots
	observe    func(Shadow) // may be nil
	log        *slog.Logger
}

func newShadowMode(config Config, identities *identityCache) *shadowMode {
	return &shadowMode{
		reads: config.ZITADEL, identities: identities, orgScope: config.OrgScope, timeout: config.Timeout,
		slots: ingress.Slots{Limit: shadowsAtOnce}, observe: config.ObserveShadow, log: config.Log,
	}
}

// errWouldWrite is what a call comes to that would write.
var errWouldWrite = errors.New(ShadowWrites)

// wouldWrite takes the place of a call's write.
func wouldWrite(context.Context) (*objectv2.Details, error) { return nil, errWouldWrite }

// observe has the answer kept, and reads over REST the call's request, as far as there is room.
// It returns r with the whole body again.
func observe(x *ingress.Exchange, r *http.Request, c *call) *http.Request {
	x.Keep(shadowBytes)
	if c.event.Protocol != protocolREST { // it was read for the rollout
		return r
	}
	body, err := io.ReadAll(io.LimitReader(r.Body, shadowBytes+1))
	if err == nil && len(body) <= shadowBytes {
		captured := *r
		captured.Body = http.NoBody
		_, cancel, refusal := v1wire.RESTContext(r)
		cancel()
		c.rejected = cmp.Or(refusal, c.readREST(context.WithoutCancel(r.Context()), &captured, capturedBody{bytes.NewReader(body)}, c.event.UserID))
	}
	return replay(r, bytes.NewReader(body))
}

// capturedBody is a complete body, as [v1wire.Body].
type capturedBody struct{ *bytes.Reader }

func (capturedBody) Unpacked(from io.Reader) io.Reader { return from }

// judge compares native v1's answer, which is on its way, with the adapter's. The event's caller is known.
func (m *shadowMode) judge(ctx context.Context, x *ingress.Exchange, c *call) {
	event := c.event // which goes on when this returns
	native, ok := nativeAnswer(x, event.Protocol)
	if !ok || c.request == nil || !m.slots.Take() {
		m.report(event, ShadowDropped, "", "")
		return
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), m.timeout)
	go func() {
		defer m.slots.Free()
		defer cancel()
		verdict := m.verdictOf(ctx, c, &event)
		m.report(event, verdict.result(native), native.name(), verdict.name())
	}()
}

// report hands a comparison to the observer and the log. Its line has what a call's has of who and whom.
func (m *shadowMode) report(of Event, result, native, verdict string) {
	shadow := Shadow{Method: of.Method, Protocol: of.Protocol, Result: result, Native: native, Verdict: verdict, RequestID: of.RequestID}
	if m.observe != nil {
		m.observe(shadow)
	}
	level := slog.LevelDebug
	if result == ShadowDiffers {
		level = slog.LevelWarn
	}
	m.log.LogAttrs(context.Background(), level, "shadow", slog.String("method", shadow.Method), slog.String("protocol", shadow.Protocol),
		slog.String("result", result), slog.String("native", native), slog.String("verdict", verdict),
		slog.String("caller", of.Caller), slog.String("user_id", redact.Shorten(of.UserID)), slog.String("organization", redact.Shorten(of.Organization)),
		slog.String("request_id", shadow.RequestID))
}

// nativeAnswer returns the code and the error id of native v1's answer, as far as it was kept;
// ok is false if it cannot be read.
func nativeAnswer(x *ingress.Exchange, protocol string) (answer shadowAnswer, ok bool) {
	trailer := http.Header{}
	for name, values := range x.Header() {
		if name, isTrailer := strings.CutPrefix(name, http.TrailerPrefix); isTrailer {
			trailer[name] = values
		}
	}
	native, err := v1wire.DecodeAnswer(rpcstatus.Protocol(protocol), x.Status(), x.Header(), trailer, x.Kept())
	return shadowAnswer{native.Code, native.ID()}, err == nil
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

// verdictOf judges a call. It notes in the event what it finds out of the caller and its organization.
func (m *shadowMode) verdictOf(ctx context.Context, c *call, event *Event) verdict {
	if refusal := cmp.Or(c.rejected, c.hostRefusal); refusal != nil {
		return verdict{shadowAnswer: shadowAnswer{refusal.Code, refusal.ID}}
	}
	judged := call{
		reads: m.reads, identities: m.identities, write: wouldWrite, method: c.method, request: c.request, token: c.token,
		caller: c.caller,
	}
	judged.caller.Attempts, judged.caller.Deadline = nil, time.Now().Add(m.timeout)
	_, err := judged.translate(ctx, m.orgScope)
	event.Caller, event.Organization = cmp.Or(judged.event.Caller, event.Caller), cmp.Or(judged.event.Organization, event.Organization)
	refusal := statusOf(err)
	if errors.Is(refusal.Cause, errWouldWrite) {
		writes := verdict{shadowAnswer: shadowAnswer{id: ShadowWrites}, rolesUnknown: true}
		if m.orgScope == OrgScopeOff {
			return writes
		}
		if err = judged.wouldBeRefused(ctx); err == nil {
			writes.rolesUnknown = judged.grant == v2client.GrantUnknown
			return writes
		}
		refusal = statusOf(err)
	}
	return verdict{shadowAnswer: shadowAnswer{refusal.Code, refusal.ID}, failed: refusal.Cause != nil}
}

// wouldBeRefused asks what v2 looks at before it writes, as far as it can be read: the caller's
// roles, and whether the user is one who can have a password.
func (c *call) wouldBeRefused(ctx context.Context) error {
	if err := c.authorize(ctx); err != nil {
		return err
	}
	human, err := c.reads.IsHuman(ctx, c.caller, c.request.GetUserId())
	if err == nil && !human {
		return passwordNotFound()
	}
	return err
}

// result compares native v1's answer with the verdict.
func (v verdict) result(native shadowAnswer) string {
	saysNothing := []connect.Code{connect.CodeCanceled, connect.CodeDeadlineExceeded, connect.CodeUnavailable} // about the call
	switch {
	case v.failed, slices.Contains(saysNothing, native.code):
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
