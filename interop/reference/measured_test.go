package reference_test

import (
	"net/http"
	"strings"
	"testing"

	"zitadel-v1-adapter/internal/wiretest"
	"zitadel-v1-adapter/interop/reference"
)

// measured is a call whose answer was looked at on live ZITADELs, but not recorded.
type measured struct {
	name     string
	protocol protocol
	http2    bool
	change   func(c *call)
	want     []string // parts of the answer's text
}

func measurements() []measured {
	rest, rpc, web, text := restProtocol(), grpcProtocol(), webProtocol(false), webProtocol(true)
	with := func(name string, values ...string) func(c *call) { return func(c *call) { c.set(name, values...) } }
	target := func(from, to string) func(c *call) {
		return func(c *call) { c.target = strings.Replace(c.target, from, to, 1) }
	}
	packed := func(c *call) {
		c.set("Grpc-Encoding", "gzip")
		c.setMessage(frame(1, wiretest.Gzip(noTest{}, c.message()[5:])))
	}
	return []measured{
		{"gRPC-Web's content type over REST", rest, false, with("Content-Type", "application/grpc-web"), []string{" 200 ", `content-type: ["application/json"]`, `\"resourceOwner\":`}},
		{"tab in Authorization", web, false, with("Authorization", "Bearer\towner-token"), []string{`grpc-status: ["16"]`, "AUTH-toLo1"}},
		{"non-ASCII token", web, false, with("Authorization", "Bearer ä"), []string{`grpc-status: ["16"]`, "AUTH-7fs1e"}},
		{"control byte in the user id", rest, false, target(userID, "%0a"), []string{" 500 ", "zitadel-activity-path", `\"code\":13`}},
		{"non-ASCII user id", rest, true, target(userID, "%ff"), []string{" 500 ", "zitadel-activity-path", `\"code\":13`}},
		{"metadata with an empty name", rest, false, with("Grpc-Metadata-:path", "/x"), []string{" 500 ", "there is an empty key in the header"}},
		{"metadata host", rest, false, with("Grpc-Metadata-host", "nope.example"), []string{" 404 ", "nope.example"}},
		{"malformed timeout", web, false, with("Grpc-Timeout", "x"), []string{" 400 ", `malformed grpc-timeout: transport: timeout string is too short: \"x\"\n\x80\x00\x00\x00\x00`}},
		{"malformed timeout in text mode", text, true, with("Grpc-Timeout", "x"), []string{" 400 ", "bWFsZm9ybWVk", "IgqAAAAAAA=="}},
		{"gzip, refused", web, false, func(c *call) { packed(c); c.remove("Authorization") }, []string{`grpc-encoding: ["gzip"]`, `grpc-status: ["16"]`}},
		{"gzip, accepted", rpc, true, packed, []string{`grpc-encoding: ["gzip"]`, `grpc-status: ["0"]`, `| "\x01`}},
		{"padded pieces in one segment", text, false, func(c *call) { c.body = []byte(strings.Repeat("AA==", 9)) }, []string{`grpc-status: ["2"]`, "illegal base64 data at input byte 4"}},
		{"no padding", text, false, func(c *call) {
			c.setMessage(append(c.message(), 0))
			c.body = []byte(strings.TrimRight(string(c.body), "="))
			c.body = c.body[:len(c.body)-3]
		}, []string{`grpc-status: ["2"]`, "unexpected EOF"}},
		{"grpc-webx", web, false, with("Content-Type", "application/grpc-webx"), []string{" 415 ", "application/grpcx"}},
		{"blank organization", rpc, true, with("x-zitadel-orgid", " "), []string{`grpc-status: ["7"]`, "AUTH-Bs7Ds"}},
		{"organization with a space", rpc, true, with("x-zitadel-orgid", homeOrg+" "), []string{`grpc-status: ["7"]`, "AUTH-Bs7Ds"}},
		{"TE: trailers", rest, false, func(c *call) { c.set("TE", "trailers"); c.set("Authorization", "Basic x") }, []string{" 401 ", "grpc-trailer-grpc-status-details-bin"}},
		{"target without a slash", rest, false, func(c *call) { c.target = "management:v1" }, []string{" 301 ", `location: ["management:v1"]`}},
		{"br and no time", rpc, true, func(c *call) { c.set("Grpc-Encoding", "br"); c.set("Grpc-Timeout", "1n") }, []string{`grpc-status: ["12"]`}},
		{"empty host", rest, false, func(c *call) { c.host = "" }, []string{" 200 "}},
		{"host with two ports", rest, false, func(c *call) { c.host = "localhost:8088:1" }, []string{" 200 "}},
		{"bad binary metadata", rpc, true, with("x-foo-bin", "%%%"), []string{" 400 ", `malformed binary metadata \"\" in header \"x-foo-bin\": illegal base64 data at input byte 0`}},
		{"bad binary metadata over REST", rest, false, with("Grpc-Metadata-X-Trace-Bin", "%%%"), []string{" 400 ", "invalid binary header Grpc-Metadata-X-Trace-Bin: illegal base64 data at input byte 0"}},
		{"binary header of another", rest, false, with("X-Other-Bin", "%%%"), []string{" 200 "}},
		{"equal lengths", rest, false, func(c *call) { c.framing = lengthTwice }, []string{" 200 "}},
		{"length beside chunked", rest, false, func(c *call) { c.framing = both }, []string{" 200 "}},
		{"bare LF", rest, false, func(c *call) { c.lineEnd = "\n" }, []string{" 200 "}},
		{"folded line", rest, false, with("X-Folded", "a\r\n b"), []string{" 200 "}},
		{"JSON's content type", rpc, true, with("Content-Type", "application/grpc+json"), []string{`content-type: ["application/grpc+json"]`, `grpc-status: ["0"]`}},
		{"content type with a parameter", web, false, with("Content-Type", "application/grpc-web+proto; charset=utf-8"), []string{`content-type: ["application/grpc-web+proto; charset=utf-8"]`}},
		{"method", rest, false, func(c *call) { c.method = http.MethodPut }, []string{" 405 ", "Method Not Allowed"}},
	}
}

// The reference answers as live ZITADELs were seen to answer calls that are not among the
// recordings.
func TestReferenceAnswersAsMeasured(t *testing.T) {
	t.Parallel()
	v1, err := reference.New(t.Context(), fixture(), nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(v1.Close)
	for _, each := range measurements() {
		c := each.protocol.base(each.http2)
		each.change(c)
		got := send(t, v1.Address(), c)
		for _, want := range each.want {
			if !strings.Contains(got.String(), want) {
				t.Errorf("%s: got %s, want %s in it", each.name, got.String(), want)
			}
		}
	}
}
