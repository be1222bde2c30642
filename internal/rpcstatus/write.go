package rpcstatus

import (
	"bytes"
	"cmp"
	"math"
	"net/http"
	"strconv"

	"connectrpc.com/connect"

	"zitadel-v1-adapter/internal/crossorigin"
)

var (
	connectErrors = connect.NewErrorWriter(connect.WithRequireConnectProtocolHeader())
	cors          = crossorigin.New(0)
)

// Write answers r in its own protocol with a status that ZITADEL had no part in, and with
// ZITADEL's headers for other origins: a browser shows its application no error without them.
func Write(w http.ResponseWriter, r *http.Request, s *Status) {
	if r.Header.Get("Origin") != "" {
		cors.Allow(w, r)
	}
	protocol := ProtocolOf(r)
	if protocol == "" && IsGRPC(r) { // a codec that only ZITADEL may know
		protocol = GRPC
	}
	switch {
	case protocol != "":
		WriteRPC(w, r, protocol, s)
	case r.Header.Get("Connect-Protocol-Version") != "" && connectErrors.IsSupported(r):
		_ = connectErrors.Write(w, r, s.ConnectError()) // a client that is gone needs no answer
	default:
		WriteJSON(w, s)
	}
}

// WriteJSON answers with a status as grpc-gateway writes it.
func WriteJSON(w http.ResponseWriter, s *Status) {
	setRetryAfter(w.Header(), s)
	var body bytes.Buffer
	s.writeJSON(&body)
	WriteBody(w, cmp.Or(s.HTTPStatus, HTTPStatus(s.Code)), body.Bytes())
}

// setRetryAfter says when to try again, in whole seconds (RFC 9110 section 10.2.3); over gRPC
// it is metadata.
func setRetryAfter(header http.Header, s *Status) {
	if s.RetryAfter > 0 {
		header["Retry-After"] = []string{strconv.Itoa(int(math.Ceil(s.RetryAfter.Seconds())))}
	}
}

// WriteBody answers with JSON, chunked if the answer's header says so.
func WriteBody(w http.ResponseWriter, httpStatus int, body []byte) {
	header := w.Header()
	header["Content-Type"] = []string{"application/json"}
	if header["Transfer-Encoding"] == nil {
		header["Content-Length"] = []string{strconv.Itoa(len(body))}
	}
	w.WriteHeader(httpStatus)
	_, _ = w.Write(body) // a client that is gone needs no answer
}

// WriteMethodNotAllowed answers as ZITADEL taught its grpc-gateway.
func WriteMethodNotAllowed(w http.ResponseWriter) {
	WriteJSON(w, &Status{Code: connect.CodeUnimplemented, Message: "Method Not Allowed", HTTPStatus: http.StatusMethodNotAllowed})
}
