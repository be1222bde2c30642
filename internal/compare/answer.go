package compare

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"regexp"
	"slices"
	"strings"

	"connectrpc.com/connect"

	"zitadel-v1-adapter/internal/ingress"
	"zitadel-v1-adapter/internal/v1wire"
)

// answer is what came back of a call.
type answer struct {
	v1wire.Answer // if it is understood

	failure    error // there is none
	status     int   // HTTP
	header     http.Header
	understood bool
	body       string // over REST, and of what is no gRPC
}

// newAnswer reads an answer, to gRPC also a refusal of REST's: ZITADEL's to what it does not take
// for gRPC. Spaces that protobuf chooses at random, in JSON and after "proto:", are left out.
func newAnswer(protocol Protocol, response *http.Response, body []byte) answer {
	a := answer{status: response.StatusCode, header: response.Header, body: string(body)}
	decoded, err := v1wire.DecodeAnswer(protocol.wire(), a.status, a.header, response.Trailer, body)
	switch {
	case protocol == REST:
	case err == nil:
		a.body = ""
	case a.status != http.StatusOK:
		decoded, err = v1wire.DecodeAnswer("", a.status, a.header, nil, body)
	}
	if protocol == GRPCWeb {
		a.body = withoutFrame(a.body)
	}
	var compact bytes.Buffer
	if json.Compact(&compact, []byte(a.body)) == nil {
		a.body = compact.String()
	}
	a.body, a.understood = plain(a.body), err == nil
	a.Code, a.Message, a.Details = decoded.Code, plain(decoded.Message), plain(decoded.Details)
	return a
}

// withoutFrame is an answer that is no gRPC as a text: gRPC-Web's proxy puts a frame with the
// trailers behind such answers too.
func withoutFrame(body string) string {
	at := max(strings.LastIndexByte(body, '\x80'), 0)
	flag, trailers, rest, ok := v1wire.CutFrame([]byte(body[at:]))
	if !ok || flag != '\x80' || len(rest) > 0 {
		return body
	}
	return fmt.Sprintf("%s and a frame with the trailers %q", body[:at], trailers)
}

func plain(text string) string { return strings.ReplaceAll(text, "proto:\u00a0", "proto: ") }

func (a answer) isAdapters() bool { return a.header.Get(ingress.ViaHeader) != "" }

// succeeded reports whether a call was not refused.
func (a answer) succeeded(protocol Protocol) bool {
	const successes = 2 // of HTTP: 200 to 299
	return a.understood && a.Code == 0 || protocol == REST && a.status/100 == successes
}

// isGone reports whether it is ZITADEL's answer where it has no v1.
func (a answer) isGone() bool {
	return a.status == http.StatusNotFound && (!a.understood || a.Code == connect.CodeNotFound && a.Message == "Not Found") ||
		a.Code == connect.CodeUnimplemented
}

// isInvalid reports whether it is the refusal of a request's validation.
func (a answer) isInvalid(method string) bool {
	return a.Code == connect.CodeInvalidArgument && strings.HasPrefix(a.Message, "invalid "+method+"Request.")
}

// String is an answer on one line.
func (a answer) String() string {
	switch location := a.header.Get("Location"); {
	case a.failure != nil:
		return "no answer: " + a.failure.Error()
	case a.understood:
		return fmt.Sprintf("HTTP %d, code %d %s", a.status, a.Code, a.Message)
	case location != "":
		return fmt.Sprintf("HTTP %d to %s", a.status, location)
	}
	return strings.TrimSpace(fmt.Sprintf("HTTP %d %s", a.status, a.body))
}

// difference is one between two answers.
type difference struct {
	native, adapter string
	reason          string // why it is known; "" if it is not
}

// Why differences are known: docs/differences.md.
const (
	reasonLanguage = "without messages.dir, texts come in v2's language; code and id are the same"
	reasonExpose   = "the headers that browsers may read over gRPC-Web; v1 forgets the status"
	reasonOlder    = "the headers that browsers may read: releases before v4 list fewer than those after it"
	reasonField    = "older releases do not name the field that has a value of another type"
	reasonScope    = "with orgScope: off, a call is told that it is invalid before its caller is looked at"
	reasonProxy    = "a proxy in front of ZITADEL compresses answers; those of v1 calls are the adapter's"
)

// compared are the headers of v1's answers that clients can depend on (the recordings have no
// others), besides Access-Control-*.
var compared = []string{"Cache-Control", "Content-Type", "Expires", "Location", "Pragma", "Vary", "Www-Authenticate", "X-Robots-Tag"}

// differences are all that a client could see between two answers.
func (c Config) differences(call Call, native, adapter answer) []difference {
	whole := difference{native: native.String(), adapter: adapter.String()}
	switch {
	case native.failure != nil || adapter.failure != nil: // if both failed, nothing was compared
		return []difference{whole}
	case c.OrgScopeOff && adapter.isInvalid(call.Method) && native.Code != adapter.Code:
		whole.reason = reasonScope
		return []difference{whole}
	case native.status != adapter.status, native.understood != adapter.understood,
		native.Code != adapter.Code, native.ID() != adapter.ID():
		return []difference{whole} // whose headers would tell nothing more
	case native.Answer == adapter.Answer && native.body == adapter.body:
		return headersDiffer(call, native.header, adapter.header)
	case native.Message == adapter.Message:
		detail := func(a answer) string { return fmt.Sprintf("details %q", a.Details+a.body) }
		whole = difference{native: detail(native), adapter: detail(adapter)}
	case !c.Languages && translated.MatchString(native.ID()):
		whole.reason = reasonLanguage
	case native.Message == olderWording(adapter.Message) && native.body == olderWording(adapter.body) &&
		native.Details == adapter.Details:
		whole.reason = reasonField
	}
	return append([]difference{whole}, headersDiffer(call, native.header, adapter.header)...)
}

// translated are the ids of what v1 translates.
var translated = regexp.MustCompile(`^(COMMAND|DOMAIN)-`)

// typeError is how protobuf words that a value in JSON has another type than its field: old
// versions do not name the field.
var typeError = regexp.MustCompile(`(invalid value for \w+) (?:type|field \w+):`)

func olderWording(text string) string { return typeError.ReplaceAllString(text, "$1 type:") }

// headersDiffer are the differences in the headers that count.
func headersDiffer(call Call, native, adapter http.Header) []difference {
	both := http.Header{}
	maps.Copy(both, native)
	maps.Copy(both, adapter)
	var all []difference
	for _, name := range slices.Sorted(maps.Keys(both)) {
		if !slices.Contains(compared, name) && !strings.HasPrefix(name, "Access-Control-") {
			continue
		}
		want, got := headerText(name, native.Values(name)), headerText(name, adapter.Values(name))
		if want != got {
			all = append(all, difference{name + ": " + want, name + ": " + got, knownHeader(call, name, native, adapter)})
		}
	}
	return all
}

// headerText is a header's value as it is compared.
func headerText(name string, values []string) string {
	switch {
	case strings.Join(values, "") == "":
		return "(not there)"
	case name == "Expires":
		return "a date" // any: it differs with the time
	case name == exposeHeaders: // in any order: gRPC-Web's proxy ranges over a map
		return strings.Join(items(values), ", ")
	}
	return strings.Join(values, " | ")
}

const exposeHeaders = "Access-Control-Expose-Headers"

// items are the items of a list in a header, sorted.
func items(values []string) []string {
	all := strings.FieldsFunc(strings.Join(values, ","), func(c rune) bool { return c == ',' || c == ' ' })
	slices.Sort(all)
	return all
}

// knownHeader says why a header differs, if it is known.
func knownHeader(call Call, name string, native, adapter http.Header) string {
	want, got := items(native.Values(name)), items(adapter.Values(name))
	isExposed := func(item string) bool { return slices.Contains(got, item) }
	isCompression := func(item string) bool { return strings.EqualFold(item, "Accept-Encoding") }
	switch {
	case name == exposeHeaders && call.Protocol == GRPCWeb:
		return reasonExpose
	case name == exposeHeaders && len(slices.DeleteFunc(want, isExposed)) == 0:
		return reasonOlder
	case name == "Vary" && slices.Equal(slices.DeleteFunc(want, isCompression), slices.DeleteFunc(got, isCompression)):
		return reasonProxy
	}
	return ""
}
