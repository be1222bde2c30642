package rpcstatus

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"strings"
	"testing"
	"unicode/utf8"

	"connectrpc.com/connect"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/types/known/anypb"

	_ "zitadel-v1-adapter/gen/zitadel/error/v2" // types of details
	_ "zitadel-v1-adapter/gen/zitadel/v1"
)

const typeURLPrefix = "type.googleapis.com/"

// Whatever details ZITADEL sends, each is expanded or kept, never dropped.
func FuzzStatus(f *testing.F) {
	f.Add([]byte(""), "zitadel.v1.ErrorDetail", "message")
	f.Add([]byte("\x12\x06\x08\x80\x92\xb8\xc3\x98\xfe\xff\xff\xff\x01"), "google.protobuf.Struct", "\xff\x00")
	f.Add([]byte("\x0a\x02id\x12\x02me"), "zitadel.v1.CredentialsCheckError", "a\x7f\u0085")
	f.Add([]byte("\x0a\x04slug"), "zitadel.error.v2.ErrorDetail", "")
	f.Add([]byte("\x08\x01"), "google.rpc.BadRequest", "unknown here")
	f.Add([]byte("\x0a\x00"), "google.protobuf.Any", "nested")
	f.Fuzz(checkStatus)
}

func checkStatus(t *testing.T, value []byte, typeName, message string) {
	t.Helper()
	s := New(connect.CodeInternal, message)
	s.Details = []*anypb.Any{{TypeUrl: typeURLPrefix + typeName, Value: value}, {TypeUrl: typeURLPrefix + typeName, Value: value}}
	var out bytes.Buffer
	s.writeJSON(&out)
	printed := out.Bytes()
	var read struct {
		Message string           `json:"message"`
		Details []map[string]any `json:"details"`
	}
	if err := json.Unmarshal(printed, &read); err != nil {
		t.Fatalf("%v in %q", err, printed)
	}
	if read.Message != strings.ToValidUTF8(message, "\uFFFD") || len(read.Details) != 2 {
		t.Fatalf("%q lost something of %q", printed, message)
	}
	if !utf8.ValidString(typeName) {
		return
	}
	if kind, _ := read.Details[1]["@type"].(string); !strings.HasSuffix(kind, typeName) {
		t.Fatalf("@type %q, want %q", kind, typeName)
	}
	if expanded, err := protojson.Marshal(s.Details[0]); err == nil {
		if !bytes.Contains(printed, compact(t, expanded)) {
			t.Fatalf("%s is not in %s", expanded, printed)
		}
	} else if read.Details[0]["value"] != base64.StdEncoding.EncodeToString(value) {
		t.Fatalf("opaque value of %q lost in %s", value, printed)
	}
	if err := s.ConnectError(); len(err.Details()) != 2 || !bytes.Equal(err.Details()[0].Bytes(), value) {
		t.Fatalf("gRPC details %v", err.Details())
	}
}

func compact(t *testing.T, document []byte) []byte {
	t.Helper()
	var out bytes.Buffer
	if err := json.Compact(&out, document); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}
