package adapter

import (
	"cmp"
	"context"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync/atomic"
	"time"
	"unicode/utf8"

	"connectrpc.com/connect"
	"google.golang.org/protobuf/proto"

	"zitadel-v1-adapter/internal/crossorigin"
	"zitadel-v1-adapter/internal/ingress"
	"zitadel-v1-adapter/internal/rpcstatus"
)

// REST is grpc-gateway v2's dialect of it. Any Content-Type is JSON.

// usualAnswer is the room that a response takes as JSON, in bytes.
const usualAnswer = 192

// maxMessageBytes is grpc-go's default limit for a received message, which v1
// never raised.
const maxMessageBytes = 4 << 20

// serveREST answers a request that is in no RPC protocol.
func (a *Adapter) serveREST(x *ingress.Exchange, r *http.Request, called found) {
	switch {
	case crossorigin.IsPreflight(r):
		x.Header().Add("Vary", "Cookie") // v1 adds it to every 2xx
		x.WriteHeader(http.StatusNoContent)
		return
	case called.method == nil:
		rpcstatus.WriteJSON(x, rpcstatus.New(connect.CodeNotFound, "Not Found"))
		return
	}
	event := a.newEvent(protocolREST, called.method, r)
	body := &heldBody{from: r.Body, slots: &a.largeBody}
	defer body.release()
	verb, refusal := gatewayMethod(r, body)
	if refusal == nil && verb != http.MethodPost {
		rpcstatus.WriteMethodNotAllowed(x)
		return
	}
	x.Header()["X-Request-Id"] = event.answerID[:]
	r = a.traced(event, called.method, r)
	defer func() {
		if x.Status() != 0 { // or else it broke down
			x.Flush() // the caller does not wait for the log
		}
		a.end(r.Context(), event, x.Status())
	}()
	ctx, cancel, malformed := withGatewayTimeout(r)
	defer cancel()
	refusal = cmp.Or(refusal, malformed)
	if deadline, ok := ctx.Deadline(); ok {
		a.limitBody(x, time.Until(deadline))
	}
	request := called.method.newRequest()
	if refusal == nil {
		refusal = readRequest(ctx, body, r.ContentLength, request)
		called.bind(request)
	}
	if refusal == nil {
		_ = r.Body.Close() // all of it was read; or net/http would look for more
		refusal = checkGRPCRequest(ctx, r, request)
	}
	if refusal != nil { // before v1's gRPC server, which adds headers, has the call
		event.status = refusal
		rpcstatus.WriteJSON(x, refusal)
		return
	}
	response, refusal := a.run(ctx, called.method, request, event)
	if refusal != nil {
		a.writeRESTRefusal(x, refusal)
		return
	}
	a.setNoStore(x.Header())
	x.Header().Add("Vary", "Cookie")
	rpcstatus.WriteBody(x, http.StatusOK, appendResponse(make([]byte, 0, usualAnswer), response))
}

// writeRESTRefusal answers a call that v1's gRPC server would have refused.
func (a *Adapter) writeRESTRefusal(x *ingress.Exchange, refusal *rpcstatus.Status) {
	if refusal.Code != connect.CodeDeadlineExceeded { // recording expired-grpc-timeout
		a.setNoStore(x.Header())
	}
	if refusal.Code == connect.CodeUnauthenticated {
		x.Header().Set("WWW-Authenticate", headerText(refusal.Message))
	}
	rpcstatus.WriteJSON(x, refusal)
}

// gatewayMethod is the HTTP method that a request means, by grpc-gateway's "path length
// fallback": a form POST may name another one. The form is read, and with it the body.
func gatewayMethod(r *http.Request, body io.Reader) (string, *rpcstatus.Status) {
	override := r.Header.Get("X-Http-Method-Override")
	if override == "" || r.Method != http.MethodPost || r.Header.Get("Content-Type") != "application/x-www-form-urlencoded" {
		return r.Method, nil
	}
	form := *r // which ParseForm writes into
	form.Body = io.NopCloser(body)
	if err := form.ParseForm(); err != nil {
		if refusal := bodyRefusal(err); refusal != nil {
			return "", refusal
		}
		return "", rpcstatus.New(connect.CodeInvalidArgument, err.Error())
	}
	return strings.ToUpper(override), nil
}

// readRequest reads the body, which should be contentLength bytes long; -1 is unknown. The
// client's timeout, which is v1's, is told before the time that a body may take.
func readRequest(ctx context.Context, content io.Reader, contentLength int64, into request) *rpcstatus.Status {
	body, err := io.ReadAll(io.LimitReader(content, maxMessageBytes+1))
	if refusal := bodyRefusal(err); refusal != nil {
		return cmp.Or(expired(ctx), refusal)
	}
	if len(body) > maxMessageBytes {
		return tooLarge(max(contentLength, int64(len(body))))
	}
	return decodeJSON(body, err, into)
}

// checkGRPCRequest refuses, in grpc-go's order and words, what v1's gateway
// cannot send on over gRPC: a token that is not printable ASCII (of all headers
// the only one that grpc-gateway passes on unchecked), a call whose time is up, text
// that is not UTF-8, which only the path can bring here, and a message over the limit,
// which is rarely longer than its JSON.
func checkGRPCRequest(ctx context.Context, r *http.Request, request request) *rpcstatus.Status {
	for _, value := range r.Header["Authorization"] {
		if !isPrintable(value) {
			return rpcstatus.New(connect.CodeInternal, `header key "authorization" contains value with non-printable ASCII characters`)
		}
	}
	if late := ended(ctx); late != nil {
		return late
	}
	message := request.message()
	if !utf8.ValidString(request.userID()) {
		if _, err := proto.Marshal(message); err != nil { // for its words
			return rpcstatus.New(connect.CodeInternal, "grpc: error while marshaling: "+stableProtoText(err))
		}
	}
	if size := proto.Size(message); size > maxMessageBytes {
		return tooLarge(int64(size))
	}
	return nil
}

// tooLarge is grpc-go's refusal of a message of size bytes.
func tooLarge(size int64) *rpcstatus.Status {
	return rpcstatus.New(connect.CodeResourceExhausted,
		fmt.Sprintf("grpc: received message larger than max (%d vs. %d)", size, maxMessageBytes))
}

// metadataPrefix makes of a header's name one of those that grpc-gateway passes on.
const metadataPrefix = "Grpc-Metadata-"

// gatewayHeader is a request's header as grpc-gateway passes it on: each one's first value
// that gRPC can carry, and by its name rather than with metadataPrefix, but for
// Accept-Language, for which the gateway has a name of its own, asked last.
func gatewayHeader(header http.Header) http.Header {
	if !isTranslated(header) {
		return header
	}
	passed := make(http.Header, len(header))
	for name := range header {
		name = strings.TrimPrefix(name, metadataPrefix)
		value, prefixed := firstPrintable(header[name]), firstPrintable(header[metadataPrefix+name])
		if name == "Accept-Language" {
			value, prefixed = prefixed, value
		}
		passed[name] = []string{cmp.Or(value, prefixed)}
	}
	return passed
}

// isTranslated reports whether the gateway changes anything of a header's.
func isTranslated(header http.Header) bool {
	for name, values := range header {
		if strings.HasPrefix(name, metadataPrefix) || len(values) == 0 || !isPrintable(values[0]) {
			return true
		}
	}
	return false
}

func firstPrintable(values []string) string {
	for _, value := range values {
		if isPrintable(value) {
			return value
		}
	}
	return ""
}

// isPrintable reports whether gRPC can carry a header's value.
func isPrintable(value string) bool {
	for i := range len(value) {
		if value[i] < ' ' || value[i] > '~' {
			return false
		}
	}
	return true
}

// setNoStore adds what v1's gRPC server adds to every answer of a method.
func (a *Adapter) setNoStore(header http.Header) {
	values := a.clock.noStore()
	header["Cache-Control"], header["Expires"], header["Pragma"] = values[0:1:1], values[1:2:2], values[2:3:3]
}

// clock makes the values of setNoStore, which are the same for a second.
type clock struct{ last atomic.Pointer[dated] }

type dated struct {
	second int64 // Unix time
	values [3]string
}

func (c *clock) noStore() *[3]string {
	now := time.Now()
	last := c.last.Load()
	if last == nil || last.second != now.Unix() {
		last = &dated{now.Unix(), [...]string{"no-store", now.UTC().Format(http.TimeFormat), "no-cache"}}
		c.last.Store(last)
	}
	return &last.values
}

// headerText makes an error message fit for a header value.
func headerText(message string) string {
	return strings.Map(func(r rune) rune {
		if r < ' ' || r == 0x7F {
			return ' '
		}
		return r
	}, message)
}
