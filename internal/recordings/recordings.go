// Package recordings gives tests the traffic recorded from a real ZITADEL, the
// judge of what "exactly as v1" means. testdata/README.md says what it holds.
package recordings

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"net/http"
	"os"
	"path/filepath"
	"runtime"
	"testing"
)

// Set is the recordings of one v1 method, and the state of the ZITADEL that was recorded.
type Set struct {
	// Method is the method's name.
	Method                               string
	RESTMatrix, RESTEdges, GRPC, GRPCWeb string
	Fixture                              string
}

// Methods are the recordings of every v1 method.
func Methods() []Set {
	const sibling = "more/v1_set_human_password_"
	return []Set{
		{"SetHumanInitialPassword", V1RESTMatrix, V1RESTEdges, V1GRPC, V1GRPCWeb, Fixture},
		{"SetHumanPassword", sibling + "rest_matrix.jsonl", sibling + "rest_edges.jsonl", sibling + "grpc.jsonl", sibling + "grpc_web.jsonl", "more/fixture.json"},
	}
}

// The files.
const (
	V1RESTMatrix = "v1_rest_matrix.jsonl"
	V1RESTEdges  = "v1_rest_edges.jsonl"
	V1GRPCWeb    = "v1_grpc_web.jsonl"
	V1GRPC       = "v1_grpc.jsonl"
	V2Calls      = "v2_calls.jsonl"
	Fixture      = "fixture.json"
)

// Recording is one exchange.
type Recording struct {
	Name     string   `json:"name"`
	Request  Request  `json:"request"`
	Response Response `json:"response"`
	// ThenChangeRequired is whether the user had to change its password afterwards, where
	// that was recorded.
	ThenChangeRequired *bool `json:"then_password_change_required"`
}

// Request is what was sent.
type Request struct {
	Method     string            `json:"method"`
	Path       string            `json:"path"`
	Headers    map[string]string `json:"headers"`
	Text       *string           `json:"body"`
	BodyBase64 *string           `json:"body_base64"`
}

// Response is what came back. HeadersAndTrailers stands for Headers over gRPC.
type Response struct {
	Status             int         `json:"status"`
	Headers            [][2]string `json:"headers"`
	HeadersAndTrailers [][2]string `json:"headers_and_trailers"`
	Text               *string     `json:"body"`
	BodyBase64         *string     `json:"body_base64"`
}

// Body is the request's body; nil when none was sent.
func (r Request) Body(tb testing.TB) []byte { tb.Helper(); return body(tb, r.Text, r.BodyBase64) }

// Body is the response's body.
func (r Response) Body(tb testing.TB) []byte { tb.Helper(); return body(tb, r.Text, r.BodyBase64) }

// Header collects headers, and over gRPC trailers, by canonical name.
func (r Response) Header() http.Header {
	header := http.Header{}
	for _, pair := range append(r.Headers, r.HeadersAndTrailers...) {
		header.Add(pair[0], pair[1])
	}
	return header
}

func body(tb testing.TB, text, encoded *string) []byte {
	tb.Helper()
	if encoded == nil {
		if text == nil {
			return nil
		}
		return []byte(*text)
	}
	decoded, err := base64.StdEncoding.DecodeString(*encoded)
	if err != nil {
		tb.Fatalf("body_base64: %v", err)
	}
	return decoded
}

// Path is where a file stands: beside the checkout, where the recordings are
// kept up to date, or else in the copy that comes with the project.
func Path(tb testing.TB, file string) string {
	tb.Helper()
	_, here, _, ok := runtime.Caller(0)
	if !ok {
		tb.Fatal("no caller information")
	}
	folder := filepath.Dir(here)
	beside := filepath.Join(folder, "..", "..", "..", "shared", "recordings", file)
	if _, err := os.Stat(beside); err == nil {
		return beside
	}
	return filepath.Join(folder, "testdata", file)
}

// Load reads one of the .jsonl files.
func Load(tb testing.TB, file string) []Recording {
	tb.Helper()
	content, err := os.ReadFile(Path(tb, file))
	if err != nil {
		tb.Fatal(err)
	}
	var recordings []Recording
	for line := range bytes.Lines(content) {
		var recording Recording
		if err := json.Unmarshal(line, &recording); err != nil {
			tb.Fatalf("%s: %v", file, err)
		}
		recordings = append(recordings, recording)
	}
	return recordings
}
