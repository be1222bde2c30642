package adapter

import (
	"log/slog"
	"net/http"

	"connectrpc.com/connect"

	"zitadel-v1-adapter/internal/rpccode"
)

// errorWriter answers a request in its own protocol with a status that ZITADEL
// had no part in.
type errorWriter struct {
	rpc *connect.ErrorWriter
	log *slog.Logger
}

func newErrorWriter(log *slog.Logger) errorWriter {
	return errorWriter{rpc: connect.NewErrorWriter(connect.WithRequireConnectProtocolHeader()), log: log}
}

// write answers with v1's headers for other origins: a browser shows its
// application no error without them.
func (e errorWriter) write(w http.ResponseWriter, r *http.Request, s *status) {
	if r.Header.Get("Origin") == "" {
		e.writePlain(w, r, s)
		return
	}
	newCORS(0, func(w http.ResponseWriter, r *http.Request) { e.writePlain(w, r, s) }).ServeHTTP(w, r)
}

func (e errorWriter) writePlain(w http.ResponseWriter, r *http.Request, s *status) {
	protocol := rpcProtocol(r)
	if protocol == "" && isGRPC(r) { // a codec that only ZITADEL may know
		protocol = "grpc"
	}
	switch {
	case protocol == "grpc-web-text":
		text := newGRPCWebTextWriter(w)
		defer text.close()
		w = text
		fallthrough
	case protocol != "":
		r.Header.Set("Content-Type", protobufContentType(protocol, r.Header.Get("Content-Type")))
		e.writeRPC(w, r, s)
	case r.Header.Get("Connect-Protocol-Version") != "" && e.rpc.IsSupported(r):
		e.writeRPC(w, r, s)
	default:
		writeStatus(w, rpccode.HTTPStatus(s.code), s)
	}
}

// writeRPC answers a gRPC, gRPC-Web (not in text mode) or Connect request.
func (e errorWriter) writeRPC(w http.ResponseWriter, r *http.Request, s *status) {
	if err := e.rpc.Write(w, r, s.connectError()); err != nil {
		e.log.DebugContext(r.Context(), "answer not written", "cause", err)
	}
}
