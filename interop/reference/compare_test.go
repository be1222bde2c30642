package reference_test

import (
	"bytes"
	"compress/gzip"
	"encoding/base64"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net/http"
	"regexp"
	"slices"
	"sort"
	"strconv"
	"strings"

	"google.golang.org/protobuf/proto"

	managementv1 "zitadel-v1-adapter/gen/zitadel/management/v1"
)

// aspects are what of an answer is compared, by name, with what differs from call to call
// replaced.
func aspects(c *call, a answer) map[string]string {
	found := map[string]string{
		"interim answers": fmt.Sprint(a.interim), "status": strconv.Itoa(a.status), "end": a.end,
		"body": text(a),
	}
	for kind, fields := range map[string]map[string][]string{"header ": a.headers, "trailer ": a.trailers} {
		for name, values := range fields {
			if value, ok := field(c, a, name, values); ok {
				found[kind+name] = value
			}
		}
	}
	return found
}

// field is the text of a header or trailer; false: it is not compared.
func field(c *call, a answer, name string, values []string) (string, bool) {
	switch {
	case name == "date", name == "x-request-id",
		name == "set-cookie", strings.HasPrefix(name, "grpc-metadata-"), strings.HasPrefix(name, "grpcgateway-"):
		return "", false
	case name == "trailer":
		return "announced", true // in an order of net/http's own
	case name == "expires":
		return fmt.Sprint(len(values), " dates"), true
	case name == "content-length" && len(values) == 1 && values[0] == strconv.Itoa(len(a.body)):
		return "that of the body", true
	case name == "content-length" && c.method == http.MethodHead:
		return "that of a GET", true // with protobuf-go's spaces, or without them
	case name == "access-control-expose-headers":
		if c.isWeb() {
			return "", false
		}
		names := strings.Split(strings.Join(values, ", "), ", ")
		sort.Strings(names)
		values = names
	case name == "vary":
		values = slices.DeleteFunc(slices.Clone(values), func(value string) bool { return value == "Cookie" })
	case name == "grpc-status-details-bin":
		decoded, err := base64.RawStdEncoding.DecodeString(strings.TrimRight(values[0], "="))
		if err == nil {
			return fmt.Sprintf("%q", stable(string(decoded))), true
		}
	}
	return stable(fmt.Sprintf("%q", values)), true
}

// isWeb reports whether a call is one of gRPC-Web by its content type and path.
func (c *call) isWeb() bool {
	return strings.HasPrefix(c.get("Content-Type"), "application/grpc-web") && !strings.Contains(c.target, "/management/v1")
}

// stable removes the spaces that protobuf-go adds to JSON and errors, which differ between
// builds.
func stable(text string) string {
	return strings.NewReplacer("\u00a0", " ", "\\u00a0", " ", "%C2%A0", " ", `": `, `":`, `, "`, `,"`).Replace(text)
}

var written = regexp.MustCompile(`"sequence":"\d+",\s?"changeDate":"[^"]+"`)

// text is the body of an answer with what differs from call to call replaced.
func text(a answer) string {
	contentType := strings.Join(a.headers["content-type"], " ")
	if !strings.HasPrefix(contentType, "application/grpc") {
		return written.ReplaceAllString(stable(string(a.body)), `"written"`)
	}
	body := a.body
	if strings.HasPrefix(contentType, "application/grpc-web-text") {
		decoded, err := decodePieces(body)
		if err != nil {
			return fmt.Sprintf("%v in %q", err, body)
		}
		body = decoded
	}
	var out strings.Builder
	for len(body) >= 5 && int(binary.BigEndian.Uint32(body[1:5])) <= len(body)-5 {
		size := int(binary.BigEndian.Uint32(body[1:5]))
		fmt.Fprintf(&out, "[flag %d: %s]", body[0], message(body[0], body[5:5+size]))
		body = body[5+size:]
	}
	if len(body) > 0 {
		fmt.Fprintf(&out, "%q", body)
	}
	return out.String()
}

// decodePieces decodes base64 in pieces, each of which may end with padding.
func decodePieces(text []byte) ([]byte, error) {
	var decoded []byte
	for len(text) > 0 {
		end := len(text)
		if at := bytes.IndexByte(text, '='); at >= 0 {
			end = min((at/4+1)*4, len(text))
		}
		piece, err := base64.StdEncoding.DecodeString(string(text[:end]))
		if err != nil {
			return nil, err
		}
		decoded, text = append(decoded, piece...), text[end:]
	}
	return decoded, nil
}

// message is the text of a frame's content: of a response, or of trailers.
func message(flag byte, content []byte) string {
	if flag&0x80 != 0 {
		lines := strings.Split(strings.TrimSuffix(string(content), "\r\n"), "\r\n")
		sort.Strings(lines)
		return stable(fmt.Sprintf("%q", lines))
	}
	if flag == 1 {
		reader, err := gzip.NewReader(bytes.NewReader(content))
		if err != nil {
			return err.Error()
		}
		if content, err = io.ReadAll(reader); err != nil {
			return err.Error()
		}
	}
	var response managementv1.SetHumanInitialPasswordResponse
	if err := proto.Unmarshal(content, &response); err != nil {
		return fmt.Sprintf("%q", content)
	}
	details := response.GetDetails()
	return fmt.Sprintf("sequence %t, change date %t, owner %s", details.GetSequence() > 0, details.GetChangeDate().IsValid(), details.GetResourceOwner())
}

// outcome is what an answer says became of the call, without what is the call's own.
func outcome(a answer) string {
	if a.status == 0 {
		return a.end
	}
	found := strconv.Itoa(a.status)
	var refusal struct {
		Code    int    `json:"code"`
		Message string `json:"message"`
	}
	for _, fields := range []map[string][]string{a.headers, a.trailers} {
		if status := fields["grpc-status"]; status != nil {
			return found + abstract(fmt.Sprint(" grpc-status ", status[0], " ", strings.Join(fields["grpc-message"], ",")))
		}
	}
	switch {
	case bytes.HasPrefix(a.body, []byte("{")) && json.Unmarshal(a.body, &refusal) == nil:
		return found + abstract(fmt.Sprint(" code ", refusal.Code, " ", refusal.Message))
	case len(a.headers["location"]) > 0:
		return found + " redirect"
	case a.status != http.StatusOK:
		return found + " " + strings.Join(a.headers["content-type"], " ")
	}
	return found + " " + abstract(text(a))
}

const anotherOutcome = "outcome: "

// isOutcome reports whether a class of differences is one of outcomes.
func isOutcome(class string) bool { return strings.HasPrefix(class, anotherOutcome) }

// differences are what differs, by the name of its class.
func differences(c *call, native, adapter answer) map[string]string {
	want, got := aspects(c, native), aspects(c, adapter)
	names := maps.Clone(want)
	maps.Copy(names, got)
	found := map[string]string{}
	for name := range names {
		if want[name] != got[name] {
			found[fmt.Sprintf("%s: %s, not %s", name, abstract(want[name]), abstract(got[name]))] = fmt.Sprintf("%s: native %.300q, adapter %.300q", name, want[name], got[name])
		}
	}
	if want, got := outcome(native), outcome(adapter); want != got {
		return map[string]string{anotherOutcome + want + ", not " + got: strings.Join(slices.Sorted(maps.Values(found)), "\n  ")}
	}
	return found
}

var (
	quoted  = regexp.MustCompile(`\\?"[^"]*"|\\\\"[^"]*\\\\"`)
	numbers = regexp.MustCompile(`\d{4,}`)
)

// abstract is a text without what is a call's own, for the names of classes.
func abstract(text string) string {
	text = numbers.ReplaceAllString(stable(text), "#")
	if len(text) > 60 {
		text = quoted.ReplaceAllString(text, `"..."`)
	}
	if text == "" {
		return "none"
	}
	return text[:min(len(text), 120)]
}
