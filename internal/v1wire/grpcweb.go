package v1wire

import (
	"bufio"
	"bytes"
	"encoding/base64"
	"io"
	"net/http"
	"net/textproto"
	"slices"
	"strings"

	"zitadel-v1-adapter/internal/rpcstatus"
)

// gRPC-Web is gRPC with its trailers in the body (PROTOCOL-WEB.md of gRPC). Its text mode is
// the same in base64, for browsers' XMLHttpRequest.

// webFrames returns the frames of a gRPC-Web request's body. The wrapper that ZITADEL uses
// leaves text mode to encoding/base64.
func webFrames(protocol rpcstatus.Protocol, body io.Reader) io.Reader {
	if protocol != rpcstatus.GRPCWebText {
		return body
	}
	// The size of grpc-go's reads decides which pieces of base64 are decoded together: padding
	// may only end one.
	const readBytes = 8196
	return bufio.NewReaderSize(base64.NewDecoder(base64.StdEncoding, body), readBytes)
}

// encodeWeb returns a frame as a request's body, and adds what gRPC-Web's own client says of it.
func encodeWeb(protocol rpcstatus.Protocol, header http.Header, frame []byte) []byte {
	header["X-Grpc-Web"] = []string{"1"}
	if protocol == rpcstatus.GRPCWebText {
		return base64.StdEncoding.AppendEncode(nil, frame)
	}
	header["Content-Type"] = []string{"application/grpc-web+proto"}
	return frame
}

// withTrailers returns the body of a successful answer: the message's frame, then the trailers' frame.
func withTrailers(protocol rpcstatus.Protocol, frame []byte) []byte {
	const trailer = "\x80\x00\x00\x00\x10grpc-status: 0\r\n"
	if protocol != rpcstatus.GRPCWebText {
		return append(frame, trailer...)
	}
	text := base64.StdEncoding.AppendEncode(nil, frame) // in two pieces, each padded
	return base64.StdEncoding.AppendEncode(text, []byte(trailer))
}

// decodeText decodes an answer in text mode: pieces of base64, each with its own padding.
func decodeText(text []byte) (decoded []byte, err error) {
	const quantum = 4 // characters, of which padding may be the end
	for piece := range slices.Chunk(text, quantum) {
		if decoded, err = base64.StdEncoding.AppendDecode(decoded, piece); err != nil {
			return nil, err
		}
	}
	return decoded, nil
}

// webTrailer returns the frame of trailers in a gRPC-Web body; nil if it has none.
func webTrailer(body []byte) http.Header {
	const trailers = 1 << 7 // the flag
	for {
		flag, content, rest, ok := CutFrame(body)
		if !ok {
			return nil
		}
		body = rest
		if flag&trailers == 0 {
			continue
		}
		lines := io.MultiReader(bytes.NewReader(content), strings.NewReader("\r\n")) // an empty one ends them
		header, _ := textproto.NewReader(bufio.NewReader(lines)).ReadMIMEHeader()    // what can be read
		return http.Header(header)
	}
}
