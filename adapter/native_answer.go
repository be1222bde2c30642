package adapter

import (
	"bytes"
	"compress/gzip"
	"encoding/binary"
	"encoding/json"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"strings"

	"connectrpc.com/connect"

	"zitadel-v1-adapter/internal/ingress"
	"zitadel-v1-adapter/internal/rpcstatus"
)

// nativeAnswer reads the code and the error id of native v1's answer, as far as it was kept;
// false if it cannot be read.
func nativeAnswer(x *ingress.Exchange, protocol string) (shadowAnswer, bool) {
	body := x.Kept()
	if x.Header().Get("Content-Encoding") == "gzip" {
		unpacking, err := gzip.NewReader(bytes.NewReader(body))
		if err != nil {
			return shadowAnswer{}, false
		}
		body, _ = io.ReadAll(io.LimitReader(unpacking, shadowBytes)) // what cannot be unpacked cannot be read below
	}
	field := func(name string) string {
		if value := x.Header().Get(http.TrailerPrefix + name); value != "" {
			return value
		}
		return x.Header().Get(name) // an answer of trailers only
	}
	switch rpcstatus.Protocol(protocol) {
	case rpcstatus.GRPC:
	case rpcstatus.GRPCWeb, rpcstatus.GRPCWebText:
		if protocol == string(rpcstatus.GRPCWebText) {
			body, _ = io.ReadAll(decodeText(bytes.NewReader(body))) // same
		}
		if trailer := webTrailer(body); trailer != nil {
			field = trailer.Get
		}
	default:
		return restAnswer(x.Status(), body)
	}
	code, err := strconv.ParseUint(field("Grpc-Status"), 10, 32)
	if err != nil {
		return shadowAnswer{}, false
	}
	message, err := url.PathUnescape(field("Grpc-Message"))
	return shadowAnswer{connect.Code(code), idIn(message)}, err == nil
}

// restAnswer reads an answer of grpc-gateway's.
func restAnswer(status int, body []byte) (shadowAnswer, bool) {
	if status == http.StatusOK {
		return shadowAnswer{}, true
	}
	var refusal struct {
		Code    uint32 `json:"code"`
		Message string `json:"message"`
	}
	err := json.Unmarshal(body, &refusal)
	return shadowAnswer{connect.Code(refusal.Code), idIn(refusal.Message)}, err == nil && refusal.Code != 0
}

// idIn is ZITADEL's id at the end of an error's message, "Password not found
// (COMMAND-G8dh3)"; "" if there is none.
func idIn(message string) string {
	begin := strings.LastIndexByte(message, '(')
	if begin < 0 || !strings.HasSuffix(message, ")") {
		return ""
	}
	id := message[begin+1 : len(message)-1]
	if strings.ContainsAny(id, " :") || !strings.Contains(id, "-") {
		return ""
	}
	return id
}

// webTrailer is the frame of trailers in a gRPC-Web body; nil if it has none.
func webTrailer(body []byte) http.Header {
	const trailers = 1 << 7 // the flag
	for len(body) >= framePrefixBytes {
		length := int(binary.BigEndian.Uint32(body[1:]))
		if length < 0 || len(body) < framePrefixBytes+length {
			return nil
		}
		content := body[framePrefixBytes : framePrefixBytes+length]
		if body[0]&trailers != 0 {
			header := http.Header{}
			for line := range strings.SplitSeq(string(content), "\r\n") {
				if name, value, found := strings.Cut(line, ":"); found {
					header.Add(name, strings.TrimSpace(value))
				}
			}
			return header
		}
		body = body[framePrefixBytes+length:]
	}
	return nil
}
