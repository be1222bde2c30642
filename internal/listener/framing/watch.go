package framing

// http2Preface begins an HTTP/2 connection (RFC 9113 section 3.4).
const http2Preface = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"

// state is what the next byte belongs to.
type state int

const (
	start       state = iota // of a connection
	betweenHTTP              // line breaks before a request line, which are tolerated
	requestLine
	lineStart // of a header or trailer field
	blankLine // after its CR
	fieldName
	fieldValue
	lengthValue // of Content-Length
	codingValue // of Transfer-Encoding
	sizedBody
	chunkSize
	chunkExtension
	chunkSizeEnd // after the CR
	chunkData
	chunkDataCR
	chunkDataLF
	unwatched // HTTP/2, or refused
)

const (
	spoiled = 0 // what a byte that goes wrong is replaced by

	contentLength    = "content-length"
	transferEncoding = "transfer-encoding"
	chunked          = "chunked"

	maxLengthDigits = 18 // fits an int64
	maxChunkDigits  = 15 // same
)

// watch follows the framing of the requests of one connection.
type watch struct {
	state state
	at    int   // how much of the preface, of a name, or of a number is read
	left  int64 // of a body or chunk
	line  tail  // of the request line

	name       [len(transferEncoding)]byte // in lower case
	hasLength  bool
	hasCoding  bool
	inTrailers bool
	ended      bool // spaces after a number or "chunked"
}

// tail keeps the first and the last bytes of a line.
type tail struct {
	first [4]byte
	last  [8]byte
	size  int
}

func (t *tail) add(c byte) {
	if t.size < len(t.first) {
		t.first[t.size] = c
	}
	copy(t.last[:], t.last[1:])
	t.last[len(t.last)-1] = c
	t.size++
}

// inspect looks at the next bytes of a connection, and spoils the first one that
// goes wrong.
func (w *watch) inspect(data []byte) {
	for i := 0; i < len(data); {
		switch w.state {
		case unwatched:
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
				// A line that ends too soon net/http refuses itself, and at once;
				// without its end it would wait for another.
				if data[i] != '\n' || w.state == start {
					data[i] = spoiled
				}
				w.state = unwatched
				return
			}
			i++
		}
	}
}

func (w *watch) endOfData() {
	if w.state == chunkData {
		w.state = chunkDataCR
		return
	}
	w.state = betweenHTTP
}

// next takes one byte that is not data; false means that it goes wrong.
func (w *watch) next(c byte) bool {
	switch w.state {
	case start:
		return w.preface(c)
	case betweenHTTP:
		if c == '\r' || c == '\n' {
			return true
		}
		w.state, w.line = requestLine, tail{}
		return w.requestLine(c)
	case requestLine:
		return w.requestLine(c)
	case chunkSize, chunkExtension, chunkSizeEnd, chunkDataCR, chunkDataLF:
		return w.chunk(c)
	case lineStart, blankLine, fieldName, fieldValue, lengthValue, codingValue, sizedBody, chunkData, unwatched:
	}
	return w.field(c)
}

// preface lets HTTP/2 pass, and otherwise begins with HTTP/1. "PRI " that is not
// the whole preface is neither.
func (w *watch) preface(c byte) bool {
	if c == http2Preface[w.at] {
		if w.at++; w.at == len(http2Preface) {
			w.state = unwatched
		}
		return true
	}
	if w.at >= len(w.line.first) {
		return false
	}
	w.state = betweenHTTP
	for _, before := range []byte(http2Preface[:w.at]) {
		w.next(before)
	}
	return w.next(c)
}

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

// field takes a byte of a header or trailer section.
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
		case ' ', '\t': // obsolete line folding
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

// fieldName takes a byte of a name, or the colon after it.
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

// endOfName decides what the value is to be. A request has one statement of its
// length, or none.
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

// codingValue allows "chunked" alone, in any case: net/http knows no other.
func (w *watch) codingValue(c byte) bool {
	switch {
	case c == '\n': // with less than "chunked" before it, net/http refuses
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

// endOfSection decides what comes after the headers, or the trailers.
func (w *watch) endOfSection() {
	switch {
	case w.inTrailers:
		w.state = betweenHTTP
	case w.hasCoding:
		w.state, w.at, w.left = chunkSize, 0, 0
	case w.hasLength && w.left > 0:
		w.state = sizedBody
	default:
		w.state = betweenHTTP
	}
}

// chunk takes a byte of what is between the data of chunks.
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
