package v1wire

import (
	"bufio"
	"bytes"
	"encoding/base64"
	"encoding/binary"
	"io"
	"net/http"
	"strings"

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

// encodeWeb returns a frame as a request's body, and adds what gRPC-Web's own client says of it.
func encodeWeb(protocol rpcstatus.Protocol, header http.Header, frame []byte) []byte {
	header["X-Grpc-Web"] = []string{"1"}
	if protocol == rpcstatus.GRPCWebText {
		return base64.StdEncoding.AppendEncode(nil, frame)
	}
	header["Content-Type"] = []string{"application/grpc-web+proto"}
	return frame
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
	rpcstatus.Flush(w)
}

// decodeText decodes an answer in text mode: pieces of base64, each with its own padding.
func decodeText(text []byte) ([]byte, error) {
	var decoded []byte
	for len(text) > 0 {
		piece := text
		if end := bytes.IndexByte(text, '='); end >= 0 {
			for end < len(text) && text[end] == '=' {
				end++
			}
			piece = text[:end]
		}
		var err error
		if decoded, err = base64.StdEncoding.AppendDecode(decoded, piece); err != nil {
			return nil, err
		}
		text = text[len(piece):]
	}
	return decoded, nil
}

// webTrailer returns the frame of trailers in a gRPC-Web body; nil if it has none.
func webTrailer(body []byte) http.Header {
	const trailers = 1 << 7 // the flag
	for len(body) >= framePrefixBytes {
		length := int(binary.BigEndian.Uint32(body[1:]))
		if length < 0 || len(body) < framePrefixBytes+length {
			return nil
		}
		content := body[framePrefixBytes : framePrefixBytes+length]
		if body[0]&trailers == 0 {
			body = body[framePrefixBytes+length:]
			continue
		}
		header := http.Header{}
		for line := range strings.SplitSeq(string(content), "\r\n") {
			if name, value, found := strings.Cut(line, ":"); found {
				header.Add(name, strings.TrimSpace(value))
			}
		}
		return header
	}
	return nil
}
