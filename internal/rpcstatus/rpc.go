package rpcstatus

import (
	"encoding/base64"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"
)

// Protocol is an RPC protocol, by its name in logs and metrics.
type Protocol string

// The protocols of ZITADEL's v1 besides REST.
const (
	GRPC        Protocol = "grpc"
	GRPCWeb     Protocol = "grpc-web"
	GRPCWebText Protocol = "grpc-web-text" // base64, for browsers' XMLHttpRequest
)

// IsWeb reports whether the status of an answer is in its body.
func (p Protocol) IsWeb() bool { return p == GRPCWeb || p == GRPCWebText }

// ProtocolOf tells gRPC from gRPC-Web by the Content-Type, as ZITADEL's router
// does; "" is neither.
func ProtocolOf(r *http.Request) Protocol {
	contentType := r.Header.Get("Content-Type")
	switch {
	case r.Method != http.MethodPost:
		return ""
	case r.ProtoMajor == 2 && slices.ContainsFunc(r.Header["Content-Type"], routesAsGRPC):
		return GRPC
	case strings.HasPrefix(contentType, "application/grpc-web-text"):
		return GRPCWebText
	case strings.HasPrefix(contentType, "application/grpc-web"):
		return GRPCWeb
	}
	return ""
}

// routesAsGRPC reports whether ZITADEL's router takes one of a request's content types for
// gRPC's. grpc-go has no JSON codec, and takes the message for protobuf.
func routesAsGRPC(contentType string) bool {
	return contentType == "application/grpc" || contentType == "application/grpc+proto" || contentType == "application/grpc+json"
}

// IsGRPC reports whether r is a gRPC call with any codec. gRPC-Web is not gRPC.
func IsGRPC(r *http.Request) bool {
	contentType := r.Header.Get("Content-Type")
	return r.ProtoMajor == 2 && strings.HasPrefix(contentType, "application/grpc") && !strings.HasPrefix(contentType, "application/grpc-web")
}

// WriteRPC answers a request of one of the RPC protocols as grpc-go does behind net/http,
// without headers for other origins: the status stands in trailers over gRPC, and in headers
// over gRPC-Web.
func WriteRPC(w http.ResponseWriter, r *http.Request, protocol Protocol, s *Status) {
	if s.Plain {
		s.writePlain(w, protocol)
		return
	}
	setRetryAfter(w.Header(), s)
	if protocol != GRPC {
		s.setTrailers(w.Header(), "")
	}
	WriteRPCBody(w, r, nil)
	if protocol == GRPC {
		s.setTrailers(w.Header(), http.TrailerPrefix)
	}
}

// WriteRPCBody sends all of an answer but gRPC's trailers, as grpc-go does: with the request's
// content type, and no Date.
func WriteRPCBody(w http.ResponseWriter, r *http.Request, body []byte) {
	header := w.Header()
	header["Content-Type"] = []string{r.Header.Get("Content-Type")}
	header["Date"] = nil
	w.WriteHeader(http.StatusOK)
	if len(body) > 0 {
		_, _ = w.Write(body) // a client that is gone needs no answer
	}
	flush(w)
}

// flush sends what is there. Without it, net/http adds a Content-Length, after which nginx, HAProxy
// and libcurl 7.88 do not wait for trailers (recording v1_grpc.jsonl, ok).
func flush(w http.ResponseWriter) {
	_ = http.NewResponseController(w).Flush() // fails only for a client that is gone
}

// setTrailers sets gRPC's trailers, their names after prefix.
func (s *Status) setTrailers(header http.Header, prefix string) {
	header[prefix+"Grpc-Status"] = []string{strconv.FormatUint(uint64(s.Code), 10)}
	if s.Message != "" {
		header[prefix+"Grpc-Message"] = []string{percentEncode(s.Message)}
	}
	if serialized := s.Serialized(); serialized != "" {
		header[prefix+"Grpc-Status-Details-Bin"] = []string{base64.RawStdEncoding.EncodeToString([]byte(serialized))}
	}
}

// percentEncode encodes a grpc-message (gRPC over HTTP/2, "Status-Message").
func percentEncode(message string) string {
	var encoded strings.Builder
	for _, b := range []byte(message) {
		if b >= ' ' && b <= '~' && b != '%' {
			encoded.WriteByte(b)
		} else {
			fmt.Fprintf(&encoded, "%%%02X", b)
		}
	}
	return encoded.String()
}

// writePlain answers as http.Error does. gRPC-Web's wrapper puts a frame of no trailers behind
// the text, and text mode encodes all of it.
func (s *Status) writePlain(w http.ResponseWriter, protocol Protocol) {
	text := s.Message + "\n"
	if protocol != GRPC {
		text += "\x80\x00\x00\x00\x00"
	}
	if protocol == GRPCWebText {
		text = base64.StdEncoding.EncodeToString([]byte(text))
	}
	header := w.Header()
	header.Set("Content-Type", "text/plain; charset=utf-8")
	header.Set("X-Content-Type-Options", "nosniff")
	w.WriteHeader(s.HTTPStatus)
	_, _ = w.Write([]byte(text)) // a client that is gone needs no answer
	if protocol != GRPC {
		flush(w)
	}
}
