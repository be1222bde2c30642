package reference_test

import (
	"maps"
	"strings"
	"testing"

	"zitadel-v1-adapter/internal/recordings"
	"zitadel-v1-adapter/internal/wiretest"
	"zitadel-v1-adapter/interop/reference"
)

// unlike are recordings that the model answers otherwise, with the reason.
func unlike() map[string]string {
	return map[string]string{"accept-language-de": "the model has no languages"}
}

// The reference answers every recorded call as the recorded ZITADEL did: status, all recorded
// headers and trailers and no others, and body.
func TestReferenceAnswersAsRecorded(t *testing.T) {
	t.Parallel()
	sessions := recordings.Set{RESTMatrix: "more/v1_session_tokens.jsonl", Fixture: "more/fixture.json"}
	compared := 0
	for _, set := range recordings.Methods() {
		fixture := wiretest.FixtureOf(t, set.Fixture)
		v1, err := reference.New(t.Context(), fixture, nil)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(v1.Close)
		files := []string{set.RESTMatrix, set.RESTEdges, set.GRPC, set.GRPCWeb}
		if set.Fixture == sessions.Fixture {
			files = append(files, sessions.RESTMatrix)
		}
		for _, file := range files {
			for _, recording := range recordings.Load(t, file) {
				if file == sessions.RESTMatrix && !strings.Contains(recording.Name, "/v1/") {
					continue // of userinfo, v2 and the Auth API
				}
				if reason, ok := unlike()[recording.Name]; ok {
					t.Logf("%s: not compared: %s", recording.Name, reason)
					continue
				}
				compared++
				sent := recorded(t, recording)
				want := answer{status: recording.Response.Status, headers: lower(recording.Response.Header()), body: recording.Response.Body(t)}
				found := differences(sent, want, asRecorded(send(t, v1.Address(), sent)))
				// A deadline of a nanosecond passes before ZITADEL's interceptors, or on a busy machine after them.
				for try := 0; try < 100 && len(found) > 0 && recording.Name == "expired-grpc-timeout"; try++ {
					found = differences(sent, want, asRecorded(send(t, v1.Address(), sent)))
				}
				for _, line := range found {
					t.Errorf("%s %s: %s", file, recording.Name, strings.ReplaceAll(strings.ReplaceAll(line, "adapter", "model"), "native", "recorded"))
				}
			}
		}
	}
	t.Logf("%d recordings compared", compared)
}

// recorded is the call of a recording. The recorded client sent Content-Type and the like as
// it is, and Host unless the recording has another.
func recorded(t *testing.T, recording recordings.Recording) *call {
	t.Helper()
	c := &call{
		http2: recording.Response.HeadersAndTrailers != nil, method: recording.Request.Method, target: recording.Request.Path, host: "localhost:8088", hasHost: true,
		body: recording.Request.Body(t), framing: byLength, lineEnd: "\r\n",
	}
	for name, value := range recording.Request.Headers {
		if name == "Host" {
			c.host = value
			continue
		}
		c.headers = append(c.headers, [2]string{name, value})
	}
	return c
}

// asRecorded is an answer without what is not in the recordings: what frames it, and which
// fields are trailers.
func asRecorded(a answer) answer {
	maps.Copy(a.headers, a.trailers)
	for _, name := range []string{"content-length", "connection", "trailer"} {
		delete(a.headers, name)
	}
	return answer{status: a.status, headers: a.headers, body: a.body}
}
