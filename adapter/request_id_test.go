package adapter_test

import (
	"net/http"
	"testing"

	"zitadel-v1-adapter/internal/recordings"
)

// X-Request-Id stands in every answer of a translated call: the client's own, or else a new
// one, with which the log names the call.
func TestRequestIDStandsInEveryAnswer(t *testing.T) {
	t.Parallel()
	s := newStack(t)
	refused := aCall()
	refused.Headers["Authorization"] = "Bearer bad"
	broken := aCall()
	broken.Headers["Grpc-Timeout"] = "x"
	form := aCall()
	malformed := "%"
	form.Text = &malformed
	form.Headers["Content-Type"], form.Headers["X-Http-Method-Override"] = "application/x-www-form-urlencoded", "POST"
	for name, call := range map[string]recordings.Request{
		"success": aCall(), "refusal": refused, "malformed timeout": broken, "malformed form": form,
		"gRPC-Web":         rpcRequest(t, "application/grpc-web+proto", userA, "pat-org-owner-a"),
		"gRPC-Web, text":   rpcRequest(t, "application/grpc-web-text", userA, "pat-org-owner-a"),
		"gRPC-Web refusal": rpcRequest(t, "application/grpc-web+proto", userA, "bad"),
		"gRPC":             rpcRequest(t, "application/grpc", userA, "pat-org-owner-a"),
		"gRPC refusal":     rpcRequest(t, "application/grpc", userA, "bad"),
	} {
		for _, own := range []string{"", "r-1"} {
			delete(call.Headers, "X-Request-Id")
			if own != "" {
				call.Headers["X-Request-Id"] = own
			}
			var header http.Header
			if call.Headers["Content-Type"] == "application/grpc" {
				header, _, _ = sendGRPC(t, newTransport(t, true), s.address, call)
			} else {
				response := sendRaw(t, s.address, call)
				bodyOf(t, response)
				header = response.Header
			}
			if got := header.Get("X-Request-Id"); got == "" || own != "" && got != own {
				t.Errorf("%s: got %q, want %q, or a new one for none", name, got, own)
			}
		}
	}
}
