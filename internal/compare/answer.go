package compare

import (
	"encoding/binary"
	"fmt"
	"net/http"
	"strings"

	"connectrpc.com/connect"

	"zitadel-v1-adapter/internal/ingress"
	"zitadel-v1-adapter/internal/v1wire"
)

// answer is what came back of a call.
type answer struct {
	v1wire.Answer // if it is understood

	failure    error // there is none
	status     int   // HTTP
	header     http.Header
	understood bool
	body       string // over REST, and of what is no gRPC
}

// newAnswer reads an answer. Where gRPC was asked, REST's refusals are understood too: they
// are ZITADEL's to what it does not take for gRPC.
func newAnswer(protocol Protocol, response *http.Response, body []byte) answer {
	a := answer{status: response.StatusCode, header: response.Header, body: string(body)}
	decoded, err := v1wire.DecodeAnswer(protocol.wire(), a.status, a.header, response.Trailer, body)
	switch {
	case protocol == REST:
	case err == nil:
		a.body = ""
	case a.status != http.StatusOK:
		decoded, err = v1wire.DecodeAnswer("", a.status, a.header, nil, body)
	}
	if protocol == GRPCWeb {
		a.body = withoutFrame(a.body)
	}
	a.Code, a.Message, a.Details, a.understood = decoded.Code, plain(decoded.Message), plain(decoded.Details), err == nil
	return a
}

// withoutFrame is an answer that is no gRPC as a text: gRPC-Web's proxy puts a frame with the
// trailers behind such answers too.
func withoutFrame(body string) string {
	const prefix = 5 // of a frame: a flag and the length
	at := strings.LastIndexByte(body, '\x80')
	if at < 0 || len(body)-at < prefix || int(binary.BigEndian.Uint32([]byte(body[at+1:]))) != len(body)-at-prefix {
		return body
	}
	return fmt.Sprintf("%s and a frame with the trailers %q", body[:at], body[at+prefix:])
}

// plain takes from a text what differs from one build of ZITADEL to the next: the space
// after "proto:", which protobuf chooses at random.
func plain(text string) string { return strings.ReplaceAll(text, "proto:\u00a0", "proto: ") }

func (a answer) isAdapters() bool { return a.header.Get(ingress.ViaHeader) != "" }

// succeeded reports whether a call was not refused.
func (a answer) succeeded(protocol Protocol) bool {
	if protocol == REST {
		return a.status >= http.StatusOK && a.status < http.StatusMultipleChoices
	}
	return a.understood && a.Code == 0
}

// isGone reports whether it is ZITADEL's answer where it has no v1.
func (a answer) isGone() bool {
	return a.status == http.StatusNotFound && (!a.understood || a.Code == connect.CodeNotFound && a.Message == "Not Found") ||
		a.Code == connect.CodeUnimplemented
}

// String is an answer on one line.
func (a answer) String() string {
	switch location := a.header.Get("Location"); {
	case a.failure != nil:
		return "no answer: " + a.failure.Error()
	case a.understood:
		return fmt.Sprintf("HTTP %d, code %d %s", a.status, a.Code, a.Message)
	case location != "":
		return fmt.Sprintf("HTTP %d to %s", a.status, location)
	}
	return strings.TrimSpace(fmt.Sprintf("HTTP %d %s", a.status, a.body))
}
