package adapter_test

import (
	"encoding/base64"
	"encoding/binary"
	"net/http"
	"regexp"
	"strings"
	"testing"

	"google.golang.org/protobuf/proto"

	managementv1 "zitadel-v1-adapter/gen/zitadel/management/v1"
	"zitadel-v1-adapter/internal/wiretest"
)

// What tests compare of an answer: without what differs from call to call.

// normal removes from an answer what differs from call to call or from build to build.
func normal(body string) string {
	body = regexp.MustCompile(`"sequence":"\d+"`).ReplaceAllString(body, `"sequence":"<n>"`)
	body = regexp.MustCompile(`"changeDate":"[^"]+"`).ReplaceAllString(body, `"changeDate":"<date>"`)
	return strings.ReplaceAll(body, "proto:\u00a0", "proto: ")
}

// outcome is what a gRPC client library sees of an answer.
type outcome struct {
	message string // the decoded response, without what differs from call to call
	code    string
	text    string
	details string

	sequence bool // the response has one
}

// check compares the code and the text.
func (o outcome) check(tb testing.TB, what, code, text string) {
	tb.Helper()
	if o.code != code || o.text != text {
		tb.Errorf("%s: got gRPC status %s %q, want %s %q", what, o.code, o.text, code, text)
	}
}

// grpcOutcome reads the answer to a gRPC call.
func grpcOutcome(tb testing.TB, header, trailer http.Header, body []byte) outcome {
	tb.Helper()
	for name, values := range header { // an answer may consist of trailers only, sent as headers
		if strings.HasPrefix(name, "Grpc-") && trailer.Get(name) == "" {
			if trailer == nil {
				trailer = http.Header{}
			}
			trailer[name] = values
		}
	}
	return newOutcome(tb, trailer, body)
}

// grpcWebOutcome reads the answer to a gRPC-Web call, in binary or text mode.
func grpcWebOutcome(tb testing.TB, header http.Header, body []byte) outcome {
	tb.Helper()
	if strings.HasPrefix(header.Get("Content-Type"), "application/grpc-web-text") {
		body = decodeText(tb, body)
	}
	trailer := header.Clone()
	var messages []byte
	for len(body) > 0 {
		size := int(binary.BigEndian.Uint32(body[1:5]))
		frame := body[:5+size]
		body = body[5+size:]
		if frame[0]&0x80 == 0 {
			messages = append(messages, frame...)
			continue
		}
		for line := range strings.Lines(string(frame[5:])) {
			name, value, _ := strings.Cut(strings.TrimSpace(line), ":")
			trailer.Set(name, strings.TrimSpace(value))
		}
	}
	return newOutcome(tb, trailer, messages)
}

// decodeText decodes base64 segments, each of which has its own padding.
func decodeText(tb testing.TB, text []byte) []byte {
	tb.Helper()
	var decoded []byte
	for _, segment := range regexp.MustCompile(`[^=]+=*`).FindAll(text, -1) {
		part, err := base64.StdEncoding.DecodeString(string(segment))
		if err != nil {
			tb.Fatalf("%v in %q", err, segment)
		}
		decoded = append(decoded, part...)
	}
	return decoded
}

func newOutcome(tb testing.TB, trailer http.Header, body []byte) outcome {
	tb.Helper()
	o := outcome{
		code:    trailer.Get("Grpc-Status"),
		text:    strings.ReplaceAll(trailer.Get("Grpc-Message"), "%C2%A0", " "),
		details: trailer.Get("Grpc-Status-Details-Bin"),
	}
	if len(body) == 0 {
		return o
	}
	message := body[5:]
	if body[0] == 1 {
		message = wiretest.Gunzip(tb, message)
	}
	var response managementv1.SetHumanInitialPasswordResponse
	if err := proto.Unmarshal(message, &response); err != nil {
		tb.Fatal(err)
	}
	o.sequence = response.GetDetails().GetSequence() != 0
	if response.GetDetails().GetChangeDate() == nil {
		tb.Errorf("got details %v, want a change date", response.GetDetails())
	}
	response.GetDetails().Sequence, response.GetDetails().ChangeDate = 0, nil
	o.message = response.String()
	return o
}
