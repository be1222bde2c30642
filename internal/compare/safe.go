package compare

import (
	"encoding/json"
	"errors"
	"net/http"
	"regexp"
	"slices"
	"strings"
	"unicode/utf8"

	"google.golang.org/protobuf/proto"

	"zitadel-v1-adapter/adapter"
	managementv1 "zitadel-v1-adapter/gen/zitadel/management/v1"
	"zitadel-v1-adapter/internal/ingress"
	"zitadel-v1-adapter/internal/v1wire"
)

// Reason is why a call cannot write, as a sentence.
type Reason string

// The reasons. Each holds by itself, whatever the configuration of ZITADEL.
const (
	NoToken    Reason = "It carries no token that ZITADEL knows."
	NoUser     Reason = "It names a user that cannot exist: a random id made for this run, an id longer than any, or none."
	NoPassword Reason = "It carries no password, and v1 and the adapter refuse an empty one before they look at the user." //nolint:gosec // no credential
	Unreadable Reason = "Its body cannot be read, and holds no password."
	NotACall   Reason = "It is a request that no v1 method answers, and holds no password."
)

// maxUserIDRunes is the length of the longest user id (recordings of v2).
const maxUserIDRunes = 200

// sendable are the headers that a call may have. Others could mean something unforeseen to a server.
var sendable = []string{
	"Access-Control-Request-Headers", "Access-Control-Request-Method", "Authorization", "Content-Type", "Grpc-Timeout", "Origin", "Te",
	"User-Agent", "X-Grpc-Web", ingress.ViaHeader, "X-Zitadel-Orgid",
}

// checkWritesNothing is the gate of this package, which all that is sent has passed: it looks at a
// call's bytes and returns an error, which repeats none of them, if the call's reason is not true.
func (p *Plan) checkWritesNothing(call Call) error {
	for name := range call.Header {
		if !slices.Contains(sendable, name) {
			return errors.New("it has a header of another kind")
		}
	}
	user, isV1 := target(call.Protocol, call.Path)
	isCall := isV1 && call.verb == http.MethodPost && (call.Protocol != REST || user != "")
	switch {
	case call.Why == NoToken:
		return p.checkNoToken(call)
	case call.Why == NotACall && isCall:
		return errors.New("it is a call")
	case call.Why == NotACall && !isV1 && !isNearTarget(call),
		!slices.Contains([]string{http.MethodGet, http.MethodOptions, http.MethodPost}, call.verb): // the first two change nothing
		return errors.New("it may be a call of another method")
	case call.Why != NotACall && !isCall:
		return errors.New("it is no call")
	}
	return p.checkContent(call)
}

// checkNoToken refuses whatever could be a token that ZITADEL knows.
func (p *Plan) checkNoToken(call Call) error {
	sent := []string{call.Path, string(call.Body)}
	for _, values := range call.Header {
		sent = append(sent, values...)
	}
	if slices.ContainsFunc(sent, func(text string) bool { return strings.Contains(text, p.Token) }) {
		return errors.New("it carries the token")
	}
	for _, value := range call.Header["Authorization"] {
		if strings.Contains(strings.ToLower(value), "bearer") && value != "Bearer "+p.badToken {
			return errors.New("it carries a token that was not made up for this")
		}
	}
	return nil
}

// checkContent refuses whatever could name a user who exists, or else hold a password.
func (p *Plan) checkContent(call Call) error {
	user, mayHoldPassword, readable := content(call)
	switch {
	case call.Why == NoUser && !readable:
		return errors.New("it cannot be told which user it names")
	case call.Why == NoUser && user != "" && user != p.missing && utf8.RuneCountInString(user) <= maxUserIDRunes:
		return errors.New("it names a user who may exist")
	case call.Why == NoUser:
		return nil
	case mayHoldPassword:
		return errors.New("it may hold a password")
	case call.Why == Unreadable && readable:
		return errors.New("its body can be read")
	case call.Why == NoPassword, call.Why == Unreadable, call.Why == NotACall:
		return nil
	}
	return errors.New("it has no reason why it cannot write")
}

// content is the user whom a call names, over REST in its path alone, and whether its body may
// hold a password, read in whatever way.
func content(call Call) (user string, mayHoldPassword, readable bool) {
	if call.Protocol == REST {
		user, _ = target(REST, call.Path)
		return user, holdsText(call.Body), json.Unmarshal(call.Body, new(map[string]any)) == nil
	}
	request, readable := message(call.Body)
	isPrintable := func(c byte) bool { return c >= ' ' && c < 0x7F }
	return request.GetUserId(), request.GetPassword() != "" || !readable && slices.ContainsFunc(call.Body, isPrintable), readable
}

// holdsText reports whether a JSON document, whole or broken, has any text or number in it
// besides the two names that calls use. It reads no JSON, because a server may read it in
// another way: the first of two documents, the last of two fields.
func holdsText(body []byte) bool {
	rest := strings.NewReplacer(`"password":`, ":", `"unknown":`, ":", `""`, "").Replace(string(body))
	return strings.Trim(rest, "{}[]:, ") != ""
}

// target reports whether a path is that of a v1 method that the adapter translates, and returns
// what stands in it for the user: over REST an id or nothing, else nothing.
func target(protocol Protocol, path string) (user string, ok bool) {
	for _, method := range adapter.Methods() {
		before, after, _ := strings.Cut(method.Pattern, ":user_id")
		rest, begins := strings.CutPrefix(path, before)
		user, ends := strings.CutSuffix(rest, after)
		switch {
		case protocol != REST && path == method.Procedure:
			return "", true
		case protocol == REST && begins && ends && (user == "" || isUserID(user)):
			return user, true
		}
	}
	return "", false
}

// isNearTarget reports whether a path is too near to a v1 method's to be that of another method.
func isNearTarget(call Call) bool {
	near := strings.TrimSuffix(strings.TrimSuffix(strings.Replace(call.Path, "//", "/", 1), "/"), noMethod)
	_, ok := target(call.Protocol, near)
	return ok
}

// isUserID reports whether an id can stand in a path as it is, in every server's eyes.
var isUserID = regexp.MustCompile(`^[\w-]+$`).MatchString

// message is the one message in a body, if nothing stands around it and nothing in it is unknown.
func message(body []byte) (*managementv1.SetHumanPasswordRequest, bool) {
	request := new(managementv1.SetHumanPasswordRequest)
	flag, message, rest, ok := v1wire.CutFrame(body)
	if !ok || flag != 0 || len(rest) > 0 {
		return request, false
	}
	err := proto.Unmarshal(message, request)
	return request, err == nil && len(request.ProtoReflect().GetUnknown()) == 0
}
