package http1_test

import (
	"bufio"
	"bytes"
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"reflect"
	"strings"
	"sync"
	"testing"
	"time"
)

// stray is what a server sends too much.
var stray = map[string]string{
	"an answer":         "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nstray",
	"an interim answer": "HTTP/1.1 100 Continue\r\n\r\n",
	"a line":            "\r\n",
}

// placements say how an answer, and what is too much behind it, reach the client.
var placements = map[string]func(l *link, answer, extra string){
	"in one write": func(l *link, answer, extra string) { // over TLS, in one record
		_, _ = io.WriteString(l.stream, answer+extra)
	},
	"in two records of one segment": func(l *link, answer, extra string) {
		l.held = new(bytes.Buffer)
		_, _ = io.WriteString(l.stream, answer)
		_, _ = io.WriteString(l.stream, extra)
		l.release(0)
	},
	"in two segments": func(l *link, answer, extra string) {
		_, _ = io.WriteString(l.stream, answer)
		_, _ = io.WriteString(l.stream, extra)
	},
	"in two records, of which the second's header is cut": func(l *link, answer, extra string) {
		l.held = new(bytes.Buffer)
		_, _ = io.WriteString(l.stream, answer)
		whole := l.held.Len()
		_, _ = io.WriteString(l.stream, extra)
		l.release(l.held.Len() - whole - 2)
	},
	"in two records, of which the second is cut": func(l *link, answer, extra string) {
		l.held = new(bytes.Buffer)
		_, _ = io.WriteString(l.stream, answer)
		_, _ = io.WriteString(l.stream, extra)
		l.release(len(extra) / 2)
	},
}

const ok = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"

var (
	getRequest  = requestOf(http.MethodGet, nil)
	headRequest = requestOf(http.MethodHead, nil)
	postRequest = requestOf(http.MethodPost, func() io.Reader { return strings.NewReader("in memory") })
	streamed    = requestOf(http.MethodPost, func() io.Reader { return io.MultiReader(strings.NewReader("streamed")) })
	upload      = requestOf(http.MethodPost, func() io.Reader { return io.LimitReader(endless{}, 32<<20) })
)

// endless is a body as long as its reader wants it.
type endless struct{}

func (endless) Read(into []byte) (int, error) { return len(into), nil }

// kinds are the ways in which an answer may end.
var kinds = map[string]struct {
	answer  string
	request newRequest
	early   bool // the answer comes before the request's body is read
	last    bool // the connection is not used again anyhow
}{
	"length":            {answer: "HTTP/1.1 200 OK\r\nContent-Length: 9000\r\n\r\n" + strings.Repeat("x", 9000), request: getRequest},
	"short":             {answer: ok, request: postRequest},
	"empty":             {answer: "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", request: streamed},
	"chunked":           {answer: "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n", request: getRequest},
	"chunked, trailers": {answer: "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTrailer: X-T\r\n\r\n2\r\nok\r\n0\r\nX-T: u\r\n\r\n", request: postRequest},
	"204":               {answer: "HTTP/1.1 204 No Content\r\n\r\n", request: getRequest},
	"304":               {answer: "HTTP/1.1 304 Not Modified\r\nContent-Length: 7\r\n\r\n", request: getRequest},
	"HEAD":              {answer: "HTTP/1.1 200 OK\r\nContent-Length: 7\r\n\r\n", request: headRequest},
	"interim":           {answer: "HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\nHTTP/1.1 100 Continue\r\n\r\n" + ok, request: getRequest},
	"close":             {answer: "HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 2\r\n\r\nok", request: getRequest, last: true},
	"early":             {answer: ok, request: streamed, early: true},
	"early, empty":      {answer: "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", request: streamed, early: true},
	"early, large":      {answer: ok, request: upload, early: true},
}

// answerFirst is a script that gives the first request of the first connection an answer and
// something more, and each other request an answer that names its connection.
func answerFirst(answer, extra string, place func(l *link, answer, extra string), early bool) func(l *link) {
	return func(l *link) {
		reader := bufio.NewReader(l.stream)
		for first := l.number == 0; ; first = false {
			var request *http.Request
			if l.await(func() (err error) {
				request, err = http.ReadRequest(reader)
				return err
			}) != nil {
				return
			}
			read := func() error { _, err := io.Copy(io.Discard, request.Body); return err }
			if first && early {
				place(l, answer, extra)
				if l.await(read) != nil {
					return
				}
				continue
			}
			if read() != nil {
				return
			}
			switch {
			case first:
				place(l, answer, extra)
			case l.number == 0:
				_, _ = io.WriteString(l.stream, "HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nsame")
			default:
				_, _ = io.WriteString(l.stream, "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nother")
			}
		}
	}
}

// A connection on which something came that belongs to no request is not used again, however
// the answer before it ended, and wherever it waits: in the kernel, in TLS, or in a buffer.
// Without it, the connection is used again.
func TestWhatIsLeftOfAnExchangeReachesNoOther(t *testing.T) {
	t.Parallel()
	for _, version := range []uint16{0, tls.VersionTLS12, tls.VersionTLS13} {
		for kind, test := range kinds {
			for placed, place := range placements {
				for what, extra := range stray {
					if what != "an answer" && placed != "in one write" {
						continue // it makes no difference
					}
					if strings.Contains(placed, "record") && version == 0 {
						continue
					}
					t.Run(fmt.Sprintf("%s/%s/%s %s", tlsName(version), kind, what, placed), func(t *testing.T) {
						t.Parallel()
						cut := strings.HasSuffix(placed, "cut")
						got := reuse(t, version, answerFirst(test.answer, extra, place, test.early), (*peer).oursAsTransport, test.request)
						if got[1].Body != "other" {
							t.Errorf("got %+v from the next exchange, want that of another connection", got[1])
						}
						if cut {
							return // net/http cannot know
						}
						want := reuse(t, version, answerFirst(test.answer, extra, place, test.early), (*peer).netHTTPAsTransport, test.request)
						if !reflect.DeepEqual(got, want) {
							t.Errorf("got %+v\nnet/http gets %+v", got, want)
						}
					})
				}
			}
			t.Run(fmt.Sprintf("%s/%s/nothing", tlsName(version), kind), func(t *testing.T) {
				t.Parallel()
				if isStreamed(test.request) {
					t.Skip("whether it has been written within 50 ms is not known")
				}
				want := map[bool]string{false: "same", true: "other"}[test.last]
				script := answerFirst(test.answer, "", placements["in one write"], test.early)
				if got := reuse(t, version, script, (*peer).oursAsTransport, test.request); got[1].Body != want {
					t.Errorf("got %+v from the next exchange, want that of the %s connection", got[1], want)
				}
			})
		}
	}
}

func tlsName(version uint16) string {
	if version == 0 {
		return "TCP"
	}
	return tls.VersionName(version)
}

func (p *peer) oursAsTransport() transport    { return p.ours() }
func (p *peer) netHTTPAsTransport() transport { return p.netHTTP() }

func reuse(t *testing.T, version uint16, script func(l *link), client func(*peer) transport, first newRequest) []exchanged {
	t.Helper()
	p := newPeer(script)
	if version > 0 {
		p.secure(t, version)
	}
	with := client(p)
	seen := exchanges(t, with, p, first, getRequest)
	with.CloseIdleConnections()
	p.serving.Wait()
	return seen
}

// Callers at the same time get their own answers from a server that sends too much behind
// many of them, in the same record of TLS, also before it has read an upload.
func TestCallersAtTheSameTimeGetTheirOwnAnswers(t *testing.T) {
	t.Parallel()
	p := newPeer(func(l *link) {
		reader := bufio.NewReader(l.stream)
		for {
			request, err := http.ReadRequest(reader)
			if err != nil {
				return
			}
			id := request.Header.Get("X-Id")
			if request.Header.Get("X-Early") == "" {
				_, _ = io.Copy(io.Discard, request.Body)
			}
			body := id + strings.Repeat(" ", 9000)
			answer := fmt.Sprintf("HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s", len(body), body)
			if request.Header.Get("X-Extra") != "" {
				answer += "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nstray"
			}
			_, _ = io.WriteString(l.stream, answer)
			_, _ = io.Copy(io.Discard, request.Body)
		}
	}).secure(t, tls.VersionTLS13)
	client := p.ours()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	var callers sync.WaitGroup
	for caller := range 8 {
		callers.Go(func() {
			random := rand.New(rand.NewPCG(uint64(caller), 1))
			for n := range 100 {
				request := []newRequest{getRequest, postRequest, streamed}[random.IntN(3)](p.url())
				id := fmt.Sprintf("%d/%d", caller, n)
				request.Header.Set("X-Id", id)
				if random.IntN(4) == 0 {
					request.Header.Set("X-Extra", "y")
				}
				if request.GetBody == nil && request.Body != nil && random.IntN(4) == 0 {
					request.Header.Set("X-Early", "y")
					request.Header.Set("X-Extra", "y")
				}
				response, err := client.RoundTrip(request.WithContext(ctx))
				if err != nil {
					t.Errorf("%s: %v", id, err)
					return
				}
				body, err := readAll(response.Body)
				_ = response.Body.Close()
				if got := strings.TrimSpace(body); got != id || err != nil {
					t.Errorf("%s: got the answer %q, %v", id, got, err)
				}
			}
		})
	}
	callers.Wait()
	client.CloseIdleConnections()
	p.serving.Wait()
}

// An answer that its caller gives up costs the connection: what is left of it comes later.
func TestAnswerThatIsGivenUpReachesNoOther(t *testing.T) {
	t.Parallel()
	p := newPeer(func(l *link) {
		reader := bufio.NewReader(l.stream)
		for l.await(func() error { _, err := http.ReadRequest(reader); return err }) == nil {
			_, _ = io.WriteString(l.stream, map[bool]string{true: "HTTP/1.1 200 OK\r\nContent-Length: 9000\r\n\r\n", false: ok}[l.number == 0])
		}
	})
	client := p.ours()
	response, err := client.RoundTrip(getRequest(p.url()))
	if err != nil {
		t.Fatal(err)
	}
	_ = response.Body.Close()
	if got := exchanges(t, client, p, getRequest); got[0].Body != "ok" {
		t.Errorf("got %+v, want ok", got[0])
	}
	if got := p.dials(); got != 2 {
		t.Errorf("got %d connections, want 2", got)
	}
	client.CloseIdleConnections()
	p.serving.Wait()
}
