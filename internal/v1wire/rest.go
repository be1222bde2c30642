package v1wire

import (
	"bytes"
	"cmp"
	"compress/gzip"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"connectrpc.com/connect"
	"github.com/grpc-ecosystem/grpc-gateway/v2/runtime"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"

	"zitadel-v1-adapter/internal/rpcstatus"
)

// REST is grpc-gateway v2's dialect of it. Any Content-Type is JSON. The gateway is a gRPC
// client: what its own gRPC library refuses to send is refused here too, with code 13.

// RESTMethod returns the HTTP method that a request means. By grpc-gateway's "path length
// fallback" a POST of a form may name another one; the form is read, and with it the body.
func RESTMethod(r *http.Request, body Body) (string, *rpcstatus.Status) {
	override := r.Header.Get("X-Http-Method-Override")
	if override == "" || r.Method != http.MethodPost || r.Header.Get("Content-Type") != "application/x-www-form-urlencoded" {
		return r.Method, nil
	}
	form := *r // which ParseForm writes into
	form.Body = io.NopCloser(body)
	if err := form.ParseForm(); err != nil {
		return "", cmp.Or(bodyRefusal(err), rpcstatus.New(connect.CodeInvalidArgument, err.Error()))
	}
	return strings.ToUpper(override), nil
}

// RESTContext returns the context of a REST request with the deadline of its Grpc-Timeout
// header, read as grpc-gateway reads it: any number that fits 64 bits, with whatever deadline
// comes of it. It refuses malformed timeouts and binary metadata.
func RESTContext(r *http.Request) (context.Context, context.CancelFunc, *rpcstatus.Status) {
	timeout, refusal := restTimeout(r.Header.Get("Grpc-Timeout"))
	if name, _, err := malformedBinary(r.Header, isMetadata); refusal == nil && err != nil {
		refusal = rpcstatus.New(connect.CodeInvalidArgument, "invalid binary header "+name+": "+err.Error())
	}
	if refusal != nil || timeout == 0 { // grpc-gateway takes 0 for no deadline
		return r.Context(), func() {}, refusal
	}
	ctx, cancel := context.WithTimeout(r.Context(), timeout)
	return ctx, cancel, nil
}

func restTimeout(text string) (time.Duration, *rpcstatus.Status) {
	if text == "" {
		return 0, nil
	}
	last := len(text) - 1
	unit, known := timeoutUnits[text[last]]
	count, err := strconv.ParseInt(text[:last], 10, 64)
	if err != nil || !known {
		return 0, rpcstatus.New(connect.CodeInvalidArgument, "invalid grpc-timeout: "+text)
	}
	return time.Duration(count) * unit, nil
}

// bodies reads as grpc-gateway does by default: the first JSON document by encoding/json, that
// document by protojson, unknown fields ignored.
var bodies = &runtime.JSONPb{UnmarshalOptions: protojson.UnmarshalOptions{DiscardUnknown: true}}

// ReadREST reads the body of a REST call into a message; nothing at all means {}. Then bind sets
// the fields that the path's parameters name, over what the body says. The client's timeout, the
// deadline of ctx, goes before the time that a body may take.
func ReadREST(ctx context.Context, r *http.Request, body Body, into proto.Message, bind func()) *rpcstatus.Status {
	limited := &io.LimitedReader{R: body, N: MaxMessageBytes + 1}
	err := bodies.NewDecoder(limited).Decode(into)
	_, restErr := io.Copy(io.Discard, limited) // counts too
	if refusal := bodyRefusal(errors.Join(err, restErr)); refusal != nil {
		return cmp.Or(DeadlineStatus(ctx), refusal)
	}
	if limited.N == 0 {
		return tooLarge(max(r.ContentLength, MaxMessageBytes+1))
	}
	if err != nil && !errors.Is(err, io.EOF) {
		return rpcstatus.New(connect.CodeInvalidArgument, stableProtoText(err))
	}
	bind()
	_ = r.Body.Close() // all of it was read; or net/http would look for more
	if refusal := cmp.Or(checkMetadata(r), ContextStatus(ctx)); refusal != nil {
		return refusal
	}
	if size := proto.Size(into); size > MaxMessageBytes { // rarely longer than its JSON
		return tooLarge(int64(size))
	}
	return checkConnectionMetadata(r.Header)
}

// metadataPrefix begins the names of headers that grpc-gateway passes on as metadata.
const metadataPrefix = "Grpc-Metadata-"

// isMetadata reports whether ZITADEL's gateway passes a header on as metadata: x-zitadel-* as it
// is, and what has metadataPrefix without it. grpc-gateway skips names with other characters.
func isMetadata(name string) bool {
	isOther := func(c rune) bool {
		return (c < 'a' || c > 'z') && (c < 'A' || c > 'Z') && (c < '0' || c > '9') && c != '.' && c != '-' && c != '_'
	}
	key, prefixed := strings.CutPrefix(name, metadataPrefix)
	return (prefixed || strings.HasPrefix(name, "X-Zitadel-")) && !strings.ContainsFunc(key, isOther)
}

// checkMetadata refuses what grpc-go's client refuses to send: a header named
// "Grpc-Metadata-" and nothing else, a token that is not printable ASCII (of all headers the
// only one that grpc-gateway passes on unchecked), a host that is not, and a path that is not,
// which ZITADEL's gateway adds as zitadel-activity-path.
func checkMetadata(r *http.Request) *rpcstatus.Status {
	var key string
	switch {
	case slices.ContainsFunc(r.Header[metadataPrefix], IsPrintable):
		return rpcstatus.New(connect.CodeInternal, "there is an empty key in the header")
	case slices.ContainsFunc(r.Header["Authorization"], func(value string) bool { return !IsPrintable(value) }):
		key = "authorization"
	case !IsPrintable(r.Host):
		key = "x-forwarded-host"
	case !IsPrintable(r.URL.Path):
		key = "zitadel-activity-path"
	default:
		return nil
	}
	return rpcstatus.New(connect.CodeInternal, fmt.Sprintf("header key %q contains value with non-printable ASCII characters", key))
}

// checkConnectionMetadata refuses metadata that means something to HTTP/2 itself: net/http's
// server, to which the gateway's client sends the call, does not take it.
func checkConnectionMetadata(header http.Header) *rpcstatus.Status {
	for _, name := range [...]string{"Connection", "Keep-Alive", "Proxy-Connection", "Transfer-Encoding", "Upgrade"} {
		if slices.ContainsFunc(header[metadataPrefix+name], IsPrintable) {
			text := fmt.Sprintf("request header %q is not valid in HTTP/2\n", name)
			return rpcstatus.New(connect.CodeInternal, "unexpected HTTP status code received from server: 400 (Bad Request); "+
				"transport: received unexpected content-type \"text/plain; charset=utf-8\"\ndata: "+strconv.Quote(text))
		}
	}
	if slices.ContainsFunc(header[metadataPrefix+"Content-Length"], IsPrintable) { // that of no message
		return rpcstatus.New(connect.CodeInternal, "stream terminated by RST_STREAM with error code: PROTOCOL_ERROR")
	}
	return nil
}

// RESTMetadata returns a REST request's header as ZITADEL gets it from grpc-gateway: of each field
// the first value that gRPC can carry. A field without metadataPrefix goes before the same one
// with it. Accept-Language is the other way round: ZITADEL looks last under the name that the
// gateway gives the plain one.
func RESTMetadata(header http.Header) http.Header {
	printable := func(name string) string {
		if at := slices.IndexFunc(header[name], IsPrintable); at >= 0 {
			return header[name][at]
		}
		return ""
	}
	hasChoice := false // as in nearly all requests
	for name, values := range header {
		hasChoice = hasChoice || len(values) != 1 || !IsPrintable(values[0]) || strings.HasPrefix(name, metadataPrefix)
	}
	if !hasChoice {
		return header
	}
	passed := make(http.Header, len(header))
	for name := range header {
		name = strings.TrimPrefix(name, metadataPrefix)
		value, prefixed := printable(name), printable(metadataPrefix+name)
		if name == "Accept-Language" {
			value, prefixed = prefixed, value
		}
		passed[name] = []string{cmp.Or(value, prefixed)}
	}
	return passed
}

// WriteREST answers a REST call with its response.
func WriteREST(w http.ResponseWriter, r *http.Request, response proto.Message) {
	body, err := encodeJSON(response)
	if err != nil { // only text that is not UTF-8, which v2 does not send
		panic(err) //nolint:forbidigo // answered and logged at the edge
	}
	acceptTrailers(w.Header(), r)
	rpcstatus.WriteBody(w, http.StatusOK, body)
}

// WriteRESTStatus answers a call that v1's gateway would have sent on with a status.
func WriteRESTStatus(w http.ResponseWriter, r *http.Request, s *rpcstatus.Status) {
	header := w.Header()
	if s.Code == connect.CodeUnauthenticated {
		header.Set("WWW-Authenticate", s.Message) // net/http writes line breaks as spaces
	}
	details := ""
	if acceptTrailers(header, r) {
		details = s.Serialized()
	}
	if details != "" {
		header["Trailer"] = []string{detailsTrailer}
	}
	rpcstatus.WriteJSON(w, s)
	if details != "" {
		header[detailsTrailer] = []string{details} // net/http writes line breaks as spaces
	}
}

// detailsTrailer is grpc-gateway's name for what its gRPC client got as a trailer.
const detailsTrailer = "Grpc-Trailer-Grpc-Status-Details-Bin"

// acceptTrailers makes an answer chunked if grpc-gateway sends it with trailers, and reports that.
// Over HTTP/2 native v1's answer then never ends, because net/http's server drops what the
// trailer holds: here it has none.
func acceptTrailers(answer http.Header, r *http.Request) bool {
	if r.ProtoMajor != 1 || !strings.Contains(strings.ToLower(r.Header.Get("TE")), "trailers") {
		return false
	}
	answer["Transfer-Encoding"] = []string{"chunked"}
	return true
}

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

// encodeREST returns a call. What the path says is not in the body.
func encodeREST(pattern string, message proto.Message) (Request, error) {
	rest := proto.Clone(message).ProtoReflect()
	segments := strings.Split(pattern, "/")
	for i, segment := range segments {
		name, isParameter := strings.CutPrefix(segment, ":")
		if !isParameter {
			continue
		}
		field := rest.Descriptor().Fields().ByName(protoreflect.Name(name))
		if field == nil {
			return Request{}, fmt.Errorf("%s has no field %q", rest.Descriptor().Name(), name)
		}
		segments[i] = url.PathEscape(rest.Get(field).String())
		rest.Clear(field)
	}
	body, err := encodeJSON(rest.Interface())
	return Request{strings.Join(segments, "/"), http.Header{"Content-Type": {"application/json"}}, body}, err
}

// decodeRESTAnswer reads an answer of grpc-gateway's, which a proxy may have compressed.
func decodeRESTAnswer(httpStatus int, header http.Header, body []byte) (Answer, error) {
	if httpStatus == http.StatusOK {
		return Answer{}, nil
	}
	if header.Get("Content-Encoding") == "gzip" {
		unpacking, err := gzip.NewReader(bytes.NewReader(body))
		if err != nil {
			return Answer{}, err
		}
		if body, err = io.ReadAll(io.LimitReader(unpacking, MaxMessageBytes)); err != nil {
			return Answer{}, err
		}
	}
	refusal, err := rpcstatus.ParseJSON(body)
	if err != nil {
		return Answer{}, err
	}
	return Answer{Code: refusal.Code, Message: refusal.Message}, nil
}
