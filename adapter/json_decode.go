package adapter

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"strings"
	"unicode/utf8"

	"connectrpc.com/connect"
	"google.golang.org/protobuf/encoding/protojson"

	managementv1 "zitadel-v1-adapter/gen/zitadel/management/v1"
)

// decodeJSON reads a REST body as grpc-gateway v2 does: the first JSON document
// by encoding/json, that document by protojson, unknown fields ignored, nothing
// at all meaning {}. readErr is what ended the reading of body, nil for its
// proper end. The error's text is encoding/json's or protojson's own.
//
// What nearly every client sends is read by a scanner instead, which takes
// nothing that the two would not take, and understands it as they do.
func decodeJSON(body []byte, readErr error) (*managementv1.SetHumanInitialPasswordRequest, *status) {
	request := &managementv1.SetHumanInitialPasswordRequest{}
	if scanRequest(body, request) {
		return request, nil
	}
	document, err := firstDocument(body, readErr)
	if err != nil {
		return nil, newStatus(connect.CodeInvalidArgument, err.Error())
	}
	if document == nil {
		return request, nil
	}
	request = &managementv1.SetHumanInitialPasswordRequest{}
	if err := (protojson.UnmarshalOptions{DiscardUnknown: true}).Unmarshal(document, request); err != nil {
		return nil, newStatus(connect.CodeInvalidArgument, stableProtoText(err))
	}
	return request, nil
}

// firstDocument cuts the first JSON document out of body; nil if there is none.
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

// stableProtoText is the text of a protobuf-go error, which has a space or a
// no-break space after "proto:", by chance of the build.
func stableProtoText(err error) string {
	return strings.ReplaceAll(err.Error(), "\u00a0", " ")
}

// scanRequest reads a body that is one flat object of the two known fields,
// each at most once and a string without escapes, and whatever after it. It
// reports false, having perhaps written into request, for anything else.
func scanRequest(body []byte, request *managementv1.SetHumanInitialPasswordRequest) bool {
	s := scanner{rest: body}
	if !s.take('{') {
		return false
	}
	var seenUserID, seenPassword bool
	for {
		name, ok := s.text()
		if !ok || !s.take(':') {
			return false
		}
		value, ok := s.text()
		if !ok {
			return false
		}
		switch {
		case string(name) == "password" && !seenPassword:
			request.Password, seenPassword = string(value), true
		case (string(name) == "userId" || string(name) == "user_id") && !seenUserID:
			request.UserId, seenUserID = string(value), true
		default:
			return false
		}
		if s.take('}') {
			return true
		}
		if !s.take(',') {
			return false
		}
	}
}

// scanner reads JSON tokens (RFC 8259) from the front of rest.
type scanner struct{ rest []byte }

// take skips white space, and then c if it is next.
func (s *scanner) take(c byte) bool {
	for len(s.rest) > 0 {
		switch s.rest[0] {
		case ' ', '\t', '\r', '\n':
			s.rest = s.rest[1:]
			continue
		case c:
			s.rest = s.rest[1:]
			return true
		}
		return false
	}
	return false
}

// text reads a string that stands for itself: valid UTF-8 without escapes and
// control characters.
func (s *scanner) text() ([]byte, bool) {
	if !s.take('"') {
		return nil, false
	}
	for i, c := range s.rest {
		switch {
		case c == '"':
			text := s.rest[:i]
			s.rest = s.rest[i+1:]
			return text, utf8.Valid(text)
		case c == '\\' || c < ' ':
			return nil, false
		}
	}
	return nil, false
}
