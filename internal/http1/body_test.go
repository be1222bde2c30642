package http1_test

import (
	"errors"
	"io"
	"net/http"
	"strings"
	"testing"
)

// sized is a request with a body that is not in memory, of a known length.
func sized(body io.Reader, length int64) *http.Request {
	request := requestOf(http.MethodPost, func() io.Reader { return body })("http://x")
	request.ContentLength = length
	return request
}

// A body that breaks, or is not as long as it said, fails the exchange.
func TestBrokenBodyFailsTheExchange(t *testing.T) {
	t.Parallel()
	broken := errors.New("broken")
	for name, request := range map[string]*http.Request{
		"small":     sized(io.MultiReader(strings.NewReader("x"), failing{broken}), 100),
		"at once":   sized(failing{broken}, 100),
		"chunked":   sized(io.MultiReader(strings.NewReader("x"), failing{broken}), -1),
		"too short": sized(&once{strings.NewReader("x")}, 100),
		"too long":  sized(&once{strings.NewReader(strings.Repeat("x", 101))}, 100),
	} {
		near, far, err := connected()
		if err != nil {
			t.Fatal(err)
		}
		tested := over(near)
		go func() { _, _ = io.Copy(io.Discard, far) }()
		if _, err := tested.RoundTrip(request); err == nil || !strings.HasPrefix(name, "too") && !errors.Is(err, broken) {
			t.Errorf("%s: got %v, want an error, of the body if it has one", name, err)
		}
		_ = far.Close()
	}
}

// A streamed request that net/http does not write to its end, here because the body is not as long
// as the request says, fails. It waited for an answer without limit.
func TestRequestThatCannotBeWrittenFails(t *testing.T) {
	t.Parallel()
	for _, body := range []string{"short", "longer than it says"} {
		p := newPeer(func(l *link) { _, _ = io.Copy(io.Discard, l.stream) }) // it never answers
		request := requestOf(http.MethodPost, func() io.Reader { return struct{ io.Reader }{strings.NewReader(body)} })(p.url())
		request.ContentLength = 10
		if _, err := p.ours().RoundTrip(request); err == nil || !strings.Contains(err.Error(), "ContentLength=10") {
			t.Errorf("%q: got %v, want net/http's error about the length", body, err)
		}
		p.serving.Wait()
	}
}

type failing struct{ err error }

func (f failing) Read([]byte) (int, error) { return 0, f.err }
