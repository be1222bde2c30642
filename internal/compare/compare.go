// Package compare makes v1 calls against a ZITADEL's native v1 and an adapter in front of it, and
// tells what differs. It changes nothing: safe.go refuses to send what could.
package compare

import (
	"cmp"
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
	"zitadel-v1-adapter/internal/probe"
	"zitadel-v1-adapter/internal/upstream"
)

// Status is how two answers compare.
type Status string

// How two answers compare.
const (
	OK      Status = "ok"      // they are the same
	Known   Status = "known"   // they differ as docs/differences.md says
	Differs Status = "differs" // they differ otherwise
)

// Row is what came of one call.
type Row struct {
	Call

	Status  Status `json:"status"`
	Native  string `json:"native"`            // its answer, or what differs of it, without what is secret
	Adapter string `json:"adapter,omitempty"` // the same of the adapter; "" if OK
	Reason  string `json:"reason,omitempty"`  // why a difference is known
}

// Config says what to compare.
type Config struct {
	Native      *upstream.Upstream // ZITADEL
	Adapter     *upstream.Upstream // an adapter in front of it; nil is enough for a Plan that is not run
	Token       string             // an access token; that of a caller who may set passwords proves most
	User        string             // the id of a user of the caller's organization; default: one that does not exist
	OtherUser   string             // the id of a user of another organization; default: no such calls
	Languages   bool               // the adapter has v1's texts (messages.dir), so that they must be the same
	OrgScopeOff bool               // the adapter does not keep v1's organization rule
}

// Plan is a set of calls that change nothing. It is for one run.
type Plan struct {
	Config

	// Made up for the run, so that nobody has them.
	badToken, password string
	missing, missedOrg string // ids of a user and of an organization

	calls []Call
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
	p := &Plan{
		Config: config, badToken: "made-up-" + rand.Text(), password: "Aa1!" + rand.Text(),
		missing: randomID(), missedOrg: randomID(),
	}
	p.User = cmp.Or(p.User, p.missing)
	p.calls = p.newCalls()
	for _, call := range p.calls {
		if err := p.checkWritesNothing(call); err != nil {
			return nil, fmt.Errorf("compare: a mistake in this program: %s %s, %s, could write: %w: nothing was sent", call.Protocol, call.Method, call.What, err)
		}
	}
	return p, nil
}

// Calls are what [Plan.Run] sends to either side, in this order.
func (p *Plan) Calls() []Call { return p.calls }

// randomID is an id that nobody has: ZITADEL counts its ids up with the time. In November
// 2026 it had reached 4·10¹⁷ (the recordings); it will reach 9·10¹⁷ in 2036.
func randomID() string {
	digits, _ := rand.Int(rand.Reader, big.NewInt(100_000_000_000_000_000)) // never fails
	return fmt.Sprintf("9%017d", digits)
}

// Run makes all calls, one after the other, against ZITADEL first. It stops at once if a call
// succeeds, or the first does not find both sides. The error says what to do; the rows are those so far.
func (p *Plan) Run(ctx context.Context) ([]Row, error) {
	native, adapter := probe.New(p.Native), probe.New(p.Adapter)
	defer native.Close()
	defer adapter.Close()
	var rows []Row
	isGone, tokenRefused := true, false
	for i, call := range p.calls {
		var got answer
		want, err := p.send(ctx, native, call)
		if err == nil {
			got, err = p.send(ctx, adapter, call)
		}
		switch {
		case err != nil:
		case i == 0:
			err = p.checkFirst(want, got)
		case ctx.Err() != nil:
			err = errors.New("compare: not all calls were answered in time: give it more with --timeout, or see with check what keeps ZITADEL busy")
		}
		if err != nil {
			return rows, err
		}
		isGone = isGone && (call.Why == NotACall || want.isGone())
		tokenRefused = tokenRefused || call.Why == NoUser && want.Code == connect.CodeUnauthenticated
		rows = append(rows, p.row(call, want, got))
	}
	if isGone {
		return nil, errors.New("compare: native v1 is not there any more: there is nothing to compare the adapter with. " +
			"If it should be, does a proxy between keep back /management/v1 and /zitadel.management.v1.ManagementService?")
	}
	if tokenRefused {
		return rows, errors.New("compare: ZITADEL does not take the token in --token-file, so that little was compared: use an access token that is still valid")
	}
	return rows, nil
}

// send makes a call, if it is sure that it cannot write.
func (p *Plan) send(ctx context.Context, to *probe.Client, call Call) (answer, error) {
	if err := p.checkWritesNothing(call); err != nil { // again, on what is sent now
		return answer{}, err
	}
	host, _ := to.HostFor(p.Native.Base().Host) // as for a client that dials ZITADEL
	response, err := to.Send(ctx, call.verb, host, call.Request)
	if err != nil {
		return answer{failure: err}, nil //nolint:nilerr // it is compared as an answer
	}
	got := newAnswer(call.Protocol, response.Response, response.Content)
	if call.Why != NotACall && got.succeeded(call.Protocol) {
		return got, fmt.Errorf("compare: stopped: %s answered %s %s, %s, with success, which it must refuse: %s Is this ZITADEL's v1?",
			p.scrub(to.Base().String()), call.Protocol, call.Method, call.What, call.Why)
	}
	return got, nil
}

// checkFirst looks at the answers to the first call.
func (p *Plan) checkFirst(native, adapter answer) error {
	switch {
	case native.failure != nil:
		return fmt.Errorf("compare: ZITADEL did not answer: %s: check says what to do", p.scrub(native.failure.Error()))
	case native.isAdapters():
		return errors.New("compare: upstream.url is an adapter: set it to ZITADEL's own address")
	case native.status == http.StatusNotFound && strings.Contains(native.Message, "nstance"):
		return errors.New("compare: ZITADEL has no instance under this name, so every answer would be that: set upstream.host; check says to what")
	case adapter.failure != nil:
		return fmt.Errorf("compare: the adapter did not answer: %s: is it running, and is --adapter its address?", p.scrub(adapter.failure.Error()))
	case !adapter.isAdapters():
		return errors.New("compare: what answers at --adapter is no zitadel-v1-adapter: is it the address for legacy clients?")
	}
	return nil
}

// row compares two answers.
func (p *Plan) row(call Call, native, adapter answer) Row {
	show := func(texts ...string) string { return printable.Excerpt(p.scrub(strings.Join(texts, "; "))) }
	shown := p.differences(call, native, adapter)
	if len(shown) == 0 {
		return Row{Call: call, Status: OK, Native: show(native.String())}
	}
	status := Known
	if unknown := slices.DeleteFunc(slices.Clone(shown), func(each difference) bool { return each.reason != "" }); len(unknown) > 0 {
		status, shown = Differs, unknown
	}
	var wants, gots, reasons []string
	for _, each := range shown {
		wants, gots, reasons = append(wants, each.native), append(gots, each.adapter), append(reasons, each.reason)
	}
	slices.Sort(reasons)
	return Row{call, status, show(wants...), show(gots...), strings.Join(slices.Compact(reasons), "; ")}
}

// scrub takes from a text what is secret: a server may send back what it was sent.
func (p *Plan) scrub(text string) string {
	return strings.NewReplacer(p.Token, "…", p.password, "…", p.badToken, "…").Replace(text)
}
