package framing

import "bytes"

// http2Preface is the beginning of every HTTP/2 connection (RFC 9113 section 3.4).
const http2Preface = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"

// state says what the next byte of a connection belongs to.
type state int

const (
	start           state = iota // the first bytes of a connection: HTTP/1, or the HTTP/2 preface
	betweenRequests              // where line breaks are skipped (RFC 9112 section 2.2)
	requestLine
	lineStart // of a header or trailer field
	blankLine // after the CR of the line that ends a header or trailer section
	fieldName
	fieldValue
	lengthValue // of Content-Length
	codingValue // of Transfer-Encoding
	sizedBody   // a body with Content-Length
	chunkSize
	chunkExtension
	chunkSizeEnd // after the CR of the line with the chunk size
	chunkData
	chunkDataCR // expected after a chunk's data
	chunkDataLF
	opaque // not inspected any more: HTTP/2, or a request has been rejected
)

const (
	contentLength    = "content-length"
	transferEncoding = "transfer-encoding"
	chunked          = "chunked"

	maxLengthDigits = 18 // decimal digits that always fit into an int64
	maxChunkDigits  = 15 // hexadecimal digits that always fit into an int64
)

// watch follows the requests on one connection: line by line what decides where they end,
// and everything else in bulk.
type watch struct {
	state state
	at    int      // bytes read of the preface, a field name, a number, or "chunked"
	left  int64    // bytes left of a body or chunk
	line  lineEnds // of the current request line
	cr    bool     // whether the last byte of a line was CR, which only LF may follow

	name       [len(transferEncoding)]byte // of the current field, in lower case, cut off
	http10     bool                        // whether the request is HTTP/1.0
	hasLength  bool                        // whether the request has Content-Length
	hasCoding  bool                        // whether the request has Transfer-Encoding
	inTrailers bool
	ended      bool // whether the value of either is over, and only spaces may follow
}

// lineEnds holds the first and the last bytes of a line.
type lineEnds struct {
	first [4]byte
	last  [9]byte // the CR included
	size  int
}

func (l *lineEnds) add(data []byte) {
	if l.size < len(l.first) {
		copy(l.first[l.size:], data)
	}
	l.size += len(data)
	if len(data) >= len(l.last) {
		copy(l.last[:], data[len(data)-len(l.last):])
		return
	}
	copy(l.last[:], l.last[len(data):])
	copy(l.last[len(l.last)-len(data):], data)
}

// inspect reads the next bytes of a connection. It returns how many of them may be used:
// the one after them makes a request ambiguous, and nothing is inspected after that.
func (w *watch) inspect(data []byte) int {
	for i := 0; i < len(data); {
		read, ok := 1, true
		switch w.state {
		case opaque:
			return len(data)
		case sizedBody, chunkData:
			read = w.skip(data[i:])
		case requestLine:
			read, ok = w.requestLine(data[i:])
		case fieldName:
			read, ok = w.fieldName(data[i:])
		case fieldValue:
			read, ok = w.fieldValue(data[i:])
		case start:
			ok = w.preface(data[i])
		case betweenRequests:
			if data[i] != '\r' && data[i] != '\n' {
				w.state, w.line, read = requestLine, lineEnds{}, 0
			}
		case chunkSize, chunkExtension, chunkSizeEnd, chunkDataCR, chunkDataLF:
			ok = w.chunk(data[i])
		case lineStart, blankLine:
			read, ok = w.lineStart(data[i])
		case lengthValue, codingValue:
			ok = w.framingValue(data[i])
		}
		if !ok {
			w.state = opaque
			return i
		}
		i += read
	}
	return len(data)
}

// skip reads data of a body or a chunk.
func (w *watch) skip(data []byte) int {
	skipped := min(w.left, int64(len(data)))
	if w.left -= skipped; w.left == 0 {
		if w.state == chunkData {
			w.state = chunkDataCR
		} else {
			w.state = betweenRequests
		}
	}
	return int(skipped)
}

// preface reads the first bytes of a connection, until it is clear whether they are the
// HTTP/2 preface or HTTP/1. It rejects what begins like the preface ("PRI ") but is not.
func (w *watch) preface(c byte) bool {
	if c == http2Preface[w.at] {
		if w.at++; w.at == len(http2Preface) {
			w.state = opaque
		}
		return true
	}
	if w.at >= len(w.line.first) {
		return false
	}
	w.state = betweenRequests
	read := append([]byte(http2Preface[:w.at]), c) // it was HTTP/1 all along
	return w.inspect(read) == len(read)
}

// requestLine reads a request line, or a part of it. It rejects the method PRI, which is
// an HTTP/2 preface in the middle of a connection, and a line that ends in a bare LF.
func (w *watch) requestLine(data []byte) (read int, ok bool) {
	end := bytes.IndexByte(data, '\n')
	if end < 0 {
		w.line.add(data)
	} else {
		w.line.add(data[:end])
	}
	switch {
	case w.line.size >= len(w.line.first) && string(w.line.first[:]) == http2Preface[:len(w.line.first)]:
		return 0, false
	case end < 0:
		return len(data), true
	}
	w.state, w.hasLength, w.hasCoding, w.inTrailers = lineStart, false, false, false
	w.http10 = string(w.line.last[:]) == "HTTP/1.0\r"
	return end + 1, w.line.last[len(w.line.last)-1] == '\r'
}

// lineStart reads the first byte of a line of a header or trailer section, or the LF of
// its last line. It rejects obsolete line folding (RFC 9112 section 5.2), and a bare LF.
func (w *watch) lineStart(c byte) (read int, ok bool) {
	switch {
	case w.state == blankLine:
		w.endOfSection()
		return 1, c == '\n'
	case c == '\r':
		w.state = blankLine
		return 1, true
	case c == '\n', c == ' ', c == '\t':
		return 0, false
	}
	w.state, w.at = fieldName, 0
	return 0, true
}

// fieldName reads a field's name, or a part of it, and the colon after it.
func (w *watch) fieldName(data []byte) (read int, ok bool) {
	for i, c := range data {
		switch {
		case c == ':':
			return i + 1, w.endOfName()
		case c == ' ', c == '\t', c == '\r', c == '\n':
			return i, false
		case w.at < len(w.name):
			w.name[w.at] = lower(c)
		}
		w.at++
	}
	return len(data), true
}

// endOfName decides how to read the value of the field. It rejects a request that states
// the length of its body more than once, and Transfer-Encoding in HTTP/1.0.
func (w *watch) endOfName() bool {
	w.state, w.cr = fieldValue, false
	if w.inTrailers || w.at > len(w.name) {
		return true
	}
	switch string(w.name[:w.at]) {
	case contentLength:
		if w.hasLength || w.hasCoding {
			return false
		}
		w.state, w.hasLength, w.at, w.left, w.ended = lengthValue, true, 0, 0, false
	case transferEncoding:
		if w.hasLength || w.hasCoding || w.http10 {
			return false
		}
		w.state, w.hasCoding, w.at, w.ended = codingValue, true, 0, false
	}
	return true
}

// fieldValue reads the value of a field that says nothing of the body, or a part of it. It
// rejects one that ends in a bare LF. (net/http rejects a CR within it.)
func (w *watch) fieldValue(data []byte) (read int, ok bool) {
	end := bytes.IndexByte(data, '\n')
	switch {
	case end < 0:
		w.cr = data[len(data)-1] == '\r'
		return len(data), true
	case end > 0:
		w.cr = data[end-1] == '\r'
	}
	w.state = lineStart
	return end + 1, w.cr
}

// framingValue reads a byte of the value of Content-Length, which must be digits only, or
// of Transfer-Encoding, which must be "chunked" in upper or lower case: net/http supports
// no other coding. net/http itself rejects an empty value, and one shorter than "chunked".
func (w *watch) framingValue(c byte) bool {
	switch {
	case c == '\n':
		w.state = lineStart
		return w.cr
	case w.cr:
		return false
	case c == '\r':
		w.cr = true
		return true
	case c == ' ', c == '\t':
		w.ended = w.at > 0
		return true
	case w.ended:
		return false
	case w.state == codingValue:
		w.at++
		return w.at <= len(chunked) && lower(c) == chunked[w.at-1]
	}
	w.at++
	w.left = w.left*10 + int64(c-'0')
	return '0' <= c && c <= '9' && w.at <= maxLengthDigits
}

// endOfSection sets the state after the headers or trailers of a request.
func (w *watch) endOfSection() {
	switch {
	case w.inTrailers:
		w.state = betweenRequests
	case w.hasCoding:
		w.state, w.at, w.left = chunkSize, 0, 0
	case w.hasLength && w.left > 0:
		w.state = sizedBody
	default:
		w.state = betweenRequests
	}
}

// chunk reads a byte between the data of two chunks.
func (w *watch) chunk(c byte) bool {
	switch w.state {
	case chunkSize:
		if digit, ok := hexDigit(c); ok && w.at < maxChunkDigits {
			w.at++
			w.left = w.left<<4 | digit
			return true
		}
		switch {
		case w.at == 0:
			return false
		case c == ';':
			w.state = chunkExtension
			return true
		}
		w.state = chunkSizeEnd
		return c == '\r'
	case chunkExtension:
		if c == '\r' {
			w.state = chunkSizeEnd
		}
		return c != '\n'
	case chunkSizeEnd:
		if w.state = chunkData; w.left == 0 {
			w.state, w.inTrailers = lineStart, true
		}
		return c == '\n'
	case chunkDataCR:
		w.state = chunkDataLF
		return c == '\r'
	default: // chunkDataLF
		w.state, w.at, w.left = chunkSize, 0, 0
		return c == '\n'
	}
}

func hexDigit(c byte) (int64, bool) {
	switch {
	case '0' <= c && c <= '9':
		return int64(c - '0'), true
	case 'a' <= c && c <= 'f':
		return int64(c-'a') + 10, true
	case 'A' <= c && c <= 'F':
		return int64(c-'A') + 10, true
	}
	return 0, false
}

func lower(c byte) byte {
	if 'A' <= c && c <= 'Z' {
		return c + 'a' - 'A'
	}
	return c
}
