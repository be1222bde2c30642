package adapter_test

import (
	"bufio"
	"bytes"
	"io"
	"net"
	"net/http"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"zitadel-v1-adapter/internal/wiretest"
)

// Answers that come while the client still sends its request.

// Request and answer may be under way at the same time, over HTTP/1.1 too: every letter is
// echoed before the next one is sent.
func TestPassthroughAnswersWhileClientSends(t *testing.T) {
	t.Parallel()
	s := newPassing(t, "http://"+wiretest.Listen(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		controller := http.NewResponseController(w)
		_ = controller.EnableFullDuplex()
		buffer := make([]byte, 1)
		for {
			n, err := r.Body.Read(buffer)
			_, _ = w.Write(bytes.ToUpper(buffer[:n]))
			_ = controller.Flush()
			if err != nil {
				return
			}
		}
	})), nil)
	reader, writer := io.Pipe()
	request, err := http.NewRequestWithContext(t.Context(), http.MethodPost, "http://"+s+"/echo", reader)
	if err != nil {
		t.Fatal(err)
	}
	go func() { _, _ = io.WriteString(writer, "a") }()
	response, err := newTransport(t, false).RoundTrip(request)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = response.Body.Close() }()
	echoed := make([]byte, 1)
	for _, letter := range []string{"", "b", "c"} { // "a" has been sent above
		if letter != "" {
			_, _ = io.WriteString(writer, letter)
		}
		if _, err := io.ReadFull(response.Body, echoed); err != nil {
			t.Fatal(err)
		}
	}
	_ = writer.Close()
	if rest, err := io.ReadAll(response.Body); string(echoed) != "C" || len(rest) > 0 || err != nil {
		t.Errorf("got %q, then %q, %v, want C and the end of the answer", echoed, rest, err)
	}
}

// An answer that comes before the end of the request arrives whole and is the last one of
// its connection. Nothing that follows is read as a request, and net/http does not panic
// when the end of the body comes after all.
func TestPassthroughEarlyAnswerIsLastOfItsConnection(t *testing.T) {
	t.Parallel()
	var smuggled atomic.Int32
	s := newPassing(t, "http://"+wiretest.Listen(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/smuggled" {
			smuggled.Add(1)
		}
		_, _ = io.ReadFull(r.Body, make([]byte, 1))
		_ = http.NewResponseController(w).EnableFullDuplex()
		w.WriteHeader(http.StatusRequestEntityTooLarge)
		_, _ = io.WriteString(w, "too large")
	})), nil)
	for name, rest := range map[string]string{
		"nothing": "", "a little": "bc", "what could be a request": "GET /smuggled HTTP/1.1\r\nHost: x\r\n\r\n",
	} {
		conn, err := net.Dial("tcp", s)
		if err != nil {
			t.Fatal(err)
		}
		_ = conn.SetDeadline(time.Now().Add(patience))
		reader := bufio.NewReader(conn)
		_, _ = io.WriteString(conn, "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\na")
		response, err := http.ReadResponse(reader, nil)
		if err != nil {
			t.Fatal(err)
		}
		_, _ = io.WriteString(conn, rest)
		body, err := io.ReadAll(response.Body)
		if response.StatusCode != http.StatusRequestEntityTooLarge || string(body) != "too large" || err != nil {
			t.Errorf("%s: got HTTP %d %q, %v, want HTTP 413 %q", name, response.StatusCode, body, err, "too large")
		}
		if more, err := io.ReadAll(reader); len(more) > 0 || err != nil {
			t.Errorf("%s: after the answer: got %q, %v, want the end of the connection", name, more, err)
		}
		_ = conn.Close()
	}
	if got := smuggled.Load(); got > 0 {
		t.Errorf("requests upstream that were part of a body: got %d, want none", got)
	}
}

// Native v1 may answer before the client has sent its body. The transport may then read the
// body after the handler has returned. That must neither touch a request that net/http has
// released, which would end the program, nor disturb net/http's search for the request's end.
func TestNativeAnswerMayComeBeforeRequestBody(t *testing.T) {
	t.Parallel()
	s := newStack(t, func(c *stackConfig) {
		c.rollout, c.quiet = 0, true
		c.native = http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			_ = http.NewResponseController(w).EnableFullDuplex()
			w.Header().Set("Content-Length", "2")
			_, _ = io.WriteString(w, "ok")
		})
	})
	for _, http2 := range []bool{false, true} {
		transport := newTransport(t, http2)
		var clients sync.WaitGroup
		for range 24 {
			clients.Go(func() {
				for range 20 {
					reader, writer := io.Pipe()
					go func() { _, _ = writer.Write([]byte("{}")) }()
					// net/http's transport may wait for the body before it reports that the
					// other side has closed the connection.
					late := time.AfterFunc(100*time.Millisecond, func() { _ = writer.Close() })
					request, err := http.NewRequest(http.MethodPost, "http://"+s.address+userAPath, reader)
					if err != nil {
						t.Error(err)
						return
					}
					response, err := transport.RoundTrip(request)
					late.Stop()
					_ = writer.Close()
					if err != nil { // such a request ends its connection, which this one may have been sent on
						continue
					}
					if body, err := io.ReadAll(response.Body); err == nil && response.StatusCode == http.StatusOK && string(body) != "ok" {
						t.Errorf("got HTTP %d %q, want %q", response.StatusCode, body, "ok")
					}
					_ = response.Body.Close()
				}
			})
		}
		clients.Wait()
	}
}
