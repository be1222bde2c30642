package v1wire

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"

	"connectrpc.com/connect"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"

	"zitadel-v1-adapter/internal/rpcstatus"
)

// decodeJSON reads a REST body as grpc-gateway v2 does: the first JSON document by
// encoding/json, that document by protojson, unknown fields ignored, nothing at all meaning
// {}. readErr is what ended the reading of body, nil for its proper end. The error's text is
// encoding/json's or protojson's own.
func decodeJSON(body []byte, readErr error, into proto.Message) *rpcstatus.Status {
	document, err := firstDocument(body, readErr)
	if err != nil {
		return rpcstatus.New(connect.CodeInvalidArgument, err.Error())
	}
	if document == nil {
		return nil
	}
	if err := (protojson.UnmarshalOptions{DiscardUnknown: true}).Unmarshal(document, into); err != nil {
		return rpcstatus.New(connect.CodeInvalidArgument, stableProtoText(err))
	}
	return nil
}

// firstDocument returns the first JSON document in body, nil if there is none.
func firstDocument(body []byte, readErr error) (json.RawMessage, error) {
	var reader io.Reader = bytes.NewReader(body)
	if readErr != nil {
		reader = io.MultiReader(reader, failingReader{readErr})
	}
	var document json.RawMessage
	if err := json.NewDecoder(reader).Decode(&document); err != nil && !errors.Is(err, io.EOF) {
		return nil, err
	}
	return document, nil
}

type failingReader struct{ err error }

func (r failingReader) Read([]byte) (int, error) { return 0, r.err }

// encodeJSON prints a response as protojson does, without the spaces that protojson adds in
// some builds.
func encodeJSON(response proto.Message) ([]byte, error) {
	printed, err := protojson.Marshal(response)
	if err != nil {
		return nil, err
	}
	var compact bytes.Buffer
	err = json.Compact(&compact, printed)
	return compact.Bytes(), err
}
