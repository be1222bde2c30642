package adapter

import (
	"bytes"
	"encoding/base64"
	"encoding/binary"
	"encoding/json"
	"errors"
	"io"
	"net/http/httptest"
	"strings"
	"testing"

	"connectrpc.com/connect"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"

	managementv1 "zitadel-v1-adapter/gen/zitadel/management/v1"
	objectv2 "zitadel-v1-adapter/gen/zitadel/object/v2"
	"zitadel-v1-adapter/internal/ingress"
	"zitadel-v1-adapter/internal/recordings"
	"zitadel-v1-adapter/internal/rpcstatus"
)

// Fuzz targets of what the adapter decodes and prints, each against the standard library.
// Those of whole requests are in fuzz_requests_test.go.

// referenceDecode decodes as grpc-gateway v2 does: encoding/json cuts out a document, which
// protojson reads.
func referenceDecode(body []byte, into proto.Message) error {
	var document json.RawMessage
	if err := json.NewDecoder(bytes.NewReader(body)).Decode(&document); err != nil {
		if errors.Is(err, io.EOF) {
			return nil
		}
		return err
	}
	return protojson.UnmarshalOptions{DiscardUnknown: true}.Unmarshal(document, into)
}

// For every body, decodeJSON returns the same request or the same error text as the
// reference.
func FuzzDecodeJSON(f *testing.F) {
	for _, file := range []string{recordings.V1RESTEdges, recordings.V1RESTMatrix} {
		for _, recording := range recordings.Load(f, file) {
			if body := recording.Request.Body(f); len(body) < 1<<10 { // long seeds only slow the fuzzer
				f.Add(body)
			}
		}
	}
	for _, body := range []string{
		`{"password":"a","userId":"b","user_id":"c"}`, `{"password":"a","noChangeRequired":true}`,
		`{"no_change_required":"true"}`, `{"user_id":"b"}`, `{"password":"\ud83d\ude00"}`,
		`{"password":"\ud83d"}`, "{\"password\":\"\xff\"}", "{\"password\":\"a\x7f\"}", `{"pass\u0077ord":"a"}`,
		"\t{ \"password\" :\n\"a\" }x", `{"password":"a"`, `{}`, `{"a":{"b":[[[1e400]]]},"password":"x"}`,
		strings.Repeat("[", 10001), `{"x":` + strings.Repeat("[", 9999), "  ", "{\"password\":\"a\"}\x00",
	} {
		f.Add([]byte(body))
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		for _, m := range methods() {
			got, want := m.newRequest(), m.newRequest().message()
			refusal, wantErr := decodeJSON(body, nil, got), referenceDecode(body, want)
			if wantErr != nil {
				wantText := strings.ToValidUTF8(stableProtoText(wantErr), "\uFFFD")
				if refusal == nil || refusal.Code != connect.CodeInvalidArgument || refusal.Message != wantText {
					t.Fatalf("%s: got %v, want error %q", m.name(), refusal, wantText)
				}
				continue
			}
			if refusal != nil || !proto.Equal(got.message(), want) {
				t.Fatalf("%s: got %v %v, want %v", m.name(), got.message(), refusal, want)
			}
		}
	})
}

// Text mode decodes as encoding/base64 does, group by group. For any input, reading ends
// with a frame or an error, and what is written in text mode can be decoded.
func FuzzGRPCWebText(f *testing.F) {
	for _, recording := range recordings.Load(f, recordings.V1GRPCWeb) {
		f.Add(recording.Request.Body(f))
		f.Add([]byte(base64.StdEncoding.EncodeToString(recording.Request.Body(f))))
		f.Add(recording.Response.Body(f)) // two segments, each padded
	}
	for _, text := range []string{"", "=", "A", "AA==AA==", "AA==\r\nAAAA", "A=A=", "AAAAAA==A", "AAAA====", "\n\n"} {
		f.Add([]byte(text))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		got, err := io.ReadAll(decodeText(bytes.NewReader(text)))
		want, wantErr := referenceText(text)
		if !bytes.Equal(got, want) || (err == nil) != (wantErr == nil) {
			t.Fatalf("decoded: got %q (%v), want %q (%v)", got, err, want, wantErr)
		}
		if message, refusal := readFrame(bytes.NewReader(got), "", &heldBody{slots: new(ingress.Slots)}); refusal == nil {
			if !bytes.HasPrefix(got, framed(message)) {
				t.Fatalf("message: got %q, want that of %q", message, got)
			}
		}
		checkTextRoundTrip(t, text)
	})
}

// referenceText decodes groups of four characters, each by encoding/base64.
func referenceText(text []byte) ([]byte, error) {
	text = bytes.ReplaceAll(bytes.ReplaceAll(text, []byte("\r"), nil), []byte("\n"), nil)
	var decoded []byte
	for len(text) > 0 {
		group := text[:min(4, len(text))]
		part, err := base64.StdEncoding.DecodeString(string(group))
		decoded = append(decoded, part...)
		if err != nil {
			return decoded, err
		}
		text = text[len(group):]
	}
	return decoded, nil
}

func checkTextRoundTrip(t *testing.T, binary []byte) {
	t.Helper()
	recorder := httptest.NewRecorder()
	recorder.Header().Set("Content-Type", "application/grpc-web+proto")
	writer := rpcstatus.NewTextWriter(recorder)
	for len(binary) > 0 { // connect-go writes in pieces too
		piece := binary[:min(5, len(binary))]
		if _, err := writer.Write(piece); err != nil {
			t.Fatal(err)
		}
		binary = binary[len(piece):]
	}
	writer.Close()
	if got, want := recorder.Header().Get("Content-Type"), "application/grpc-web-text+proto"; got != want {
		t.Fatalf("Content-Type: got %q, want %q", got, want)
	}
	if _, err := base64.StdEncoding.DecodeString(recorder.Body.String()); err != nil {
		t.Fatal(err)
	}
}

// For any details that v2 sends, v1's answer has them all, and prints them as protojson
// does.
func FuzzDetails(f *testing.F) {
	for _, details := range []*objectv2.Details{
		{}, {Sequence: 1, ResourceOwner: "a\"\\\x01\u2028ä"},
	} {
		value, err := proto.Marshal(details)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(value)
	}
	f.Add([]byte("\x12\x06\x08\x80\x92\xb8\xc3\x98\xfe\xff\xff\xff\x01"))
	f.Fuzz(func(t *testing.T, value []byte) {
		details := &objectv2.Details{}
		if proto.Unmarshal(value, details) == nil {
			checkResponse(t, details)
		}
	})
}

func checkResponse(t *testing.T, details *objectv2.Details) {
	t.Helper()
	mapped := objectDetails(details)
	if mapped.GetSequence() != details.GetSequence() || mapped.GetResourceOwner() != details.GetResourceOwner() {
		t.Fatalf("got %v, want the sequence and resource owner of %v", mapped, details)
	}
	if details.GetChangeDate().IsValid() && !proto.Equal(mapped.GetChangeDate(), details.GetChangeDate()) ||
		details.GetCreationDate().IsValid() && !proto.Equal(mapped.GetCreationDate(), details.GetCreationDate()) {
		t.Fatalf("got %v, want the dates of %v", mapped, details)
	}
	response := &managementv1.SetHumanInitialPasswordResponse{Details: mapped}
	printed, err := protojson.Marshal(response)
	if err != nil {
		t.Fatalf("protojson.Marshal(%v): got %v, want no error", response, err)
	}
	if got, want := appendResponse(nil, response), compact(t, printed); !bytes.Equal(got, want) {
		t.Fatalf("printed: got %s, want %s", got, want)
	}
}

// framed returns an uncompressed message with gRPC's prefix.
func framed(message []byte) []byte {
	return append(binary.BigEndian.AppendUint32([]byte{0}, uint32(len(message))), message...)
}

func compact(t *testing.T, document []byte) []byte {
	t.Helper()
	var out bytes.Buffer
	if err := json.Compact(&out, document); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}
