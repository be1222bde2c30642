package adapter

import (
	"context"
	"fmt"
	"io"
	"math"
	"net/http"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"connectrpc.com/connect"
	"google.golang.org/protobuf/proto"

	managementv1 "zitadel-v1-adapter/gen/zitadel/management/v1"
	"zitadel-v1-adapter/internal/rpccode"
)

// maxMessageBytes is grpc-go's default limit for a received message, which v1
// never raised.
const maxMessageBytes = 4 << 20

// restHandler speaks grpc-gateway v2's dialect of REST. Any Content-Type is
// JSON.
type restHandler struct {
	useCase *setHumanInitialPassword
	journal *journal
}

// serve answers a request for userID's path.
func (h *restHandler) serve(w http.ResponseWriter, r *http.Request, userID string) {
	if refusal := overrideMethod(r); refusal != nil {
		writeStatus(w, rpccode.HTTPStatus(refusal.code), refusal)
		return
	}
	if r.Method != http.MethodPost {
		writeMethodNotAllowed(w)
		return
	}
	rec := newRecord("rest", r)
	defer func() { h.journal.write(r.Context(), rec) }()
	ctx, cancel, refusal := withGatewayTimeout(r)
	defer cancel()
	var request *managementv1.SetHumanInitialPasswordRequest
	if refusal == nil {
		request, refusal = readRequest(r, userID)
	}
	if refusal == nil {
		refusal = checkGRPCRequest(ctx, r, request)
	}
	if refusal != nil { // before v1's gRPC server, which adds headers, has the call
		rec.status = refusal
		writeStatus(w, rpccode.HTTPStatus(refusal.code), refusal)
		return
	}
	caller := rec.callerOf(r.Host, func(name string) string { return restHeader(r.Header, name) })
	response, refusal := h.useCase.run(ctx, caller, request, rec)
	if refusal == nil {
		setNoStore(w.Header())
		w.Header().Add("Vary", "Cookie")
		writeJSON(w, http.StatusOK, appendResponse(nil, response))
		return
	}
	if refusal.code != connect.CodeDeadlineExceeded { // recording expired-grpc-timeout
		setNoStore(w.Header())
	}
	if refusal.code == connect.CodeUnauthenticated {
		w.Header().Set("WWW-Authenticate", headerText(refusal.message))
	}
	writeStatus(w, rpccode.HTTPStatus(refusal.code), refusal)
}

// overrideMethod is grpc-gateway's "path length fallback": a form POST may name
// another method. The form is read, and with it the body.
func overrideMethod(r *http.Request) *status {
	override := r.Header.Get("X-Http-Method-Override")
	if override == "" || r.Method != http.MethodPost || r.Header.Get("Content-Type") != "application/x-www-form-urlencoded" {
		return nil
	}
	if err := r.ParseForm(); err != nil {
		if refusal := bodyRefusal(err); refusal != nil {
			return refusal
		}
		return newStatus(connect.CodeInvalidArgument, err.Error())
	}
	r.Method = strings.ToUpper(override)
	return nil
}

// readRequest reads the body, and puts the path's user id over the body's.
func readRequest(r *http.Request, userID string) (*managementv1.SetHumanInitialPasswordRequest, *status) {
	body, err := io.ReadAll(io.LimitReader(r.Body, maxMessageBytes+1))
	if refusal := bodyRefusal(err); refusal != nil {
		return nil, refusal
	}
	if len(body) > maxMessageBytes {
		return nil, tooLarge(max(r.ContentLength, int64(len(body))))
	}
	request, refusal := decodeJSON(body, err)
	if refusal != nil {
		return nil, refusal
	}
	request.UserId = userID
	return request, nil
}

// checkGRPCRequest refuses, in grpc-go's order and words, what v1's gateway
// cannot send on over gRPC: a token that is not printable ASCII (of all headers
// the only one that grpc-gateway passes on unchecked), a call whose time is up,
// text that is not UTF-8, which only the path can bring here, and a message over
// the limit, which is rarely longer than its JSON.
func checkGRPCRequest(ctx context.Context, r *http.Request, request *managementv1.SetHumanInitialPasswordRequest) *status {
	for _, value := range r.Header["Authorization"] {
		if !isPrintable(value) {
			return newStatus(connect.CodeInternal, `header key "authorization" contains value with non-printable ASCII characters`)
		}
	}
	if late := ended(ctx); late != nil {
		return late
	}
	if !utf8.ValidString(request.GetUserId()) {
		if _, err := proto.Marshal(request); err != nil { // for its words
			return newStatus(connect.CodeInternal, "grpc: error while marshaling: "+stableProtoText(err))
		}
	}
	if size := proto.Size(request); size > maxMessageBytes {
		return tooLarge(int64(size))
	}
	return nil
}

// tooLarge is grpc-go's refusal of a message of size bytes.
func tooLarge(size int64) *status {
	return newStatus(connect.CodeResourceExhausted,
		fmt.Sprintf("grpc: received message larger than max (%d vs. %d)", size, maxMessageBytes))
}

// restHeader takes a header as grpc-gateway passes it on: by its name or with
// the prefix "Grpc-Metadata-", the first value that gRPC can carry.
func restHeader(header http.Header, name string) string {
	if value := firstPrintable(header[name]); value != "" {
		return value
	}
	return firstPrintable(header["Grpc-Metadata-"+name])
}

func firstPrintable(values []string) string {
	for _, value := range values {
		if isPrintable(value) {
			return value
		}
	}
	return ""
}

func isPrintable(value string) bool {
	for i := range len(value) {
		if value[i] < ' ' || value[i] > '~' {
			return false
		}
	}
	return true
}

// setNoStore adds what v1's gRPC server adds to every answer of a method.
func setNoStore(header http.Header) {
	header["Cache-Control"] = []string{"no-store"}
	header["Expires"] = []string{time.Now().UTC().Format(http.TimeFormat)}
	header["Pragma"] = []string{"no-cache"}
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

// writeMethodNotAllowed answers as ZITADEL taught its grpc-gateway.
func writeMethodNotAllowed(w http.ResponseWriter) {
	writeStatus(w, http.StatusMethodNotAllowed, newStatus(connect.CodeUnimplemented, "Method Not Allowed"))
}

func writeStatus(w http.ResponseWriter, httpStatus int, s *status) {
	if s.retryAfter > 0 { // in whole seconds (RFC 9110 section 10.2.3)
		w.Header()["Retry-After"] = []string{strconv.Itoa(int(math.Ceil(s.retryAfter.Seconds())))}
	}
	writeJSON(w, httpStatus, appendStatus(nil, s))
}

func writeJSON(w http.ResponseWriter, httpStatus int, body []byte) {
	header := w.Header()
	header["Content-Type"] = []string{"application/json"}
	header["Content-Length"] = []string{strconv.Itoa(len(body))}
	w.WriteHeader(httpStatus)
	_, _ = w.Write(body) // a client that is gone needs no answer
}
