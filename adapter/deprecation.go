package adapter

import (
	"cmp"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"connectrpc.com/connect"

	"zitadel-v1-adapter/internal/rpcstatus"
)

// Deprecation is what callers of v1 methods are told about their end, and when they are
// refused. The zero Deprecation does neither, like native v1.
type Deprecation struct {
	Since         time.Time   `yaml:"since"`                            // said by every answer (RFC 9745); zero: not
	Sunset        time.Time   `yaml:"sunset"`                           // when v1 ends (RFC 8594); zero: never; needs Since
	Link          string      `yaml:"link"`                             // a page about the deprecation, or ""; needs Since
	SunsetLink    string      `yaml:"sunsetLink"`                       // a page about the end, or ""; needs Since
	SuccessorLink string      `yaml:"successorLink"`                    // a page about what to use instead, or ""; needs Since
	AfterSunset   AfterSunset `default:"serve"      yaml:"afterSunset"` // what happens to calls then; "": AfterSunsetServe
	// Brownouts are when calls are refused, so that callers notice before the end: see [NewSchedule].
	Brownouts       []string `yaml:"brownouts"`
	BrownoutPercent Rollout  `default:"100"          yaml:"brownoutPercent"` // the share of callers whom they refuse, by user id
	BrownoutCallers []string `yaml:"brownoutCallers"`                        // the user ids of the only ones; none: all
	Exempt          []string `yaml:"exempt"`                                 // the ids of users never refused, after Sunset either
}

// AfterSunset is what happens to v1 calls after [Deprecation.Sunset].
type AfterSunset string

// The values of AfterSunset.
const (
	AfterSunsetServe  AfterSunset = "serve"  // as before
	AfterSunsetRefuse AfterSunset = "refuse" // with code 12, HTTP 410
)

func (d Deprecation) validate() error {
	var mistakes []error
	addf := func(wrong bool, format string, args ...any) {
		if wrong {
			mistakes = append(mistakes, fmt.Errorf("deprecation."+format, args...))
		}
	}
	silent, sunset := d.Since.IsZero(), d.Sunset.Format(time.RFC3339)
	addf(silent && !d.Sunset.IsZero(), "sunset: %s: set deprecation.since too, the date since when v1 is deprecated", sunset)
	addf(!silent && !d.Sunset.IsZero() && d.Sunset.Before(d.Since), "sunset: %s: use a time after deprecation.since, %s", sunset, d.Since.Format(time.RFC3339))
	for _, link := range d.links() {
		address, err := url.Parse(link.to)
		addf(err != nil || !address.IsAbs() || strings.ContainsAny(link.to, "<>\" \t\r\n"), "%s: %q: use the address of a page, such as https://example.com/v1-ends", link.key, link.to)
		addf(silent, "%s: %q: set deprecation.since too, the date since when v1 is deprecated", link.key, link.to)
	}
	addf(d.AfterSunset != "" && d.AfterSunset != AfterSunsetServe && d.AfterSunset != AfterSunsetRefuse, "afterSunset: %q: use %q or %q", d.AfterSunset, AfterSunsetServe, AfterSunsetRefuse)
	addf(d.AfterSunset == AfterSunsetRefuse && d.Sunset.IsZero(), "afterSunset: %q: set deprecation.sunset too, the date from which on calls are refused", d.AfterSunset)
	addf(d.BrownoutPercent < 0 || d.BrownoutPercent > RolloutAll, "brownoutPercent: %d: use a whole number from 0 to 100", d.BrownoutPercent)
	return errors.Join(mistakes...)
}

type link struct{ key, relation, to string }

func (d Deprecation) links() []link {
	all := []link{{"link", "deprecation", d.Link}, {"sunsetLink", "sunset", d.SunsetLink}, {"successorLink", "successor-version", d.SuccessorLink}}
	return slices.DeleteFunc(all, func(each link) bool { return each.to == "" })
}

// deprecation is a validated Deprecation.
type deprecation struct {
	Deprecation

	schedule *Schedule
	fields   http.Header // what every answer says until the sunset; nil: nothing
	ended    []string    // the Warning from then on
}

// newDeprecation checks what is configured. The error names the configuration keys.
func newDeprecation(d Deprecation) (*deprecation, error) {
	schedule, err := NewSchedule(d.Brownouts)
	if err = errors.Join(d.validate(), err); err != nil || d.Since.IsZero() {
		return &deprecation{Deprecation: d, schedule: schedule}, err
	}
	fields, until, day := http.Header{"Deprecation": {"@" + strconv.FormatInt(d.Since.Unix(), 10)}}, "", d.Sunset.UTC().Format(time.DateOnly)
	if !d.Sunset.IsZero() {
		fields.Set("Sunset", d.Sunset.UTC().Format(http.TimeFormat))
		until = ", and ends on " + day
	}
	for _, each := range d.links() {
		fields.Add("Link", "<"+each.to+`>; rel="`+each.relation+`"`)
	}
	// RFC 7234 section 5.5.7: 299 is a persistent warning.
	warning := func(says string) []string {
		return []string{`299 - "This method of ZITADEL's API v1 ` + says + `: ` + d.instead() + `"`}
	}
	fields["Warning"] = warning("is deprecated" + until)
	return &deprecation{Deprecation: d, schedule: schedule, fields: fields, ended: warning("ended on " + day)}, nil
}

// instead says what callers should do.
func (d Deprecation) instead() string {
	where := cmp.Or(d.SuccessorLink, d.Link)
	if where != "" {
		where = ", see " + where
	}
	return "use SetPassword of the user service v2" + where
}

// headers are the names of those that a browser's page must be allowed to read.
func (d *deprecation) headers() []string {
	if d.fields == nil {
		return nil
	}
	return []string{"Deprecation", "Sunset", "Link", "Warning", "Retry-After"}
}

// announce adds to the headers of an answer of a v1 method.
func (d *deprecation) announce(header http.Header) {
	isOver := !d.Sunset.IsZero() && !time.Now().Before(d.Sunset)
	for name, values := range d.fields {
		if name == "Warning" && isOver {
			values = d.ended
		}
		header[name] = append(header[name], values...)
	}
}

// The causes of refusals.
var (
	errBrownout = &refusalError{RefusedByBrownout, "deprecation.brownouts: one is on"}
	errSunset   = &refusalError{RefusedBySunset, "deprecation.afterSunset: deprecation.sunset is over"}
)

// refusal refuses a call because of a brownout, or because the method's time is over, or returns
// nil. If that depends on the caller, identify is asked for its user id; "" is not refused.
func (d *deprecation) refusal(now time.Time, method string, identify func() string) *rpcstatus.Status {
	window, isBrownout := d.schedule.At(now)
	isOver := d.AfterSunset == AfterSunsetRefuse && !now.Before(d.Sunset)
	if !isBrownout && !isOver {
		return nil
	}
	isPartial := !isOver && (len(d.BrownoutCallers) > 0 || d.BrownoutPercent < RolloutAll)
	if isPartial || len(d.Exempt) > 0 {
		userID := identify()
		if userID == "" || slices.Contains(d.Exempt, userID) || isPartial && !d.brownsOut(userID) {
			return nil
		}
	}
	if isOver {
		refusal := rpcstatus.New(connect.CodeUnimplemented, method+" ended on "+d.Sunset.UTC().Format(time.DateOnly)+": "+d.instead())
		refusal.HTTPStatus, refusal.Cause = http.StatusGone, errSunset
		return refusal
	}
	refusal := rpcstatus.New(connect.CodeUnavailable,
		method+" is deprecated, and refused until "+window.To.UTC().Format(time.RFC3339)+" so that its callers notice: "+d.instead())
	refusal.RetryAfter, refusal.Cause = window.To.Sub(now), errBrownout
	return refusal
}

func (d *deprecation) brownsOut(userID string) bool {
	if len(d.BrownoutCallers) > 0 {
		return slices.Contains(d.BrownoutCallers, userID)
	}
	return d.BrownoutPercent.translates(userID)
}
