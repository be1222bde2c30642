package compare

import (
	"encoding/binary"
	"net/http"
	"slices"
	"strings"

	"google.golang.org/protobuf/proto"

	managementv1 "zitadel-v1-adapter/gen/zitadel/management/v1"
	"zitadel-v1-adapter/gen/zitadel/management/v1/managementv1connect"
)

// Protocol is what a call is made in.
type Protocol string

// The protocols of v1.
const (
	REST    Protocol = "REST"
	GRPC    Protocol = "gRPC"
	GRPCWeb Protocol = "gRPC-Web"
)

// Call is a v1 call that changes nothing.
type Call struct {
	Protocol Protocol `json:"protocol"`
	// Method is v1's, such as "SetHumanPassword".
	Method string `json:"method"`
	What   string `json:"call"`
	// Why is why it cannot write. No call is sent of which it is not true.
	Why Reason `json:"writesNothingBecause"`

	verb, path string
	header     http.Header
	body       []byte
}

// v1Method is a method of v1 that the adapter translates.
type v1Method struct {
	name, procedure string
	suffix          string // of its REST path, after the user's id
}

var v1Methods = []v1Method{
	{"SetHumanInitialPassword", managementv1connect.ManagementServiceSetHumanInitialPasswordProcedure, "/password/_initialize"},
	{"SetHumanPassword", managementv1connect.ManagementServiceSetHumanPasswordProcedure, "/password"},
}

const (
	usersPath = "/management/v1/users/"
	// noPassword is a body whose password is refused by v1's validation, and by the
	// adapter's.
	noPassword = `{"password":""}`
	// noMethod makes of a method's name one that no method has.
	noMethod = "Nope"
	// otherOrigin is a web page's that is not ZITADEL's.
	otherOrigin = "https://app.example"
)

// world is what calls are made of.
type world struct {
	token     string // the operator's
	badToken  string // random
	user      string // the operator's, or missing
	otherUser string // "": none
	missing   string // random: the id of nobody
	tooLong   string // longer than any id
	missedOrg string // random: the id of no organization
	password  string // random
}

// calls are all calls, the first of which needs the least of ZITADEL.
func (w world) calls() []Call {
	sets := make([][]Call, 0, 12)
	for _, method := range v1Methods {
		sets = append(
			sets,
			w.restCalls(method), w.restOddities(method),
			w.rpcCalls(method, GRPC), w.rpcOddities(method, GRPC),
			w.rpcCalls(method, GRPCWeb), w.rpcOddities(method, GRPCWeb),
		)
	}
	return slices.Concat(sets...)
}

// restCalls are those that tell how v1 treats callers, users and organizations.
func (w world) restCalls(method v1Method) []Call {
	call := func(what string, why Reason, user, authorization, body string, headers ...string) Call {
		return newREST(method, what, why, usersPath+user+method.suffix, body, append(headers, "Authorization", authorization)...)
	}
	bearer, withPassword := "Bearer "+w.token, `{"password":"`+w.password+`"}`
	calls := []Call{
		call("no token", NoToken, w.missing, "", withPassword),
		call("no token, from another origin", NoToken, w.missing, "", withPassword, "Origin", otherOrigin),
		call("Authorization that is not Bearer", NoToken, w.missing, "Basic abc", withPassword),
		call("token that does not exist", NoToken, w.missing, "Bearer "+w.badToken, withPassword),
		call("token that does not exist, no password", NoToken, w.missing, "Bearer "+w.badToken, noPassword),
		call("user that does not exist", NoUser, w.missing, bearer, withPassword),
		call("user id of 201 characters", NoUser, w.tooLong, bearer, withPassword),
		call("organization that does not exist", NoPassword, w.missing, bearer, noPassword, "X-Zitadel-Orgid", w.missedOrg),
		call("empty password", NoPassword, w.user, bearer, noPassword),
		call("empty body", NoPassword, w.user, bearer, ""),
		call("unknown field, no password", NoPassword, w.user, bearer, `{"unknown":{"":[]}}`),
		call("expired Grpc-Timeout", NoUser, w.missing, bearer, withPassword, "Grpc-Timeout", "1n"),
		call("malformed Grpc-Timeout", NoPassword, w.user, bearer, noPassword, "Grpc-Timeout", "x"),
	}
	if w.otherUser != "" {
		calls = append(calls, call("user of another organization, empty password", NoPassword, w.otherUser, bearer, noPassword))
	}
	return calls
}

// restOddities are no calls, or cannot be read.
func (w world) restOddities(method v1Method) []Call {
	call := func(what string, why Reason, path, body string) Call {
		return newREST(method, what, why, path, body, "Authorization", "Bearer "+w.token)
	}
	path := usersPath + w.user + method.suffix
	get := call("GET", NotACall, path, "")
	get.verb = http.MethodGet
	preflight := newREST(method, "preflight", NotACall, path, "", preflightHeaders("authorization,content-type,x-zitadel-orgid")...)
	preflight.verb = http.MethodOptions
	return []Call{
		call("cut body", Unreadable, path, `{"password":`),
		call("trailing comma", Unreadable, path, `{"password":"",}`),
		call("array as body", Unreadable, path, `[]`),
		call("slash at the end", NotACall, path+"/", "{}"),
		call("double slash", NotACall, strings.Replace(path, "/users/", "//users/", 1), "{}"),
		call("no user in the path", NotACall, usersPath+method.suffix, "{}"),
		get, preflight,
	}
}

// rpcCalls are the counterpart of restCalls.
func (w world) rpcCalls(method v1Method, protocol Protocol) []Call {
	call := func(what string, why Reason, user, authorization, password string, headers ...string) Call {
		return newRPC(method, protocol, what, why, frame(user, password), append(headers, "Authorization", authorization)...)
	}
	bearer := "Bearer " + w.token
	calls := []Call{
		call("no token", NoToken, w.missing, "", w.password),
		call("Authorization that is not Bearer", NoToken, w.missing, "Basic abc", w.password),
		call("token that does not exist", NoToken, w.missing, "Bearer "+w.badToken, w.password),
		call("user that does not exist", NoUser, w.missing, bearer, w.password),
		call("user id of 201 characters", NoUser, w.tooLong, bearer, w.password),
		call("empty user id", NoUser, "", bearer, w.password),
		call("organization that does not exist", NoPassword, w.missing, bearer, "", "X-Zitadel-Orgid", w.missedOrg),
		call("empty password", NoPassword, w.user, bearer, ""),
		call("malformed Grpc-Timeout", NoPassword, w.user, bearer, "", "Grpc-Timeout", "x"),
	}
	if w.otherUser != "" {
		calls = append(calls, call("user of another organization, empty password", NoPassword, w.otherUser, bearer, ""))
	}
	return calls
}

// rpcOddities are no calls, or cannot be read.
func (w world) rpcOddities(method v1Method, protocol Protocol) []Call {
	bearer := []string{"Authorization", "Bearer " + w.token}
	unknown := newRPC(method, protocol, "method that does not exist", NotACall, frame("", ""), bearer...)
	unknown.path += noMethod
	calls := []Call{
		newRPC(method, protocol, "message that is none", Unreadable, []byte("\x00\x00\x00\x00\x05\xFF\xFF\xFF\xFF\xFF"), bearer...),
		unknown,
	}
	if protocol == GRPCWeb {
		preflight := Call{
			Protocol: protocol, Method: method.name, What: "preflight", Why: NotACall, verb: http.MethodOptions, path: method.procedure,
			header: newHeader(preflightHeaders("authorization,content-type,x-grpc-web,x-user-agent,x-zitadel-orgid")...),
		}
		calls = append(
			calls,
			newRPC(method, protocol, "cut frame", Unreadable, []byte("\x00\x00\x00\x00\xFF\x01"), bearer...),
			newRPC(method, protocol, "no frame", Unreadable, nil, bearer...),
			newRPC(method, protocol, "no token, from another origin", NoToken, frame(w.missing, w.password), "Origin", otherOrigin),
			preflight,
		)
	}
	return calls
}

func preflightHeaders(asked string) []string {
	return []string{"Origin", otherOrigin, "Access-Control-Request-Method", http.MethodPost, "Access-Control-Request-Headers", asked}
}

func newREST(method v1Method, what string, why Reason, path, body string, headers ...string) Call {
	return Call{
		Protocol: REST, Method: method.name, What: what, Why: why, verb: http.MethodPost, path: path,
		header: newHeader(append(headers, "Content-Type", "application/json")...), body: []byte(body),
	}
}

func newRPC(method v1Method, protocol Protocol, what string, why Reason, body []byte, headers ...string) Call {
	if protocol == GRPC {
		headers = append(headers, "Content-Type", "application/grpc", "Te", "trailers")
	} else {
		headers = append(headers, "Content-Type", "application/grpc-web+proto", "X-Grpc-Web", "1")
	}
	return Call{
		Protocol: protocol, Method: method.name, What: what, Why: why, verb: http.MethodPost, path: method.procedure,
		header: newHeader(headers...), body: body,
	}
}

// newHeader makes headers of names and values, without those that are "".
func newHeader(pairs ...string) http.Header {
	header := http.Header{}
	for i := 0; i < len(pairs); i += 2 {
		if pairs[i+1] != "" {
			header.Set(pairs[i], pairs[i+1])
		}
	}
	return header
}

// framePrefix is the length of what stands before a message: a flag and the message's
// length (gRPC over HTTP/2, "Length-Prefixed-Message").
const framePrefix = 5

// frame is a call's message over gRPC: both methods have the same first two fields.
func frame(user, password string) []byte {
	message, _ := proto.Marshal(&managementv1.SetHumanPasswordRequest{UserId: user, Password: password}) // fails for invalid UTF-8 alone: the message is empty then
	out := binary.BigEndian.AppendUint32([]byte{0}, uint32(len(message)))                                //nolint:gosec // a few hundred bytes
	return append(out, message...)
}
