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
