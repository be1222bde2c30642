package listener_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"net"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"zitadel-v1-adapter/internal/app"
	"zitadel-v1-adapter/internal/config"
	"zitadel-v1-adapter/internal/wiretest"
)

// startAdapter runs the whole adapter before an upstream, until the test ends.
func startAdapter(t *testing.T, upstream string) string {
	t.Helper()
	settings := config.Default()
	settings.Upstream.URL = "http://" + upstream
	settings.Server.Listen, settings.Admin.Listen = "127.0.0.1:0", "127.0.0.1:0"
	running, err := app.Start(t.Context(), app.Config{Settings: settings, Stderr: io.Discard})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- running.Run(ctx, new(app.Changes)) }()
	t.Cleanup(func() {
		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
	return running.Addr().String()
}

// startNetHTTP runs a server of net/http's own, with a handler, until the test ends.
func startNetHTTP(t *testing.T, handler http.Handler) string {
	t.Helper()
	server := httptest.NewServer(handler)
	t.Cleanup(server.Close)
	return server.Listener.Addr().String()
}

var statusLine = regexp.MustCompile(`HTTP/1\.[01] (\d{3})`)

// send sends bytes, the first of them in segments of a size, and returns the status of each answer.
func send(t *testing.T, address, sent string, segment int) []string {
	t.Helper()
	conn, err := new(net.Dialer).DialContext(t.Context(), "tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close() }()
	_ = conn.SetDeadline(time.Now().Add(2 * time.Minute))
	go func() {
		const segments = 60
		rest := sent
		for range segments {
			n := min(segment, len(rest))
			if _, err := io.WriteString(conn, rest[:n]); err != nil {
				return // refused already
			}
			rest = rest[n:]
		}
		_, _ = io.WriteString(conn, rest)
	}()
	answers, err := io.ReadAll(conn) // a reset ends it too: the server has not read all there is
	if timeout, ok := errors.AsType[net.Error](err); ok && timeout.Timeout() {
		t.Errorf("no end of the connection after %q: got %q", sent, answers)
	}
	var statuses []string
	for _, match := range statusLine.FindAllStringSubmatch(string(answers), -1) {
		if match[1] != "100" { // ReverseProxy sends it twice: the upstream's, and its own
			statuses = append(statuses, match[1])
		}
	}
	return statuses
}

// describeHeaders are the headers that a client sent, as they reach the upstream. Proxies add others, and
// the adapter passes no TE on, because REST answers with trailers never end behind some proxies.
func describeHeaders(r *http.Request) string {
	var text strings.Builder
	for _, name := range slices.Sorted(maps.Keys(r.Header)) {
		if !strings.Contains(name, "Forwarded") && name != "X-V1adapter-Via" && name != "Te" {
			fmt.Fprintf(&text, " %s: %q", name, r.Header[name])
		}
	}
	return fmt.Sprintf("%s, trailers %q", text.String(), r.Trailer)
}

// isPreface says that a request is the first line of HTTP/2's preface. It is the one that the adapter, like ZITADEL's
// server, takes from net/http: its handlers would see a request PRI *.
func isPreface(sent string) bool { return strings.Contains(sent, "PRI * HTTP/2.0") }

// Whatever a client sends, the upstream gets what net/http's server and ReverseProxy make of it: no request
// more or less, each with the same headers and body. The client's answers have the same statuses.
func TestRequestsAreReadAsByNetHTTP(t *testing.T) {
	t.Parallel()
	fromAdapter, fromNetHTTP := &wiretest.Arrivals{Describe: describeHeaders}, &wiretest.Arrivals{Describe: describeHeaders}
	adapter := startAdapter(t, startNetHTTP(t, fromAdapter))
	to, err := url.Parse("http://" + startNetHTTP(t, fromNetHTTP))
	if err != nil {
		t.Fatal(err)
	}
	transport := &http.Transport{DisableCompression: true}
	t.Cleanup(transport.CloseIdleConnections)
	plain := startNetHTTP(t, &httputil.ReverseProxy{
		Transport: transport, Rewrite: func(r *httputil.ProxyRequest) { r.SetURL(to) },
		// The only failure here is a malformed body. ReverseProxy would blame the upstream for it, with a 502.
		ErrorHandler: func(w http.ResponseWriter, _ *http.Request, _ error) { w.WriteHeader(http.StatusBadRequest) },
	})
	for i, mutation := range wiretest.Mutations("/x", "", "xyz", 1, 300) {
		segment := []int{len(mutation.Sent()), 1, 7}[i%3]
		got, want := send(t, adapter, mutation.Sent(), segment), send(t, plain, mutation.Sent(), segment)
		arrived, wanted := fromAdapter.Take(), fromNetHTTP.Take()
		if isPreface(mutation.Request) {
			wanted = slices.DeleteFunc(wanted, func(request string) bool { return strings.HasPrefix(request, "PRI ") })
			want[len(want)-1] = "400"
		}
		if !slices.Equal(got, want) || !slices.Equal(arrived, wanted) {
			t.Errorf("%s, segments of %d: got answers %v and requests\n%s\nwant %v and\n%s\nsent %q", mutation.Name, segment,
				got, strings.Join(arrived, "\n"), want, strings.Join(wanted, "\n"), mutation.Request)
		}
	}
}

// A password is set if, and only if, net/http's server reads the request for it as far as grpc-gateway looks: the first
// JSON document of the body. What follows a body that does not end well is not read as a request. (Of a chunk extension that
// ends in a bare LF, both were otherwise: the body counted as whole, and what came behind as another request.)
func TestTranslatedCallsAreReadAsByNetHTTP(t *testing.T) {
	t.Parallel()
	const (
		user   = "400850336480234534"
		path   = "/management/v1/users/" + user + "/password/_initialize"
		token  = "Bearer pat-org-owner-a"
		fields = "Authorization: " + token + "\r\nContent-Type: application/json\r\n"
		body   = `{"password":"Sup3rPassw0rd!"}`
	)
	zitadel := wiretest.NewZITADEL(t, wiretest.Fixture(t))
	adapter := startAdapter(t, startNetHTTP(t, zitadel))
	var calls atomic.Int32
	plain := startNetHTTP(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		var message struct {
			Password string `json:"password"`
		}
		switch {
		case !strings.HasPrefix(r.URL.Path, "/management/v1/users/") || !strings.HasSuffix(r.URL.Path, "/password/_initialize"):
			w.WriteHeader(http.StatusNotFound)
		case r.Method != http.MethodPost:
			w.WriteHeader(http.StatusMethodNotAllowed)
		case json.NewDecoder(r.Body).Decode(&message) != nil, message.Password == "", r.URL.Path != path:
			w.WriteHeader(http.StatusBadRequest)
		case r.Header.Get("Authorization") != token:
			w.WriteHeader(http.StatusUnauthorized)
		default:
			calls.Add(1)
		}
	}))
	for i, mutation := range wiretest.Mutations(path, fields, body, 2, 300) {
		segment := []int{len(mutation.Sent()), 1, 7}[i%3]
		written, wanted := zitadel.Writes(user), calls.Load()
		got, want := send(t, adapter, mutation.Sent(), segment), send(t, plain, mutation.Sent(), segment)
		written, wanted = zitadel.Writes(user)-written, calls.Load()-wanted
		if isPreface(mutation.Request) {
			want[len(want)-1] = "400"
		}
		if !slices.Equal(got, want) || written != int(wanted) {
			t.Errorf("%s, segments of %d: got answers %v and %d writes, want %v and %d\nsent %q", mutation.Name, segment, got, written, want, wanted, mutation.Request)
		}
	}
	if zitadel.Writes(user) == 0 {
		t.Error("no password was set")
	}
}
