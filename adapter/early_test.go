package adapter_test

import (
	"bytes"
	"errors"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"zitadel-v1-adapter/internal/wiretest"
)

// Native v1 may answer before the client has sent its body. The transport then reads on
// after the handler has returned: that must touch neither what net/http has let go of,
// which would end the program, nor what is read to find the end of the request.
func TestNativeAnswersEarly(t *testing.T) {
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
				for range 60 {
					reader, writer := io.Pipe()
					go func() { _, _ = writer.Write([]byte("{}")) }()
					// net/http's transport may wait for the body before it tells that the
					// upstream has closed the connection.
					late := time.AfterFunc(100*time.Millisecond, func() { _ = writer.Close() })
					request, err := http.NewRequest(http.MethodPost, "http://"+s.address+userAPath, reader)
					if err != nil {
						t.Error(err)
						return
					}
					response, err := transport.RoundTrip(request)
					late.Stop()
					_ = writer.Close()
					if err != nil { // the connection ends with such a request, and may have ended too soon for this one
						continue
					}
					if body, err := io.ReadAll(response.Body); err == nil && response.StatusCode == http.StatusOK && string(body) != "ok" {
						t.Errorf("%d %s", response.StatusCode, body)
					}
					_ = response.Body.Close()
				}
			})
		}
		clients.Wait()
	}
}

// A call without a body has all the time that native v1 takes, and so has the next
// request on its connection.
func TestNativeWithoutBody(t *testing.T) {
	t.Parallel()
	s := newStack(t, func(c *stackConfig) {
		c.rollout, c.limits.BodyTimeout = 0, 50*time.Millisecond
		c.native = http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
			select {
			case <-time.After(100 * time.Millisecond):
			case <-r.Context().Done():
				t.Errorf("%s was given up", r.URL.Path)
			}
		})
	})
	client := &http.Client{Transport: newTransport(t, false)}
	for _, path := range []string{userAPath, "/other", userAPath} {
		response, err := client.Post("http://"+s.address+path, "", http.NoBody)
		if err != nil {
			t.Fatal(err)
		}
		if response.StatusCode != http.StatusOK {
			t.Errorf("%s: %d", path, response.StatusCode)
		}
		_ = response.Body.Close()
	}
}

// Answers without a body are written when the handler has returned. A client that
// takes none of them is cut off like any other.
func TestUntakenHeads(t *testing.T) {
	t.Parallel()
	origin := wiretest.Listen(t, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("X-Fill", strings.Repeat("x", 60<<10))
	}))
	address := newPassing(t, "http://"+origin, func(p *parts) {
		p.edge.WriteTimeout = 50 * time.Millisecond
	})
	conn, err := net.Dial("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close() }()
	_ = conn.SetDeadline(time.Now().Add(time.Minute))
	// One that is not cut off takes no more requests either, and the write ends late.
	requests := bytes.Repeat([]byte("HEAD / HTTP/1.1\r\nHost: localhost\r\n\r\n"), 1_000_000)
	if n, err := conn.Write(requests); err == nil || isTimeout(err) {
		t.Errorf("not cut off: %d of %d bytes were taken, %v", n, len(requests), err)
	}
}

func isTimeout(err error) bool {
	netErr, ok := errors.AsType[net.Error](err)
	return ok && netErr.Timeout()
}
