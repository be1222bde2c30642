package compare

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"strings"

	"zitadel-v1-adapter/internal/ingress"
	"zitadel-v1-adapter/internal/upstream"
)

// maxAnswer is how much of an answer is looked at.
const maxAnswer = 64 << 10

// Codes of gRPC.
const (
	codeOK              = "0"
	codeInvalid         = "3"
	codeNotFound        = "5"
	codeUnimplemented   = "12"
	codeUnauthenticated = "16"
)

// side is one of the two that are compared.
type side struct {
	base, host   string
	http1, http2 *upstream.Transport
}

// newSide is a side that is asked as by a client that dials host.
func newSide(to *upstream.Upstream, host string) *side {
	if sent, ok := to.HostFor(host); ok {
		host = sent
	}
	return &side{
		base: to.Base().String(), host: host,
		http1: to.NewTransport(upstream.TransportConfig{Version: upstream.HTTP1}),
		http2: to.NewTransport(upstream.TransportConfig{Version: upstream.HTTP2}),
	}
}

func (s *side) close() {
	s.http1.CloseIdleConnections()
	s.http2.CloseIdleConnections()
}

// answer is what came back of a call.
type answer struct {
	failure error // there is none
	status  int   // HTTP
	header  http.Header
	body    string // over REST, and of what is no gRPC
	// code, message and details are the gRPC status, over REST that in the body; code is
	// "" if there is none.
	code, message string
	details       string // as they came over gRPC, decoded
	viaAdapter    bool
}

// send makes a call, and follows no redirect.
func (s *side) send(ctx context.Context, call Call) answer {
	request, err := http.NewRequestWithContext(ctx, call.verb, s.base+call.path, bytes.NewReader(call.body))
	if err != nil {
		return answer{failure: err}
	}
	request.Host, request.Header = s.host, call.header.Clone()
	request.Header.Set("User-Agent", "zitadel-v1-adapter-compare")
	request.Header.Set(ingress.ViaHeader, ingress.ViaQuestion)
	transport := s.http1
	if call.Protocol == GRPC {
		transport = s.http2
	}
	response, err := transport.RoundTrip(request)
	if err != nil {
		return answer{failure: err}
	}
	defer func() { _ = response.Body.Close() }()
	body, err := io.ReadAll(io.LimitReader(response.Body, maxAnswer))
	if err != nil {
		return answer{failure: err}
	}
	return answer{
		status: response.StatusCode, header: response.Header, body: string(body),
		viaAdapter: response.Header.Get(ingress.ViaHeader) != "",
	}.withStatus(call.Protocol, response.Trailer)
}

// withStatus is the answer with the gRPC status that is in it.
func (a answer) withStatus(protocol Protocol, trailer http.Header) answer {
	if protocol == REST || !strings.HasPrefix(a.header.Get("Content-Type"), "application/grpc") {
		var read struct {
			Code    json.Number `json:"code"`
			Message string      `json:"message"`
		}
		if json.Unmarshal([]byte(a.body), &read) == nil {
			a.code, a.message = read.Code.String(), plain(read.Message)
		}
		if protocol == GRPCWeb {
			a.body = withoutFrame(a.body)
		}
		return a
	}
	if protocol == GRPCWeb {
		trailer = webTrailer(a.body)
	}
	field := func(name string) string { // an answer without a message may have it in its headers
		if value := trailer.Get(name); value != "" {
			return value
		}
		return a.header.Get(name)
	}
	a.body = ""
	a.code, a.message = field("Grpc-Status"), field("Grpc-Message")
	if decoded, err := url.PathUnescape(a.message); err == nil {
		a.message = decoded
	}
	a.message = plain(a.message)
	details := field("Grpc-Status-Details-Bin")
	if decoded, err := base64.RawStdEncoding.DecodeString(strings.TrimRight(details, "=")); err == nil {
		details = plain(string(decoded))
	}
	a.details = details
	return a
}

// trailerFlag marks the frame with the trailers (PROTOCOL-WEB.md of gRPC).
const trailerFlag = 0x80

// webTrailer is what stands at the end of a gRPC-Web answer.
func webTrailer(body string) http.Header {
	trailer := http.Header{}
	for len(body) >= framePrefix {
		flag, size := body[0], uint64(binary.BigEndian.Uint32([]byte(body[1:framePrefix])))
		body = body[framePrefix:]
		size = min(size, uint64(len(body)))
		if flag&trailerFlag != 0 {
			for line := range strings.Lines(body[:size]) {
				name, value, _ := strings.Cut(strings.TrimSpace(line), ":")
				trailer.Set(name, strings.TrimSpace(value))
			}
		}
		body = body[size:]
	}
	return trailer
}

// withoutFrame is an answer that is no gRPC as a text: gRPC-Web's proxy puts a frame with the
// trailers behind such answers too.
func withoutFrame(body string) string {
	at := strings.LastIndexByte(body, trailerFlag)
	if at < 0 || len(body)-at < framePrefix || int(binary.BigEndian.Uint32([]byte(body[at+1:]))) != len(body)-at-framePrefix {
		return body
	}
	return fmt.Sprintf("%s and a frame with the trailers %q", body[:at], body[at+framePrefix:])
}

// plain takes from a text what differs from one build of ZITADEL to the next: the space
// after "proto:", which protobuf chooses at random.
func plain(text string) string { return strings.ReplaceAll(text, "proto:\u00a0", "proto: ") }

// succeeded reports whether a call was not refused.
func (a answer) succeeded(protocol Protocol) bool {
	if a.failure != nil {
		return false
	}
	if protocol == REST {
		return a.status >= 200 && a.status < 300
	}
	return a.code == codeOK
}

// isGone reports whether it is ZITADEL's answer where it has no v1.
func (a answer) isGone() bool {
	return a.status == http.StatusNotFound && (a.code == "" || a.code == codeNotFound && a.message == "Not Found") || a.code == codeUnimplemented
}

// String is an answer on one line.
func (a answer) String() string {
	switch {
	case a.failure != nil:
		return "no answer: " + a.failure.Error()
	case a.code != "":
		return fmt.Sprintf("HTTP %d, code %s %s", a.status, a.code, a.message)
	case a.header.Get("Location") != "":
		return "HTTP " + strconv.Itoa(a.status) + " to " + a.header.Get("Location")
	}
	return strings.TrimSpace("HTTP " + strconv.Itoa(a.status) + " " + a.body)
}
