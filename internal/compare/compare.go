// Package compare makes v1 calls against a ZITADEL's native v1 and against an adapter in
// front of it, and tells what differs. It changes nothing: safe.go refuses to send what
// could.
package compare

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"math/big"
	"net/http"
	"slices"
	"strings"

	"connectrpc.com/connect"

	"zitadel-v1-adapter/internal/printable"
	"zitadel-v1-adapter/internal/upstream"
)

// Status is how two answers compare.
type Status string

const (
	// OK means that they are the same.
	OK Status = "ok"
	// Known means that they differ as docs/differences.md says.
	Known Status = "known"
	// Differs means that they differ.
	Differs Status = "differs"
)

// Row is what came of one call.
type Row struct {
	Call

	Status Status `json:"status"`
	// Native and Adapter are the answers, or what differs of them, without what is secret.
	Native  string `json:"native"`
	Adapter string `json:"adapter,omitempty"` // "" if OK
	// Reason is why a difference is known.
	Reason string `json:"reason,omitempty"`
}

// Config says what to compare.
type Config struct {
	// Native is ZITADEL.
	Native *upstream.Upstream
	// Adapter is an adapter in front of it. nil is enough for a Plan that is not run.
	Adapter *upstream.Upstream
	// Token is an access token. That of a caller who may set passwords proves most.
	Token string
	// User is the id of a user of the caller's organization. Default: one that does not exist.
	User string
	// OtherUser is the id of a user of another organization. Default: no such calls.
	OtherUser string
	// Languages says that the adapter has v1's texts (messages.dir), so that they must be
	// the same.
	Languages bool
	// OrgScopeOff says that the adapter does not keep v1's organization rule.
	OrgScopeOff bool
}

// Plan is a set of calls that change nothing. It is for one run.
type Plan struct {
	config Config
	world  world
	calls  []Call
}

// NewPlan makes a Plan, and sends nothing. Errors name the command's flag.
func NewPlan(config Config) (*Plan, error) {
	if config.Token == "" {
		return nil, errors.New("--token-file: missing: name a file with an access token of a caller who may set passwords")
	}
	for flag, id := range map[string]string{"--user": config.User, "--other-user": config.OtherUser} {
		if id != "" && !isUserID(id) {
			return nil, fmt.Errorf("%s: not a user id: use the user's number", flag)
		}
	}
	w := newWorld(config)
	plan := &Plan{config, w, w.calls()}
	for _, call := range plan.calls {
		if err := w.checkWritesNothing(call); err != nil {
			return nil, fmt.Errorf("compare: a mistake in this program: %s %s, %s, could write: %w: nothing was sent", call.Protocol, call.Method, call.What, err)
		}
	}
	return plan, nil
}

// Calls are what [Plan.Run] sends to either side, in this order.
func (p *Plan) Calls() []Call { return p.calls }

func newWorld(config Config) world {
	w := world{
		token: config.Token, user: config.User, otherUser: config.OtherUser, password: "Aa1!" + rand.Text(),
		badToken: "made-up-" + rand.Text(), missing: randomID(), missedOrg: randomID(), tooLong: strings.Repeat("9", maxUserIDRunes+1),
	}
	if w.user == "" {
		w.user = w.missing
	}
	return w
}

// randomID is an id that nobody has: ZITADEL counts its ids up with the time. In November
// 2026 it had reached 4·10¹⁷ (the recordings); it will reach 9·10¹⁷ in 2036.
func randomID() string {
	const first, count = 900_000_000_000_000_000, 100_000_000_000_000_000
	offset, _ := rand.Int(rand.Reader, big.NewInt(count)) // never fails
	return offset.Add(offset, big.NewInt(first)).String()
}

// Run makes all calls, one after the other, against ZITADEL first. It stops at once if a
// call succeeds, which none may, and if the first does not find what it looks for. The
// error says what to do; with it, the rows are those so far.
func (p *Plan) Run(ctx context.Context) ([]Row, error) {
	native, adapter := newSide(p.config.Native, p.config.Native.Base().Host), newSide(p.config.Adapter, p.config.Native.Base().Host)
	defer native.close()
	defer adapter.close()
	var rows []Row
	found := &findings{}
	for i, call := range p.calls {
		want, err := p.send(ctx, native, call)
		if err == nil && i == 0 {
			err = p.checkNative(want)
		}
		if err != nil {
			return rows, err
		}
		got, err := p.send(ctx, adapter, call)
		if err == nil && i == 0 {
			err = p.checkAdapter(got)
		}
		if err != nil {
			return rows, err
		}
		if err := ctx.Err(); err != nil {
			return rows, errors.New("compare: not all calls were answered in time: give it more with --timeout, or see with check what keeps ZITADEL busy")
		}
		found.note(call, want)
		rows = append(rows, p.row(call, want, got))
	}
	if found.isGone() {
		return nil, errors.New("compare: native v1 is not there any more: there is nothing to compare the adapter with. " +
			"If it should be, does a proxy between keep back /management/v1 and /zitadel.management.v1.ManagementService?")
	}
	if found.tokenRefused {
		return rows, errors.New("compare: ZITADEL does not take the token in --token-file, so that little was compared: use an access token that is still valid")
	}
	return rows, nil
}

// send makes a call, if it is sure that it cannot write.
func (p *Plan) send(ctx context.Context, to *side, call Call) (answer, error) {
	if err := p.world.checkWritesNothing(call); err != nil { // again, on what is sent now
		return answer{}, err
	}
	got := to.send(ctx, call)
	if call.Why != NotACall && got.succeeded(call.Protocol) {
		return got, fmt.Errorf("compare: stopped: %s answered %s %s, %s, with success, which it must refuse: %s Is this ZITADEL's v1?",
			p.scrub(to.base), call.Protocol, call.Method, call.What, call.Why)
	}
	return got, nil
}

// checkNative looks at ZITADEL's first answer.
func (p *Plan) checkNative(first answer) error {
	switch {
	case first.failure != nil:
		return fmt.Errorf("compare: ZITADEL did not answer: %s: check says what to do", p.scrub(first.failure.Error()))
	case first.isAdapters():
		return errors.New("compare: upstream.url is an adapter: set it to ZITADEL's own address")
	case first.status == http.StatusNotFound && strings.Contains(first.Message, "nstance"):
		return errors.New("compare: ZITADEL has no instance under this name, so every answer would be that: set upstream.host; check says to what")
	}
	return nil
}

// checkAdapter looks at the adapter's first answer.
func (p *Plan) checkAdapter(first answer) error {
	switch {
	case first.failure != nil:
		return fmt.Errorf("compare: the adapter did not answer: %s: is it running, and is --adapter its address?", p.scrub(first.failure.Error()))
	case !first.isAdapters():
		return errors.New("compare: what answers at --adapter is no zitadel-v1-adapter: is it the address for legacy clients?")
	}
	return nil
}

// findings are what ZITADEL's answers tell as a whole.
type findings struct {
	calls, gone  int
	tokenRefused bool
}

func (f *findings) note(call Call, native answer) {
	if call.Why == NotACall {
		return
	}
	f.calls++
	if native.isGone() {
		f.gone++
	}
	if call.Why == NoUser && native.Code == connect.CodeUnauthenticated {
		f.tokenRefused = true
	}
}

func (f *findings) isGone() bool { return f.gone == f.calls }

// row compares two answers.
func (p *Plan) row(call Call, native, adapter answer) Row {
	row := Row{Call: call, Status: OK, Native: printable.Excerpt(p.scrub(native.String()))}
	all := p.config.differences(call, native, adapter)
	if len(all) == 0 {
		return row
	}
	row.Status = Differs
	shown := slices.DeleteFunc(slices.Clone(all), func(found difference) bool { return found.reason != "" })
	if len(shown) == 0 {
		row.Status, shown = Known, all
	}
	var wants, gots, reasons []string
	for _, found := range shown {
		wants, gots, reasons = append(wants, found.native), append(gots, found.adapter), append(reasons, found.reason)
	}
	row.Native, row.Adapter = printable.Excerpt(p.scrub(strings.Join(wants, "; "))), printable.Excerpt(p.scrub(strings.Join(gots, "; ")))
	slices.Sort(reasons)
	row.Reason = strings.Join(slices.Compact(reasons), "; ")
	return row
}

// scrub takes from a text what is secret: a server may send back what it was sent.
func (p *Plan) scrub(text string) string {
	return strings.NewReplacer(p.world.token, "…", p.world.password, "…", p.world.badToken, "…").Replace(text)
}
