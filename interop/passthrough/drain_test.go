package passthrough_test

import (
	"bufio"
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/interop"
	testgrpc "google.golang.org/grpc/interop/grpc_testing"
	"google.golang.org/grpc/metadata"

	managementv1 "zitadel-v1-adapter/gen/zitadel/management/v1"
	"zitadel-v1-adapter/internal/wiretest"
)

const userA = "400850336480234534"

// gate is an upstream that stops in the middle of its exchanges until open is closed.
type gate struct {
	address string
	open    chan struct{}
	waiting atomic.Int64 // exchanges that have stopped
}

func newGate(t *testing.T) *gate {
	t.Helper()
	g := &gate{open: make(chan struct{})}
	zitadel := wiretest.NewZITADEL(t, wiretest.Fixture(t))
	grpcServer := grpc.NewServer()
	testgrpc.RegisterTestServiceServer(grpcServer, interop.NewTestServer())
	g.address = wiretest.Listen(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch {
		case strings.HasSuffix(r.URL.Path, "/SetPassword"):
			g.pass()
			zitadel.ServeHTTP(w, r)
		case isZITADEL(r.URL.Path):
			zitadel.ServeHTTP(w, r)
		case strings.HasPrefix(r.Header.Get("Content-Type"), "application/grpc"):
			grpcServer.ServeHTTP(w, r)
		case r.URL.Path == "/download":
			_, _ = w.Write(block)
			_ = http.NewResponseController(w).Flush()
			g.pass()
			_, _ = w.Write(block)
		case r.URL.Path == "/upload":
			var first bytes.Buffer
			_, _ = io.CopyN(&first, r.Body, int64(len(block)))
			g.pass()
			r.Body = io.NopCloser(io.MultiReader(&first, r.Body))
			httpOrigin().ServeHTTP(w, r)
		default:
			httpOrigin().ServeHTTP(w, r)
		}
	}))
	return g
}

// pass waits until the gate is open.
func (g *gate) pass() {
	g.waiting.Add(1)
	<-g.open
}

// fill starts an exchange of each client, and returns when all have stopped half-way. The
// channel receives the result of each exchange.
func (g *gate) fill(ctx context.Context, t *testing.T, p *program, clients []client) <-chan error {
	t.Helper()
	var halfway atomic.Int64
	half := func() {
		halfway.Add(1)
		<-g.open
	}
	failures := make(chan error, len(clients))
	for _, client := range clients {
		go func() { failures <- client(ctx, p, half) }()
		time.Sleep(3 * time.Millisecond) // a new HTTP/2 connection must send its first frame within two seconds
	}
	p.eventually(t, "all exchanges in flight", func() bool { return int(g.waiting.Load()+halfway.Load()) == len(clients) })
	return failures
}

// client makes one exchange. It calls half in the middle of the exchange, and continues when
// half returns.
type client func(ctx context.Context, p *program, half func()) error

func noWait() {}

// clients returns more than 500 clients, of all protocols and kinds of exchanges.
func (g *gate) clients(p *program) []client {
	// What stops in the upstream is counted there. Of an upload, a client does not know how
	// much has arrived, and drain may refuse a request that has not.
	gated := func(do client) client {
		return func(ctx context.Context, p *program, _ func()) error { return do(ctx, p, noWait) }
	}
	http1, http2 := p.newHTTPClient(false), p.newHTTPClient(true)
	return slices.Concat(
		slices.Repeat([]client{gated(func(ctx context.Context, p *program, _ func()) error {
			return callREST(ctx, http1, p.base())
		})}, 150),
		slices.Repeat([]client{gated(callGRPC)}, 50),
		slices.Repeat([]client{gated(func(ctx context.Context, p *program, _ func()) error { return get(ctx, http1, p, "/download") })}, 80),
		slices.Repeat([]client{gated(func(ctx context.Context, p *program, _ func()) error { return get(ctx, http2, p, "/download") })}, 80),
		slices.Repeat([]client{gated(func(ctx context.Context, p *program, _ func()) error { return put(ctx, http1, p, g.open) })}, 60),
		slices.Repeat([]client{gated(func(ctx context.Context, p *program, _ func()) error { return put(ctx, http2, p, g.open) })}, 40),
		slices.Repeat([]client{streamGRPC}, 60),
		slices.Repeat([]client{echoWebSocket}, 10),
	)
}

// do sends a request and returns an error if the response is not the wanted one.
func do(client *http.Client, request *http.Request, want func(*http.Response, []byte) bool) error {
	response, err := client.Do(request)
	if err != nil {
		return err
	}
	defer func() { _ = response.Body.Close() }()
	body, err := io.ReadAll(response.Body)
	if err != nil {
		return err
	}
	if !want(response, body) {
		return fmt.Errorf("%s %s: got unexpected status %d, body %.200q", request.Method, request.URL.Path, response.StatusCode, body)
	}
	return nil
}

// callREST makes a v1 call over REST, which must succeed.
func callREST(ctx context.Context, client *http.Client, base string) error {
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, base+"/management/v1/users/"+userA+"/password/_initialize",
		strings.NewReader(`{"password":"Sup3rPassw0rd!"}`))
	if err != nil {
		return err
	}
	request.Host = "localhost:8088"
	request.Header.Set("Authorization", "Bearer pat-org-owner-a")
	return do(client, request, func(response *http.Response, body []byte) bool {
		return response.StatusCode == http.StatusOK && bytes.Contains(body, []byte(`"resourceOwner":"400849858564525094"}}`))
	})
}

// callGRPC makes a v1 call over gRPC, which must succeed.
func callGRPC(ctx context.Context, p *program, _ func()) error {
	conn, err := p.newGRPCConn()
	if err != nil {
		return err
	}
	defer func() { _ = conn.Close() }()
	ctx = metadata.AppendToOutgoingContext(ctx, "authorization", "Bearer pat-org-owner-a")
	var response managementv1.SetHumanInitialPasswordResponse
	return conn.Invoke(ctx, "/zitadel.management.v1.ManagementService/SetHumanInitialPassword",
		&managementv1.SetHumanInitialPasswordRequest{UserId: userA, Password: "Sup3rPassw0rd!"}, &response)
}

// get downloads a body of two blocks.
func get(ctx context.Context, client *http.Client, p *program, path string) error {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, p.base()+path, http.NoBody)
	if err != nil {
		return err
	}
	return do(client, request, func(_ *http.Response, body []byte) bool { return len(body) == 2*len(block) })
}

// put uploads a body of two blocks, the second when open is closed.
func put(ctx context.Context, client *http.Client, p *program, open <-chan struct{}) error {
	reader, writer := io.Pipe()
	go func() {
		_, _ = writer.Write(block)
		<-open
		_, _ = writer.Write(block)
		_ = writer.Close()
	}()
	request, err := http.NewRequestWithContext(ctx, http.MethodPut, p.base()+"/upload", reader)
	if err != nil {
		return err
	}
	return do(client, request, func(_ *http.Response, body []byte) bool {
		return bytes.HasPrefix(body, fmt.Appendf(nil, "%d bytes, <nil>", 2*len(block)))
	})
}

// streamGRPC exchanges two messages on a bidirectional stream.
func streamGRPC(ctx context.Context, p *program, half func()) error {
	conn, err := p.newGRPCConn()
	if err != nil {
		return err
	}
	defer func() { _ = conn.Close() }()
	stream, err := testgrpc.NewTestServiceClient(conn).FullDuplexCall(ctx)
	if err != nil {
		return err
	}
	for range 2 {
		if err := stream.Send(&testgrpc.StreamingOutputCallRequest{ResponseParameters: []*testgrpc.ResponseParameters{{Size: 1000}}}); err != nil {
			return err
		}
		if reply, err := stream.Recv(); err != nil || len(reply.GetPayload().GetBody()) != 1000 {
			return fmt.Errorf("got reply %v, %w", reply, err)
		}
		half()
		half = noWait
	}
	if err := stream.CloseSend(); err != nil {
		return err
	}
	if _, err := stream.Recv(); !errors.Is(err, io.EOF) {
		return fmt.Errorf("got %w, want EOF", err)
	}
	return nil
}

// echoWebSocket exchanges two messages on a WebSocket.
func echoWebSocket(_ context.Context, p *program, half func()) error {
	conn, err := net.DialTimeout("tcp", p.address, 10*time.Second)
	if err != nil {
		return err
	}
	if p.trust != nil {
		conn = tls.Client(conn, p.trust)
	}
	defer func() { _ = conn.Close() }()
	_, _ = io.WriteString(conn, "GET /websocket HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n")
	reader := bufio.NewReader(conn)
	if head := readHead(reader); !strings.HasPrefix(head, "HTTP/1.1 101 ") {
		return errors.New(head)
	}
	for _, text := range []string{"before", "after"} {
		_, _ = io.WriteString(conn, text)
		back := make([]byte, len(text))
		if _, err := io.ReadFull(reader, back); err != nil || string(back) != text {
			return fmt.Errorf("got echo %q, %w, want %q", back, err, text)
		}
		half()
		half = noWait
	}
	return nil
}

// After SIGTERM, more than 500 exchanges in flight get their complete answers, while /readyz
// answers 503 and new connections are refused. The exit code is 0.
func TestTerminationLosesNothing(t *testing.T) {
	t.Parallel()
	g := newGate(t)
	p := start(t, binary, "upstream: {url: 'http://"+g.address+"', timeout: 60s, host: localhost:8088}\nserver: {shutdownTimeout: 60s}")
	clients := g.clients(p)
	if len(clients) < 500 {
		t.Fatalf("got %d clients, want at least 500", len(clients))
	}
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	failures := g.fill(ctx, t, p, clients)

	exit := make(chan int)
	go func() { exit <- p.stop(t) }()
	p.eventually(t, "closed to new connections", func() bool {
		conn, err := net.Dial("tcp", p.address)
		if err == nil {
			_ = conn.Close()
		}
		return err != nil
	})
	if response, err := http.Get("http://" + p.admin + "/readyz"); err != nil || response.StatusCode != http.StatusServiceUnavailable {
		t.Errorf("/readyz while draining: got %v, %v, want status 503", response, err)
	}
	close(g.open)
	for range clients {
		if err := <-failures; err != nil {
			t.Error(err)
		}
	}
	if code := <-exit; code != 0 {
		t.Errorf("got exit code %d, want 0", code)
	}
}

// During shutdownDelay, calls are still answered while /readyz answers 503. A second SIGTERM
// ends the program at once.
func TestCallsAreAnsweredDuringShutdownDelay(t *testing.T) {
	t.Parallel()
	p := start(t, binary, "upstream: {url: 'http://"+newOrigin(t, nil)+"', host: localhost:8088}\nserver: {shutdownDelay: 5m}")
	go func() { _ = p.command.Process.Signal(terminate) }()
	p.eventually(t, "answering /readyz with 503", func() bool {
		response, err := http.Get("http://" + p.admin + "/readyz")
		if err == nil {
			_ = response.Body.Close()
		}
		return err == nil && response.StatusCode == http.StatusServiceUnavailable
	})
	client := p.newHTTPClient(false)
	defer client.CloseIdleConnections()
	if err := callREST(t.Context(), client, p.base()); err != nil {
		t.Error(err)
	}
	if err := p.command.Process.Signal(terminate); err != nil { // the second SIGTERM
		t.Fatal(err)
	}
	<-p.exited
	if state := p.command.ProcessState.String(); state != "signal: terminated" {
		t.Errorf("after the second SIGTERM: got %s, want signal: terminated", state)
	}
}

// A call that is still in flight after shutdownTimeout is aborted, and the exit code is 1.
// The log does not say that its client left.
func TestCallsAreAbortedAfterShutdownTimeout(t *testing.T) {
	t.Parallel()
	g := newGate(t)
	defer close(g.open)
	p := start(t, binary, "upstream: {url: 'http://"+g.address+"', host: localhost:8088}\nserver: {shutdownTimeout: 50ms}")
	failed := make(chan error, 2)
	go func() { failed <- get(t.Context(), p.newHTTPClient(false), p, "/download") }()
	go func() { failed <- callREST(t.Context(), p.newHTTPClient(false), p.base()) }()
	p.eventually(t, "calls in flight", func() bool { return g.waiting.Load() == 2 })
	if code := p.stop(t); code != 1 {
		t.Errorf("got exit code %d, want 1", code)
	}
	for range 2 {
		if err := <-failed; err == nil {
			t.Error("the aborted answer looked complete to its client, want an error")
		}
	}
	log := p.log.String()
	for _, want := range []string{
		"calls were still in flight after server.shutdownTimeout",
		`"level":"WARN","msg":"SetHumanInitialPassword"`, `"code":"unavailable"`, `"cause":"the adapter was shut down, and server.shutdownTimeout was over"`,
	} {
		if !strings.Contains(log, want) {
			t.Errorf("got log %s\nwant %q in it", log, want)
		}
	}
}

// HTTP/2 clients get a GOAWAY before their connection is closed.
func TestTerminationSendsGoAway(t *testing.T) {
	t.Parallel()
	p := start(t, binary, "upstream: {url: 'http://"+newOrigin(t, nil)+"'}")
	conn := dial(t, p.address)
	_, _ = io.WriteString(conn, "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\x00\x00\x00\x04\x00\x00\x00\x00\x00")
	var got bytes.Buffer
	var mu sync.Mutex
	read := make(chan struct{})
	go func() {
		defer close(read)
		buffer := make([]byte, 4096)
		for {
			n, err := conn.Read(buffer)
			mu.Lock()
			got.Write(buffer[:n])
			mu.Unlock()
			if err != nil {
				return
			}
		}
	}()
	p.eventually(t, "sending SETTINGS", func() bool { mu.Lock(); defer mu.Unlock(); return got.Len() >= 9 })
	if code := p.stop(t); code != 0 {
		t.Errorf("got exit code %d, want 0", code)
	}
	<-read
	for frames := got.Bytes(); len(frames) >= 9; frames = frames[9+int(frames[0])<<16+int(frames[1])<<8+int(frames[2]):] {
		if frames[3] == 7 { // GOAWAY (RFC 9113 section 6.8)
			return
		}
	}
	t.Errorf("got frames %q, want a GOAWAY among them", got.Bytes())
}
