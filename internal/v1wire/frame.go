package v1wire

import (
	"bytes"
	"compress/gzip"
	"encoding/binary"
	"errors"
	"fmt"
	"io"

	"connectrpc.com/connect"

	"zitadel-v1-adapter/internal/rpcstatus"
)

// framePrefixBytes is the length of a gRPC message's prefix: a flag byte and
// four bytes of length.
const framePrefixBytes = 5

// Frame returns a message with its prefix (gRPC over HTTP/2, "Length-Prefixed-Message").
// The flag is 0, or 1 for a message that is packed.
func Frame(flag byte, message []byte) []byte {
	frame := binary.BigEndian.AppendUint32([]byte{flag}, uint32(len(message))) //nolint:gosec // at most a few megabytes
	return append(frame, message...)
}

// readFrame reads the one message of a unary gRPC call and unpacks it; what it unpacks
// is held too, as more of the body. encoding is a grpc-encoding header that CheckEncoding
// allows. Errors are those of v1's server, grpc-go (recordings cut-frame, no-frame).
func readFrame(frame io.Reader, encoding string, body Body) ([]byte, *rpcstatus.Status) {
	var prefix [framePrefixBytes]byte
	if _, err := io.ReadFull(frame, prefix[:]); err != nil {
		if errors.Is(err, io.ErrUnexpectedEOF) { // to grpc-go, part of a prefix is the same as none, unless the body was cut off
			_, err = frame.Read(prefix[:1])
		}
		return nil, readFailure(err)
	}
	size := int64(binary.BigEndian.Uint32(prefix[1:]))
	if size > MaxMessageBytes {
		return nil, tooLarge(size)
	}
	// The stated size is not believed before the bytes are there.
	var message bytes.Buffer
	if _, err := io.CopyN(&message, frame, size); err != nil {
		if errors.Is(err, io.EOF) {
			err = io.ErrUnexpectedEOF
		}
		return nil, readFailure(err)
	}
	switch flag := prefix[0]; {
	case flag == 0:
		return message.Bytes(), nil
	case flag != 1:
		return nil, rpcstatus.New(connect.CodeInternal, fmt.Sprintf("grpc: received unexpected payload format %d", flag))
	case encoding != "gzip":
		return nil, rpcstatus.New(connect.CodeInternal, "grpc: compressed flag set with identity or empty encoding")
	}
	return unpack(&message, body)
}

func unpack(packed io.Reader, body Body) ([]byte, *rpcstatus.Status) {
	reader, err := gzip.NewReader(packed)
	if err != nil {
		return nil, rpcstatus.New(connect.CodeInternal, "grpc: failed to decompress the message: "+err.Error())
	}
	message, err := io.ReadAll(io.LimitReader(body.Unpacked(reader), MaxMessageBytes+1))
	if refusal := bodyRefusal(err); refusal != nil {
		return nil, refusal
	}
	if err != nil {
		return nil, rpcstatus.New(connect.CodeInternal, "grpc: failed to read decompressed data: "+err.Error())
	}
	if len(message) > MaxMessageBytes {
		return nil, rpcstatus.New(connect.CodeResourceExhausted,
			fmt.Sprintf("grpc: received message after decompression larger than max %d", MaxMessageBytes))
	}
	return message, nil
}

// readFailure is the status of a request body that ended early or could not be
// read.
func readFailure(err error) *rpcstatus.Status {
	if refusal := bodyRefusal(err); refusal != nil {
		return refusal
	}
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		return rpcstatus.New(connect.CodeUnknown, err.Error())
	}
	return rpcstatus.New(connect.CodeUnknown, fmt.Sprintf("connection error: desc = %q", err.Error()))
}
