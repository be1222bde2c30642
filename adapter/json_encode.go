package adapter

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"strconv"
	"unicode/utf8"

	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/types/known/anypb"
	"google.golang.org/protobuf/types/known/timestamppb"

	managementv1 "zitadel-v1-adapter/gen/zitadel/management/v1"
)

// appendResponse appends a v1 response as protojson prints it, without the
// spaces that protojson adds by chance of the build.
func appendResponse(out []byte, response *managementv1.SetHumanInitialPasswordResponse) []byte {
	details := response.GetDetails()
	if details == nil {
		return append(out, "{}"...)
	}
	out = append(out, `{"details":{`...)
	first := true
	field := func(name string) {
		if !first {
			out = append(out, ',')
		}
		first = false
		out = append(out, '"')
		out = append(out, name...)
		out = append(out, `":"`...)
	}
	if sequence := details.GetSequence(); sequence != 0 {
		field("sequence")
		out = append(strconv.AppendUint(out, sequence, 10), '"')
	}
	if created := details.GetCreationDate(); created != nil {
		field("creationDate")
		out = append(appendTimestamp(out, created), '"')
	}
	if changed := details.GetChangeDate(); changed != nil {
		field("changeDate")
		out = append(appendTimestamp(out, changed), '"')
	}
	if owner := details.GetResourceOwner(); owner != "" {
		field("resourceOwner")
		out = append(appendEscaped(out, owner), '"')
	}
	return append(out, "}}"...)
}

// appendTimestamp appends a valid timestamp as RFC 3339 with 0, 3, 6 or 9
// fractional digits.
func appendTimestamp(out []byte, timestamp *timestamppb.Timestamp) []byte {
	out = timestamp.AsTime().AppendFormat(out, "2006-01-02T15:04:05.000000000")
	for range 2 {
		out = bytes.TrimSuffix(out, []byte("000"))
	}
	return append(bytes.TrimSuffix(out, []byte(".000")), 'Z')
}

// appendStatus appends a status as grpc-gateway prints google.rpc.Status.
func appendStatus(out []byte, s *status) []byte {
	out = append(out, `{"code":`...)
	out = strconv.AppendUint(out, uint64(s.code), 10)
	if s.message != "" {
		out = append(out, `,"message":"`...)
		out = append(appendEscaped(out, s.message), '"')
	}
	if len(s.details) > 0 {
		out = append(out, `,"details":[`...)
		for i, detail := range s.details {
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
	out = appendEscaped(out, detail.GetTypeUrl())
	out = append(out, `","value":"`...)
	out = base64.StdEncoding.AppendEncode(out, detail.GetValue())
	return append(out, `"}`...)
}

// appendEscaped appends the inside of a JSON string with protojson's escapes.
// Invalid UTF-8, which protojson refuses, becomes U+FFFD.
func appendEscaped(out []byte, text string) []byte {
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
