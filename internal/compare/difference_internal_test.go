package compare

import (
	"net/http"
	"testing"

	"zitadel-v1-adapter/adapter"
)

const typeMessage = "proto: (line 1:13): invalid value for string field password: 123"

// What counts as a difference between two answers, and what is known: the builds of ZITADEL
// spell JSON in two ways, v2.58 words errors of types otherwise, and releases before v4
// expose less to pages.
func TestDifferencesBetweenBuildsAreTold(t *testing.T) {
	t.Parallel()
	call := restCall(NoToken, usersPath+"1/password", "")
	answered := func(body string, headers ...string) answer {
		return newAnswer(REST, &http.Response{StatusCode: http.StatusBadRequest, Header: newHeader(headers...)}, []byte(body))
	}
	said := func(message string) answer { return answered(`{"code":3,"message":"` + message + `"}`) }
	exposing := func(names string) answer { return answered("", "Access-Control-Expose-Headers", names) }
	const differs = "differs"
	for name, test := range map[string]struct {
		native, adapter answer
		want            string // "": the same; differs; or the reason
	}{
		"spaces":                  {answered(`{"code":3, "message":"a,b", "details":[{"id":"A", "message":"a"}]}`), answered(`{"code":3,"message":"a,b","details":[{"id":"A","message":"a"}]}`), ""},
		"line breaks":             {answered("{\n  \"code\": 3,\n  \"message\": \"a\"\n}\n"), said("a"), ""},
		"spaces in a text":        {said("a, b"), said("a,b"), differs},
		"spaces in a detail":      {answered(`{"code":3,"message":"a","details":["a, b"]}`), answered(`{"code":3,"message":"a","details":["a,b"]}`), differs},
		"order":                   {answered(`{"message":"a","code":3}`), said("a"), differs},
		"no JSON":                 {answered("a, b"), answered("a,b"), differs},
		"no-break space":          {said("proto:\u00a0a"), said("proto: a"), ""},
		"type, old wording":       {said("proto: (line 1:13): invalid value for string type: 123"), said(typeMessage), reasonField},
		"type, old, spaces":       {answered(`{"code":3, "message":"proto:` + "\u00a0" + `(line 1:13): invalid value for string type: 123"}`), said(typeMessage), reasonField},
		"bool, old wording":       {said("proto: (line 1:22): invalid value for bool type: 1"), said("proto: (line 1:22): invalid value for bool field noChangeRequired: 1"), reasonField},
		"type, new wording":       {said(typeMessage), said(typeMessage), ""},
		"type, another value":     {said("proto: (line 1:13): invalid value for string type: 124"), said(typeMessage), differs},
		"type, another place":     {said("proto: (line 1:14): invalid value for string type: 123"), said(typeMessage), differs},
		"type, another type":      {said("proto: (line 1:13): invalid value for bool type: 123"), said(typeMessage), differs},
		"type, the adapter's old": {said(typeMessage), said("proto: (line 1:13): invalid value for string type: 123"), differs},
		"type, and a detail":      {answered(`{"code":3,"message":"proto: (line 1:13): invalid value for string type: 123","details":[1]}`), said(typeMessage), differs},
		"fewer exposed":           {exposing("Location, Content-Length"), exposing("Location, Content-Length, Grpc-Status"), reasonOlder},
		"exposed in other order":  {exposing("Location, Content-Length"), exposing("Content-Length, Location"), ""},
		"more exposed":            {exposing("Location, X-New"), exposing("Location, Content-Length"), differs},
	} {
		got := ""
		for _, found := range (Config{}).differences(call, test.native, test.adapter) {
			if got = found.reason; got == "" {
				got = differs
			}
		}
		if got != test.want {
			t.Errorf("%s: got %q, want %q", name, got, test.want)
		}
	}
}

// An answer that gRPC-Web's proxy puts a frame behind, though it is no gRPC, is read: grpc-go's
// to a malformed timeout. The frame counts, and is shown.
func TestAnswerWithTrailerFrameBehindTextIsRead(t *testing.T) {
	t.Parallel()
	const malformed = `malformed grpc-timeout: transport: timeout string is too short: "x"`
	call := newCall(adapter.Methods()[0], GRPCWeb, "malformed Grpc-Timeout", NoPassword, "1", "")
	read := func(body string) answer {
		return newAnswer(GRPCWeb, &http.Response{StatusCode: http.StatusBadRequest, Header: newHeader("Content-Type", "text/plain; charset=utf-8")}, []byte(body))
	}
	const empty, message = "\x80\x00\x00\x00\x00", "\x80\x00\x00\x00\x0dGrpc-Status:3"
	for name, test := range map[string]struct {
		native, adapter string
		same            bool
		shown           string
	}{
		"the same":          {malformed + "\n" + empty, malformed + "\n" + empty, true, "HTTP 400 " + malformed + "\n and a frame with the trailers \"\""},
		"none":              {malformed + "\n", malformed + "\n", true, "HTTP 400 " + malformed},
		"no frame":          {malformed + "\n" + empty, malformed + "\n", false, "HTTP 400 " + malformed + "\n and a frame with the trailers \"\""},
		"another frame":     {message, empty, false, `HTTP 400  and a frame with the trailers "Grpc-Status:3"`},
		"no frame at all":   {"\x80", "\x80\x00\x00\x00\x01", false, "HTTP 400 \x80"},
		"frame that is cut": {"a\x80\x00\x00\x00\x02b", "a", false, "HTTP 400 a\x80\x00\x00\x00\x02b"},
	} {
		native := read(test.native)
		if got := len((Config{}).differences(call, native, read(test.adapter))) == 0; got != test.same {
			t.Errorf("%s: the same: got %v, want %v", name, got, test.same)
		}
		if got := native.String(); got != test.shown {
			t.Errorf("%s: got %q, want %q", name, got, test.shown)
		}
	}
}

// ZITADEL answers what it does not take for gRPC as REST: the code in the JSON counts. A page
// with HTTP 200 is no success.
func TestAnswersOfAnotherProtocolAreRead(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		status            int
		contentType, body string
		shown             string
		gone              bool
	}{
		"JSON":           {http.StatusUnauthorized, "application/json", `{"code":16, "message":"a"}`, "HTTP 401, code 16 a", false},
		"no such path":   {http.StatusNotFound, "application/json", `{"code":5,"message":"Not Found"}`, "HTTP 404, code 5 Not Found", true},
		"no such verb":   {http.StatusNotImplemented, "application/json", `{"code":12,"message":"Method Not Allowed"}`, "HTTP 501, code 12 Method Not Allowed", true},
		"a page":         {http.StatusNotFound, "text/html", "<html>", "HTTP 404 <html>", true},
		"a login page":   {http.StatusOK, "text/html", "<html>", "HTTP 200 <html>", false},
		"no grpc-status": {http.StatusOK, "application/grpc", "", "HTTP 200", false},
	} {
		for _, protocol := range []Protocol{GRPC, GRPCWeb} {
			got := newAnswer(protocol, &http.Response{StatusCode: test.status, Header: newHeader("Content-Type", test.contentType)}, []byte(test.body))
			if got.String() != test.shown || got.isGone() != test.gone || got.succeeded(protocol) {
				t.Errorf("%s, %s: got %q, gone %v, want %q, %v, and no success", protocol, name, got, got.isGone(), test.shown, test.gone)
			}
		}
	}
	read := func(headers ...string) answer {
		return newAnswer(GRPC, &http.Response{StatusCode: http.StatusOK, Header: newHeader(append(headers, "Content-Type", "application/grpc")...)}, nil)
	}
	if (Config{}).differences(Call{}, read(), read("Grpc-Status", "0")) == nil {
		t.Error("no status, and success: got no difference")
	}
}
