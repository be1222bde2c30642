package compare

import (
	"bytes"
	"errors"
	"net/http"
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
	// NoToken is for calls without the operator's token: nobody may write anything.
	NoToken Reason = "It carries no token that ZITADEL knows."
	// NoUser is for calls with a token and a password.
	NoUser Reason = "It names a user that cannot exist: a random id made for this run, an id longer than any, or none."
	// NoPassword is for calls to users who may exist.
	NoPassword Reason = "It carries no password, and v1 and the adapter refuse an empty one before they look at the user." //nolint:gosec // no credential
	// Unreadable is for bodies that cannot be read.
	Unreadable Reason = "Its body cannot be read, and holds no password."
	// NotACall is for requests that no v1 method answers.
	NotACall Reason = "It is a request that no v1 method answers, and holds no password."
)

// maxUserIDRunes is the length of the longest user id (recordings of v2).
const maxUserIDRunes = 200

// sendable are the headers that a call may have. Others could mean something to a server
// that is not thought of here: another method, a cookie.
var sendable = []string{
	"Access-Control-Request-Headers", "Access-Control-Request-Method", "Authorization", "Content-Type", "Grpc-Timeout", "Origin", "Te",
	"User-Agent", "X-Grpc-Web", ingress.ViaHeader, "X-Zitadel-Orgid",
}

// checkWritesNothing looks at what a call would send, byte by byte, and returns an error if
// the call's reason is not true of it. It is the gate of this package: nothing is sent
// that did not pass it. The errors repeat nothing of the call.
func (w world) checkWritesNothing(call Call) error {
	for name := range call.Header {
		if !slices.Contains(sendable, name) {
			return errors.New("it has a header of another kind")
		}
	}
	switch call.Why {
	case NoToken:
		return w.checkNoToken(call)
	case NoUser:
		return w.checkNoUser(call)
	case NoPassword, Unreadable:
		if call.verb != http.MethodPost || !isV1Path(call) {
			return errors.New("it is no call")
		}
		return checkNoPassword(call)
	case NotACall:
		switch {
		case call.verb == http.MethodPost && isV1Path(call):
			return errors.New("it is a call")
		case !slices.Contains([]string{http.MethodGet, http.MethodOptions, http.MethodPost}, call.verb), !isNearV1Path(call):
			return errors.New("it may be a call of another method")
		}
		return checkNoPassword(call)
	}
	return errors.New("it has no reason why it cannot write")
}

// checkNoToken refuses whatever could be a token that ZITADEL knows.
func (w world) checkNoToken(call Call) error {
	for name, values := range call.Header {
		for _, value := range values {
			if strings.Contains(value, w.token) {
				return errors.New("it carries the token")
			}
			isBearer := strings.Contains(strings.ToLower(value), "bearer")
			if name == "Authorization" && isBearer && value != "Bearer "+w.badToken {
				return errors.New("it carries a token that was not made up for this")
			}
		}
	}
	if strings.Contains(call.Path, w.token) || bytes.Contains(call.Body, []byte(w.token)) {
		return errors.New("it carries the token")
	}
	return nil
}

// checkNoUser refuses whatever could name a user who exists.
func (w world) checkNoUser(call Call) error {
	user, ok := userOf(call)
	switch {
	case !ok:
		return errors.New("it cannot be told which user it names")
	case user == "", user == w.missing, utf8.RuneCountInString(user) > maxUserIDRunes:
		return nil
	}
	return errors.New("it names a user who may exist")
}

// checkNoPassword refuses whatever could hold a password, read in whatever way.
func checkNoPassword(call Call) error {
	if call.Protocol == REST {
		if holdsText(call.Body) {
			return errors.New("its body may hold a password")
		}
		return nil
	}
	request, readable := message(call.Body)
	switch {
	case !readable && !slices.ContainsFunc(call.Body, isPrintable):
		return nil
	case !readable:
		return errors.New("its body cannot be read, and may hold a password")
	case request.GetPassword() != "":
		return errors.New("its message holds a password")
	case call.Why == Unreadable:
		return errors.New("its body can be read")
	}
	return nil
}

// holdsText reports whether a JSON document, whole or broken, has any text or number in it
// besides the two names that calls use. It reads no JSON, because a server may read it in
// another way: the first of two documents, the last of two fields.
func holdsText(body []byte) bool {
	rest := strings.NewReplacer(`"password":`, ":", `"unknown":`, ":", `""`, "").Replace(string(body))
	return strings.Trim(rest, "{}[]:, ") != ""
}

func isPrintable(c byte) bool { return c >= ' ' && c < 0x7F }

// isV1Path reports whether a call's path is that of a v1 method that the adapter translates.
func isV1Path(call Call) bool {
	if call.Protocol != REST {
		return slices.ContainsFunc(adapter.Methods(), func(method adapter.Method) bool { return method.Procedure == call.Path })
	}
	user, ok := userInPath(call.Path)
	return ok && isUserID(user)
}

// isNearV1Path reports whether a call's path is that of a v1 method that the adapter
// translates, or one that is so near to it that it can be no other method's.
func isNearV1Path(call Call) bool {
	if call.Protocol != REST {
		call.Path = strings.TrimSuffix(call.Path, noMethod)
		return isV1Path(call)
	}
	user, ok := userInPath(call.Path)
	call.Path = strings.Replace(strings.TrimSuffix(call.Path, "/"), "//", "/", 1)
	return ok && user == "" || isV1Path(call)
}

// userOf is the user whom a call names, over REST in its path alone: v1 does not look
// for it in the body.
func userOf(call Call) (string, bool) {
	if !isV1Path(call) || call.verb != http.MethodPost {
		return "", false
	}
	if call.Protocol == REST {
		return userInPath(call.Path)
	}
	request, readable := message(call.Body)
	return request.GetUserId(), readable
}

// userInPath is what stands in a REST path of a v1 method for the user.
func userInPath(path string) (string, bool) {
	for _, method := range adapter.Methods() {
		before, after, _ := strings.Cut(method.Pattern, ":user_id")
		rest, begins := strings.CutPrefix(path, before)
		if user, ends := strings.CutSuffix(rest, after); begins && ends {
			return user, true
		}
	}
	return "", false
}

// isUserID reports whether an id can stand in a path as it is, in every server's eyes.
func isUserID(id string) bool {
	const plain = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_"
	return id != "" && strings.Trim(id, plain) == ""
}

// message is the one message in a body, if there is one with nothing around it and nothing
// unknown in it.
func message(body []byte) (*managementv1.SetHumanPasswordRequest, bool) {
	request := new(managementv1.SetHumanPasswordRequest)
	const prefix = 5 // of a frame: a flag and the length
	if len(body) < prefix || !bytes.Equal(body, v1wire.Frame(0, body[prefix:])) {
		return request, false
	}
	err := proto.Unmarshal(body[prefix:], request)
	return request, err == nil && len(request.ProtoReflect().GetUnknown()) == 0
}
