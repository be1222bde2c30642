package v1wire

import (
	"bytes"
	"compress/gzip"
	"context"
	"encoding/base64"
	"net/http"
	"net/http/httptest"
	"path"
	"strings"
	"testing"

	"connectrpc.com/connect"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/anypb"

	managementv1 "zitadel-v1-adapter/gen/zitadel/management/v1"
	zitadelv1 "zitadel-v1-adapter/gen/zitadel/v1"
	"zitadel-v1-adapter/internal/rpcstatus"
)

const (
	procedure = "/zitadel.management.v1.ManagementService/SetHumanPassword"
	pattern   = "/management/v1/users/:user_id/password"
)

var protocols = []rpcstatus.Protocol{"", rpcstatus.GRPC, rpcstatus.GRPCWeb, rpcstatus.GRPCWebText}

// send makes of a call what a server gets.
func send(protocol rpcstatus.Protocol, call Request) *http.Request {
	r := httptest.NewRequest(http.MethodPost, call.Path, bytes.NewReader(call.Body))
	r.Header = call.Header
	if protocol == rpcstatus.GRPC {
		r.ProtoMajor = 2
	}
	return r
}

// read reads a call as a server does.
func read(r *http.Request, into *managementv1.SetHumanPasswordRequest) *rpcstatus.Status {
	protocol := rpcstatus.ProtocolOf(r)
	if protocol == "" {
		return ReadREST(context.Background(), r, plainBody{r.Body}, into, func() { into.UserId = path.Base(path.Dir(r.URL.Path)) })
	}
	if _, _, refusal := AcceptRPC(r, protocol); refusal != nil {
		return refusal
	}
	message, refusal := ReadRPC(r, protocol, plainBody{r.Body})
	if refusal != nil {
		return refusal
	}
	return DecodeRPC(message, into)
}

// What a client sends, the server reads.
func TestRequestsAreReadAgain(t *testing.T) {
	t.Parallel()
	for _, message := range []*managementv1.SetHumanPasswordRequest{
		{UserId: "400850336480234534", Password: "Sup3rPassw0rd!", NoChangeRequired: true},
		{UserId: "a b%2F?", Password: "\"\\\u2028<ä>\x00"},
		{UserId: "1", Password: strings.Repeat("long", 10_000)},
		{UserId: "1"},
	} {
		for _, protocol := range protocols {
			target := pattern
			if protocol != "" {
				target = procedure
			}
			call, err := EncodeRequest(protocol, target, message)
			if err != nil {
				t.Fatal(err)
			}
			r, got := send(protocol, call), new(managementv1.SetHumanPasswordRequest)
			if arrived := rpcstatus.ProtocolOf(r); arrived != protocol {
				t.Errorf("protocol: got %q, want %q", arrived, protocol)
			}
			if refusal := read(r, got); refusal != nil || !proto.Equal(got, message) {
				t.Errorf("%q: got %v (%v), want %v", protocol, got, refusal, message)
			}
		}
	}
}

// The bytes that clients send: a path's parameter is not in the body.
func TestRequestsAsSent(t *testing.T) {
	t.Parallel()
	message := &managementv1.SetHumanPasswordRequest{UserId: "a/b", Password: "p"}
	const frame = "\x00\x00\x00\x00\x08\x0a\x03a/b\x12\x01p"
	for protocol, want := range map[rpcstatus.Protocol]Request{
		"":                {"/management/v1/users/a%2Fb/password", http.Header{"Content-Type": {"application/json"}}, []byte(`{"password":"p"}`)},
		rpcstatus.GRPC:    {procedure, http.Header{"Content-Type": {"application/grpc"}, "Te": {"trailers"}}, []byte(frame)},
		rpcstatus.GRPCWeb: {procedure, http.Header{"Content-Type": {"application/grpc-web+proto"}, "X-Grpc-Web": {"1"}}, []byte(frame)},
		rpcstatus.GRPCWebText: {
			procedure,
			http.Header{"Content-Type": {"application/grpc-web-text"}, "X-Grpc-Web": {"1"}},
			[]byte(base64.StdEncoding.EncodeToString([]byte(frame))),
		},
	} {
		target := procedure
		if protocol == "" {
			target = pattern
		}
		got, err := EncodeRequest(protocol, target, message)
		if err != nil || got.Path != want.Path || !bytes.Equal(got.Body, want.Body) || len(got.Header) != len(want.Header) {
			t.Errorf("%q: got %q (%v), want %q", protocol, got, err, want)
		}
		for name := range want.Header {
			if got.Header.Get(name) != want.Header.Get(name) {
				t.Errorf("%q: %s: got %q, want %q", protocol, name, got.Header.Get(name), want.Header.Get(name))
			}
		}
		if _, err := EncodeRequest(protocol, target, &managementv1.SetHumanPasswordRequest{Password: "\xff"}); err == nil {
			t.Errorf("%q: a password that is not UTF-8: got no error", protocol)
		}
	}
	if _, err := EncodeRequest("", "/users/:nobody", message); err == nil {
		t.Error("a parameter that is no field: got no error")
	}
}

// What the server answers, a client understands: successes, packed too, refusals before and
// after there is a call, with details and in any language.
func TestAnswersAreUnderstood(t *testing.T) {
	t.Parallel()
	detail, err := anypb.New(&zitadelv1.ErrorDetail{Id: "COMMAND-G8dh3", Message: "Passwort nicht gefunden"})
	if err != nil {
		t.Fatal(err)
	}
	refusal := rpcstatus.New(connect.CodeNotFound, "Passwort nicht gefunden: 100 %\r\nä (COMMAND-G8dh3)")
	refusal.Details = []*anypb.Any{detail}
	for _, protocol := range protocols {
		for _, trailers := range []string{"", "trailers"} {
			for _, status := range []*rpcstatus.Status{nil, refusal, rpcstatus.New(connect.CodeUnauthenticated, "auth header missing")} {
				r, w := httptest.NewRequest(http.MethodPost, "/", http.NoBody), httptest.NewRecorder()
				r.Header.Set("Content-Type", "application/"+string(protocol))
				r.Header.Set("Te", trailers)
				if trailers != "" && protocol != "" {
					w.Header().Set("Grpc-Encoding", "gzip")
				}
				want := Answer{}
				switch response := new(managementv1.SetHumanPasswordResponse); {
				case status == nil && protocol == "":
					WriteREST(w, r, response)
				case status == nil:
					WriteRPC(w, r, protocol, response)
				case protocol == "":
					WriteRESTStatus(w, r, status)
					want = Answer{Code: status.Code, Message: status.Message}
				default:
					rpcstatus.WriteRPC(w, r, protocol, status)
					want = Answer{Code: status.Code, Message: status.Message, Details: status.Serialized()}
				}
				response := w.Result()
				got, err := DecodeAnswer(protocol, w.Code, response.Header, response.Trailer, w.Body.Bytes())
				if err != nil || got != want {
					t.Errorf("%q: got %+v (%v), want %+v", protocol, got, err, want)
				}
			}
		}
	}
	if id := (Answer{Message: refusal.Message}).ID(); id != "COMMAND-G8dh3" {
		t.Errorf("id: got %q", id)
	}
}

// Answers that are another server's than v1's, or cut on their way.
func TestOddAnswers(t *testing.T) {
	t.Parallel()
	const grpc, web, text = "application/grpc", "application/grpc-web+proto", "application/grpc-web-text"
	const message, trailer = "\x00\x00\x00\x00\x02ab", "\x80\x00\x00\x00\x10Grpc-Status: 5\r\n"
	encode := base64.StdEncoding.EncodeToString
	var packed bytes.Buffer
	packing := gzip.NewWriter(&packed)
	_, _ = packing.Write([]byte(`{"code":5}`))
	_ = packing.Close()
	for name, test := range map[string]struct {
		protocol     rpcstatus.Protocol
		status       int
		header, body string
		want         connect.Code // 0 is none
	}{
		"text behind a call, with a frame of trailers": {rpcstatus.GRPCWeb, 400, "Content-Type: text/plain", "malformed\n\x80\x00\x00\x00\x00", 0},
		"trailers that are text/plain":                 {rpcstatus.GRPCWeb, 400, "Content-Type: text/plain", trailer, 0},
		"trailers of a success that is a page":         {rpcstatus.GRPC, 200, "Content-Type: text/html\r\nGrpc-Status: 5", "", 0},
		"no status":                                    {rpcstatus.GRPC, 200, "Content-Type: " + grpc, message, 0},
		"status in the header":                         {rpcstatus.GRPC, 200, "Content-Type: " + grpc + "\r\nGrpc-Status: 5", "", connect.CodeNotFound},
		"status that is no number":                     {rpcstatus.GRPC, 200, "Content-Type: " + grpc + "\r\nGrpc-Status: x", "", 0},
		"message that is no escape":                    {rpcstatus.GRPC, 200, "Content-Type: " + grpc + "\r\nGrpc-Status: 5\r\nGrpc-Message: %zz", "", 0},
		"details that are no base64":                   {rpcstatus.GRPC, 200, "Content-Type: " + grpc + "\r\nGrpc-Status: 5\r\nGrpc-Status-Details-Bin: !", "", 0},
		"trailers behind messages":                     {rpcstatus.GRPCWeb, 200, "Content-Type: " + web, message + message + trailer, connect.CodeNotFound},
		"trailers that are cut":                        {rpcstatus.GRPCWeb, 200, "Content-Type: " + web, message + trailer[:12], 0},
		"text in one piece":                            {rpcstatus.GRPCWebText, 200, "Content-Type: " + text, encode([]byte(message + trailer)), connect.CodeNotFound},
		"text in padded pieces":                        {rpcstatus.GRPCWebText, 200, "Content-Type: " + text, encode([]byte(message)) + encode([]byte(trailer)), connect.CodeNotFound},
		"text that is no base64":                       {rpcstatus.GRPCWebText, 200, "Content-Type: " + text, message + trailer, 0},
		"REST, packed":                                 {"", 404, "Content-Encoding: gzip", packed.String(), connect.CodeNotFound},
		"REST, packed, but is not":                     {"", 404, "Content-Encoding: gzip", `{"code":5}`, 0},
		"REST, with spaces":                            {"", 404, "", "{\n \"code\": 5, \"message\": \"a\"\n}", connect.CodeNotFound},
		"REST, a page":                                 {"", 404, "", "<html>", 0},
		"REST, without a code":                         {"", 404, "", "{}", 0},
	} {
		header := http.Header{}
		for line := range strings.SplitSeq(test.header, "\r\n") {
			if field, value, ok := strings.Cut(line, ": "); ok {
				header.Set(field, value)
			}
		}
		got, err := DecodeAnswer(test.protocol, test.status, header, nil, []byte(test.body))
		if got.Code != test.want || (err == nil) != (test.want != 0) {
			t.Errorf("%s: got %+v (%v), want code %d", name, got, err, test.want)
		}
	}
}

// The code of an answer is found wherever a protocol has it.
func TestCodeNameOfAnyProtocol(t *testing.T) {
	t.Parallel()
	web := http.Header{"Content-Type": {"application/grpc-web"}}
	for name, test := range map[string]struct {
		protocol rpcstatus.Protocol
		status   int
		header   http.Header
		body     string
		want     string
	}{
		"REST":             {"", 404, http.Header{}, `{"code":5}`, ""},
		"trailer":          {rpcstatus.GRPC, 200, http.Header{http.TrailerPrefix + "Grpc-Status": {"5"}}, "", "not_found"},
		"header":           {rpcstatus.GRPC, 200, http.Header{"Grpc-Status": {"0"}}, "", "ok"},
		"beyond the codes": {rpcstatus.GRPC, 200, http.Header{"Grpc-Status": {"17"}}, "", "unknown"},
		"no number":        {rpcstatus.GRPC, 200, http.Header{"Grpc-Status": {"s3cret"}}, "", "unknown"},
		"no status":        {rpcstatus.GRPC, 502, http.Header{}, "", ""},
		"gRPC-Web":         {rpcstatus.GRPCWeb, 200, web, "\x80\x00\x00\x00\x0fgrpc-status:7\r\n", "permission_denied"},
		"gRPC-Web, long":   {rpcstatus.GRPCWeb, 200, web, "\x00\x00\x10\x00\x00xxxx", "ok"},
		"gRPC-Web, cut":    {rpcstatus.GRPCWeb, 502, web, "", ""},
	} {
		if got := CodeName(test.protocol, test.status, test.header, []byte(test.body)); got != test.want {
			t.Errorf("%s: got %q, want %q", name, got, test.want)
		}
	}
}
