package adapter_test

import (
	"bytes"
	"maps"
	"net/http"
	"regexp"
	"slices"
	"strings"
	"testing"

	"zitadel-v1-adapter/internal/recordings"
	"zitadel-v1-adapter/internal/wiretest"
)

// The recorded calls of native v1 (internal/recordings), answered by the adapter.

// accepted are the recordings whose answer has to differ from v1's, as docs/differences.md
// says, with the answer that the adapter gives.
var accepted = map[string]string{
	// v2 answers in the instance's default language.
	"accept-language-de": restRefusal(3, "Password is too short", "DOMAIN-HuJf6"),
}

// Where v1 refused and v2's SetPassword would have written, SetPassword is not called. This
// is what the organization rule is for. The recordings of v1 and of v2 together say which
// cells of the matrix these are.
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
			t.Errorf("%s: SetPassword calls: got %d, want none", recording.Name, calls)
		}
	}
	if cells == 0 {
		t.Error("cells that only v1 refuses: got none, want some")
	}
}

// recorded runs a test for every translated method, in front of every ZITADEL that was tried
// in the state of the method's recordings, over each protocol that it speaks.
func recorded(t *testing.T, test func(t *testing.T, s *stack, set recordings.Set)) {
	t.Helper()
	for _, set := range recordings.Methods() {
		for _, zitadel := range zitadels() {
			for _, protocol := range protocolsOf(zitadel.Release) {
				t.Run(set.Method+"/"+nameOf(zitadel, protocol), func(t *testing.T) {
					t.Parallel()
					s := newStack(t, func(c *stackConfig) {
						c.zitadel, c.protocol, c.fixture = zitadel, protocol, wiretest.FixtureOf(t, set.Fixture)
					})
					s.upstream.noChange = set.Method != "SetHumanInitialPassword"
					test(t, s, set)
				})
			}
		}
	}
}

// Every recorded v1 REST call gets the recorded status, headers and body, and writes a
// password if and only if v1 did.
func TestRESTAnswersAsRecorded(t *testing.T) {
	t.Parallel()
	recorded(t, func(t *testing.T, s *stack, set recordings.Set) {
		t.Helper()
		for _, file := range []string{set.RESTMatrix, set.RESTEdges} {
			for _, recording := range recordings.Load(t, file) {
				t.Run(recording.Name, func(t *testing.T) {
					s.upstream.calls(t)
					response := sendRaw(t, s.address, recording.Request)
					compareREST(t, s.tellable(t, recording), response)
					checkWrites(t, s, recording, recording.Response.Status == http.StatusOK)
				})
			}
		}
	})
}

// The same holds for REST over HTTP/2 without TLS.
func TestRESTOverHTTP2AnswersAsRecorded(t *testing.T) {
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
			t.Errorf("%s: got HTTP/%d, want HTTP/2", recording.Name, response.ProtoMajor)
		}
		compareREST(t, recording, response)
		_ = response.Body.Close()
	}
}

// Every recorded gRPC-Web call, in binary and in text mode, gets the recorded message and
// status.
func TestGRPCWebAnswersAsRecorded(t *testing.T) {
	t.Parallel()
	recorded(t, func(t *testing.T, s *stack, set recordings.Set) {
		t.Helper()
		for _, recording := range recordings.Load(t, set.GRPCWeb) {
			t.Run(recording.Name, func(t *testing.T) {
				compareGRPCWeb(t, s, recording)
				if recording.Name != "cors-preflight" {
					checkWrites(t, s, recording, grpcWebOutcome(t, recording.Response.Header(), recording.Response.Body(t)).code == "0")
				}
			})
		}
	})
}

// compareGRPCWeb makes a recorded gRPC-Web call, or its preflight.
func compareGRPCWeb(t *testing.T, s *stack, recording recordings.Recording) {
	t.Helper()
	response := sendRaw(t, s.address, recording.Request)
	if recording.Name == "cors-preflight" {
		compareREST(t, recording, response)
		return
	}
	compareHeaders(t, recording, response.Header)
	got := grpcWebOutcome(t, response.Header, []byte(bodyOf(t, response)))
	want := grpcWebOutcome(t, recording.Response.Header(), recording.Response.Body(t))
	want.sequence = want.sequence && s.release.HasSetPassword()
	if got != want {
		t.Errorf("got\n%+v\nwant, as recorded,\n%+v", got, want)
	}
}

// Every recorded gRPC call gets the recorded message and status.
func TestGRPCAnswersAsRecorded(t *testing.T) {
	t.Parallel()
	recorded(t, func(t *testing.T, s *stack, set recordings.Set) {
		t.Helper()
		transport := newTransport(t, true)
		for _, recording := range recordings.Load(t, set.GRPC) {
			t.Run(recording.Name, func(t *testing.T) {
				checkWrites(t, s, recording, compareGRPC(t, s, transport, recording).code == "0")
			})
		}
	})
}

// compareGRPC makes a recorded gRPC call, and returns the outcome that is wanted.
func compareGRPC(t *testing.T, s *stack, transport http.RoundTripper, recording recordings.Recording) outcome {
	t.Helper()
	header, trailer, body := sendGRPC(t, transport, s.address, recording.Request)
	compareHeaders(t, recording, header, trailer)
	got := grpcOutcome(t, header, trailer, body)
	recorded := recording.Response.Header()
	want := grpcOutcome(t, recorded, recorded, recording.Response.Body(t))
	want.sequence = want.sequence && s.release.HasSetPassword()
	if got != want {
		t.Errorf("got\n%+v\nwant, as recorded,\n%+v", got, want)
	}
	return want
}

// tellable is a REST recording without the sequence of its answer where ZITADEL has no SetPassword,
// which alone tells it (recordings update_user).
func (s *stack) tellable(tb testing.TB, recording recordings.Recording) recordings.Recording {
	tb.Helper()
	if !s.release.HasSetPassword() {
		text := regexp.MustCompile(`"sequence":"\d+",`).ReplaceAllString(string(recording.Response.Body(tb)), "")
		recording.Response.Text = &text
	}
	return recording
}

// checkWrites checks that a success made one SetPassword call and one write, and that a
// refusal made no write. For most refusals SetPassword is not called either. It is called
// for what only v2's command knows (the user's state, the password policy, the hasher's
// limit), and for callers who may see the user but not write it (AUTH-5mWD2), whom v2
// refuses itself.
func checkWrites(tb testing.TB, s *stack, recording recordings.Recording, success bool) {
	tb.Helper()
	calls, writes := s.upstream.setPasswordCalls(tb), s.newWrites(tb)
	if success {
		if calls != 1 || writes != 1 {
			tb.Errorf("got %d SetPassword calls and %d writes, want one of each", calls, writes)
		}
		if want := recording.ThenChangeRequired; want != nil {
			userID, _, _ := strings.Cut(strings.TrimPrefix(recording.Request.Path, "/management/v1/users/"), "/")
			if got := s.zitadel.PasswordChangeRequired(userID); got != *want {
				tb.Errorf("password change required: got %v, want %v", got, *want)
			}
		}
		return
	}
	if writes != 0 {
		tb.Errorf("refused by v1: got %d writes, want none", writes)
	}
	byCommand := regexp.MustCompile(`COMMAND-M9dse|COMMAND-CahN2|DOMAIN-|AUTH-5mWD2`)
	header := recording.Response.Header()
	if calls != 0 && !byCommand.MatchString(string(recording.Response.Body(tb))+header.Get("Grpc-Message")) {
		tb.Errorf("refused by v1: got %d SetPassword calls, want none", calls)
	}
}

// compareREST compares a REST answer's status, headers and body with the recorded ones.
func compareREST(t *testing.T, recording recordings.Recording, response *http.Response) {
	t.Helper()
	if response.StatusCode != recording.Response.Status {
		t.Errorf("got HTTP %d, want HTTP %d as recorded", response.StatusCode, recording.Response.Status)
	}
	want := string(recording.Response.Body(t))
	if instead, ok := accepted[recording.Name]; ok {
		want = instead
	}
	if got := normal(bodyOf(t, response)); got != normal(want) {
		t.Errorf("body: got\n%s\nwant, as recorded,\n%s", got, normal(want))
	}
	compareHeaders(t, recording, response.Header)
}

// compareHeaders compares all headers of an answer with the recorded ones, name by name; over
// gRPC those and its trailers.
func compareHeaders(t *testing.T, recording recordings.Recording, headers ...http.Header) {
	t.Helper()
	got, want := http.Header{}, recording.Response.Header()
	for _, header := range headers {
		maps.Copy(got, header)
	}
	for _, unrecorded := range []string{"Date", "Connection", "X-Request-Id"} {
		got.Del(unrecorded)
	}
	if !strings.HasPrefix(got.Get("Content-Type"), "application/grpc") {
		got.Del("Content-Length") // not recorded either; an answer with trailers must have none
	}
	if expires := got.Get("Expires"); expires != "" {
		if _, err := http.ParseTime(expires); err != nil {
			t.Errorf("Expires: got %q, want a date: %v", expires, err)
		}
		got.Set("Expires", "<date>")
	}
	for _, header := range []http.Header{got, want} {
		if message := header.Get("Grpc-Message"); message != "" { // protobuf-go's space, by build
			header.Set("Grpc-Message", strings.ReplaceAll(message, "%C2%A0", " "))
		}
		if exposed := header.Get("Access-Control-Expose-Headers"); exposed != "" { // in any order
			names := strings.Split(exposed, ", ")
			slices.Sort(names)
			header.Set("Access-Control-Expose-Headers", strings.Join(names, ", "))
		}
	}
	for name := range want {
		if !slices.Equal(got.Values(name), want.Values(name)) {
			t.Errorf("%s: got %q, want %q as recorded", name, got.Values(name), want.Values(name))
		}
	}
	for name := range got {
		if _, ok := want[name]; !ok && got.Values(name) != nil {
			t.Errorf("%s: got %q, want no such header, as recorded", name, got.Values(name))
		}
	}
}

// An answer over gRPC is three frames, and the first has no content-length and no trailer
// header: libcurl 7.88 stops reading at a length, and never sees grpc-status (recording
// v1_grpc.jsonl, ok).
func TestGRPCAnswerHasNoLength(t *testing.T) {
	t.Parallel()
	s := newStack(t)
	for password, wantFrames := range map[string]int{"Sup3rPassw0rd!": 3, "a": 2} {
		frames := exchangeFrames(t, s.address, string(grpcFrame(0, grpcMessage(t, userA, password))))
		if len(frames) != wantFrames {
			t.Errorf("password %q: got %d frames, want %d: %v", password, len(frames), wantFrames, frames)
		}
		for i, fields := range frames {
			for name := range fields {
				if name == "content-length" || name == "trailer" {
					t.Errorf("password %q, frame %d: got %s: %q, want no such header", password, i, name, fields[name])
				}
			}
			if _, ok := fields["grpc-status"]; ok != (i == len(frames)-1) {
				t.Errorf("password %q, frame %d: got grpc-status: %v, want it in the last frame alone", password, i, ok)
			}
		}
	}
}
