package adapter_test

import (
	"encoding/base64"
	"fmt"
	"io"
	"maps"
	"net/http"
	"strings"
	"testing"

	"google.golang.org/protobuf/encoding/protowire"

	"zitadel-v1-adapter/internal/recordings"
	"zitadel-v1-adapter/internal/wiretest"
)

// largeAtOnce is how many large bodies are read at once.
const largeAtOnce = 8

// Bodies that are larger than any call needs are taken as v1 takes them, but only some
// at once; further ones are refused, and cost calls of the usual size nothing.
func TestLargeBodies(t *testing.T) {
	t.Parallel()
	arrived, release := make(chan struct{}), make(chan struct{})
	s := newStack(t, func(c *stackConfig) {
		zitadel := wiretest.NewZITADEL(t, c.fixture)
		c.upstream = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if isSetPassword(r) && r.Header.Get("X-Request-Id") == "held" {
				arrived <- struct{}{}
				<-release
			}
			zitadel.ServeHTTP(w, r)
		})
	})
	text := `{"padding":"` + strings.Repeat("x", 100<<10) + `","password":"Sup3rPassw0rd!"}`
	large := aCall()
	large.Text = &text
	held := large
	held.Headers = maps.Clone(large.Headers)
	held.Headers["X-Request-Id"] = "held"
	statuses := make(chan int, largeAtOnce)
	for range largeAtOnce {
		go func() { statuses <- sendRaw(t, s.address, held).StatusCode }()
		<-arrived
	}
	response := sendRaw(t, s.address, large)
	if got := bodyOf(t, response); response.StatusCode != http.StatusServiceUnavailable || response.Header.Get("Retry-After") != "1" ||
		got != `{"code":14,"message":"too many calls at once, try again later"}` {
		t.Errorf("REST: %d %s, Retry-After %q", response.StatusCode, got, response.Header.Get("Retry-After"))
	}
	padded := append(grpcMessage(t, userA, "Sup3rPassw0rd!"), protowire.AppendBytes(protowire.AppendTag(nil, 99, protowire.BytesType), make([]byte, 100<<10))...)
	for name, request := range map[string]struct {
		encoding string
		body     []byte
	}{
		"plain":  {"", grpcFrame(0, padded)},
		"packed": {"gzip", grpcFrame(1, wiretest.Gzip(t, padded))}, // to less than a kilobyte
	} {
		for _, contentType := range []string{"application/grpc", "application/grpc-web+proto", "application/grpc-web-text"} {
			body := request.body
			if contentType == "application/grpc-web-text" {
				body = []byte(base64.StdEncoding.EncodeToString(body))
			}
			if got := callRaw(t, s, contentType, request.encoding, body); got.code != "14" || got.text != "too many calls at once, try again later" {
				t.Errorf("%s, %s: %+v", name, contentType, got)
			}
		}
	}
	for name, call := range protocols {
		if code, message := call(t, s.address, userA, "pat-org-owner-a"); code != "0" {
			t.Errorf("%s, of the usual size: %s %s", name, code, message)
		}
	}
	close(release)
	for range largeAtOnce {
		if status := <-statuses; status != http.StatusOK {
			t.Errorf("one that was there before: %d", status)
		}
	}
	eventually(t, "a large body is taken again", func() bool { return sendRaw(t, s.address, large).StatusCode == http.StatusOK })
	if got := callRaw(t, s, "application/grpc", "gzip", grpcFrame(1, wiretest.Gzip(t, padded))); got.code != "0" {
		t.Errorf("packed: %+v", got)
	}
}

// What goes to native v1 is not held, and as large as it likes.
func TestLargeBodiesOfTheRollout(t *testing.T) {
	t.Parallel()
	const size = 3 << 20
	s := newStack(t, func(c *stackConfig) {
		c.rollout = 0
		c.native = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			n, err := io.Copy(io.Discard, r.Body)
			_, _ = fmt.Fprintln(w, n, err)
		})
	})
	body := string(grpcFrame(0, make([]byte, size-5)))
	for _, request := range []recordings.Request{
		{Path: userAPath},
		{Path: "/zitadel.management.v1.ManagementService/SetHumanInitialPassword", Headers: map[string]string{"Content-Type": "application/grpc-web+proto"}},
	} {
		request.Method, request.Text = http.MethodPost, &body
		for range largeAtOnce + 1 {
			response := sendRaw(t, s.address, request)
			if got, want := bodyOf(t, response), fmt.Sprintln(size, nil); got != want {
				t.Errorf("%s: %d %q, want %q", request.Path, response.StatusCode, got, want)
			}
		}
	}
}
