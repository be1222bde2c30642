package adapter

import (
	"encoding/base64"
	"io"
)

// gRPC-Web's text mode is its binary mode in base64, for browsers' XMLHttpRequest
// (PROTOCOL-WEB.md of gRPC).

// maxTextBytes is more than any message that could be accepted takes in base64.
const maxTextBytes = (maxMessageBytes+framePrefixBytes)*4/3 + 1<<10

// decodeText is a body in binary mode.
func decodeText(body io.Reader) io.Reader {
	return &textReader{text: io.LimitReader(body, maxTextBytes)}
}

// textReader decodes base64 that may be several encodings one after the other,
// each with its own padding: the sender of a stream pads wherever it flushes.
type textReader struct {
	text    io.Reader
	decoded []byte // not yet handed out
	err     error
	started bool
}

func (t *textReader) Read(out []byte) (int, error) {
	if !t.started {
		t.started = true
		text, err := io.ReadAll(t.text)
		if err == nil {
			err = io.EOF
		}
		var corrupt error
		if t.decoded, corrupt = decodeSegments(text); corrupt != nil && err == io.EOF { //nolint:errorlint // set above
			err = corrupt
		}
		t.err = err
	}
	if len(t.decoded) == 0 {
		return 0, t.err
	}
	n := copy(out, t.decoded)
	t.decoded = t.decoded[n:]
	return n, nil
}

// decodeSegments decodes as much as it can, and tells at which byte of text,
// line breaks not counted, it could not go on.
func decodeSegments(text []byte) ([]byte, error) {
	unbroken := make([]byte, 0, len(text))
	for _, c := range text {
		if c != '\r' && c != '\n' {
			unbroken = append(unbroken, c)
		}
	}
	decoded := make([]byte, 0, base64.StdEncoding.DecodedLen(len(unbroken)))
	for at := 0; at < len(unbroken); {
		end := segmentEnd(unbroken, at)
		var err error
		decoded, err = base64.StdEncoding.AppendDecode(decoded, unbroken[at:end])
		if err != nil {
			if corrupt, ok := err.(base64.CorruptInputError); ok { //nolint:errorlint // documented as the concrete type
				err = corrupt + base64.CorruptInputError(at)
			}
			return decoded, err
		}
		at = end
	}
	return decoded, nil
}

// segmentEnd is the end of the segment that begins at from: after the group of
// four in which padding ends, or else the end of the text.
func segmentEnd(text []byte, from int) int {
	const group = 4
	for at := from; at+group <= len(text); at += group {
		if text[at+group-1] == '=' {
			return at + group
		}
	}
	return len(text)
}
