// Package openapi_test holds the description of the REST calls, adapter/openapi.json, against
// OpenAPI 3.1 and against every REST exchange that was recorded with native v1.
package openapi_test

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
	"github.com/pb33f/libopenapi"
	validator "github.com/pb33f/libopenapi-validator"
	"github.com/pb33f/libopenapi-validator/config"
	"github.com/pb33f/libopenapi-validator/content"
	problems "github.com/pb33f/libopenapi-validator/errors"

	"zitadel-v1-adapter/adapter"
	"zitadel-v1-adapter/internal/recordings"
)

// The description itself is OpenAPI 3.1.
func TestDescriptionIsOpenAPI(t *testing.T) {
	t.Parallel()
	if ok, found := newValidator(t, adapter.OpenAPI()).ValidateDocument(); !ok {
		t.Error(texts(found))
	}
	broken := strings.Replace(adapter.OpenAPI(), `"in": "path"`, `"in": "trail"`, 1)
	if ok, _ := newValidator(t, broken).ValidateDocument(); ok {
		t.Error("a parameter in the trail is valid: the validator sees nothing")
	}
}

// What v1 took is valid, and what it took for malformed is not; whatever it answered is one of
// the answers described, by status, headers and body.
func TestDescriptionHoldsForEveryRecording(t *testing.T) {
	t.Parallel()
	described := newValidator(t, adapter.OpenAPI())
	rows := map[string]int{}
	for _, set := range recordings.Methods() {
		for _, file := range []string{set.RESTMatrix, set.RESTEdges} {
			for _, recording := range recordings.Load(t, file) {
				rows["exchanges of "+set.Method]++
				rows[checkRequest(t, described, recording)]++
				checkAnswer(t, described, set, recording)
			}
		}
	}
	for _, recording := range recordings.Load(t, "more/v1_session_tokens.jsonl") {
		if strings.HasPrefix(recording.Request.Path, "/management/v1/") {
			rows["exchanges with session tokens"]++
			rows[checkRequest(t, described, recording)]++
			checkAnswer(t, described, recordings.Methods()[0], recording)
		}
	}
	for _, name := range slices.Sorted(maps.Keys(rows)) {
		t.Logf("%d %s", rows[name], name)
	}
}

// checkRequest compares what the description says of a recorded request with what v1 did, and
// tells which it was.
func checkRequest(t *testing.T, described validator.Validator, recording recordings.Recording) string {
	t.Helper()
	valid, why := false, "it is no HTTP request"
	request, err := newRequest(t, recording.Request)
	if err == nil {
		var found []*problems.ValidationError
		valid, found = described.ValidateHttpRequestSync(request)
		why = texts(found)
	}
	answer, refused := recording.Response, isMalformed(t, recording.Response)
	switch {
	case answer.Status < http.StatusMultipleChoices && !valid:
		t.Errorf("%s: v1 took it, but it is not valid: %s", recording.Name, why)
	case refused && valid:
		t.Errorf("%s: v1 took it for malformed, but it is valid; v1 answered %s", recording.Name, answer.Body(t))
	case answer.Status < http.StatusMultipleChoices:
		return "requests that v1 took: valid"
	case refused:
		return "requests that are malformed to v1: not valid"
	case valid:
		return "requests that v1 refused for what it knows, valid"
	}
	return "requests that v1 refused for what it knows, not valid"
}

// isMalformed reports whether v1 refused a request for what it looks like, before it knew
// anything about the caller and the user. Refusals of that kind have no error id.
func isMalformed(t *testing.T, answer recordings.Response) bool {
	t.Helper()
	var refusal struct {
		Message string `json:"message"`
		Details []any  `json:"details"`
	}
	_ = json.Unmarshal(answer.Body(t), &refusal) // what is no JSON is no refusal of v1's gateway
	switch answer.Status {
	case http.StatusMovedPermanently, http.StatusMethodNotAllowed:
		return true
	case http.StatusNotFound:
		return refusal.Message == "Not Found" // the path
	case http.StatusUnauthorized:
		return refusal.Message != "Errors.Token.Invalid (AUTH-7fs1e)"
	case http.StatusBadRequest:
		return len(refusal.Details) == 0
	}
	return false
}

// checkAnswer checks a recorded answer. To a request that is no call, it is one of those to the
// call that is meant.
func checkAnswer(t *testing.T, described validator.Validator, set recordings.Set, recording recordings.Recording) {
	t.Helper()
	meant := map[string]string{
		"SetHumanInitialPassword": "/management/v1/users/1/password/_initialize",
		"SetHumanPassword":        "/management/v1/users/1/password",
	}[set.Method]
	method := http.MethodPost
	if recording.Request.Method == http.MethodOptions {
		method = http.MethodOptions
	}
	request, err := http.NewRequestWithContext(t.Context(), method, "http://127.0.0.1:8080"+meant, http.NoBody)
	if err != nil {
		t.Fatal(err)
	}
	answer := &http.Response{
		StatusCode: recording.Response.Status, Header: recording.Response.Header(),
		Body: io.NopCloser(bytes.NewReader(recording.Response.Body(t))), Request: request,
	}
	if ok, found := described.ValidateHttpResponse(request, answer); !ok {
		t.Errorf("%s: the answer %d %s is not described: %s", recording.Name, recording.Response.Status, recording.Response.Body(t), texts(found))
	}
}

// An answer that v1 never gives is not described.
func TestOtherAnswersAreNotDescribed(t *testing.T) {
	t.Parallel()
	described := newValidator(t, adapter.OpenAPI())
	header := func(without string) http.Header {
		all := http.Header{"Content-Type": {"application/json"}, "Cache-Control": {"no-store"}, "Expires": {"now"}, "Pragma": {"no-cache"}, "X-Robots-Tag": {"none"}, "Vary": {"Origin"}}
		all.Del(without)
		return all
	}
	for _, test := range []struct {
		name          string
		status        int
		without, body string
		want          bool
	}{
		{"a success", 200, "", `{"details":{"sequence":"70"}}`, true},
		{"a number for an uint64", 200, "", `{"details":{"sequence":70}}`, false},
		{"a name in snake case", 200, "", `{"details":{"resource_owner":"1"}}`, false},
		{"a date that is none", 200, "", `{"details":{"changeDate":"today"}}`, false},
		{"a header is missing", 200, "Cache-Control", `{}`, false},
		{"two documents", 200, "", `{} {}`, false},
		{"a refusal", 400, "", `{"code":9,"message":"no"}`, true},
		{"another status's code", 400, "", `{"code":7,"message":"no"}`, false},
		{"a code's name", 400, "", `{"code":"failed_precondition"}`, false},
		{"a detail with a field that it has not", 400, "", `{"code":9,"details":[{"@type":"type.googleapis.com/zitadel.v1.ErrorDetail","slug":"x"}]}`, false},
		{"a status that there is not", 418, "", `{"code":9}`, false},
	} {
		request, err := http.NewRequestWithContext(t.Context(), http.MethodPost, "http://127.0.0.1:8080/management/v1/users/1/password", http.NoBody)
		if err != nil {
			t.Fatal(err)
		}
		answer := &http.Response{StatusCode: test.status, Header: header(test.without), Body: io.NopCloser(strings.NewReader(test.body)), Request: request}
		if got, found := described.ValidateHttpResponse(request, answer); got != test.want {
			t.Errorf("%s: got %v, want %v: %s", test.name, got, test.want, texts(found))
		}
	}
}

// newRequest is a recorded request as a server reads it.
func newRequest(t *testing.T, recorded recordings.Request) (*http.Request, error) {
	t.Helper()
	if strings.Contains(recorded.Path, "//") {
		return nil, errors.New("no path has two slashes together, which the validator takes for one")
	}
	body := recorded.Body(t)
	var sent bytes.Buffer
	fmt.Fprintf(&sent, "%s %s HTTP/1.1\r\nHost: 127.0.0.1:8080\r\nContent-Length: %d\r\n", recorded.Method, recorded.Path, len(body))
	for name, value := range recorded.Headers {
		if name != "Host" && name != "Content-Length" {
			fmt.Fprintf(&sent, "%s: %s\r\n", name, value)
		}
	}
	fmt.Fprintf(&sent, "\r\n%s", body)
	request, err := http.ReadRequest(bufio.NewReader(&sent))
	if err != nil {
		return nil, err
	}
	request.URL.Scheme, request.URL.Host = "http", request.Host
	if request.Header["Content-Type"] == nil {
		request.Header.Set("Content-Type", "application/octet-stream") // what no type means (RFC 9110 section 8.3)
	}
	return request.WithContext(t.Context()), nil
}

// newValidator is one that knows what the description can only say in words: how a token and a
// body are read.
func newValidator(t *testing.T, description string) validator.Validator {
	t.Helper()
	document, err := libopenapi.NewDocument([]byte(description))
	if err != nil {
		t.Fatal(err)
	}
	made, errs := validator.NewValidator(document,
		config.WithFormatAssertions(), config.WithStrictServerMatching(),
		config.WithBodyDecoder("*/*", content.DecoderFunc(decode)), config.WithBodyDecoder("application/json", content.DecoderFunc(decode)),
		config.WithAuthenticationFunc(authenticate))
	if len(errs) > 0 {
		t.Fatal(errors.Join(errs...))
	}
	return made
}

// decode takes the first JSON document, in which no name may be there twice, for a request.
func decode(input *content.DecodeInput) (any, error) {
	if input.Direction == content.Response && input.MediaType == "text/plain" {
		text, err := io.ReadAll(input.Body)
		return string(text), err
	}
	decoder := jsontext.NewDecoder(input.Body)
	var value any
	if err := json.UnmarshalDecode(decoder, &value); err != nil {
		return nil, err
	}
	if input.Direction == content.Response {
		if _, err := decoder.ReadToken(); !errors.Is(err, io.EOF) {
			return nil, errors.New("something follows the answer")
		}
	}
	return value, nil
}

func authenticate(_ context.Context, input *config.AuthenticationInput) error {
	if !strings.HasPrefix(input.Request.Header.Get("Authorization"), "Bearer ") {
		return errors.New("no bearer token")
	}
	return nil
}

func texts(found []*problems.ValidationError) string {
	all := make([]string, len(found))
	for i, problem := range found {
		all[i] = problem.Error()
	}
	return strings.Join(all, "\n")
}
