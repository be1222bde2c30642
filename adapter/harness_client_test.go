package adapter_test

import (
	"bufio"
	"bytes"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strconv"
	"strings"
	"testing"

	"connectrpc.com/connect"
	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"
	"google.golang.org/protobuf/proto"

	managementv1 "zitadel-v1-adapter/gen/zitadel/management/v1"
	"zitadel-v1-adapter/gen/zitadel/management/v1/managementv1connect"
	"zitadel-v1-adapter/internal/recordings"
	"zitadel-v1-adapter/internal/v1wire"
)

// How the tests call the adapter: as client libraries do, and byte by byte.

const (
	userA     = "400850336480234534"
	userAPath = "/management/v1/users/" + userA + "/password/_initialize"
	procedure = "/zitadel.management.v1.ManagementService/SetHumanInitialPassword"
	good      = `{"password":"Sup3rPassw0rd!"}`
	invalid   = `{"code":3,"message":"invalid SetHumanInitialPasswordRequest.Password: value length must be between 1 and 72 runes, inclusive"}`
	notFound  = `{"code":5,"message":"Not Found"}`
	notMethod = `{"code":12,"message":"Method Not Allowed"}`
	mebibyte  = 1 << 20
)

const orgA, orgB = "400849858564525094", "400850336346016806"

// newTransport returns a client's transport that speaks either HTTP/2 or HTTP/1.1.
func newTransport(tb testing.TB, http2 bool) *http.Transport {
	tb.Helper()
	protocols := new(http.Protocols)
	protocols.SetHTTP1(!http2)
	protocols.SetUnencryptedHTTP2(http2)
	transport := &http.Transport{
		Protocols: protocols, DisableCompression: true,
		DialContext: (&net.Dialer{Timeout: patience}).DialContext,
	}
	tb.Cleanup(transport.CloseIdleConnections)
	return transport
}

// Bodies of REST answers that several tests expect, and the messages in them.
const (
	unreachable     = "ZITADEL cannot be reached"
	unknownOutcome  = "ZITADEL did not answer: whether the change was made is unknown"
	tooManyCalls    = "too many calls at once, try again later"
	restUnreachable = `{"code":14,"message":"` + unreachable + `"}`
	restUnknown     = `{"code":14,"message":"` + unknownOutcome + `"}`
	restTooMany     = `{"code":14,"message":"` + tooManyCalls + `"}`
)

// restRefusal is the body of a REST answer with an error of ZITADEL's.
func restRefusal(code int, message, id string) string {
	const format = `{"code":%d,"message":"%[2]s (%[3]s)","details":[{` +
		`"@type":"type.googleapis.com/zitadel.v1.ErrorDetail","id":"%[3]s","message":"%[2]s"}]}`
	return fmt.Sprintf(format, code, message, id)
}

// aCall returns a well-formed v1 REST call that succeeds.
func aCall() recordings.Request {
	body := good
	return recordings.Request{
		Method: http.MethodPost, Path: userAPath, Text: &body,
		Headers: map[string]string{"Authorization": "Bearer pat-org-owner-a", "X-Zitadel-Orgid": orgA},
	}
}

// v1Call makes a v1 call and returns its gRPC code and message.
type v1Call func(tb testing.TB, address, user, token string) (code, message string)

// v1Protocols are the ways to call v1, by name.
var v1Protocols = map[string]v1Call{
	"REST": func(tb testing.TB, address, user, token string) (string, string) {
		tb.Helper()
		body := good
		response := sendRaw(tb, address, recordings.Request{
			Method: http.MethodPost, Path: "/management/v1/users/" + user + "/password/_initialize", Text: &body,
			Headers: map[string]string{"Authorization": "Bearer " + token, "X-Request-Id": "r-" + user},
		})
		answer := bodyOf(tb, response)
		if response.StatusCode == http.StatusOK {
			return "0", answer
		}
		var code int
		_, _ = fmt.Sscanf(answer, `{"code":%d`, &code)
		return strconv.Itoa(code), answer
	},
	"gRPC": func(tb testing.TB, address, user, token string) (string, string) {
		tb.Helper()
		header, trailer, message := sendGRPC(tb, newTransport(tb, true), address, rpcRequest(tb, "application/grpc", user, token))
		got := grpcOutcome(tb, header, trailer, message)
		return got.code, got.text
	},
	"gRPC-Web": func(tb testing.TB, address, user, token string) (string, string) {
		tb.Helper()
		response := sendRaw(tb, address, rpcRequest(tb, "application/grpc-web+proto", user, token))
		got := grpcWebOutcome(tb, response.Header, []byte(bodyOf(tb, response)))
		return got.code, got.text
	},
}

func rpcRequest(tb testing.TB, contentType, user, token string) recordings.Request {
	tb.Helper()
	return recordings.Request{
		Method: http.MethodPost, Path: procedure, BodyBase64: grpcCallBodyFor(user),
		Headers: map[string]string{"Content-Type": contentType, "Authorization": "Bearer " + token, "X-Request-Id": "r-" + user},
	}
}

// callGRPC makes aCall over gRPC and returns its error. The test fails if there is none.
func callGRPC(t *testing.T, s *stack) *connect.Error {
	t.Helper()
	client := managementv1connect.NewManagementServiceClient(
		&http.Client{Transport: newTransport(t, true)}, "http://"+s.address, connect.WithGRPC())
	request := connect.NewRequest(&managementv1.SetHumanInitialPasswordRequest{UserId: userA, Password: "Sup3rPassw0rd!"})
	for name, value := range aCall().Headers {
		request.Header().Set(name, value)
	}
	_, err := client.SetHumanInitialPassword(t.Context(), request)
	var connectErr *connect.Error
	if !errors.As(err, &connectErr) {
		t.Fatalf("gRPC: got %v, want an error", err)
	}
	return connectErr
}

// checkGRPCFails makes aCall over gRPC and compares its error.
func checkGRPCFails(t *testing.T, s *stack, code connect.Code, message string) {
	t.Helper()
	if err := callGRPC(t, s); err.Code() != code || err.Message() != message {
		t.Errorf("gRPC: got %v %q, want %v %q", err.Code(), err.Message(), code, message)
	}
}

// checkREST compares a REST answer's status and body.
func checkREST(tb testing.TB, what string, response *http.Response, status int, body string) {
	tb.Helper()
	if got := bodyOf(tb, response); response.StatusCode != status || got != body {
		tb.Errorf("%s: got HTTP %d %s\nwant HTTP %d %s", what, response.StatusCode, got, status, body)
	}
}

// callRaw sends bytes as the body of a gRPC or gRPC-Web call.
func callRaw(t *testing.T, s *stack, contentType, encoding string, body []byte) outcome {
	t.Helper()
	encoded := base64.StdEncoding.EncodeToString(body)
	request := recordings.Request{
		Method: http.MethodPost, Path: procedure, BodyBase64: &encoded,
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

// sendRaw sends a recorded request byte by byte. A client library would refuse some of
// them, such as those with "%zz" or an empty header.
func sendRaw(tb testing.TB, address string, recorded recordings.Request) *http.Response {
	tb.Helper()
	var request bytes.Buffer
	host := "localhost:8088"
	if recorded.Headers["Host"] != "" {
		host = recorded.Headers["Host"]
	}
	fmt.Fprintf(&request, "%s %s HTTP/1.1\r\nHost: %s\r\nConnection: close\r\n", recorded.Method, recorded.Path, host)
	for name, value := range recorded.Headers {
		if name != "Host" {
			fmt.Fprintf(&request, "%s: %s\r\n", name, value)
		}
	}
	body := recorded.Body(tb)
	if body != nil {
		fmt.Fprintf(&request, "Content-Length: %d\r\n", len(body))
	}
	request.WriteString("\r\n")
	request.Write(body)
	return exchangeRaw(tb, address, recorded.Method, request.Bytes())
}

// exchangeRaw sends bytes over HTTP/1.1 and reads an answer.
func exchangeRaw(tb testing.TB, address, method string, request []byte) *http.Response {
	tb.Helper()
	connection, err := net.DialTimeout("tcp", address, patience)
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() { _ = connection.Close() })
	go func() { _, _ = connection.Write(request) }()
	response, err := http.ReadResponse(bufio.NewReader(connection), &http.Request{Method: method})
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() { _ = response.Body.Close() })
	return response
}

// sendH2C sends a request over HTTP/2 that net/http's client would refuse to send. It
// returns the HTTP status, or "reset".
func sendH2C(t *testing.T, address, authority, path, body string, extra ...[2]string) string {
	t.Helper()
	framer := newFramer(t, address, body, append([][2]string{
		{":method", http.MethodPost},
		{":scheme", "http"},
		{":authority", authority},
		{":path", path},
		{"authorization", "Bearer pat-org-owner-a"},
	}, extra...))
	for {
		frame, err := framer.ReadFrame()
		if errors.Is(err, io.EOF) {
			return "reset"
		}
		if err != nil {
			t.Fatal(err)
		}
		switch answer := frame.(type) {
		case *http2.MetaHeadersFrame:
			return answer.PseudoValue("status")
		case *http2.RSTStreamFrame:
			return "reset"
		}
	}
}

// exchangeFrames returns a gRPC answer's frames: a HEADERS frame's fields, nil for a DATA frame.
func exchangeFrames(t *testing.T, address, body string) []map[string]string {
	t.Helper()
	return exchangeFields(t, address, body, [][2]string{
		{":method", http.MethodPost},
		{":scheme", "http"},
		{":authority", "localhost:8088"},
		{":path", procedure},
		{"content-type", "application/grpc"},
		{"te", "trailers"},
		{"authorization", "Bearer pat-org-owner-a"},
	})
}

// exchangeFields is exchangeFrames with these header fields.
func exchangeFields(t *testing.T, address, body string, sent [][2]string) []map[string]string {
	t.Helper()
	framer := newFramer(t, address, body, sent)
	var frames []map[string]string
	for {
		frame, err := framer.ReadFrame()
		if err != nil {
			t.Fatal(err)
		}
		switch answer := frame.(type) {
		case *http2.DataFrame:
			if frames = append(frames, nil); answer.StreamEnded() {
				return frames
			}
		case *http2.MetaHeadersFrame:
			fields := map[string]string{}
			for _, field := range answer.Fields {
				fields[field.Name] = field.Value
			}
			if frames = append(frames, fields); answer.StreamEnded() {
				return frames
			}
		}
	}
}

// newFramer sends a request over HTTP/2, field by field, and returns what reads its answer.
func newFramer(t *testing.T, address, body string, fields [][2]string) *http2.Framer {
	t.Helper()
	connection, err := net.DialTimeout("tcp", address, patience)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = connection.Close() })
	var headers bytes.Buffer
	encoder := hpack.NewEncoder(&headers)
	for _, field := range fields {
		if err := encoder.WriteField(hpack.HeaderField{Name: field[0], Value: field[1]}); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := io.WriteString(connection, http2.ClientPreface); err != nil {
		t.Fatal(err)
	}
	framer := http2.NewFramer(connection, connection)
	framer.ReadMetaHeaders = hpack.NewDecoder(4096, nil)
	err = errors.Join(
		framer.WriteSettings(),
		framer.WriteHeaders(http2.HeadersFrameParam{StreamID: 1, BlockFragment: headers.Bytes(), EndHeaders: true}),
		framer.WriteData(1, true, []byte(body)),
	)
	if err != nil {
		t.Fatal(err)
	}
	return framer
}

// sendGRPC sends a recorded request over HTTP/2.
func sendGRPC(
	tb testing.TB, transport http.RoundTripper, address string, recorded recordings.Request,
) (header, trailer http.Header, body []byte) {
	tb.Helper()
	url := "http://" + address + recorded.Path
	request, err := http.NewRequestWithContext(tb.Context(), recorded.Method, url, bytes.NewReader(recorded.Body(tb)))
	if err != nil {
		tb.Fatal(err)
	}
	for name, value := range recorded.Headers {
		request.Header.Set(name, value)
	}
	request.Host = "localhost:8088"
	response, err := transport.RoundTrip(request)
	if err != nil {
		tb.Fatal(err)
	}
	defer func() { _ = response.Body.Close() }()
	if response.StatusCode != http.StatusOK || response.Header.Get("Content-Type") == "" {
		tb.Errorf("got HTTP %d with Content-Type %q, want HTTP 200 with a Content-Type",
			response.StatusCode, response.Header.Get("Content-Type"))
	}
	body, err = io.ReadAll(response.Body)
	if err != nil {
		tb.Fatal(err)
	}
	return response.Header, response.Trailer, body
}

// statusOf sends a request over HTTP/2 and returns the answer's gRPC status. It may be
// called from any goroutine.
func statusOf(t *testing.T, request *http.Request) string {
	t.Helper()
	response, err := newTransport(t, true).RoundTrip(request)
	if err != nil {
		t.Error(err)
		return ""
	}
	defer func() { _ = response.Body.Close() }()
	if _, err := io.Copy(io.Discard, response.Body); err != nil {
		t.Error(err)
	}
	return response.Header.Get("Grpc-Status") + response.Trailer.Get("Grpc-Status")
}

func bodyOf(tb testing.TB, response *http.Response) string {
	tb.Helper()
	body, err := io.ReadAll(response.Body)
	if err != nil {
		tb.Fatal(err)
	}
	return string(body)
}

// grpcFrame returns a message with gRPC's prefix.
func grpcFrame(flag byte, message []byte) []byte { return v1wire.Frame(flag, message) }

func grpcMessage(t *testing.T, userID, password string) []byte {
	t.Helper()
	message, err := proto.Marshal(&managementv1.SetHumanInitialPasswordRequest{UserId: userID, Password: password})
	if err != nil {
		t.Fatal(err)
	}
	return message
}

// grpcCallBody returns the framed message, in base64, of a call for userA.
func grpcCallBody(t *testing.T) *string {
	t.Helper()
	return grpcCallBodyFor(userA)
}

// grpcCallBodyFor is grpcCallBody for another user, whose id takes less than 128 bytes.
func grpcCallBodyFor(user string) *string {
	message := "\x0a" + string(rune(len(user))) + user + "\x12\x0eSup3rPassw0rd!"
	encoded := base64.StdEncoding.EncodeToString(grpcFrame(0, []byte(message)))
	return &encoded
}

func isTimeout(err error) bool {
	netErr, ok := errors.AsType[net.Error](err)
	return ok && netErr.Timeout()
}
