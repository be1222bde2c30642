package compare

import (
	"maps"
	"net/http"
	"slices"
	"strings"

	"zitadel-v1-adapter/adapter"
	"zitadel-v1-adapter/internal/rpcstatus"
	"zitadel-v1-adapter/internal/v1wire"
)

// Protocol is what a call is made in.
type Protocol string

// The protocols of v1.
const (
	REST    Protocol = "REST"
	GRPC    Protocol = "gRPC"
	GRPCWeb Protocol = "gRPC-Web"
)

// wire is the protocol's name in package rpcstatus. REST has none.
func (p Protocol) wire() rpcstatus.Protocol { return rpcstatus.Protocol(strings.ToLower(string(p))) }

// Call is a v1 call that changes nothing.
type Call struct {
	v1wire.Request `json:"-"`

	Protocol Protocol `json:"protocol"`
	Method   string   `json:"method"` // v1's, such as "SetHumanPassword"
	What     string   `json:"call"`
	Why      Reason   `json:"writesNothingBecause"` // no call is sent of which it is not true

	verb string
}

const (
	noPassword  = `{"password":""}` // v1's validation and the adapter's refuse it
	noMethod    = "Nope"            // makes of a method's name one that no method has
	userAgent   = "zitadel-v1-adapter-compare"
	otherOrigin = "https://app.example" // a web page's that is not ZITADEL's
)

// askedByPages are the headers that a page asks for in a preflight.
var askedByPages = map[Protocol]string{
	REST:    "authorization,content-type,x-zitadel-orgid",
	GRPCWeb: "authorization,content-type,x-grpc-web,x-user-agent,x-zitadel-orgid",
}

// newCalls makes all calls, the first of which needs the least of ZITADEL.
func (p *Plan) newCalls() []Call {
	all := make([]Call, 0, 100) // of two methods over three protocols
	for _, method := range adapter.Methods() {
		for _, protocol := range []Protocol{REST, GRPC, GRPCWeb} {
			all = append(all, p.callsOf(method, protocol)...)
		}
	}
	return all
}

// callsOf tell how v1 treats callers, users, organizations, and what is no call or cannot be read.
func (p *Plan) callsOf(method adapter.Method, protocol Protocol) []Call {
	call := func(what string, why Reason, user, authorization, password string, headers ...string) Call {
		return newCall(method, protocol, what, why, user, password, append(headers, "Authorization", authorization)...)
	}
	bearer, bad := "Bearer "+p.Token, "Bearer "+p.badToken
	path := newCall(method, protocol, "", "", p.User, "").Path
	odd := func(what string, why Reason, verb, path, body string) Call {
		odd := call(what, why, p.User, bearer, "")
		odd.verb, odd.Path, odd.Body = verb, path, []byte(body)
		return odd
	}
	calls := []Call{
		call("no token", NoToken, p.missing, "", p.password),
		call("Authorization that is not Bearer", NoToken, p.missing, "Basic abc", p.password),
		call("token that does not exist", NoToken, p.missing, bad, p.password),
		call("user that does not exist", NoUser, p.missing, bearer, p.password),
		call("user id of 201 characters", NoUser, strings.Repeat("9", maxUserIDRunes+1), bearer, p.password),
		call("organization that does not exist", NoPassword, p.missing, bearer, "", "X-Zitadel-Orgid", p.missedOrg),
		call("empty password", NoPassword, p.User, bearer, ""),
		call("malformed Grpc-Timeout", NoPassword, p.User, bearer, "", "Grpc-Timeout", "x"),
	}
	if p.OtherUser != "" {
		calls = append(calls, call("user of another organization, empty password", NoPassword, p.OtherUser, bearer, ""))
	}
	if protocol != GRPC { // which no web page speaks
		preflight := odd("preflight", NotACall, http.MethodOptions, path, "")
		preflight.Header = newHeader("Origin", otherOrigin, "User-Agent", userAgent,
			"Access-Control-Request-Method", http.MethodPost, "Access-Control-Request-Headers", askedByPages[protocol])
		calls = append(calls, preflight,
			call("no token, from another origin", NoToken, p.missing, "", p.password, "Origin", otherOrigin))
	}
	if protocol == REST {
		return append(calls,
			call("token that does not exist, no password", NoToken, p.missing, bad, ""),
			call("expired Grpc-Timeout", NoUser, p.missing, bearer, p.password, "Grpc-Timeout", "1n"),
			call("no user in the path", NotACall, "", bearer, ""),
			odd("empty body", NoPassword, http.MethodPost, path, ""),
			odd("unknown field, no password", NoPassword, http.MethodPost, path, `{"unknown":{"":[]}}`),
			odd("cut body", Unreadable, http.MethodPost, path, `{"password":`),
			odd("trailing comma", Unreadable, http.MethodPost, path, `{"password":"",}`),
			odd("array as body", Unreadable, http.MethodPost, path, `[]`),
			odd("slash at the end", NotACall, http.MethodPost, path+"/", noPassword),
			odd("double slash", NotACall, http.MethodPost, strings.Replace(path, "/users/", "//users/", 1), noPassword),
			odd("GET", NotACall, http.MethodGet, path, ""))
	}
	if protocol == GRPCWeb {
		calls = append(calls,
			odd("cut frame", Unreadable, http.MethodPost, path, "\x00\x00\x00\x00\xFF\x01"),
			odd("no frame", Unreadable, http.MethodPost, path, ""))
	}
	return append(calls,
		call("empty user id", NoUser, "", bearer, p.password),
		odd("message that is none", Unreadable, http.MethodPost, path, "\x00\x00\x00\x00\x05\xFF\xFF\xFF\xFF\xFF"),
		odd("method that does not exist", NotACall, http.MethodPost, path+noMethod, "\x00\x00\x00\x00\x00"))
}

func newCall(method adapter.Method, protocol Protocol, what string, why Reason, user, password string, headers ...string) Call {
	path := method.Procedure
	if protocol == REST {
		path = method.Pattern
	}
	request, err := v1wire.EncodeRequest(protocol.wire(), path, method.NewRequest(user, password))
	if err != nil { // only text that is not UTF-8
		return Call{} // which has no reason, and is not sent
	}
	call := Call{Protocol: protocol, Method: method.Name(), What: what, Why: why, Request: request, verb: http.MethodPost}
	if protocol == REST && password == "" {
		call.Body = []byte(noPassword)
	}
	maps.Copy(call.Header, newHeader(append(headers, "User-Agent", userAgent)...))
	return call
}

// newHeader makes headers of names and values, without those that are "".
func newHeader(pairs ...string) http.Header {
	header := http.Header{}
	for pair := range slices.Chunk(pairs, 2) {
		if pair[1] != "" {
			header.Set(pair[0], pair[1])
		}
	}
	return header
}
