package v1wire

import (
	"bytes"
	"compress/gzip"
	"encoding/base64"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"strings"

	"connectrpc.com/connect"

	"zitadel-v1-adapter/internal/rpcstatus"
)

// Answer is what a client understands of an answer to a v1 call.
type Answer struct {
	Code    connect.Code // 0 is success
	Message string
	// Details is the serialized google.rpc.Status of an RPC protocol, "" if there is none.
	Details string
}

// DecodeAnswer reads an answer. Any protocol that is not an RPC protocol is REST. The error says what is not as the
// protocol has it.
func DecodeAnswer(protocol rpcstatus.Protocol, httpStatus int, header, trailer http.Header, body []byte) (Answer, error) {
	switch protocol {
	case rpcstatus.GRPC:
	case rpcstatus.GRPCWebText:
		decoded, err := decodeText(body)
		if err != nil {
			return Answer{}, err
		}
		trailer = webTrailer(decoded)
	case rpcstatus.GRPCWeb:
		trailer = webTrailer(body)
	default:
		return decodeRESTAnswer(httpStatus, header, body)
	}
	field := func(name string) string {
		if value := trailer.Get(name); value != "" {
			return value
		}
		return header.Get(name) // an answer of trailers only
	}
	code, err := strconv.ParseUint(field("Grpc-Status"), 10, 32)
	if err != nil {
		return Answer{}, fmt.Errorf("HTTP %d without a grpc-status", httpStatus)
	}
	message, err := url.PathUnescape(field("Grpc-Message"))
	if err != nil {
		return Answer{}, fmt.Errorf("grpc-message: %w", err)
	}
	details, err := decodeBinary(field("Grpc-Status-Details-Bin"))
	if err != nil {
		return Answer{}, fmt.Errorf("grpc-status-details-bin: %w", err)
	}
	return Answer{Code: connect.Code(code), Message: message, Details: string(details)}, nil
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
	var refusal struct {
		Code    uint32 `json:"code"`
		Message string `json:"message"`
	}
	if err := json.Unmarshal(body, &refusal); err != nil {
		return Answer{}, err
	}
	if refusal.Code == 0 {
		return Answer{}, errors.New("a refusal without a code")
	}
	return Answer{Code: connect.Code(refusal.Code), Message: refusal.Message}, nil
}

// ID returns ZITADEL's id at the end of an error's message, "Password not found
// (COMMAND-G8dh3)"; "" if there is none.
func (a Answer) ID() string {
	begin := strings.LastIndexByte(a.Message, '(')
	if begin < 0 || !strings.HasSuffix(a.Message, ")") {
		return ""
	}
	id := a.Message[begin+1 : len(a.Message)-1]
	if strings.ContainsAny(id, " :") || !strings.Contains(id, "-") {
		return ""
	}
	return id
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
