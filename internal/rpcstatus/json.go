package rpcstatus

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"strconv"
	"unicode/utf8"

	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/types/known/anypb"
)

// AppendJSON appends the status as grpc-gateway prints google.rpc.Status.
func (s *Status) AppendJSON(out []byte) []byte {
	out = append(out, `{"code":`...)
	out = strconv.AppendUint(out, uint64(s.Code), 10)
	if s.Message != "" {
		out = append(out, `,"message":"`...)
		out = append(AppendEscaped(out, s.Message), '"')
	}
	if len(s.Details) > 0 {
		out = append(out, `,"details":[`...)
		for i, detail := range s.Details {
			if i > 0 {
				out = append(out, ',')
			}
			out = appendDetail(out, detail)
		}
		out = append(out, ']')
	}
	return append(out, '}')
}

// appendDetail appends one error detail: expanded if its type is known to this
// program, else as it came, with the message's bytes in "value". Neither is ever
// a failure (grpc-gateway would answer "failed to marshal error message").
func appendDetail(out []byte, detail *anypb.Any) []byte {
	if expanded, err := protojson.Marshal(detail); err == nil {
		compact := bytes.NewBuffer(out)
		if err := json.Compact(compact, expanded); err == nil {
			return compact.Bytes()
		}
	}
	out = append(out, `{"@type":"`...)
	out = AppendEscaped(out, detail.GetTypeUrl())
	out = append(out, `","value":"`...)
	out = base64.StdEncoding.AppendEncode(out, detail.GetValue())
	return append(out, `"}`...)
}

// AppendEscaped appends the inside of a JSON string with protojson's escapes.
// Invalid UTF-8, which protojson refuses, becomes U+FFFD.
func AppendEscaped(out []byte, text string) []byte {
	for i, r := range text {
		switch {
		case r == '"' || r == '\\':
			out = append(out, '\\', byte(r))
		case r == '\b':
			out = append(out, `\b`...)
		case r == '\f':
			out = append(out, `\f`...)
		case r == '\n':
			out = append(out, `\n`...)
		case r == '\r':
			out = append(out, `\r`...)
		case r == '\t':
			out = append(out, `\t`...)
		case r < ' ':
			const hex = "0123456789abcdef"
			out = append(out, '\\', 'u', '0', '0', hex[r>>4], hex[r&0xF])
		case r < utf8.RuneSelf:
			out = append(out, text[i])
		default:
			out = utf8.AppendRune(out, r)
		}
	}
	return out
}
