package framing

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
	poisoned = 0 // NUL, which replaces the first byte of an ambiguous request

	contentLength    = "content-length"
	transferEncoding = "transfer-encoding"
	chunked          = "chunked"

	maxLengthDigits = 18 // decimal digits that always fit into an int64
	maxChunkDigits  = 15 // hexadecimal digits that always fit into an int64
)

// watch follows the requests on one connection, byte by byte.
type watch struct {
	state state
	at    int      // bytes read of the preface, a field name, a number, or "chunked"
	left  int64    // bytes left of a body or chunk
	line  lineEnds // of the current request line

	name       [len(transferEncoding)]byte // of the current field, in lower case, cut off
	hasLength  bool                        // whether the request has Content-Length
	hasCoding  bool                        // whether the request has Transfer-Encoding
	inTrailers bool
	ended      bool // whether the value of either is over, and only spaces may follow
}

// lineEnds holds the first and the last bytes of a line.
type lineEnds struct {
	first [4]byte
	last  [8]byte
	size  int
}

func (l *lineEnds) add(c byte) {
	if l.size < len(l.first) {
		l.first[l.size] = c
	}
	copy(l.last[:], l.last[1:])
	l.last[len(l.last)-1] = c
	l.size++
}

// inspect reads the next bytes of a connection. It poisons the first byte that makes a
// request ambiguous, and inspects nothing after that.
func (w *watch) inspect(data []byte) {
	for i := 0; i < len(data); {
		switch w.state {
		case opaque:
			return
		case sizedBody, chunkData:
			skipped := min(w.left, int64(len(data)-i))
			w.left -= skipped
			i += int(skipped)
			if w.left == 0 {
				w.endOfData()
			}
		default:
			if !w.next(data[i]) {
				// An LF too early makes a line that net/http rejects by itself. It must
				// not be replaced, because net/http would wait for the end of the line.
				if data[i] != '\n' || w.state == start {
					data[i] = poisoned
				}
				w.state = opaque
				return
			}
			i++
		}
	}
}

// endOfData sets the state after the last byte of a body or chunk.
func (w *watch) endOfData() {
	if w.state == chunkData {
		w.state = chunkDataCR
		return
	}
	w.state = betweenRequests
}

// next reads one byte that does not belong to a body. It returns false if the byte makes
// the request ambiguous.
func (w *watch) next(c byte) bool {
	switch w.state {
	case start:
		return w.preface(c)
	case betweenRequests:
		if c == '\r' || c == '\n' {
			return true
		}
		w.state, w.line = requestLine, lineEnds{}
		return w.requestLine(c)
	case requestLine:
		return w.requestLine(c)
	case chunkSize, chunkExtension, chunkSizeEnd, chunkDataCR, chunkDataLF:
		return w.chunk(c)
	case lineStart, blankLine, fieldName, fieldValue, lengthValue, codingValue, sizedBody, chunkData, opaque:
	}
	return w.field(c)
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
	for _, skipped := range []byte(http2Preface[:w.at]) { // it was HTTP/1 all along
		w.next(skipped)
	}
	return w.next(c)
}

// requestLine reads a byte of a request line. It rejects the method PRI, which is an HTTP/2
// preface in the middle of a connection.
func (w *watch) requestLine(c byte) bool {
	if c == '\n' {
		w.state, w.hasLength, w.hasCoding, w.inTrailers = lineStart, false, false, false
		return true
	}
	if c != '\r' {
		w.line.add(c)
	}
	return w.line.size != len(w.line.first) || string(w.line.first[:]) != http2Preface[:len(w.line.first)]
}

// field reads a byte of a header or trailer section.
func (w *watch) field(c byte) bool {
	switch w.state {
	case lineStart:
		switch c {
		case '\r':
			w.state = blankLine
			return true
		case '\n':
			w.endOfSection()
			return true
		case ' ', '\t': // obsolete line folding (RFC 9112 section 5.2)
			return false
		}
		w.state, w.at = fieldName, 0
		return w.fieldName(c)
	case blankLine:
		if c != '\n' {
			return false
		}
		w.endOfSection()
		return true
	case fieldName:
		return w.fieldName(c)
	case lengthValue:
		return w.lengthValue(c)
	case codingValue:
		return w.codingValue(c)
	default: // fieldValue
		if c == '\n' {
			w.state = lineStart
		}
		return true
	}
}

// fieldName reads a byte of a field's name, or the colon after it.
func (w *watch) fieldName(c byte) bool {
	switch {
	case c == ':':
		return w.endOfName()
	case c == ' ', c == '\t', c == '\r', c == '\n':
		return false
	case w.at < len(w.name):
		w.name[w.at] = lower(c)
	}
	w.at++
	return true
}

// endOfName decides how to read the value of the field. It rejects a request that states
// the length of its body more than once, and Transfer-Encoding in HTTP/1.0.
func (w *watch) endOfName() bool {
	name := string(w.name[:min(w.at, len(w.name))])
	w.state = fieldValue
	switch {
	case w.inTrailers || w.at > len(w.name):
	case name == contentLength:
		if w.hasLength || w.hasCoding {
			return false
		}
		w.state, w.hasLength, w.at, w.left, w.ended = lengthValue, true, 0, 0, false
	case name == transferEncoding:
		if w.hasLength || w.hasCoding || string(w.line.last[:]) == "HTTP/1.0" {
			return false
		}
		w.state, w.hasCoding, w.at, w.ended = codingValue, true, 0, false
	}
	return true
}

// lengthValue reads a byte of the value of Content-Length, which must be digits only.
func (w *watch) lengthValue(c byte) bool {
	switch {
	case c == '\n':
		w.state = lineStart
		return true
	case isSpace(c):
		w.ended = w.at > 0
		return true
	case w.ended || c < '0' || c > '9' || w.at == maxLengthDigits:
		return false
	}
	w.at++
	w.left = w.left*10 + int64(c-'0')
	return true
}

// codingValue reads a byte of the value of Transfer-Encoding, which must be "chunked" in
// upper or lower case: net/http supports no other coding.
func (w *watch) codingValue(c byte) bool {
	switch {
	case c == '\n': // net/http itself rejects a value shorter than "chunked"
		w.state = lineStart
		return true
	case isSpace(c):
		w.ended = w.at > 0
		return true
	case w.ended || w.at == len(chunked) || lower(c) != chunked[w.at]:
		return false
	}
	w.at++
	return true
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

func isSpace(c byte) bool { return c == ' ' || c == '\t' || c == '\r' }
