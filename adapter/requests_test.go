package adapter_test

import (
	"encoding/base64"
	"encoding/binary"
	"fmt"
	"io"
	"maps"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"testing"

	"google.golang.org/protobuf/proto"

	"zitadel-v1-adapter/adapter"
	managementv1 "zitadel-v1-adapter/gen/zitadel/management/v1"
	"zitadel-v1-adapter/internal/recordings"
	"zitadel-v1-adapter/internal/wiretest"
)

const (
	userA     = "400850336480234534"
	userAPath = "/management/v1/users/" + userA + "/password/_initialize"
	good      = `{"password":"Sup3rPassw0rd!"}`
	invalid   = `{"code":3,"message":"invalid SetHumanInitialPasswordRequest.Password: value length must be between 1 and 72 runes, inclusive"}`
	notFound  = `{"code":5,"message":"Not Found"}`
	notMethod = `{"code":12,"message":"Method Not Allowed"}`
	mebibyte  = 1 << 20
)

// Odd REST requests beyond the recorded ones.
func TestRESTRequests(t *testing.T) {
	t.Parallel()
	s := newStack(t)
	for _, test := range []struct {
		name, method, path, body string
		headers                  map[string]string
		status                   int
		want                     string // "" is a success
	}{
		{name: "path encoded letter by letter", path: "/management/v1/users/" + userA + "/password/%5F%69nitialize", body: good, status: 200},
		{name: "slash encoded in the fixed part", path: "/management/v1%2Fusers/" + userA + "/password/_initialize", body: good, status: 200},
		{name: "percent sign in the user id", path: "/management/v1/users/%2530/password/_initialize", body: good, status: 400, want: `{"code":9,"message":"Password not found (COMMAND-G8dh3)","details":[{"@type":"type.googleapis.com/zitadel.v1.ErrorDetail","id":"COMMAND-G8dh3","message":"Password not found"}]}`},
		{name: "invalid UTF-8 in the user id", path: "/management/v1/users/%ff/password/_initialize", body: good, status: 500, want: `{"code":13,"message":"grpc: error while marshaling: string field contains invalid UTF-8"}`},
		{name: "invalid UTF-8 in the body", path: userAPath, body: "{\"password\":\"\xff\"}", status: 400, want: `{"code":3,"message":"proto: syntax error (line 1:13): invalid UTF-8 in string"}`},
		{name: "wrong type", path: userAPath, body: `{"password":["a"]}`, status: 400, want: `{"code":3,"message":"proto: (line 1:13): invalid value for string field password: ["}`},
		{name: "userId of the wrong type", path: userAPath, body: `{"userId":7,"password":"Sup3rPassw0rd!"}`, status: 400, want: `{"code":3,"message":"proto: (line 1:11): invalid value for string field userId: 7"}`},
		{name: "duplicate by its two names", path: userAPath, body: `{"userId":"a","user_id":"b"}`, status: 400, want: `{"code":3,"message":"proto: (line 1:15): duplicate field \"user_id\""}`},
		{name: "deep nesting", path: userAPath, body: `{"x":` + strings.Repeat("[", 20000), status: 400, want: `{"code":3,"message":"invalid character '[' exceeded max depth"}`},
		{name: "escapes", path: userAPath, body: `{"\u0070assword":"Sup3r\u0050assw0rd!"}`, status: 200},
		{name: "NUL after the document", path: userAPath, body: good + "\x00", status: 200},
		{name: "72 runes of four bytes", path: userAPath, body: `{"password":"` + strings.Repeat("😀", 72) + `"}`, status: 400, want: `{"code":3,"message":"Password must contain lower case (DOMAIN-co3Xw)","details":[{"@type":"type.googleapis.com/zitadel.v1.ErrorDetail","id":"DOMAIN-co3Xw","message":"Password must contain lower case"}]}`},
		{name: "73 runes of four bytes", path: userAPath, body: `{"password":"` + strings.Repeat("😀", 73) + `"}`, status: 400, want: invalid},
		{name: "4 MiB less a little", path: userAPath, body: `{"password":"` + strings.Repeat("a", 4*mebibyte-100) + `"}`, status: 400, want: invalid},
		{name: "4 MiB of spaces before nothing", path: userAPath, body: strings.Repeat(" ", 4*mebibyte), status: 400, want: invalid},
		{name: "more than 4 MiB", path: userAPath, body: `{"password":"` + strings.Repeat("a", 4*mebibyte) + `"}`, status: 429, want: `{"code":8,"message":"grpc: received message larger than max (4194319 vs. 4194304)"}`},
		{name: "4 MiB as JSON, more as protobuf", path: "/management/v1/users/" + strings.Repeat("9", 100) + "/password/_initialize", body: `{"password":"` + strings.Repeat("a", 4*mebibyte-15) + `"}`, status: 429, want: `{"code":8,"message":"grpc: received message larger than max (4194396 vs. 4194304)"}`},
		{name: "method HEAD", method: "HEAD", path: userAPath, status: 405},
		{name: "method unheard of", method: "FROB", path: userAPath, status: 405, want: notMethod},
		{name: "method unheard of elsewhere", method: "FROB", path: "/elsewhere", status: 404, want: notFound},
		{name: "form that names another method", path: userAPath, body: good, headers: map[string]string{"Content-Type": "application/x-www-form-urlencoded", "X-HTTP-Method-Override": "get"}, status: 405, want: notMethod},
		{name: "form that names the method", path: userAPath, body: good, headers: map[string]string{"Content-Type": "application/x-www-form-urlencoded", "X-HTTP-Method-Override": "post"}, status: 400, want: invalid},
		{name: "form that cannot be read", path: userAPath, body: "a=%zz", headers: map[string]string{"Content-Type": "application/x-www-form-urlencoded", "X-HTTP-Method-Override": "POST"}, status: 400, want: `{"code":3,"message":"invalid URL escape \"%zz\""}`},
		{name: "token that gRPC cannot carry", path: userAPath, body: good, headers: map[string]string{"Authorization": "Bearer ä"}, status: 500, want: `{"code":13,"message":"header key \"authorization\" contains value with non-printable ASCII characters"}`},
		{name: "token that gRPC cannot carry before invalid UTF-8", path: "/management/v1/users/%ff/password/_initialize", body: good, headers: map[string]string{"Authorization": "Bearer ä"}, status: 500, want: `{"code":13,"message":"header key \"authorization\" contains value with non-printable ASCII characters"}`},
		{name: "passed deadline before invalid UTF-8", path: "/management/v1/users/%ff/password/_initialize", body: good, headers: map[string]string{"Grpc-Timeout": "1n"}, status: 504, want: `{"code":4,"message":"context deadline exceeded"}`},
		{name: "two organizations, the first of which gRPC cannot carry", path: userAPath, body: good, headers: map[string]string{"x-zitadel-orgid": "ä\r\nX-Zitadel-Orgid: 123"}, status: 403, want: `{"code":7,"message":"Organisation doesn't exist (AUTH-Bs7Ds)","details":[{"@type":"type.googleapis.com/zitadel.v1.ErrorDetail","id":"AUTH-Bs7Ds","message":"Organisation doesn't exist"}]}`},
		{name: "asterisk", path: "*", body: good, status: 301},
		{name: "override without form", path: userAPath, body: good, headers: map[string]string{"X-HTTP-Method-Override": "GET"}, status: 200},
		{name: "timeout without number", path: userAPath, body: good, headers: map[string]string{"Grpc-Timeout": "S"}, status: 400, want: `{"code":3,"message":"invalid grpc-timeout: S"}`},
		{name: "timeout without unit", path: userAPath, body: good, headers: map[string]string{"Grpc-Timeout": "10"}, status: 400, want: `{"code":3,"message":"invalid grpc-timeout: 10"}`},
		{name: "timeout before bad body", path: userAPath, body: `{`, headers: map[string]string{"Grpc-Timeout": "x"}, status: 400, want: `{"code":3,"message":"invalid grpc-timeout: x"}`},
		{name: "negative timeout", path: userAPath, body: good, headers: map[string]string{"Grpc-Timeout": "-1S"}, status: 504, want: `{"code":4,"message":"context deadline exceeded"}`},
		{name: "timeout of nought", path: userAPath, body: good, headers: map[string]string{"Grpc-Timeout": "0S"}, status: 200},
		{name: "bad body before passed deadline", path: userAPath, body: `{`, headers: map[string]string{"Grpc-Timeout": "1n"}, status: 400, want: `{"code":3,"message":"unexpected EOF"}`},
		{name: "token in metadata", path: userAPath, body: good, headers: map[string]string{"Authorization": "", "Grpc-Metadata-Authorization": "Bearer pat-org-owner-a"}, status: 200},
		{name: "header that gRPC cannot carry", path: userAPath, body: good, headers: map[string]string{"x-zitadel-orgid": "ä"}, status: 200},
		{name: "gRPC over HTTP/1.1", path: "/zitadel.management.v1.ManagementService/SetHumanInitialPassword", headers: map[string]string{"Content-Type": "application/grpc"}, status: 404, want: notFound},
		{name: "Connect", path: "/zitadel.management.v1.ManagementService/SetHumanInitialPassword", body: "{}", status: 404, want: notFound},
		{name: "root", method: "GET", path: "/", status: 404, want: notFound},
	} {
		t.Run(test.name, func(t *testing.T) {
			request := recordings.Request{Method: http.MethodPost, Path: test.path, Headers: map[string]string{"Authorization": "Bearer pat-org-owner-a"}}
			if test.method != "" {
				request.Method = test.method
			}
			maps.Copy(request.Headers, test.headers)
			encoded := base64.StdEncoding.EncodeToString([]byte(test.body))
			request.BodyBase64 = &encoded
			response := sendRaw(t, s.address, request)
			got := normal(bodyOf(t, response))
			want := test.want
			if test.status == http.StatusOK {
				want = `{"details":{"sequence":"<n>","changeDate":"<date>","resourceOwner":"400849858564525094"}}`
			}
			if response.StatusCode != test.status || got != want {
				t.Errorf("%d %s\nwant %d %s", response.StatusCode, got, test.status, want)
			}
			s.upstream.calls(t)
		})
	}
}

// Unclean paths are redirected as ZITADEL does it, whatever they are.
func TestRedirects(t *testing.T) {
	t.Parallel()
	s := newStack(t)
	for path, want := range map[string]string{
		"//management/v1/users/1/password/_initialize":          "/management/v1/users/1/password/_initialize",
		"/management/v1/users/./1/password/_initialize?a=b&c=d": "/management/v1/users/1/password/_initialize?a=b&c=d",
		"/management/v1/users/x/../1/password/_initialize":      "/management/v1/users/1/password/_initialize",
		"/management/v1/users/%2e%2e/1/password/_initialize":    "/management/v1/1/password/_initialize",
		"/management/v1/users/%2F1/password/_initialize":        "/management/v1/users/1/password/_initialize",
		"/a//": "/a/",
	} {
		response := sendRaw(t, s.address, recordings.Request{Method: http.MethodPost, Path: path})
		if got := response.Header.Get("Location"); response.StatusCode != http.StatusMovedPermanently || got != want {
			t.Errorf("%s: %d %q, want %q", path, response.StatusCode, got, want)
		}
	}
	if calls := s.upstream.calls(t); len(calls) != 0 {
		t.Errorf("upstream calls %v", calls)
	}
}

// grpcFrame is a message with its prefix.
func grpcFrame(flag byte, message []byte) []byte {
	out := binary.BigEndian.AppendUint32([]byte{flag}, uint32(len(message)))
	return append(out, message...)
}

func grpcMessage(t *testing.T, userID, password string) []byte {
	t.Helper()
	message, err := proto.Marshal(&managementv1.SetHumanInitialPasswordRequest{UserId: userID, Password: password})
	if err != nil {
		t.Fatal(err)
	}
	return message
}

// Odd gRPC requests beyond the recorded ones get grpc-go's codes and words, over
// gRPC and in both modes of gRPC-Web.
func TestGRPCRequests(t *testing.T) {
	t.Parallel()
	s := newStack(t)
	message := grpcMessage(t, userA, "Sup3rPassw0rd!")
	huge := binary.BigEndian.AppendUint32([]byte{0}, 4*mebibyte+1)
	for _, test := range []struct {
		name       string
		body       []byte
		encoding   string
		code, text string
	}{
		{name: "gzip", body: grpcFrame(1, wiretest.Gzip(t, message)), encoding: "gzip", code: "0"},
		{name: "gzip announced, not used", body: grpcFrame(0, message), encoding: "gzip", code: "0"},
		{name: "two messages", body: append(grpcFrame(0, message), grpcFrame(0, message)...), code: "0"},
		{name: "unknown fields", body: grpcFrame(0, append([]byte("\x7a\x01x"), message...)), code: "0"},
		{name: "no message bytes", body: grpcFrame(0, nil), code: "3", text: "invalid SetHumanInitialPasswordRequest.UserId: value length must be at least 1 runes"},
		{name: "cut prefix", body: []byte{0, 0}, code: "2", text: "EOF"},
		{name: "cut message", body: grpcFrame(0, message)[:20], code: "2", text: "unexpected EOF"},
		{name: "too large", body: append(huge, "only a little comes"...), code: "8", text: "grpc: received message larger than max (4194305 vs. 4194304)"},
		{name: "zip bomb", body: grpcFrame(1, wiretest.Gzip(t, make([]byte, 64*mebibyte))), encoding: "gzip", code: "8", text: "grpc: received message after decompression larger than max 4194304"},
		{name: "not gzip", body: grpcFrame(1, message), encoding: "gzip", code: "13", text: "grpc: failed to decompress the message: gzip: invalid header"},
		{name: "compressed without encoding", body: grpcFrame(1, message), code: "13", text: "grpc: compressed flag set with identity or empty encoding"},
		{name: "unknown encoding", body: grpcFrame(1, message), encoding: "br", code: "12", text: `grpc: Decompressor is not installed for grpc-encoding "br"`},
		{name: "unknown flag", body: grpcFrame(2, message), code: "13", text: "grpc: received unexpected payload format 2"},
		{name: "invalid UTF-8", body: grpcFrame(0, []byte("\x12\x01\xff")), code: "13", text: "grpc: error unmarshalling request: string field contains invalid UTF-8"},
	} {
		for _, contentType := range []string{
			"application/grpc", "application/grpc+json", "application/grpc-web+proto", "application/grpc-web-text",
		} {
			t.Run(test.name+"/"+contentType, func(t *testing.T) {
				body := test.body
				if strings.Contains(contentType, "text") {
					body = []byte(base64.StdEncoding.EncodeToString(body))
				}
				got := callRaw(t, s, contentType, test.encoding, body)
				if got.code != test.code || strings.ReplaceAll(got.text, "%22", `"`) != test.text {
					t.Errorf("%s %q, want %s %q", got.code, got.text, test.code, test.text)
				}
				s.upstream.calls(t)
			})
		}
	}
}

// An id that nobody can have is answered as v1 does, and does not go upstream
// whole.
func TestEndlessUserID(t *testing.T) {
	t.Parallel()
	for scope, zitadel := range map[adapter.OrgScope]string{adapter.OrgScopeStrict: "GetUserByID", adapter.OrgScopeOff: "SetPassword"} {
		s := newStack(t, func(c *stackConfig) { c.scope = scope })
		for _, id := range []string{strings.Repeat("9", 201), strings.Repeat("ä", mebibyte)} {
			got := callRaw(t, s, "application/grpc", "", grpcFrame(0, grpcMessage(t, id, "Sup3rPassw0rd!")))
			if got.code != "9" || got.text != "Password not found (COMMAND-G8dh3)" {
				t.Errorf("%s: %+v", scope, got)
			}
			s.upstream.mu.Lock()
			first := s.upstream.requests[0]
			s.upstream.mu.Unlock()
			if !strings.HasSuffix(first.URL.Path, zitadel) || first.ContentLength > 500 {
				t.Errorf("%s: %s with %d bytes went upstream", scope, first.URL.Path, first.ContentLength)
			}
			s.upstream.calls(t)
		}
	}
}

// A grpc-timeout that gRPC does not allow is HTTP 400, as with grpc-go.
func TestMalformedGRPCTimeout(t *testing.T) {
	t.Parallel()
	s := newStack(t)
	for timeout, want := range map[string]string{
		"S":          `malformed grpc-timeout: transport: timeout string is too short: "S"`,
		"123456789S": `malformed grpc-timeout: transport: timeout string is too long: "123456789S"`,
		"10":         `malformed grpc-timeout: transport: timeout unit is not recognized: "10"`,
		"-1S":        `malformed grpc-timeout: strconv.ParseUint: parsing "-1": invalid syntax`,
	} {
		body := string(grpcFrame(0, grpcMessage(t, userA, "Sup3rPassw0rd!")))
		response := sendRaw(t, s.address, recordings.Request{
			Method: http.MethodPost, Path: "/zitadel.management.v1.ManagementService/SetHumanInitialPassword", Text: &body,
			Headers: map[string]string{"Content-Type": "application/grpc-web+proto", "Grpc-Timeout": timeout},
		})
		if got := bodyOf(t, response); response.StatusCode != http.StatusBadRequest || got != want+"\n" {
			t.Errorf("%d %q, want %q", response.StatusCode, got, want)
		}
	}
	if calls := s.upstream.calls(t); len(calls) != 0 {
		t.Errorf("upstream calls %v", calls)
	}
}

// callRaw sends bytes as a gRPC or gRPC-Web call.
func callRaw(t *testing.T, s *stack, contentType, encoding string, body []byte) outcome {
	t.Helper()
	encoded := base64.StdEncoding.EncodeToString(body)
	request := recordings.Request{
		Method: http.MethodPost, Path: "/zitadel.management.v1.ManagementService/SetHumanInitialPassword", BodyBase64: &encoded,
		Headers: map[string]string{"Content-Type": contentType, "Authorization": "Bearer pat-org-owner-a"},
	}
	if encoding != "" {
		request.Headers["Grpc-Encoding"] = encoding
	}
	if strings.HasPrefix(contentType, "application/grpc-web") {
		response := sendRaw(t, s.address, request)
		return grpcWebOutcome(t, response.Header, []byte(bodyOf(t, response)))
	}
	header, trailer, answer := sendGRPC(t, newTransport(t, true), s.address, request)
	return grpcOutcome(t, header, trailer, answer)
}

// What goes upstream is what is meant to, and nothing else.
func TestForwardedHeaders(t *testing.T) {
	t.Parallel()
	s := newStack(t)
	forwarded := map[string]string{
		"Authorization": "Bearer pat-org-owner-a", "X-Zitadel-Orgid": "400849858564525094", "Origin": "https://app.example",
		"Accept-Language": "de", "Traceparent": "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01", "Tracestate": "a=b", "X-Request-Id": "r-1",
	}
	call := aCall()
	call.Headers = map[string]string{
		"Cookie": "secret=1", "X-Forwarded-For": "10.0.0.1", "X-Secret": "1", "Proxy-Authorization": "Basic eDp5", "Te": "trailers",
	}
	maps.Copy(call.Headers, forwarded)
	// Nobody is trusted: where the request comes from is what the adapter sees.
	maps.Copy(forwarded, map[string]string{
		"X-Forwarded-For": "127.0.0.1", "X-Forwarded-Proto": "http", "X-Forwarded-Host": "localhost:8088",
		"Forwarded": `for=127.0.0.1;host="localhost:8088";proto=http`,
	})
	if response := sendRaw(t, s.address, call); response.StatusCode != http.StatusOK {
		t.Fatalf("status %d", response.StatusCode)
	}
	arrived := s.upstream.last(t)
	for name, value := range forwarded {
		if got := arrived.Header.Get(name); got != value {
			t.Errorf("%s: %q, want %q", name, got, value)
		}
	}
	own := []string{"User-Agent", "Content-Type", "Content-Length", "Connect-Protocol-Version", "Connect-Timeout-Ms", "Accept-Encoding"}
	for name := range arrived.Header {
		if _, ok := forwarded[name]; !ok && !slices.Contains(own, name) {
			t.Errorf("%s: %q went upstream", name, arrived.Header[name])
		}
	}
	if arrived.Host != "localhost:8088" {
		t.Errorf("Host %q, want the client's", arrived.Host)
	}
}

// Browsers may read errors as well as successes, over REST and gRPC-Web.
func TestCORSOnErrors(t *testing.T) {
	t.Parallel()
	s := newStack(t)
	for path, contentType := range map[string]string{
		userAPath: "application/json",
		"/zitadel.management.v1.ManagementService/SetHumanInitialPassword": "application/grpc-web+proto",
		"/unknown": "text/plain",
	} {
		body := `{"password":""}`
		response := sendRaw(t, s.address, recordings.Request{
			Method: http.MethodPost, Path: path, Text: &body,
			Headers: map[string]string{"Content-Type": contentType, "Origin": "https://app.example"},
		})
		if got := response.Header.Get("Access-Control-Allow-Origin"); got != "https://app.example" {
			t.Errorf("%s: Access-Control-Allow-Origin %q", path, got)
		}
		if got := response.Header.Get("Access-Control-Expose-Headers"); !strings.Contains(got, "Grpc-Status-Details-Bin") {
			t.Errorf("%s: Access-Control-Expose-Headers %q", path, got)
		}
	}
}

// Neither a password nor a token reaches the log, at any level, whatever is
// sent and whatever becomes of it.
func TestNoSecretsInTheLog(t *testing.T) {
	t.Parallel()
	broken := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		// The worst upstream there could be: it says everything back.
		body, _ := readAll(r)
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(http.StatusBadRequest)
		_, _ = fmt.Fprintf(w, `{"code":"internal","message":%s}`, strconv.Quote(r.Header.Get("Authorization")+string(body)))
	})
	for name, options := range map[string][]option{
		"zitadel": nil,
		"broken":  {func(c *stackConfig) { c.upstream = broken }},
		"reset": {func(c *stackConfig) {
			c.upstream = wiretest.Reset(t)
		}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newStack(t, options...)
			secrets := []string{"Sup3r", "Passw0rd"}
			for _, file := range []string{recordings.V1RESTEdges, recordings.V1GRPCWeb} {
				for _, recording := range recordings.Load(t, file) {
					response := sendRaw(t, s.address, recording.Request)
					_, _ = io.Copy(io.Discard, response.Body)
					if _, token, ok := strings.Cut(recording.Request.Headers["Authorization"], " "); ok {
						secrets = append(secrets, `"`+token, " "+token)
					}
				}
			}
			logged := s.log.String()
			if !strings.Contains(logged, `"msg":"SetHumanInitialPassword"`) {
				t.Fatal("nothing was logged")
			}
			for _, secret := range secrets {
				if strings.Contains(logged, secret) {
					t.Errorf("%q is in the log", secret)
				}
			}
		})
	}
}

// One line a call, with what an operator needs.
func TestLogLine(t *testing.T) {
	t.Parallel()
	s := newStack(t)
	call := aCall()
	call.Headers["X-Request-Id"] = "r-1"
	bodyOf(t, sendRaw(t, s.address, call))
	for _, part := range []string{
		`"level":"INFO","msg":"SetHumanInitialPassword","protocol":"rest","way":"v2","code":"ok","error_id":"","user_id":"` + userA +
			`","organization":"400849858564525094","upstream_calls":3,"upstream_time":`, `"request_id":"r-1"}`,
	} {
		if !strings.Contains(s.log.String(), part) {
			t.Errorf("%q is not in %s", part, s.log.String())
		}
	}
	if lines := strings.Count(s.log.String(), "\n"); lines != 1 {
		t.Errorf("%d lines", lines)
	}
}
