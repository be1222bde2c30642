package adapter_test

import (
	"maps"
	"net/http"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"connectrpc.com/connect"
	"github.com/dunglas/httpsfv"

	"zitadel-v1-adapter/adapter"
	"zitadel-v1-adapter/internal/recordings"
)

// announced is an option: every answer of a v1 method tells all that there is to tell.
func announced(c *stackConfig) {
	c.deprecation = adapter.Deprecation{
		Since: time.Date(2025, 11, 3, 0, 0, 0, 0, time.UTC), Sunset: time.Date(2200, 1, 2, 3, 4, 5, 0, time.UTC),
		Link: "https://example.com/v1", SunsetLink: "https://example.com/end", SuccessorLink: "https://example.com/v2",
		AfterSunset: adapter.AfterSunsetServe, BrownoutPercent: adapter.RolloutAll,
	}
}

// checkAnnounced reads the headers of a v1 method's answer as their specifications say: RFC
// 9745 (a Date of RFC 9651), RFC 8594, RFC 8288.
func checkAnnounced(t *testing.T, what string, header http.Header) {
	t.Helper()
	since, err := httpsfv.UnmarshalItem(header["Deprecation"])
	if at, ok := since.Value.(time.Time); err != nil || !ok || at.Unix() != 1762128000 {
		t.Errorf("%s: Deprecation: got %q (%v), want a date of 2025-11-03", what, header["Deprecation"], err)
	}
	if sunset, err := http.ParseTime(header.Get("Sunset")); err != nil || sunset.Unix() != 7258215845 || len(header["Sunset"]) != 1 {
		t.Errorf("%s: Sunset: got %q (%v), want 2200-01-02 03:04:05", what, header["Sunset"], err)
	}
	want := []string{
		`<https://example.com/v1>; rel="deprecation"`, `<https://example.com/end>; rel="sunset"`, `<https://example.com/v2>; rel="successor-version"`,
	}
	if !slices.Equal(header["Link"], want) {
		t.Errorf("%s: Link: got %q, want %q", what, header["Link"], want)
	}
	warning := `299 - "This method of ZITADEL's API v1 is deprecated, and ends on 2200-01-02: use SetPassword of the user service v2, see https://example.com/v2"`
	if got := header["Warning"]; !slices.Equal(got, []string{warning}) {
		t.Errorf("%s: Warning: got %q, want %q", what, got, warning)
	}
}

// overEach makes a call in each protocol, from a page of another origin where there are such,
// and returns the headers of the answers.
func overEach(t *testing.T, s *stack) map[string]http.Header {
	t.Helper()
	withOrigin := func(request recordings.Request, contentType string) recordings.Request {
		request.Headers = maps.Clone(request.Headers)
		request.Headers["Content-Type"], request.Headers["Origin"] = contentType, "https://app.example.com"
		return request
	}
	rest := withOrigin(aCall(), "application/json")
	rpc := aCall()
	rpc.Path, rpc.Text, rpc.BodyBase64 = procedure, nil, grpcCallBody(t)
	text := withOrigin(rpc, "application/grpc-web-text")
	text.Text, text.BodyBase64 = rpc.BodyBase64, nil
	headers := map[string]http.Header{}
	for name, request := range map[string]recordings.Request{"REST": rest, "gRPC-Web": withOrigin(rpc, "application/grpc-web+proto"), "gRPC-Web text": text} {
		response := sendRaw(t, s.address, request)
		_ = bodyOf(t, response)
		headers[name] = response.Header
	}
	grpc := rpc
	grpc.Headers = maps.Clone(rpc.Headers)
	grpc.Headers["Content-Type"] = "application/grpc"
	headers["gRPC"], _, _ = sendGRPC(t, newTransport(t, true), s.address, grpc)
	return headers
}

// Every answer of a v1 method announces the deprecation, translated or of native v1, good or
// bad, in every protocol, and to pages of other origins. What is no v1 method's does not.
func TestAnswersAnnounceDeprecation(t *testing.T) {
	t.Parallel()
	for name, options := range map[string][]option{
		"translated": {announced},
		"refused": {announced, func(c *stackConfig) {
			c.deprecation.Brownouts = []string{around(time.Now())}
		}},
		"native": {announced, func(c *stackConfig) { c.native, c.rollout = &nativeV1{}, 0 }},
	} {
		s := newStack(t, options...)
		for protocol, header := range overEach(t, s) {
			what := name + ", " + protocol
			checkAnnounced(t, what, header)
			if after := header.Get("Retry-After"); (after != "") != (name == "refused") {
				t.Errorf("%s: Retry-After: got %q, want it in refusals alone", what, after)
			}
			exposed := strings.Join(header["Access-Control-Expose-Headers"], ", ")
			if protocol != "gRPC" && !strings.Contains(exposed, "Deprecation, Sunset, Link, Warning") {
				t.Errorf("%s: exposed headers: got %q, want the announcement's in them", what, exposed)
			}
		}
		other := aCall()
		other.Path = "/management/v1/orgs/me"
		if header := sendRaw(t, s.address, other).Header; header["Deprecation"] != nil {
			t.Errorf("%s: another path: got Deprecation %q, want none", name, header["Deprecation"])
		}
	}
}

// unannounced takes the announcement out of the answers of a stack's handler, and counts those
// that had one.
type unannounced struct {
	http.ResponseWriter

	count *atomic.Int64
	begun bool
}

func (w *unannounced) WriteHeader(status int) {
	w.begin()
	w.ResponseWriter.WriteHeader(status)
}

func (w *unannounced) Write(data []byte) (int, error) {
	w.begin()
	return w.ResponseWriter.Write(data)
}

func (w *unannounced) begin() {
	if w.begun {
		return
	}
	w.begun = true
	header := w.Header()
	if header["Deprecation"] != nil {
		w.count.Add(1)
	}
	for _, name := range []string{"Deprecation", "Sunset", "Link", "Warning"} {
		delete(header, name)
	}
	if exposed := header.Get("Access-Control-Expose-Headers"); exposed != "" {
		names := slices.DeleteFunc(strings.Split(exposed, ", "), func(name string) bool {
			return slices.Contains([]string{"Deprecation", "Sunset", "Link", "Warning", "Retry-After"}, name)
		})
		header.Set("Access-Control-Expose-Headers", strings.Join(names, ", "))
		if header.Get("Content-Type") == "application/grpc-web+proto" && slices.Contains(names, "Location") {
			header.Del("Access-Control-Expose-Headers") // exposed for the announcement alone
		}
	}
}

func (w *unannounced) Unwrap() http.ResponseWriter { return w.ResponseWriter }

func (w *unannounced) Flush() { _ = http.NewResponseController(w.ResponseWriter).Flush() }

// Every recorded call is answered as native v1 does, but for the announcement.
func TestRecordedAnswersDifferByAnnouncementOnly(t *testing.T) {
	t.Parallel()
	set := recordings.Methods()[0]
	var count atomic.Int64
	transport := newTransport(t, true)
	for file, compare := range map[string]func(*testing.T, *stack, recordings.Recording){
		set.RESTMatrix: compareRecordedREST, set.RESTEdges: compareRecordedREST, set.GRPCWeb: compareGRPCWeb,
		set.GRPC: func(t *testing.T, s *stack, recording recordings.Recording) { compareGRPC(t, s, transport, recording) }, //nolint:thelper // a row
	} {
		s := newStack(t, announced)
		inner := s.handler
		s.handler = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			inner.ServeHTTP(&unannounced{ResponseWriter: w, count: &count}, r)
		})
		for _, recording := range recordings.Load(t, file) {
			t.Run(recording.Name, func(t *testing.T) { compare(t, s, recording) })
		}
	}
	const want = 186 // of 196: the others are redirects, preflights, and no v1 methods
	if got := count.Load(); got != want {
		t.Errorf("answers with an announcement: got %d, want %d", got, want)
	}
}

func compareRecordedREST(t *testing.T, s *stack, recording recordings.Recording) {
	t.Helper()
	compareREST(t, recording, sendRaw(t, s.address, recording.Request))
}

// around is a brownout that began an hour before a time and ends an hour after it.
func around(now time.Time) string {
	return now.Add(-time.Hour).UTC().Format(time.RFC3339) + "/" + now.Add(time.Hour).UTC().Format(time.RFC3339)
}

// A brownout refuses the calls of those whom it concerns, in v1's shape and in every protocol,
// whichever way they would have gone. ZITADEL is asked whose token it is, and nothing else.
func TestBrownoutRefusesCalls(t *testing.T) {
	t.Parallel()
	const caller = "400850337704971302" // of aCall
	window := around(time.Now())
	until := window[len(window)-len("2027-01-11T10:00:00Z"):]
	message := "SetHumanInitialPassword is deprecated, and refused until " + until + " so that its callers notice: use SetPassword of the user service v2"
	for name, each := range map[string]struct {
		change  func(*adapter.Deprecation)
		refuses bool
	}{
		"all":                  {func(*adapter.Deprecation) {}, true},
		"the caller":           {func(d *adapter.Deprecation) { d.BrownoutCallers = []string{"1", caller} }, true},
		"other callers":        {func(d *adapter.Deprecation) { d.BrownoutCallers = []string{"1"} }, false},
		"no callers":           {func(d *adapter.Deprecation) { d.BrownoutPercent = 0 }, false},
		"nearly all callers":   {func(d *adapter.Deprecation) { d.BrownoutPercent = 99 }, true},
		"all but the caller":   {func(d *adapter.Deprecation) { d.Exempt = []string{caller} }, false},
		"all but another":      {func(d *adapter.Deprecation) { d.Exempt = []string{"1"} }, true},
		"not now":              {func(d *adapter.Deprecation) { d.Brownouts = []string{around(time.Now().Add(3 * time.Hour))} }, false},
		"again and again":      {func(d *adapter.Deprecation) { d.Brownouts = []string{window, "0 9 * * 1 for 1h"} }, true},
		"never, if none is on": {func(d *adapter.Deprecation) { d.Brownouts = nil }, false},
	} {
		for _, scope := range []adapter.OrgScope{adapter.OrgScopeStrict, adapter.OrgScopeOff} {
			for _, rollout := range []adapter.Rollout{adapter.RolloutAll, 0} {
				native := &nativeV1{}
				s := newStack(t, func(c *stackConfig) {
					c.scope, c.rollout, c.native = scope, rollout, native
					c.deprecation = adapter.Deprecation{Brownouts: []string{window}, BrownoutPercent: adapter.RolloutAll}
					each.change(&c.deprecation)
				})
				what := name + ", " + string(scope)
				if refused := !checkServed(t, what, s, rollout); refused != each.refuses {
					t.Errorf("%s, rollout %d: refused: got %v, want %v", what, rollout, refused, each.refuses)
				}
				if !each.refuses {
					continue
				}
				if name != "again and again" {
					response := sendRaw(t, s.address, aCall())
					checkREST(t, what, response, http.StatusServiceUnavailable, `{"code":14,"message":"`+message+`"}`)
					if after := response.Header.Get("Retry-After"); len(after) != len("3600") {
						t.Errorf("%s: Retry-After: got %q, want nearly an hour", what, after)
					}
					checkGRPCFails(t, s, connect.CodeUnavailable, message)
				}
				if writes := s.newWrites(t); writes > 0 || len(native.bodies) > 0 {
					t.Errorf("%s, rollout %d: got %d writes and %d calls of native v1, want none", what, rollout, writes, len(native.bodies))
				}
				for _, call := range s.calls() {
					if call.RefusedBy != adapter.RefusedByBrownout {
						t.Errorf("%s: refused by: got %q, want %q", what, call.RefusedBy, adapter.RefusedByBrownout)
					}
				}
			}
		}
	}
}

// checkServed makes a call, and reports whether it was served by the way of the rollout.
func checkServed(t *testing.T, what string, s *stack, rollout adapter.Rollout) bool {
	t.Helper()
	response := sendRaw(t, s.address, aCall())
	_ = bodyOf(t, response)
	switch {
	case response.StatusCode == http.StatusServiceUnavailable:
		return false
	case rollout == 0 && response.StatusCode == http.StatusTeapot, rollout > 0 && response.StatusCode == http.StatusOK:
		return true
	}
	t.Errorf("%s: got HTTP %d, want 503, or what was asked for", what, response.StatusCode)
	return true
}

// After the sunset calls are refused for good, if that is wanted, but not those of callers who
// are exempt.
func TestCallsAreRefusedAfterSunset(t *testing.T) {
	t.Parallel()
	over := func(change func(*adapter.Deprecation)) option {
		return func(c *stackConfig) {
			announced(c)
			c.deprecation.Sunset = time.Date(2026, 1, 2, 0, 0, 0, 0, time.UTC)
			c.deprecation.AfterSunset = adapter.AfterSunsetRefuse
			if change != nil {
				change(&c.deprecation)
			}
		}
	}
	const message = "SetHumanInitialPassword ended on 2026-01-02: use SetPassword of the user service v2, see https://example.com/v2"
	s := newStack(t, over(nil))
	checkREST(t, "REST", sendRaw(t, s.address, aCall()), http.StatusGone, `{"code":12,"message":"`+message+`"}`)
	checkGRPCFails(t, s, connect.CodeUnimplemented, message)
	if calls := s.calls(); len(calls) != 2 || calls[0].RefusedBy != adapter.RefusedBySunset {
		t.Errorf("calls: got %+v, want two, refused by %q", calls, adapter.RefusedBySunset)
	}
	for name, change := range map[string]func(*adapter.Deprecation){
		"serve":  func(d *adapter.Deprecation) { d.AfterSunset = adapter.AfterSunsetServe },
		"exempt": func(d *adapter.Deprecation) { d.Exempt = []string{"400850337704971302"} },
		"later":  func(d *adapter.Deprecation) { d.Sunset = time.Now().Add(time.Hour) },
	} {
		if !checkServed(t, name, newStack(t, over(change)), adapter.RolloutAll) {
			t.Errorf("%s: got a refusal, want none", name)
		}
	}
}

// After the sunset, answers of what is still served say that it is over.
func TestWarningAfterSunsetSaysEnded(t *testing.T) {
	t.Parallel()
	s := newStack(t, announced, func(c *stackConfig) { c.deprecation.Sunset = time.Date(2026, 1, 2, 0, 0, 0, 0, time.UTC) })
	want := []string{`299 - "This method of ZITADEL's API v1 ended on 2026-01-02: use SetPassword of the user service v2, see https://example.com/v2"`}
	for protocol, header := range overEach(t, s) {
		if got := header["Warning"]; !slices.Equal(got, want) || header.Get("Sunset") == "" || header.Get("Deprecation") == "" {
			t.Errorf("%s: got %q, want Deprecation, Sunset and Warning %q", protocol, header, want)
		}
	}
}

// A mistake names the key, the value, and what would be right.
func TestDeprecationNamesMistakes(t *testing.T) {
	t.Parallel()
	for want, change := range map[string]func(*adapter.Deprecation){
		"deprecation.sunset: 2200-01-02T03:04:05Z: set deprecation.since too":            func(d *adapter.Deprecation) { d.Since = time.Time{} },
		"deprecation.sunset: 2025-11-02T00:00:00Z: use a time after deprecation.since":   func(d *adapter.Deprecation) { d.Sunset = d.Since.AddDate(0, 0, -1) },
		`deprecation.link: "example.com": use the address of a page`:                     func(d *adapter.Deprecation) { d.Link = "example.com" },
		`deprecation.sunsetLink: "https://a/>, <b": use the address of a page`:           func(d *adapter.Deprecation) { d.SunsetLink = "https://a/>, <b" },
		`deprecation.successorLink: "https://example.com/v2": set deprecation.since too`: func(d *adapter.Deprecation) { d.Since = time.Time{} },
		`deprecation.afterSunset: "drop": use "serve" or "refuse"`:                       func(d *adapter.Deprecation) { d.AfterSunset = "drop" },
		`deprecation.afterSunset: "refuse": set deprecation.sunset too`:                  func(d *adapter.Deprecation) { d.AfterSunset, d.Sunset = adapter.AfterSunsetRefuse, time.Time{} },
		"deprecation.brownoutPercent: 101: use a whole number from 0 to 100":             func(d *adapter.Deprecation) { d.BrownoutPercent = 101 },
		`deprecation.brownouts: "tomorrow": use two times such as`:                       func(d *adapter.Deprecation) { d.Brownouts = []string{"tomorrow"} },
	} {
		var config stackConfig
		announced(&config)
		change(&config.deprecation)
		_, err := adapter.New(adapter.Config{
			ZITADEL: panickingZITADEL{}, OrgScope: adapter.OrgScopeOff, Timeout: time.Minute, Rollout: adapter.RolloutAll, Limits: roomy(),
			Deprecation: config.deprecation,
		})
		if err == nil || !strings.Contains("\n"+err.Error(), "\n"+want) {
			t.Errorf("got %v, want a line that begins with %s", err, want)
		}
	}
}
