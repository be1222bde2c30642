package adapter_test

import (
	"bytes"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"connectrpc.com/connect"
	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"

	"zitadel-v1-adapter/internal/upstream"
	"zitadel-v1-adapter/internal/wiretest"
	"zitadel-v1-adapter/v2client"
)

// ownHost lets ZITADEL be asked under one host, so that no failure can be that of the
// host that a client chose.
func ownHost(c *stackConfig) { c.to.Host = upstream.HostUpstream }

// After enough failures the breaker is open: calls are refused at once, with no
// upstream call, in v1's shape.
func TestOpenBreaker(t *testing.T) {
	t.Parallel()
	s := newStack(t, ownHost, func(c *stackConfig) {
		c.upstream = http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusBadGateway) })
	})
	for range 20 {
		bodyOf(t, sendRaw(t, s.address, aCall()))
	}
	s.upstream.calls(t)
	response := sendRaw(t, s.address, aCall())
	if got := bodyOf(t, response); response.StatusCode != http.StatusServiceUnavailable || got != `{"code":14,"message":"ZITADEL is unavailable, try again later"}` {
		t.Errorf("%d %s", response.StatusCode, got)
	}
	if got := response.Header.Get("Retry-After"); got != "60" {
		t.Errorf("Retry-After %q, want breaker.openFor", got)
	}
	if calls := s.upstream.calls(t); len(calls) != 0 {
		t.Errorf("upstream calls %v", calls)
	}
}

// A caller's mistakes never open the breaker for the others: COMMAND-CahN2 with
// its HTTP 500, bad tokens, userinfo's refusals.
func TestCallersCannotOpenTheBreaker(t *testing.T) {
	t.Parallel()
	zitadel := http.Handler(nil)
	s := newStack(t, ownHost, func(c *stackConfig) {
		c.upstream = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if strings.HasSuffix(r.URL.Path, "/userinfo") && r.Header.Get("Authorization") == "Bearer pat-none-a" {
				w.WriteHeader(http.StatusTooManyRequests)
				return
			}
			zitadel.ServeHTTP(w, r)
		})
	})
	zitadel = s.zitadel
	long := `{"password":"` + strings.Repeat("ä", 68) + `A1!y"}`
	for range 30 {
		call := aCall()
		call.Text = &long
		if response := sendRaw(t, s.address, call); response.StatusCode != http.StatusInternalServerError {
			t.Fatalf("status %d", response.StatusCode)
		}
		call = aCall()
		call.Headers["Authorization"] = "Bearer bad"
		sendRaw(t, s.address, call)
		call = aCall()
		call.Headers["Authorization"] = "Bearer pat-none-a"
		if response := sendRaw(t, s.address, call); response.StatusCode != http.StatusTooManyRequests {
			t.Fatalf("status %d", response.StatusCode)
		}
	}
	if response := sendRaw(t, s.address, aCall()); response.StatusCode != http.StatusOK {
		t.Errorf("status %d: %s", response.StatusCode, bodyOf(t, response))
	}
}

// What stands before ZITADEL may refuse a caller's request, as for its large
// headers. That does not open the breaker for the others either.
func TestRefusalsBeforeZITADELDoNotOpenTheBreaker(t *testing.T) {
	t.Parallel()
	for _, protocol := range []v2client.Protocol{v2client.ProtocolConnect, v2client.ProtocolGRPC} {
		for status, want := range map[int]int{400: 503, 403: 503, 413: 503, 429: 429, 431: 503} {
			s := newStack(t, ownHost, func(c *stackConfig) {
				c.protocol = protocol
				c.upstream = http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(status) })
			})
			for range 25 {
				if response := sendRaw(t, s.address, aCall()); response.StatusCode != want {
					t.Fatalf("%s, %d: status %d, want %d", protocol, status, response.StatusCode, want)
				}
			}
			if strings.Contains(s.log.String(), `"to":"open"`) {
				t.Errorf("%s, %d: the breaker opened", protocol, status)
			}
		}
	}
}

// Over HTTP/2 anything may be called an :authority. It is no instance, and not
// the upstream's fault.
func TestHostThatIsNone(t *testing.T) {
	t.Parallel()
	s := newStack(t)
	for range 25 {
		response := sendH2C(t, s.address, "a b", userAPath, `{"password":"Sup3rPassw0rd!"}`)
		if response != "404" {
			t.Fatalf("status %s", response)
		}
	}
	if calls := s.upstream.calls(t); len(calls) != 0 || strings.Contains(s.log.String(), `"to":"open"`) {
		t.Errorf("upstream calls %v, log %s", calls, s.log.String())
	}
}

// Nor are headers that no upstream would take.
func TestHugeHeaders(t *testing.T) {
	t.Parallel()
	for _, protocol := range []v2client.Protocol{v2client.ProtocolConnect, v2client.ProtocolGRPC} {
		s := newStack(t, ownHost, func(c *stackConfig) { c.protocol = protocol })
		for size, want := range map[int]int{100 << 10: 401, 900 << 10: 429} {
			for range 25 {
				call := aCall()
				call.Headers["Authorization"] = "Bearer " + strings.Repeat("x", size)
				if response := sendRaw(t, s.address, call); response.StatusCode != want {
					t.Fatalf("%s, %d bytes: status %d, want %d", protocol, size, response.StatusCode, want)
				}
			}
		}
		if strings.Contains(s.log.String(), `"to":"open"`) {
			t.Errorf("%s: the breaker opened", protocol)
		}
	}
}

// Nor are those at which a load balancer ends the connection; and over HTTP/2, where
// that ends all that is under way there, others do not share it.
func TestHeadersThatEndConnections(t *testing.T) {
	t.Parallel()
	arrived, released := make(chan struct{}, 100), make(chan struct{})
	release := sync.OnceFunc(func() { close(released) })
	zitadel := wiretest.NewZITADEL(t, wiretest.Fixture(t))
	proxy := wiretest.NewHTTP2FaultProxy(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if isSetPassword(r) {
			arrived <- struct{}{}
			<-released
		}
		zitadel.ServeHTTP(w, r)
	}))
	t.Cleanup(release)
	proxy.Choose(func(r *http.Request) wiretest.HTTP2Fault {
		if len(r.Header.Get("Authorization")) <= 8<<10 {
			return nil
		}
		return func(stream *wiretest.FaultyStream, _ func() *httptest.ResponseRecorder) { stream.Close() }
	})
	s := newStack(t, ownHost, func(c *stackConfig) {
		c.protocol, c.to = v2client.ProtocolGRPC, upstream.Config{URL: "http://" + proxy.Address(), Host: upstream.HostUpstream}
	})
	another := make(chan int)
	go func() { another <- sendRaw(t, s.address, aCall()).StatusCode }()
	<-arrived
	for range 25 {
		large := aCall()
		large.Headers["Authorization"] = "Bearer " + strings.Repeat("x", 9<<10)
		if got := bodyOf(t, sendRaw(t, s.address, large)); got != `{"code":14,"message":"ZITADEL cannot be reached"}` {
			t.Fatal(got)
		}
	}
	release()
	if got := <-another; got != http.StatusOK {
		t.Errorf("another's call: %d", got)
	}
	if strings.Contains(s.log.String(), `"to":"open"`) {
		t.Error("the breaker opened")
	}
}

// So do what passes through with a long target, or with trailers.
func TestPassthroughThatEndsConnections(t *testing.T) {
	t.Parallel()
	long := strings.Repeat("x", 9<<10)
	for name, change := range map[string]func(*http.Request){
		"path":    func(r *http.Request) { r.URL.Path = "/" + long },
		"query":   func(r *http.Request) { r.URL.RawQuery = long },
		"header":  func(r *http.Request) { r.Header.Set("X-Long", long) },
		"trailer": func(r *http.Request) { r.Trailer = http.Header{"X-Long": {long}} },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			arrived, released := make(chan struct{}, 1), make(chan struct{})
			release := sync.OnceFunc(func() { close(released) })
			proxy := wiretest.NewHTTP2FaultProxy(t, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
				arrived <- struct{}{}
				<-released
				w.Header().Set("Content-Type", "application/grpc")
				w.Header().Set(http.TrailerPrefix+"Grpc-Status", "0")
			}))
			t.Cleanup(release)
			proxy.Choose(func(r *http.Request) wiretest.HTTP2Fault {
				if r.URL.Path == "/another.Service/Call" {
					return nil
				}
				return func(stream *wiretest.FaultyStream, _ func() *httptest.ResponseRecorder) { stream.Close() }
			})
			address := newPassing(t, "http://"+proxy.Address(), nil)
			send := func(change func(*http.Request)) string {
				request, err := http.NewRequestWithContext(t.Context(), http.MethodPost, "http://"+address+"/another.Service/Call", bytes.NewReader(make([]byte, 5)))
				if err != nil {
					t.Error(err)
					return ""
				}
				request.Header.Set("Content-Type", "application/grpc")
				change(request)
				return statusOf(t, request)
			}
			another := make(chan string)
			go func() { another <- send(func(*http.Request) {}) }()
			<-arrived
			if got := send(func(r *http.Request) { r.URL.Path = "/x.Y/Z"; change(r) }); got != "14" {
				t.Errorf("a stranger's: %s", got)
			}
			release()
			if got := <-another; got != "0" {
				t.Errorf("another's: %s", got)
			}
		})
	}
}

// A space at the end of a header, which HTTP/2 does not allow and Go's server lets pass,
// does not go on: the upstream would have to reset the request.
func TestSpacesDoNotGoOn(t *testing.T) {
	t.Parallel()
	zitadel := wiretest.NewZITADEL(t, wiretest.Fixture(t))
	proxy := wiretest.NewHTTP2FaultProxy(t, zitadel)
	proxy.Choose(func(r *http.Request) wiretest.HTTP2Fault {
		for _, values := range r.Header {
			if strings.Trim(values[0], " \t") != values[0] {
				return func(stream *wiretest.FaultyStream, _ func() *httptest.ResponseRecorder) {
					stream.Reset(http2.ErrCodeProtocol)
				}
			}
		}
		return nil
	})
	s := newStack(t, ownHost, func(c *stackConfig) {
		c.protocol, c.to.URL = v2client.ProtocolGRPC, "http://"+proxy.Address()
	})
	if got := sendH2C(t, s.address, "localhost:8088", userAPath, good, [2]string{"x-b3-flags", "1 "}); got != "200" {
		t.Errorf("status %s: %s", got, s.log.String())
	}
}

// sendH2C sends a request that net/http's client would not send; it returns the
// HTTP status, or "reset".
func sendH2C(t *testing.T, address, authority, path, body string, extra ...[2]string) string {
	t.Helper()
	connection, err := net.DialTimeout("tcp", address, 5*time.Second)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = connection.Close() }()
	var headers bytes.Buffer
	encoder := hpack.NewEncoder(&headers)
	for _, field := range append([][2]string{
		{":method", http.MethodPost},
		{":scheme", "http"},
		{":authority", authority},
		{":path", path},
		{"authorization", "Bearer pat-org-owner-a"},
	}, extra...) {
		if err := encoder.WriteField(hpack.HeaderField{Name: field[0], Value: field[1]}); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := io.WriteString(connection, http2.ClientPreface); err != nil {
		t.Fatal(err)
	}
	framer := http2.NewFramer(connection, connection)
	framer.ReadMetaHeaders = hpack.NewDecoder(4096, nil)
	err = errors.Join(
		framer.WriteSettings(),
		framer.WriteHeaders(http2.HeadersFrameParam{StreamID: 1, BlockFragment: headers.Bytes(), EndHeaders: true}),
		framer.WriteData(1, true, []byte(body)),
	)
	if err != nil {
		t.Fatal(err)
	}
	for {
		frame, err := framer.ReadFrame()
		if errors.Is(err, io.EOF) {
			return "reset"
		}
		if err != nil {
			t.Fatal(err)
		}
		switch answer := frame.(type) {
		case *http2.MetaHeadersFrame:
			return answer.PseudoValue("status")
		case *http2.RSTStreamFrame:
			return "reset"
		}
	}
}

// A deadline that a caller set shorter than usual does not open the breaker for
// the others; upstream.timeout does.
func TestWhoseDeadlineOpensTheBreaker(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		handler http.Handler
		own     bool // the deadline is upstream.timeout
	}{
		"client's deadline":                     {hanging(), false},
		"upstream.timeout":                      {hanging(), true},
		"client's deadline, noticed by ZITADEL": {impatient(), false},
		"upstream.timeout, noticed by ZITADEL":  {impatient(), true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			call := aCall()
			s := newStack(t, ownHost, func(c *stackConfig) {
				c.upstream = test.handler
				if test.own {
					c.timeout = 30 * time.Millisecond
				}
			})
			if !test.own {
				call.Headers["Grpc-Timeout"] = "30m"
			}
			for range 25 {
				response := sendRaw(t, s.address, call)
				if got := bodyOf(t, response); response.StatusCode != http.StatusGatewayTimeout && !test.own {
					t.Fatalf("%d %s", response.StatusCode, got)
				}
			}
			if opened := strings.Contains(s.log.String(), `"to":"open"`); opened != test.own {
				t.Errorf("breaker opened: %v", opened)
			}
		})
	}
}

// hanging is an upstream that never answers.
func hanging() http.Handler {
	return http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		_, _ = readAll(r)
		<-r.Context().Done()
	})
}

// impatient is an upstream that itself says that the deadline passed, a little
// before it did.
func impatient() http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = readAll(r)
		timeout, err := time.ParseDuration(r.Header.Get("Connect-Timeout-Ms") + "ms")
		if err != nil {
			w.WriteHeader(http.StatusInternalServerError)
			return
		}
		time.Sleep(timeout - 2*time.Millisecond)
		_ = connect.NewErrorWriter().Write(w, r, connect.NewError(connect.CodeDeadlineExceeded, errors.New("context deadline exceeded")))
	})
}
