package v1wire

import (
	"bufio"
	"encoding/base64"
	"io"
	"net/http"

	"zitadel-v1-adapter/internal/rpcstatus"
)

// gRPC-Web is gRPC with its trailers in the body (PROTOCOL-WEB.md of gRPC). Its text mode is
// the same in base64, for browsers' XMLHttpRequest.

// readBytes is the size of grpc-go's reads of a body. It decides which pieces of base64 are
// decoded together: padding may only end one.
const readBytes = 8196

// webFrames returns the frames of a gRPC-Web request's body. The wrapper that ZITADEL uses
// leaves text mode to encoding/base64.
func webFrames(protocol rpcstatus.Protocol, body io.Reader) io.Reader {
	if protocol != rpcstatus.GRPCWebText {
		return body
	}
	return bufio.NewReaderSize(base64.NewDecoder(base64.StdEncoding, body), readBytes)
}

// writeWeb answers with a message's frame and the trailers of a success.
func writeWeb(w http.ResponseWriter, protocol rpcstatus.Protocol, frame []byte) {
	const trailer = "\x80\x00\x00\x00\x10grpc-status: 0\r\n"
	if protocol == rpcstatus.GRPCWebText { // in two pieces, each padded
		text := base64.StdEncoding.AppendEncode(nil, frame)
		frame = base64.StdEncoding.AppendEncode(text, []byte(trailer))
	} else {
		frame = append(frame, trailer...)
	}
	w.WriteHeader(http.StatusOK)
	_, _ = w.Write(frame) // a client that is gone needs no answer
	flush(w)
}
