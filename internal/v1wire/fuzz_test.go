package v1wire

import (
	"bytes"
	"compress/gzip"
	"encoding/binary"
	"errors"
	"io"
	"math/big"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"connectrpc.com/connect"
	"google.golang.org/protobuf/types/known/anypb"

	"zitadel-v1-adapter/internal/recordings"
	"zitadel-v1-adapter/internal/rpcstatus"
)

// plainBody is a Body without limits.
type plainBody struct{ io.Reader }

func (plainBody) Unpacked(from io.Reader) io.Reader { return from }

// A frame is as long as its prefix says, and is unpacked as compress/gzip unpacks it, or
// there is an error. Nothing is read beyond it.
func FuzzFrame(f *testing.F) {
	for _, recording := range recordings.Load(f, recordings.V1GRPC) {
		f.Add(recording.Request.Body(f), false)
	}
	var packed bytes.Buffer
	writer := gzip.NewWriter(&packed)
	_, _ = writer.Write([]byte("\x0a\x01a\x12\x01b"))
	_ = writer.Close()
	f.Add(append([]byte{1, 0, 0, 0, byte(packed.Len())}, packed.Bytes()...), true)
	f.Add([]byte{0, 0xff, 0xff, 0xff, 0xff}, false)
	f.Add([]byte{2, 0, 0, 0, 0}, true)
	f.Fuzz(func(t *testing.T, body []byte, gzipped bool) {
		encoding := map[bool]string{true: "gzip"}[gzipped]
		rest := bytes.NewReader(body)
		message, refusal := readFrame(rest, encoding, plainBody{})
		var size uint32
		whole := len(body) >= framePrefixBytes
		if whole {
			size = binary.BigEndian.Uint32(body[1:])
			whole = uint64(len(body)) >= framePrefixBytes+uint64(size)
		}
		if refusal == nil && (!whole || size > MaxMessageBytes || len(message) > MaxMessageBytes || body[0] > 1) {
			t.Fatalf("%q: got a message of %d bytes, want an error", body, len(message))
		}
		if !whole || size > MaxMessageBytes {
			return
		}
		if got, want := rest.Len(), len(body)-framePrefixBytes-int(size); got != want {
			t.Fatalf("bytes left unread: got %d, want %d", got, want)
		}
		want, err := referenceUnpack(body[0], body[framePrefixBytes:][:size], gzipped)
		if (err == nil) != (refusal == nil) || err == nil && !bytes.Equal(message, want) {
			t.Fatalf("got %q (%v), want %q (%v)", message, refusal, want, err)
		}
	})
}

func referenceUnpack(flag byte, payload []byte, gzipped bool) ([]byte, error) {
	switch {
	case flag == 0:
		return payload, nil
	case flag > 1 || !gzipped:
		return nil, errors.New("format")
	}
	reader, err := gzip.NewReader(bytes.NewReader(payload))
	if err != nil {
		return nil, err
	}
	message, err := io.ReadAll(reader)
	if len(message) > MaxMessageBytes {
		err = errors.New("too large")
	}
	return message, err
}

// Timeouts are numbers with a unit. v1's gRPC server and its grpc-gateway have different
// rules for them.
func FuzzTimeouts(f *testing.F) {
	for _, text := range []string{
		"", "1S", "10m", "99999999H", "100000000n", "S", "1", "1x", "-1S", "+1S", "9223372036854775807H", "0n", " 1S", "1_0S", "٣S",
	} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		count, unit, readable := referenceTimeout(text)
		timeout, ok, err := rpcTimeout(text)
		isGRPC := readable && count.Sign() >= 0 && len(text) <= 9 && text[0] != '+' && text[0] != '-'
		if (err == nil) != (isGRPC || text == "") {
			t.Fatalf("gRPC: %q: got %v, want an error: %v", text, err, !isGRPC && text != "")
		}
		want := new(big.Int).Mul(count, big.NewInt(int64(unit)))
		if isGRPC && ok != want.IsInt64() || ok && want.Int64() != int64(timeout) {
			t.Fatalf("gRPC: %q: got %v, %v, want %v ns if that is an int64", text, timeout, ok, want)
		}

		request := httptest.NewRequest(http.MethodPost, "/", http.NoBody)
		request.Header["Grpc-Timeout"] = []string{text}
		ctx, cancel, refusal := RESTContext(request)
		defer cancel()
		isGateway := readable && count.IsInt64()
		if (refusal == nil) != (isGateway || text == "") {
			t.Fatalf("grpc-gateway: %q: got %v, want a refusal: %v", text, refusal, !isGateway && text != "")
		}
		if _, limited := ctx.Deadline(); limited != (isGateway && count.Sign() != 0) {
			t.Fatalf("grpc-gateway: %q: deadline: got %v, want %v", text, limited, !limited)
		}
	})
}

func referenceTimeout(text string) (count *big.Int, unit time.Duration, readable bool) {
	units := map[byte]time.Duration{
		'H': time.Hour, 'M': time.Minute, 'S': time.Second,
		'm': time.Millisecond, 'u': time.Microsecond, 'n': time.Nanosecond,
	}
	count = new(big.Int)
	if text == "" {
		return count, 0, false
	}
	number := text[:len(text)-1]
	unit, known := units[text[len(text)-1]]
	digits := strings.TrimLeft(number, "+-")
	if len(number)-len(digits) > 1 || digits == "" || strings.Trim(digits, "0123456789") != "" {
		return count, unit, false
	}
	_, _ = count.SetString(number, 10)
	return count, unit, known
}

// Whatever a status says, clients of each protocol understand it.
func FuzzStatusRoundTrip(f *testing.F) {
	f.Add(uint32(3), "Password is too short (DOMAIN-HuJf6)", []byte("x"))
	f.Add(uint32(16), "100 % \x00\x7f ä\r\n", []byte(nil))
	f.Fuzz(func(t *testing.T, code uint32, message string, detail []byte) {
		status := rpcstatus.New(connect.Code(code%16+1), message)
		if detail != nil {
			status.Details = []*anypb.Any{{TypeUrl: "type.googleapis.com/x", Value: detail}}
		}
		for _, protocol := range []rpcstatus.Protocol{rpcstatus.GRPC, rpcstatus.GRPCWeb, rpcstatus.GRPCWebText, ""} {
			recorder := httptest.NewRecorder()
			request := httptest.NewRequest(http.MethodPost, "/", http.NoBody)
			request.Header.Set("Content-Type", "application/"+string(protocol))
			if protocol == "" {
				rpcstatus.WriteJSON(recorder, status)
			} else {
				rpcstatus.WriteRPC(recorder, request, protocol, status)
			}
			answer := recorder.Result()
			got, err := DecodeAnswer(protocol, answer.StatusCode, answer.Header, answer.Trailer, recorder.Body.Bytes())
			if err != nil || got.Code != status.Code || got.Message != status.Message || protocol != "" && (got.Details != "") != (detail != nil) {
				t.Fatalf("%s: got %+v (%v), want %v %q", protocol, got, err, status.Code, status.Message)
			}
		}
	})
}
