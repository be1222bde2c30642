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

func (p Protocol) wire() rpcstatus.Protocol {
	return map[Protocol]rpcstatus.Protocol{GRPC: rpcstatus.GRPC, GRPCWeb: rpcstatus.GRPCWeb}[p]
}

// Call is a v1 call that changes nothing.
type Call struct {
	v1wire.Request `json:"-"`

	Protocol Protocol `json:"protocol"`
	// Method is v1's, such as "SetHumanPassword".
	Method string `json:"method"`
	What   string `json:"call"`
	// Why is why it cannot write. No call is sent of which it is not true.
	Why Reason `json:"writesNothingBecause"`

	verb string
}

const (
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
	for _, method := range adapter.Methods() {
		for _, protocol := range []Protocol{REST, GRPC, GRPCWeb} {
			sets = append(sets, w.refusedCalls(method, protocol), w.oddities(method, protocol))
		}
	}
	return slices.Concat(sets...)
}

// refusedCalls are those that tell how v1 treats callers, users and organizations.
func (w world) refusedCalls(method adapter.Method, protocol Protocol) []Call {
	call := func(what string, why Reason, user, authorization, password string, headers ...string) Call {
		return newCall(method, protocol, what, why, user, password, append(headers, "Authorization", authorization)...)
	}
	bearer, bad := "Bearer "+w.token, "Bearer "+w.badToken
	calls := []Call{
		call("no token", NoToken, w.missing, "", w.password),
		call("Authorization that is not Bearer", NoToken, w.missing, "Basic abc", w.password),
		call("token that does not exist", NoToken, w.missing, bad, w.password),
		call("user that does not exist", NoUser, w.missing, bearer, w.password),
		call("user id of 201 characters", NoUser, w.tooLong, bearer, w.password),
		call("organization that does not exist", NoPassword, w.missing, bearer, "", "X-Zitadel-Orgid", w.missedOrg),
		call("empty password", NoPassword, w.user, bearer, ""),
		call("malformed Grpc-Timeout", NoPassword, w.user, bearer, "", "Grpc-Timeout", "x"),
	}
	if w.otherUser != "" {
		calls = append(calls, call("user of another organization, empty password", NoPassword, w.otherUser, bearer, ""))
	}
	if protocol != GRPC { // which no web page speaks
		calls = append(calls, call("no token, from another origin", NoToken, w.missing, "", w.password, "Origin", otherOrigin))
	}
	if protocol != REST {
		return append(calls, call("empty user id", NoUser, "", bearer, w.password))
	}
	return append(
		calls,
		call("token that does not exist, no password", NoToken, w.missing, bad, ""),
		call("empty body", NoPassword, w.user, bearer, "").with(""),
		call("unknown field, no password", NoPassword, w.user, bearer, "").with(`{"unknown":{"":[]}}`),
		call("expired Grpc-Timeout", NoUser, w.missing, bearer, w.password, "Grpc-Timeout", "1n"),
	)
}

// oddities are no calls, or cannot be read.
func (w world) oddities(method adapter.Method, protocol Protocol) []Call {
	odd := func(what string, why Reason) Call {
		return newCall(method, protocol, what, why, w.user, "", "Authorization", "Bearer "+w.token)
	}
	preflight := odd("preflight", NotACall).by(http.MethodOptions).with("")
	preflight.Header = newHeader(
		"Origin", otherOrigin, "Access-Control-Request-Method", http.MethodPost,
		"Access-Control-Request-Headers", "authorization,content-type,x-grpc-web,x-user-agent,x-zitadel-orgid",
	)
	if protocol == REST {
		preflight.Header.Set("Access-Control-Request-Headers", "authorization,content-type,x-zitadel-orgid")
		path := odd("", NotACall).Path
		return []Call{
			odd("cut body", Unreadable).with(`{"password":`),
			odd("trailing comma", Unreadable).with(`{"password":"",}`),
			odd("array as body", Unreadable).with(`[]`),
			odd("slash at the end", NotACall).to(path + "/"),
			odd("double slash", NotACall).to(strings.Replace(path, "/users/", "//users/", 1)),
			newCall(method, protocol, "no user in the path", NotACall, "", "", "Authorization", "Bearer "+w.token),
			odd("GET", NotACall).by(http.MethodGet).with(""),
			preflight,
		}
	}
	calls := []Call{
		odd("message that is none", Unreadable).with("\x00\x00\x00\x00\x05\xFF\xFF\xFF\xFF\xFF"),
		odd("method that does not exist", NotACall).to(method.Procedure + noMethod),
	}
	if protocol == GRPCWeb {
		calls = append(calls, odd("cut frame", Unreadable).with("\x00\x00\x00\x00\xFF\x01"), odd("no frame", Unreadable).with(""), preflight)
	}
	return calls
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
		call = call.with(noPassword)
	}
	maps.Copy(call.Header, newHeader(headers...))
	return call
}

// with is a call with another body.
func (c Call) with(body string) Call {
	c.Body = []byte(body)
	return c
}

// to is a call of another path.
func (c Call) to(path string) Call {
	c.Path = path
	return c
}

// by is a call by another HTTP method.
func (c Call) by(verb string) Call {
	c.verb = verb
	return c
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
