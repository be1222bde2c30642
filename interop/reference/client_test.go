package reference_test

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"sort"
	"strings"
	"testing"
	"time"

	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"
)

// answer is what a client sees of an answer.
type answer struct {
	// interim are the statuses of interim answers.
	interim []int
	status  int
	// headers and trailers have names in lower case.
	headers, trailers map[string][]string
	body              []byte
	// end says how the body ended, and what became of the connection.
	end string
}

// patience is how long a whole answer may take, and noEnd what is said of one that takes
// longer.
const (
	patience = time.Minute
	noEnd    = "no end"
)

// send sends a call and returns its answer. Failures of the connection are in the answer.
func send(t *testing.T, address string, c *call) answer {
	t.Helper()
	connection, err := net.DialTimeout("tcp", address, patience)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = connection.Close() }()
	if err := connection.SetDeadline(time.Now().Add(patience)); err != nil {
		t.Fatal(err)
	}
	if c.http2 {
		return sendHTTP2(connection, c)
	}
	return sendHTTP1(connection, c)
}

func sendHTTP1(connection net.Conn, c *call) answer {
	go func() { _, _ = connection.Write(c.http1()) }()
	reader := bufio.NewReader(connection)
	var a answer
	for {
		response, err := http.ReadResponse(reader, &http.Request{Method: c.method})
		if err != nil {
			a.end = failure(err)
			return a
		}
		if response.StatusCode < http.StatusOK {
			a.interim = append(a.interim, response.StatusCode)
			continue
		}
		body, err := io.ReadAll(response.Body)
		a.status, a.headers, a.body = response.StatusCode, lower(response.Header), body
		switch {
		case len(response.TransferEncoding) > 0:
			a.end = response.TransferEncoding[0]
		case response.ContentLength >= 0:
			a.end = "length"
		default:
			a.end = "until close"
		}
		if len(response.Trailer) > 0 {
			a.trailers = lower(response.Trailer)
		}
		if err != nil {
			a.end += ", " + failure(err)
		}
		if response.Close {
			a.end += ", closed"
			if rest, _ := io.ReadAll(reader); len(rest) > 0 {
				a.end += fmt.Sprintf(", then %.20q", rest)
			}
		}
		return a
	}
}

func failure(err error) string {
	var code http2.StreamError
	switch {
	case errors.Is(err, os.ErrDeadlineExceeded):
		return noEnd
	case errors.As(err, &code):
		return code.Code.String()
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF), strings.Contains(err.Error(), "reset by peer"):
		return "connection closed"
	}
	return err.Error()
}

func lower(header http.Header) map[string][]string {
	lowered := map[string][]string{}
	for name, values := range header {
		lowered[strings.ToLower(name)] = values
	}
	return lowered
}

func sendHTTP2(connection net.Conn, c *call) answer {
	var out bytes.Buffer
	out.WriteString(http2.ClientPreface)
	framer := http2.NewFramer(&out, connection)
	framer.ReadMetaHeaders = hpack.NewDecoder(4096, nil)
	framer.ReadMetaHeaders.SetMaxStringLength(1 << 20)
	_ = framer.WriteSettings()
	pieces := c.split()
	_ = framer.WriteHeaders(http2.HeadersFrameParam{StreamID: 1, EndHeaders: true, EndStream: len(pieces) == 0 && len(c.trailers) == 0, BlockFragment: encode(c.fields())})
	for i, piece := range pieces {
		_ = framer.WriteData(1, i == len(pieces)-1 && len(c.trailers) == 0, piece)
	}
	if len(c.trailers) > 0 {
		_ = framer.WriteHeaders(http2.HeadersFrameParam{StreamID: 1, EndHeaders: true, EndStream: true, BlockFragment: encode(c.trailers)})
	}
	go func() { _, _ = connection.Write(out.Bytes()) }()
	return readHTTP2(framer)
}

func encode(fields [][2]string) []byte {
	var block bytes.Buffer
	encoder := hpack.NewEncoder(&block)
	for _, field := range fields {
		_ = encoder.WriteField(hpack.HeaderField{Name: field[0], Value: field[1]})
	}
	return block.Bytes()
}

// readHTTP2 reads the answer on the first stream.
func readHTTP2(framer *http2.Framer) answer {
	var a answer
	for {
		read, err := framer.ReadFrame()
		if err != nil {
			a.end = failure(err)
			return a
		}
		ended := false
		switch got := read.(type) {
		case *http2.MetaHeadersFrame:
			a.take(got)
			ended = got.StreamEnded()
		case *http2.DataFrame:
			a.body = append(a.body, got.Data()...)
			ended = got.StreamEnded()
		case *http2.RSTStreamFrame:
			a.end = got.ErrCode.String()
			return a
		case *http2.GoAwayFrame:
			if got.ErrCode != http2.ErrCodeNo {
				a.end = got.ErrCode.String() // the server may close the stream first, or at once the connection
				return a
			}
		}
		if ended {
			a.end = "ended"
			return a
		}
	}
}

func (a *answer) take(got *http2.MetaHeadersFrame) {
	fields := map[string][]string{}
	for _, field := range got.RegularFields() {
		fields[field.Name] = append(fields[field.Name], field.Value)
	}
	var status int
	_, _ = fmt.Sscan(got.PseudoValue("status"), &status)
	switch {
	case a.status != 0:
		a.trailers = fields
	case status < http.StatusOK:
		a.interim = append(a.interim, status)
	default:
		a.status, a.headers = status, fields
	}
}

// String shows the answer in lines.
func (a *answer) String() string {
	var out strings.Builder
	fmt.Fprintf(&out, "%v %d (%s)", a.interim, a.status, a.end)
	for _, kind := range []struct {
		name   string
		fields map[string][]string
	}{{"", a.headers}, {"trailer ", a.trailers}} {
		lines := make([]string, 0, len(kind.fields))
		for name, values := range kind.fields {
			lines = append(lines, fmt.Sprintf(" | %s%s: %q", kind.name, name, values))
		}
		sort.Strings(lines)
		out.WriteString(strings.Join(lines, ""))
	}
	fmt.Fprintf(&out, " | %.400q", a.body)
	return out.String()
}
