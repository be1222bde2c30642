package wiretest

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strconv"
	"strings"
)

// Mutation is a request that two servers in a row could take apart differently, and what follows it
// on its connection.
type Mutation struct{ Name, Request string }

// Sent is the request, and behind it 100 small ones that each ask for the end of the connection: no
// server waits for more of a body that was announced.
func (m Mutation) Sent() string { return m.Request + mutationEnd }

// mutationEnd is longer than any body that a Mutation announces.
var mutationEnd = strings.Repeat("GET /end HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n", 100)

const smuggled = "GET /smuggled HTTP/1.1\r\nHost: x\r\n\r\n"

// Mutations are known ways to disguise the end of a request to a path, and n random ones. fields are lines of
// its header, which end in CRLF, and body is what it carries where it is not part of the disguise.
func Mutations(path, fields, body string, seed uint64, n int) []Mutation {
	var all []Mutation
	for _, group := range []map[string]string{disguisedLengths(body), disguisedCodings(body), disguisedLines(), disguisedChunks(body)} {
		for name, sent := range group {
			sent = strings.NewReplacer(" / ", " "+path+" ", "Host: x\r\n", "Host: x\r\n"+fields).Replace(sent)
			all = append(all, Mutation{name, sent + smuggled})
		}
	}
	slices.SortFunc(all, func(a, b Mutation) int { return strings.Compare(a.Name, b.Name) })
	random := mutator{rand.New(rand.NewPCG(seed, 0))} //nolint:gosec // to be repeatable
	for i := range n {
		all = append(all, Mutation{fmt.Sprintf("random %d", i), random.request(path, fields, body)})
	}
	return all
}

func disguisedLengths(body string) map[string]string {
	post := func(fields, body string) string {
		return "POST / HTTP/1.1\r\nHost: x\r\n" + strings.ReplaceAll(fields, "SIZE", strconv.Itoa(len(body))) + "\r\n\r\n" + body
	}
	return map[string]string{
		"length and coding":       post("Content-Length: 4\r\nTransfer-Encoding: chunked", chunkedBody(body)),
		"coding and length":       post("Transfer-Encoding: chunked\r\nContent-Length: 4", chunkedBody(body)),
		"length, coding, no body": post("Content-Length: 6\r\nTransfer-Encoding: chunked", "0\r\n\r\n"),
		"two lengths":             post("Content-Length: 0\r\nContent-Length: 35", ""),
		"the same length twice":   post("Content-Length: SIZE\r\ncontent-length: SIZE", body),
		"a list of lengths":       post("Content-Length: SIZE, SIZE", body),
		"signed length":           post("Content-Length: +SIZE", body),
		"negative length":         post("Content-Length: -1", body),
		"hexadecimal length":      post("Content-Length: 0x0", ""),
		"huge length":             post("Content-Length: 18446744073709551616", ""),
		"empty length":            post("Content-Length: ", body),
		"length with zeros":       post("Content-Length: 00SIZE", body),
		"length with a tab":       post("Content-Length: \tSIZE\t", body),
		"folded length":           post("Content-Length:\r\n SIZE", body),
		"space after a name":      post("Content-Length : SIZE", body),
		"CR in a length":          post("Content-Length: SIZE\r ", body),
		"bare LF after a length":  "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 0\nX-A: b\r\n\r\n",
		"hidden length":           "POST / HTTP/1.1\r\nHost: x\r\nX-A: b\nContent-Length: 5\r\n\r\n",
	}
}

func disguisedCodings(body string) map[string]string {
	post := func(fields string) string {
		return "POST / HTTP/1.1\r\nHost: x\r\n" + fields + "\r\n\r\n" + chunkedBody(body)
	}
	return map[string]string{
		"two codings":                post("Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked"),
		"chunked, then identity":     post("Transfer-Encoding: chunked\r\nTransfer-Encoding: identity"),
		"a list of codings":          post("Transfer-Encoding: gzip, chunked"),
		"chunked twice in a list":    post("Transfer-Encoding: chunked, chunked"),
		"unknown coding":             post("Transfer-Encoding: xchunked"),
		"coding cut short":           post("Transfer-Encoding: chunk"),
		"coding in capitals":         post("TRANSFER-ENCODING: CHUNKED"),
		"coding with a vertical tab": post("Transfer-Encoding: \x0bchunked"),
		"coding with a tab":          post("Transfer-Encoding:\tchunked\t"),
		"coding with a parameter":    post("Transfer-Encoding: chunked;q=1"),
		"quoted coding":              post(`Transfer-Encoding: "chunked"`),
		"empty coding":               post("Transfer-Encoding: "),
		"coding in HTTP/1.0":         strings.Replace(post("Connection: keep-alive\r\nTransfer-Encoding: chunked"), "HTTP/1.1", "HTTP/1.0", 1),
		"folded coding":              post("Transfer-Encoding:\r\n chunked"),
		"tab after a name":           post("Transfer-Encoding\t: chunked"),
		"bare LF before a coding":    post("X-A: b\nTransfer-Encoding: chunked"),
		"bare LF after a coding":     "POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\n\r\n0\r\n\r\n",
		"coding named by Connection": post("Connection: Transfer-Encoding\r\nTransfer-Encoding: chunked"),
	}
}

func disguisedLines() map[string]string {
	return map[string]string{
		"folded line":                     "GET / HTTP/1.1\r\nHost: x\r\nX-A: b\r\n c\r\n\r\n",
		"folded line, tab":                "GET / HTTP/1.1\r\nHost: x\r\nX-A: b\r\n\tc\r\n\r\n",
		"folded request":                  "GET / HTTP/1.1\r\nHost: x\r\nX-A: b\r\n GET /smuggled HTTP/1.1\r\n\r\n",
		"folded first line":               "GET / HTTP/1.1\r\n Host: x\r\n\r\n",
		"line of spaces only":             "GET / HTTP/1.1\r\nHost: x\r\n \r\n\r\n",
		"space in a name":                 "GET / HTTP/1.1\r\nHost: x\r\nX A: b\r\n\r\n",
		"line without colon":              "GET / HTTP/1.1\r\nHost: x\r\nX-A\r\n\r\n",
		"bare LF after a request line":    "GET / HTTP/1.1\nHost: x\r\n\r\n",
		"bare LF at the end of headers":   "GET / HTTP/1.1\r\nHost: x\r\n\n",
		"bare LFs alone":                  "GET / HTTP/1.1\nHost: x\n\n",
		"empty lines before a request":    "\r\n\r\nGET / HTTP/1.1\r\nHost: x\r\n\r\n",
		"empty lines after a POST":        "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n\r\n\r\n",
		"NUL in a value":                  "GET / HTTP/1.1\r\nHost: x\r\nX-A: \x00\r\n\r\n",
		"CR in a value":                   "GET / HTTP/1.1\r\nHost: x\r\nX-A: b\rContent-Length: 5\r\n\r\n",
		"CR at the end":                   "GET / HTTP/1.1\r\nHost: x\r\n\rX-A: b\r\n\r\n",
		"no Host":                         "GET / HTTP/1.1\r\n\r\n",
		"two Hosts":                       "GET / HTTP/1.1\r\nHost: x\r\nHost: y\r\n\r\n",
		"HTTP/1.0 keeps alive":            "GET / HTTP/1.0\r\nHost: x\r\nConnection: keep-alive\r\n\r\n",
		"HTTP/1.2":                        "GET / HTTP/1.2\r\nHost: x\r\n\r\n",
		"HTTP/2.0 in a request line":      "GET / HTTP/2.0\r\nHost: x\r\n\r\n",
		"no version":                      "GET /\r\nHost: x\r\n\r\n",
		"space before the version's end":  "GET / HTTP/1.0 \r\nHost: x\r\n\r\n",
		"preface with LF instead of CRLF": "PRI * HTTP/2.0\n\n",
		"preface cut short":               "PRI * HTTP/2.0\r\n\r\n",
		"preface after a request":         "GET / HTTP/1.1\r\nHost: x\r\n\r\nPRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
		"method PRI":                      "PRI / HTTP/1.1\r\nHost: x\r\n\r\n",
		"OPTIONS *":                       "OPTIONS * HTTP/1.1\r\nHost: x\r\n\r\n",
		"two requests":                    "GET / HTTP/1.1\r\nHost: x\r\n\r\nPOST / HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n\r\n{}",
		"GET with a body":                 "GET / HTTP/1.1\r\nHost: x\r\nContent-Length: 35\r\n\r\n" + smuggled,
	}
}

func disguisedChunks(body string) map[string]string {
	post := func(chunks string) string {
		chunks = strings.ReplaceAll(chunks, "SIZE", fmt.Sprintf("%x", len(body)))
		return "POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n" + strings.ReplaceAll(chunks, "BODY", body)
	}
	all := map[string]string{
		"plain chunks":                  "SIZE\r\nBODY\r\n0\r\n\r\n",
		"chunk extensions":              "SIZE;a=b;c=\"d;e\"\r\nBODY\r\n0;f\r\n\r\n",
		"chunk without size":            "\r\n",
		"chunk size with 0x":            "0xSIZE\r\nBODY\r\n0\r\n\r\n",
		"signed chunk size":             "+SIZE\r\nBODY\r\n0\r\n\r\n",
		"huge chunk size":               "10000000000000001\r\nBODY\r\n0\r\n\r\n",
		"chunk size is not a number":    "zz\r\n\r\n",
		"space after a chunk size":      "SIZE \r\nBODY\r\n0\r\n\r\n",
		"space before a chunk size":     " SIZE\r\nBODY\r\n0\r\n\r\n",
		"zeros before a chunk size":     "000SIZE\r\nBODY\r\n000\r\n\r\n",
		"bare LF after a chunk size":    "SIZE\nBODY\r\n0\r\n\r\n",
		"bare LF in an extension":       "SIZE;a\nb\r\nBODY\r\n0\r\n\r\n",
		"bare LF ends an extension":     "SIZE;a\nBODY\r\n0\r\n\r\n",
		"bare LF after the last size":   "SIZE\r\nBODY\r\n0\n\r\n",
		"the last extension's LF":       "SIZE\r\nBODY\r\n0;a\n",
		"the last extension's LF, CRLF": "SIZE\r\nBODY\r\n0;a\n\r\n",
		"fields after the LF":           "SIZE\r\nBODY\r\n0;a\nX: y\nContent-Length: 3\r\n\r\n",
		"both fields after the LF":      "SIZE\r\nBODY\r\n0;a\nX: y\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n",
		"a request after the LF":        "SIZE\r\nBODY\r\n0;a\nPOST /smuggled/admin HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n",
		"the first extension's LF":      "0;a\nSIZE\r\nBODY\r\n0\r\n\r\n",
		"NUL in an extension":           "SIZE;\x00\r\nBODY\r\n0\r\n\r\n",
		"CR in an extension":            "SIZE;a\rb\r\nBODY\r\n0\r\n\r\n",
		"CRLF quoted in an extension":   "SIZE;a=\"\r\n\"\r\nBODY\r\n0\r\n\r\n",
		"chunk longer than its size":    "1\r\nab\r\n0\r\n\r\n",
		"chunk without its end":         "SIZE\r\nBODY0\r\n\r\n",
		"bare LF after a chunk":         "SIZE\r\nBODY\n0\r\n\r\n",
		"trailer":                       "SIZE\r\nBODY\r\n0\r\nX-T: u\r\n\r\n",
		"length as trailer":             "SIZE\r\nBODY\r\n0\r\nContent-Length: 35\r\nTransfer-Encoding: chunked\r\n\r\n",
		"folded trailer":                "SIZE\r\nBODY\r\n0\r\nX-A: b\r\n c\r\n\r\n",
		"bare LF in a trailer":          "SIZE\r\nBODY\r\n0\r\nX-A: b\n\r\n",
		"no end of trailers":            "SIZE\r\nBODY\r\n0\r\n",
	}
	for name, chunks := range all {
		all[name] = post(chunks)
	}
	return all
}

func chunkedBody(body string) string {
	if body == "" {
		return "0\r\n\r\n"
	}
	return fmt.Sprintf("%x\r\n%s\r\n0\r\n\r\n", len(body), body)
}

// mutator makes random requests whose end is hard to see.
type mutator struct{ *rand.Rand }

func (m mutator) oneOf(choices ...string) string { return choices[m.IntN(len(choices))] }

// request makes a request, which another may follow.
func (m mutator) request(path, fields, body string) string {
	lines := strings.Split(fields+"Host: x\r\nX-A: b", "\r\n")
	sent := body
	if m.IntN(2) == 0 {
		lines = append(lines, m.lengths(len(body))...)
	} else {
		lines = append(lines, m.codings()...)
		sent = m.chunks(body)
	}
	if m.IntN(8) == 0 {
		lines = append(lines, m.oneOf("Connection: keep-alive", "Connection: close", "Connection: content-length, x-a", "Expect: 100-continue", "TE: trailers", "Trailer: X-T"))
	}
	m.Shuffle(len(lines), func(i, j int) { lines[i], lines[j] = lines[j], lines[i] })
	var head strings.Builder
	head.WriteString(m.oneOf("POST", "POST", "POST", "POST", "PUT", "GET", "DELETE") + " " + path + " ")
	head.WriteString(m.oneOf("HTTP/1.1", "HTTP/1.1", "HTTP/1.1", "HTTP/1.1", "HTTP/1.1", "HTTP/1.0") + m.lineEnd())
	for _, line := range lines {
		if m.IntN(12) == 0 {
			line = strings.Replace(line, " ", m.oneOf("\r\n ", "\r\n\t", "\n ", " \r\n  ", "\t"), 1)
		}
		head.WriteString(line + m.lineEnd())
	}
	sent = head.String() + m.lineEnd() + sent
	if m.IntN(3) == 0 {
		sent = m.disturb(sent)
	}
	return sent + m.oneOf("", "\r\n", smuggled, smuggled+smuggled, "POST /smuggled HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n\r\n{}")
}

func (m mutator) lineEnd() string {
	if m.IntN(25) == 0 {
		return m.oneOf("\n", "\r\r\n", " \r\n", "\t\n")
	}
	return "\r\n"
}

func (m mutator) lengths(size int) []string {
	length := fmt.Sprintf("%s: %d", m.oneOf("Content-Length", "content-length", "CONTENT-LENGTH"), size)
	switch m.IntN(9) {
	case 0:
		return []string{length, length}
	case 1:
		return []string{length, fmt.Sprintf("Content-Length: %d", size+m.IntN(40))}
	case 2:
		return []string{fmt.Sprintf("%s, %d", length, size)}
	case 3:
		return []string{length, "Transfer-Encoding: " + m.oneOf("identity", "chunked", "gzip")}
	case 4:
		return []string{strings.Replace(length, " ", m.oneOf(" 0", " +", " -", "\t", "  ", " \x0b", "\x0c"), 1)}
	case 5:
		return []string{strings.Replace(length, ":", m.oneOf(" :", "\t:", "_:", "\x00:", ":\x01"), 1)}
	default:
		return []string{length}
	}
}

func (m mutator) codings() []string {
	coding := m.oneOf("Transfer-Encoding", "transfer-encoding") + ": " + m.oneOf("chunked", "chunked", "Chunked")
	switch m.IntN(9) {
	case 0:
		return []string{coding, coding}
	case 1:
		return []string{coding, "Transfer-Encoding: " + m.oneOf("identity", "gzip", "", "cow")}
	case 2:
		return []string{coding + m.oneOf(", identity", ",", ";a=b", "\x0b", "\t", " ", "\x00", ", chunked")}
	case 3:
		return []string{coding, fmt.Sprintf("Content-Length: %d", m.IntN(60))}
	case 4:
		return []string{strings.Replace(coding, ":", m.oneOf(" :", "\t:", "-:", ":\x0b", ":\x7f"), 1)}
	default:
		return []string{coding}
	}
}

// chunks are those of a body, in up to three pieces.
func (m mutator) chunks(body string) string {
	var sent strings.Builder
	for range m.IntN(3) {
		at := m.IntN(len(body) + 1)
		if at > 0 {
			sent.WriteString(m.chunk(body[:at]))
		}
		body = body[at:]
	}
	if body != "" {
		sent.WriteString(m.chunk(body))
	}
	sent.WriteString(m.oneOf("0", "0", "0", "000") + m.extension() + m.chunkEnd())
	if m.IntN(4) == 0 {
		sent.WriteString(m.oneOf("X-T: u", "X-T: u\r\n v", "Content-Length: 5", "Transfer-Encoding: chunked", "X-T", ": u", "X T: u") + m.lineEnd())
	}
	return sent.String() + m.lineEnd()
}

func (m mutator) chunk(data string) string {
	size := fmt.Sprintf(m.oneOf("%x", "%x", "%X", "0%x"), len(data))
	if m.IntN(20) == 0 {
		size = m.oneOf("0x", "+", "-", " ") + size
	}
	return size + m.extension() + m.chunkEnd() + data + m.chunkEnd()
}

func (m mutator) extension() string {
	if m.IntN(4) > 0 {
		return ""
	}
	return m.oneOf(";a", ";a=b", `;a="b"`, ";", ";;", " ;a", "; a = b", " ", "\t", ";a\n", ";\nb", ";a\r", ";a=\"\r\n\"", ";\x00", ";a\n0\r\n\r\n", ";"+smuggled)
}

func (m mutator) chunkEnd() string {
	if m.IntN(30) == 0 {
		return m.oneOf("\n", "\r\r\n", "", "\r", "\r\n\r\n")
	}
	return "\r\n"
}

// disturb puts in, takes out or replaces a byte.
func (m mutator) disturb(sent string) string {
	at := m.IntN(len(sent))
	odd := m.oneOf("\r", "\n", " ", "\t", ":", ";", ",", "\x00", "\x0b", "\x1b", "\x7f", "\x85", "\xff", "0", "x")
	switch m.IntN(3) {
	case 0:
		return sent[:at] + odd + sent[at:]
	case 1:
		return sent[:at] + odd + sent[at+1:]
	default:
		return sent[:at] + sent[at+1:]
	}
}
