package adapter_test

import (
	"bufio"
	"bytes"
	"encoding/base64"
	"encoding/binary"
	"fmt"
	"io"
	"net"
	"net/http"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"google.golang.org/protobuf/proto"

	managementv1 "zitadel-v1-adapter/gen/zitadel/management/v1"
	"zitadel-v1-adapter/internal/recordings"
	"zitadel-v1-adapter/internal/wiretest"
	"zitadel-v1-adapter/v2client"
)

// accepted differences from v1, as DESIGN section 4 and the README list them:
// recordings whose answer must differ, with the answer given instead.
var accepted = map[string]string{
	// v2 answers in the instance's default language.
	"accept-language-de": `{"code":3,"message":"Password is too short (DOMAIN-HuJf6)","details":[{"@type":"type.googleapis.com/zitadel.v1.ErrorDetail","id":"DOMAIN-HuJf6","message":"Password is too short"}]}`,
}

// Where v1 refused and v2's SetPassword would have written, SetPassword is not
// called: the point of the organization rule. The recordings of both sides say
// which cells of the matrix these are.
func TestSetPasswordIsNotCalledWhereOnlyV1Refuses(t *testing.T) {
	t.Parallel()
	writable := map[string]bool{}
	for _, recording := range recordings.Load(t, recordings.V2Calls) {
		if recording.Response.Status == http.StatusOK && strings.Contains(recording.Name, "/set-password/") {
			writable[strings.Replace(recording.Name, "/set-password/", "/", 1)] = true
		}
	}
	s := newStack(t)
	cells := 0
	for _, recording := range recordings.Load(t, recordings.V1RESTMatrix) {
		if !writable[recording.Name] || recording.Response.Status == http.StatusOK {
			continue
		}
		cells++
		bodyOf(t, sendRaw(t, s.address, recording.Request))
		if calls := s.upstream.setPasswordCalls(t); calls != 0 {
			t.Errorf("%s: SetPassword was called", recording.Name)
		}
	}
	if cells == 0 {
		t.Error("no such cell found")
	}
}

// recorded runs a test for every method over every way to ask v2, in front of the ZITADEL
// of the method's recordings.
func recorded(t *testing.T, test func(t *testing.T, s *stack, set recordings.Set)) {
	t.Helper()
	for _, set := range recordings.Methods() {
		for _, protocol := range []v2client.Protocol{v2client.ProtocolConnect, v2client.ProtocolGRPC} {
			t.Run(set.Method+"/"+string(protocol), func(t *testing.T) {
				t.Parallel()
				s := newStack(t, func(c *stackConfig) { c.protocol, c.fixture = protocol, wiretest.FixtureOf(t, set.Fixture) })
				s.upstream.noChange = set.Method != "SetHumanInitialPassword"
				test(t, s, set)
			})
		}
	}
}

// Every recorded v1 REST call gets the recorded answer: status, every header,
// body. Where v1 refused, SetPassword has not been called.
func TestRESTAnswersAsRecorded(t *testing.T) {
	t.Parallel()
	recorded(t, func(t *testing.T, s *stack, set recordings.Set) {
		t.Helper()
		for _, file := range []string{set.RESTMatrix, set.RESTEdges} {
			for _, recording := range recordings.Load(t, file) {
				t.Run(recording.Name, func(t *testing.T) {
					s.upstream.calls(t)
					response := sendRaw(t, s.address, recording.Request)
					compareREST(t, recording, response)
					checkWrites(t, s, recording, recording.Response.Status == http.StatusOK)
				})
			}
		}
	})
}

// REST over HTTP/2 without TLS is the same.
func TestRESTOverHTTP2(t *testing.T) {
	t.Parallel()
	s := newStack(t)
	transport := newTransport(t, true)
	for _, recording := range recordings.Load(t, recordings.V1RESTMatrix) {
		request, err := http.NewRequestWithContext(t.Context(), recording.Request.Method,
			"http://"+s.address+recording.Request.Path, bytes.NewReader(recording.Request.Body(t)))
		if err != nil {
			t.Fatal(err)
		}
		for name, value := range recording.Request.Headers {
			request.Header.Set(name, value)
		}
		request.Host = "localhost:8088"
		response, err := transport.RoundTrip(request)
		if err != nil {
			t.Fatal(err)
		}
		if response.ProtoMajor != 2 {
			t.Errorf("%s: HTTP/%d", recording.Name, response.ProtoMajor)
		}
		compareREST(t, recording, response)
		_ = response.Body.Close()
	}
}

// checkWrites proves that a success is one SetPassword call and one write, and
// that a refusal is no write. Nor is SetPassword called for a refusal, unless it
// takes v2's word: for what only the command knows (the user's state, the
// password policy, the hasher's limit), and for a caller who may see the user
// but not write it (AUTH-5mWD2), whom v2 refuses itself.
func checkWrites(tb testing.TB, s *stack, recording recordings.Recording, success bool) {
	tb.Helper()
	calls, writes := s.upstream.setPasswordCalls(tb), s.newWrites(tb)
	if success {
		if calls != 1 || writes != 1 {
			tb.Errorf("%d SetPassword calls, %d writes", calls, writes)
		}
		if want := recording.ThenChangeRequired; want != nil {
			userID, _, _ := strings.Cut(strings.TrimPrefix(recording.Request.Path, "/management/v1/users/"), "/")
			if got := s.zitadel.PasswordChangeRequired(userID); got != *want {
				tb.Errorf("password change required: %v, recorded %v", got, *want)
			}
		}
		return
	}
	if writes != 0 {
		tb.Errorf("v1 refused, but a password was written")
	}
	byCommand := regexp.MustCompile(`COMMAND-M9dse|COMMAND-CahN2|DOMAIN-|AUTH-5mWD2`)
	header := recording.Response.Header()
	if calls != 0 && !byCommand.MatchString(string(recording.Response.Body(tb))+header.Get("Grpc-Message")) {
		tb.Errorf("v1 refused, but SetPassword was called")
	}
}

// sendRaw sends a recorded request as it was: no client library in between
// would send "%zz" or an empty header.
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

func exchangeRaw(tb testing.TB, address, method string, request []byte) *http.Response {
	tb.Helper()
	connection, err := net.DialTimeout("tcp", address, 5*time.Second)
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

func bodyOf(tb testing.TB, response *http.Response) string {
	tb.Helper()
	body, err := io.ReadAll(response.Body)
	if err != nil {
		tb.Fatal(err)
	}
	return string(body)
}

func compareREST(t *testing.T, recording recordings.Recording, response *http.Response) {
	t.Helper()
	if response.StatusCode != recording.Response.Status {
		t.Errorf("status %d, recorded %d", response.StatusCode, recording.Response.Status)
	}
	want := string(recording.Response.Body(t))
	if instead, ok := accepted[recording.Name]; ok {
		want = instead
	}
	if got := normal(bodyOf(t, response)); got != normal(want) {
		t.Errorf("body\n%s\nrecorded\n%s", got, normal(want))
	}
	got, wanted := response.Header.Clone(), recording.Response.Header()
	for _, hidden := range []string{"Date", "Content-Length", "Connection", "X-Request-Id"} { // not in the recordings
		got.Del(hidden)
	}
	if expires := got.Get("Expires"); expires != "" {
		if _, err := http.ParseTime(expires); err != nil {
			t.Errorf("Expires: %v", err)
		}
		got.Set("Expires", "<date>")
	}
	for name := range wanted {
		if !slices.Equal(got.Values(name), wanted.Values(name)) {
			t.Errorf("%s: %q, recorded %q", name, got.Values(name), wanted.Values(name))
		}
	}
	for name := range got {
		if _, ok := wanted[name]; !ok {
			t.Errorf("%s: %q, not recorded", name, got.Values(name))
		}
	}
}

// normal is an answer without what differs from call to call or build to build.
func normal(body string) string {
	body = regexp.MustCompile(`"sequence":"\d+"`).ReplaceAllString(body, `"sequence":"<n>"`)
	body = regexp.MustCompile(`"changeDate":"[^"]+"`).ReplaceAllString(body, `"changeDate":"<date>"`)
	return strings.ReplaceAll(body, "proto:\u00a0", "proto: ")
}

// outcome is what a gRPC client library gets to see of an answer.
type outcome struct {
	message string // the decoded response, without what differs from call to call
	code    string
	text    string
	details string
}

// Every recorded gRPC-Web call, binary and text, gets the recorded message and
// status.
func TestGRPCWebAnswersAsRecorded(t *testing.T) {
	t.Parallel()
	recorded(t, func(t *testing.T, s *stack, set recordings.Set) {
		t.Helper()
		for _, recording := range recordings.Load(t, set.GRPCWeb) {
			t.Run(recording.Name, func(t *testing.T) {
				response := sendRaw(t, s.address, recording.Request)
				if recording.Name == "cors-preflight" {
					compareREST(t, recording, response)
					return
				}
				if got, want := response.Header.Get("Content-Type"), recording.Response.Header().Get("Content-Type"); got != want {
					t.Errorf("Content-Type %q, recorded %q", got, want)
				}
				got := grpcWebOutcome(t, response.Header, []byte(bodyOf(t, response)))
				want := grpcWebOutcome(t, recording.Response.Header(), recording.Response.Body(t))
				if got != want {
					t.Errorf("answered\n%+v\nrecorded\n%+v", got, want)
				}
				checkWrites(t, s, recording, want.code == "0")
			})
		}
	})
}

// Every recorded gRPC call gets the recorded message and status.
func TestGRPCAnswersAsRecorded(t *testing.T) {
	t.Parallel()
	recorded(t, func(t *testing.T, s *stack, set recordings.Set) {
		t.Helper()
		transport := newTransport(t, true)
		for _, recording := range recordings.Load(t, set.GRPC) {
			t.Run(recording.Name, func(t *testing.T) {
				header, trailer, body := sendGRPC(t, transport, s.address, recording.Request)
				got := grpcOutcome(t, header, trailer, body)
				recorded := recording.Response.Header()
				want := grpcOutcome(t, recorded, recorded, recording.Response.Body(t))
				if got != want {
					t.Errorf("answered\n%+v\nrecorded\n%+v", got, want)
				}
				checkWrites(t, s, recording, want.code == "0")
			})
		}
	})
}

func sendGRPC(tb testing.TB, transport http.RoundTripper, address string, recorded recordings.Request) (header, trailer http.Header, body []byte) {
	tb.Helper()
	request, err := http.NewRequestWithContext(tb.Context(), recorded.Method, "http://"+address+recorded.Path, bytes.NewReader(recorded.Body(tb)))
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
		tb.Errorf("HTTP status %d, Content-Type %q", response.StatusCode, response.Header.Get("Content-Type"))
	}
	body, err = io.ReadAll(response.Body)
	if err != nil {
		tb.Fatal(err)
	}
	return response.Header, response.Trailer, body
}

func grpcOutcome(tb testing.TB, header, trailer http.Header, body []byte) outcome {
	tb.Helper()
	for name, values := range header { // a trailers-only answer
		if strings.HasPrefix(name, "Grpc-") && trailer.Get(name) == "" {
			if trailer == nil {
				trailer = http.Header{}
			}
			trailer[name] = values
		}
	}
	return newOutcome(tb, trailer, body)
}

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

// decodeText decodes segments that are each padded.
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
	var response managementv1.SetHumanInitialPasswordResponse
	if err := proto.Unmarshal(body[5:], &response); err != nil {
		tb.Fatal(err)
	}
	if response.GetDetails().GetSequence() == 0 || response.GetDetails().GetChangeDate() == nil {
		tb.Error("sequence or change date missing")
	}
	response.GetDetails().Sequence, response.GetDetails().ChangeDate = 0, nil
	o.message = response.String()
	return o
}
