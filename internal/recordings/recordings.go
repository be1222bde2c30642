// Package recordings gives tests the traffic recorded from a real ZITADEL. The recordings
// define what "the same as v1" means. testdata/README.md describes them.
package recordings

import (
	"bytes"
	"embed"
	"encoding/base64"
	"encoding/json"
	"net/http"
	"os"
	"path/filepath"
	"testing"
)

// Embedded, because builds with -trimpath know no folder of their source.
//
//go:embed testdata
var testdata embed.FS

// Set names the recordings of one v1 method.
type Set struct {
	// Method is the method's name, such as "SetHumanPassword".
	Method string
	// RESTMatrix, RESTEdges, GRPC and GRPCWeb are files for Load, by protocol.
	RESTMatrix, RESTEdges, GRPC, GRPCWeb string
	// Fixture is the file with the state of the recorded ZITADEL.
	Fixture string
}

// Methods returns the recordings of every v1 method.
func Methods() []Set {
	const sibling = "more/v1_set_human_password_"
	return []Set{
		{"SetHumanInitialPassword", V1RESTMatrix, V1RESTEdges, V1GRPC, V1GRPCWeb, Fixture},
		{"SetHumanPassword", sibling + "rest_matrix.jsonl", sibling + "rest_edges.jsonl", sibling + "grpc.jsonl", sibling + "grpc_web.jsonl", "more/fixture.json"},
	}
}

// The names of the files, for Load and Path.
const (
	V1RESTMatrix = "v1_rest_matrix.jsonl"
	V1RESTEdges  = "v1_rest_edges.jsonl"
	V1GRPCWeb    = "v1_grpc_web.jsonl"
	V1GRPC       = "v1_grpc.jsonl"
	V2Calls      = "v2_calls.jsonl"
	Fixture      = "fixture.json"

	// What v1 and v2's UpdateUser answered on one server.
	UpdateUser           = "update_user/v2_update_user.jsonl"
	UpdateUserRESTMatrix = "update_user/v1_rest_matrix.jsonl"
	UpdateUserFixture    = "update_user/fixture.json"
)

// Recording is one request with its response.
type Recording struct {
	Name     string   `json:"name"`
	Request  Request  `json:"request"`
	Response Response `json:"response"`
	// ThenChangeRequired says whether the user had to change the password at the next
	// login afterwards; nil if that was not recorded.
	ThenChangeRequired *bool `json:"then_password_change_required"`
}

// Request is a recorded request. At most one of Text and BodyBase64 is set.
type Request struct {
	Method     string            `json:"method"`
	Path       string            `json:"path"`
	Headers    map[string]string `json:"headers"`
	Text       *string           `json:"body"`
	BodyBase64 *string           `json:"body_base64"`
}

// Response is a recorded response. Over gRPC, HeadersAndTrailers is set instead of
// Headers. At most one of Text and BodyBase64 is set.
type Response struct {
	Status             int         `json:"status"`
	Headers            [][2]string `json:"headers"`
	HeadersAndTrailers [][2]string `json:"headers_and_trailers"`
	Text               *string     `json:"body"`
	BodyBase64         *string     `json:"body_base64"`
}

// Body returns the request's body, or nil if none was sent.
func (r Request) Body(tb testing.TB) []byte { tb.Helper(); return body(tb, r.Text, r.BodyBase64) }

// Body returns the response's body, or nil if it had none.
func (r Response) Body(tb testing.TB) []byte { tb.Helper(); return body(tb, r.Text, r.BodyBase64) }

// Header returns the headers, and over gRPC also the trailers, by canonical name.
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

// Path returns the path of a copy of a file in testdata, which is there until the test ends.
func Path(tb testing.TB, file string) string {
	tb.Helper()
	content, err := testdata.ReadFile("testdata/" + file)
	if err != nil {
		tb.Fatal(err)
	}
	path := filepath.Join(tb.TempDir(), filepath.Base(file))
	if err := os.WriteFile(path, content, 0o600); err != nil {
		tb.Fatal(err)
	}
	return path
}

// Load reads the recordings in one of the .jsonl files.
func Load(tb testing.TB, file string) []Recording {
	tb.Helper()
	content, err := testdata.ReadFile("testdata/" + file)
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
