package adapter_test

import (
	"encoding/base64"
	"encoding/binary"
	"net/http"
	"strings"
	"testing"

	"zitadel-v1-adapter/adapter"
	"zitadel-v1-adapter/internal/recordings"
	"zitadel-v1-adapter/internal/wiretest"
)

// Unusual gRPC requests beyond the recorded ones.

// Each unusual gRPC request gets grpc-go's code and message, over gRPC and over both modes
// of gRPC-Web.
func TestUnusualGRPCRequestsAreAnsweredAsByGRPCGo(t *testing.T) {
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
		{
			name: "no message bytes", body: grpcFrame(0, nil),
			code: "3", text: "invalid SetHumanInitialPasswordRequest.UserId: value length must be at least 1 runes",
		},
		{name: "cut prefix", body: []byte{0, 0}, code: "2", text: "EOF"},
		{name: "cut message", body: grpcFrame(0, message)[:20], code: "2", text: "unexpected EOF"},
		{
			name: "too large", body: append(huge, "only a little comes"...),
			code: "8", text: "grpc: received message larger than max (4194305 vs. 4194304)",
		},
		{
			name: "zip bomb", body: grpcFrame(1, wiretest.Gzip(t, make([]byte, 64*mebibyte))), encoding: "gzip",
			code: "8", text: "grpc: received message after decompression larger than max 4194304",
		},
		{
			name: "not gzip", body: grpcFrame(1, message), encoding: "gzip",
			code: "13", text: "grpc: failed to decompress the message: gzip: invalid header",
		},
		{
			name: "compressed without encoding", body: grpcFrame(1, message),
			code: "13", text: "grpc: compressed flag set with identity or empty encoding",
		},
		{
			name: "unknown encoding", body: grpcFrame(1, message), encoding: "br",
			code: "12", text: `grpc: Decompressor is not installed for grpc-encoding "br"`,
		},
		{name: "unknown flag", body: grpcFrame(2, message), code: "13", text: "grpc: received unexpected payload format 2"},
		{
			name: "invalid UTF-8", body: grpcFrame(0, []byte("\x12\x01\xff")),
			code: "13", text: "grpc: error unmarshalling request: string field contains invalid UTF-8",
		},
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
					t.Errorf("got %s %q, want %s %q", got.code, got.text, test.code, test.text)
				}
				s.upstream.calls(t)
			})
		}
	}
}

// A user id longer than any user's is answered as v1 answers it, and is not sent upstream
// in full.
func TestOverlongUserIDIsNotSentWhole(t *testing.T) {
	t.Parallel()
	for scope, method := range map[adapter.OrgScope]string{
		adapter.OrgScopeStrict: "/GetUserByID", adapter.OrgScopeOff: "/SetPassword",
	} {
		s := newStack(t, func(c *stackConfig) { c.scope = scope })
		named := false
		for _, id := range []string{strings.Repeat("9", 201), strings.Repeat("ä", mebibyte)} {
			got := callRaw(t, s, "application/grpc", "", grpcFrame(0, grpcMessage(t, id, "Sup3rPassw0rd!")))
			if got.code != "9" || got.text != "Password not found (COMMAND-G8dh3)" {
				t.Errorf("%s: got %+v, want code 9 with COMMAND-G8dh3", scope, got)
			}
			for _, request := range s.upstream.takeRequests(t) {
				if request.ContentLength > 500 {
					t.Errorf("%s: got %s with %d bytes, want at most 500", scope, request.URL.Path, request.ContentLength)
				}
				named = named || strings.HasSuffix(request.URL.Path, method)
			}
		}
		if !named {
			t.Errorf("%s: the id was sent in no call, want one of %s", scope, method)
		}
	}
}

// A malformed grpc-timeout is answered with HTTP 400, as grpc-go answers it.
func TestMalformedGRPCTimeoutIsBadRequest(t *testing.T) {
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
			Method: http.MethodPost, Path: procedure, Text: &body,
			Headers: map[string]string{"Content-Type": "application/grpc-web+proto", "Grpc-Timeout": timeout},
		})
		want += "\n\x80\x00\x00\x00\x00" // gRPC-Web's trailers, of which there are none
		if got := bodyOf(t, response); response.StatusCode != http.StatusBadRequest || got != want {
			t.Errorf("%q: got HTTP %d %q, want HTTP 400 %q", timeout, response.StatusCode, got, want)
		}
	}
	if calls := s.upstream.calls(t); len(calls) != 0 {
		t.Errorf("upstream calls: got %v, want none", calls)
	}
}
