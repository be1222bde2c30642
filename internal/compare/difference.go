package compare

import (
	"bytes"
	"cmp"
	"encoding/json"
	"fmt"
	"net/http"
	"regexp"
	"slices"
	"strings"

	"connectrpc.com/connect"
)

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

// compared are the headers of v1's answers that clients can depend on (the recordings
// have no others), besides those whose names begin with Access-Control-. Expires differs
// with the time: it must be there or not.
var compared = []string{"Cache-Control", "Content-Type", "Expires", "Location", "Pragma", "Vary", "Www-Authenticate", "X-Robots-Tag"}

// differences are all that a client could see between two answers.
func (c Config) differences(call Call, native, adapter answer) []difference {
	if native.failure != nil || adapter.failure != nil { // if both failed, nothing was compared
		return []difference{{native.String(), adapter.String(), ""}}
	}
	invalid := adapter.Code == connect.CodeInvalidArgument && strings.HasPrefix(adapter.Message, "invalid "+call.Method+"Request.")
	if c.OrgScopeOff && invalid && native.Code != adapter.Code {
		return []difference{{native.String(), adapter.String(), reasonScope}}
	}
	if native.status != adapter.status || native.understood != adapter.understood || native.Code != adapter.Code || native.ID() != adapter.ID() {
		return []difference{{native.String(), adapter.String(), ""}} // whose headers would tell nothing more
	}
	var all []difference
	if native.Answer != adapter.Answer || normal(native.body) != normal(adapter.body) {
		all = append(all, c.wordsDiffer(native, adapter))
	}
	return append(all, headersDiffer(call, native, adapter)...)
}

// wordsDiffer is the difference between answers whose code and error id are the same.
func (c Config) wordsDiffer(native, adapter answer) difference {
	if native.Message == adapter.Message {
		return difference{"details " + detail(native), "details " + detail(adapter), ""}
	}
	found := difference{native: native.String(), adapter: adapter.String()}
	if sameWithoutField(native.Message, adapter.Message) && sameWithoutField(normal(native.body), normal(adapter.body)) && native.Details == adapter.Details {
		found.reason = reasonField
	}
	if id := native.ID(); !c.Languages && (strings.HasPrefix(id, "COMMAND-") || strings.HasPrefix(id, "DOMAIN-")) { // what v1 translates
		found.reason = reasonLanguage
	}
	return found
}

func detail(a answer) string { return fmt.Sprintf("%q", a.Details+a.body) }

// changing is what differs from call to call.
var changing = regexp.MustCompile(`"(sequence|changeDate)":"[^"]*"`)

// normal is a body without what must differ, and without what differs from one build of
// ZITADEL to the next: the spaces between JSON's elements, which protobuf chooses as well.
func normal(body string) string {
	var compact bytes.Buffer
	if json.Compact(&compact, []byte(body)) == nil {
		body = compact.String()
	}
	return changing.ReplaceAllString(plain(body), `"$1":"…"`)
}

// typeError is how protobuf words that a value in JSON has another type than its field: old
// versions do not name the field.
var typeError = regexp.MustCompile(`(invalid value for \w+) (?:type|field \w+):`)

// sameWithoutField reports whether native v1 says what the adapter says, in the older wording.
func sameWithoutField(native, adapter string) bool {
	return native == typeError.ReplaceAllString(adapter, "$1 type:")
}

// headersDiffer are the differences in the headers that count.
func headersDiffer(call Call, native, adapter answer) []difference {
	names := slices.Clone(compared)
	for _, header := range []http.Header{native.header, adapter.header} {
		for name := range header {
			if strings.HasPrefix(name, "Access-Control-") {
				names = append(names, name)
			}
		}
	}
	slices.Sort(names)
	var all []difference
	for _, name := range slices.Compact(names) {
		want, got := headerText(native.header, name), headerText(adapter.header, name)
		if want == got {
			continue
		}
		all = append(all, difference{
			name + ": " + cmp.Or(want, "(not there)"), name + ": " + cmp.Or(got, "(not there)"), knownHeader(call, name, native.header, adapter.header),
		})
	}
	return all
}

// headerText is a header's value as it is compared.
func headerText(header http.Header, name string) string {
	values := header.Values(name)
	switch {
	case len(values) == 0:
		return ""
	case name == "Expires":
		return "a date"
	case name == "Access-Control-Expose-Headers": // in any order: gRPC-Web's proxy ranges over a map
		return strings.Join(items(values), ", ")
	}
	return strings.Join(values, " | ")
}

// items are the items of a list in a header, sorted.
func items(values []string) []string {
	all := strings.Split(strings.Join(values, ","), ",")
	for i := range all {
		all[i] = strings.TrimSpace(all[i])
	}
	slices.Sort(all)
	return all
}

// knownHeader says why a header differs, if it is known.
func knownHeader(call Call, name string, native, adapter http.Header) string {
	want, got := items(native.Values(name)), items(adapter.Values(name))
	isMissed := func(item string) bool { return !slices.Contains(got, item) }
	switch {
	case name == "Access-Control-Expose-Headers" && call.Protocol == GRPCWeb:
		return reasonExpose
	case name == "Access-Control-Expose-Headers" && !slices.ContainsFunc(want, isMissed):
		return reasonOlder
	case name == "Vary" && withoutCompression(want) == withoutCompression(got):
		return reasonProxy
	}
	return ""
}

func withoutCompression(vary []string) string {
	kept := slices.DeleteFunc(vary, func(item string) bool {
		return item == "" || strings.EqualFold(item, "Accept-Encoding")
	})
	return strings.Join(kept, ",")
}
