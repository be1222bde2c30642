package passthrough_test

import (
	"bufio"
	"crypto/sha256"
	"crypto/tls"
	"encoding/hex"
	"fmt"
	"io"
	"maps"
	"net"
	"net/http"
	"net/http/httptest"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/interop"
	testgrpc "google.golang.org/grpc/interop/grpc_testing"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"

	zitadelv1 "zitadel-v1-adapter/gen/zitadel/v1"
	"zitadel-v1-adapter/internal/ingress"
	"zitadel-v1-adapter/internal/wiretest"
)

const mebibyte = 1 << 20

// terminate is the signal with which Kubernetes and systemd end a program.
const terminate = syscall.SIGTERM

// newOrigin serves an upstream until the test ends, and returns its address. It has gRPC's
// test service, served by net/http as in ZITADEL, an in-memory ZITADEL, and the paths of
// httpOrigin. certificates is nil for plain text.
func newOrigin(tb testing.TB, certificates *tls.Config) string {
	tb.Helper()
	return newWatchedOrigin(tb, certificates, func(*http.Request) {})
}

// newWatchedOrigin is newOrigin; watch is told of each request.
func newWatchedOrigin(tb testing.TB, certificates *tls.Config, watch func(*http.Request)) string {
	tb.Helper()
	grpcServer := grpc.NewServer(grpc.StreamInterceptor(failWithDetails))
	testgrpc.RegisterTestServiceServer(grpcServer, interop.NewTestServer())
	zitadel := wiretest.NewZITADEL(tb, wiretest.Fixture(tb))
	mux := httpOrigin()
	handler := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		watch(r)
		switch contentType := r.Header.Get("Content-Type"); {
		case isZITADEL(r.URL.Path):
			zitadel.ServeHTTP(w, r)
		case r.ProtoMajor == 2 && contentType == "application/grpc":
			grpcServer.ServeHTTP(w, r)
		default:
			mux.ServeHTTP(w, r)
		}
	})
	server := httptest.NewUnstartedServer(handler)
	server.Config.Protocols = new(http.Protocols)
	server.Config.Protocols.SetHTTP1(true)
	server.Config.Protocols.SetHTTP2(true)
	server.Config.Protocols.SetUnencryptedHTTP2(certificates == nil)
	server.Config.DisableGeneralOptionsHandler = true
	if certificates == nil {
		server.Start()
	} else {
		server.TLS = certificates.Clone()
		server.EnableHTTP2 = true
		server.StartTLS()
	}
	tb.Cleanup(func() {
		server.CloseClientConnections()
		server.Close()
	})
	return server.Listener.Addr().String()
}

// failWithDetails fails streams that have the metadata "fail", with a ZITADEL ErrorDetail.
func failWithDetails(server any, stream grpc.ServerStream, _ *grpc.StreamServerInfo, next grpc.StreamHandler) error {
	incoming, _ := metadata.FromIncomingContext(stream.Context())
	if len(incoming.Get("fail")) == 0 {
		return next(server, stream)
	}
	stream.SetTrailer(metadata.Pairs("x-trailer-bin", "\x00\xff", "x-trailer", "a", "x-trailer", "b"))
	failure, err := status.New(codes.FailedPrecondition, "nicht möglich\r\n%").WithDetails(&zitadelv1.ErrorDetail{Id: "COMMAND-X", Message: "ä"})
	if err != nil {
		return err
	}
	return failure.Err()
}

// httpOrigin returns a handler with a path for each kind of exchange.
func httpOrigin() http.Handler {
	paths := map[string]http.HandlerFunc{
		"/echo":     echo,
		"/download": download,
		"/upload":   upload,
		"/204":      func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusNoContent) },
		"/304": func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Etag", `"x"`)
			w.WriteHeader(http.StatusNotModified)
		},
		"/redirect": func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Location", "/a%2Fb?c=%20;d")
			w.WriteHeader(http.StatusFound)
		},
		"/length": func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Length", "5")
			_, _ = io.WriteString(w, "hello")
		},
		"/chunked": func(w http.ResponseWriter, _ *http.Request) {
			for n := range 5 {
				_, _ = fmt.Fprintf(w, "chunk %d;", n)
				_ = http.NewResponseController(w).Flush()
			}
		},
		"/trailers": trailers,
		"/early": func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Link", "</style>; rel=preload")
			w.WriteHeader(http.StatusEarlyHints)
			w.Header().Del("Link")
			echo(w, r)
		},
		"/untyped": func(w http.ResponseWriter, _ *http.Request) {
			w.Header()["Content-Type"] = nil
			_, _ = io.WriteString(w, "<html>")
		},
		"/refuse-body": func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusExpectationFailed) },
		"/events":      events,
		"/websocket":   webSocket,
		"/grpc-web": func(w http.ResponseWriter, r *http.Request) {
			body, _ := io.ReadAll(r.Body)
			w.Header().Set("Content-Type", r.Header.Get("Content-Type"))
			_, _ = w.Write(body)
			_ = http.NewResponseController(w).Flush()
			_, _ = w.Write([]byte("\x80\x00\x00\x00\x0fgrpc-status:0\r\n"))
		},
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if handle, ok := paths[r.URL.Path]; ok {
			handle(w, r)
			return
		}
		echo(w, r)
	})
}

// echo answers with the received request, except for headers that proxies add.
func echo(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	w.Header()["X-Many"] = []string{"a", "", "ä\xff", "c"}
	w.Header().Add("Set-Cookie", "a=b; Path=/")
	w.Header().Add("Set-Cookie", "c=d")
	w.Header().Set("X-Empty", "")
	fmt.Fprintf(w, "%s %s\n", r.Method, r.RequestURI)
	for _, name := range slices.Sorted(maps.Keys(r.Header)) {
		if name != "Forwarded" && name != ingress.ViaHeader && !strings.HasPrefix(name, "X-Forwarded-") && name != "Connection" {
			fmt.Fprintf(w, "%s: %q\n", name, r.Header[name])
		}
	}
	fmt.Fprintf(w, "body of %d, length %d, %v: %q, trailers %q\n", len(body), r.ContentLength, err, body, r.Trailer)
}

// block is 64 KiB of data, from which larger bodies are made.
var block = func() []byte {
	all := make([]byte, 64<<10)
	for i := range all {
		all[i] = byte(i*7 + i>>8)
	}
	return all
}()

func download(w http.ResponseWriter, r *http.Request) {
	size, _ := strconv.Atoi(r.URL.Query().Get("size"))
	if r.URL.Query().Has("length") {
		w.Header().Set("Content-Length", strconv.Itoa(size))
	}
	for size > 0 {
		n, err := w.Write(block[:min(size, len(block))])
		if err != nil {
			return
		}
		size -= n
	}
}

func upload(w http.ResponseWriter, r *http.Request) {
	hash := sha256.New()
	size, err := io.Copy(hash, r.Body)
	fmt.Fprintf(w, "%d bytes, %v, %s", size, err, hex.EncodeToString(hash.Sum(nil)))
}

func trailers(w http.ResponseWriter, r *http.Request) {
	body, _ := io.ReadAll(r.Body)
	w.Header().Set("Trailer", "X-First, X-Second")
	// The flush prevents a Content-Length, which HTTP/1.1 cannot combine with trailers.
	_ = http.NewResponseController(w).Flush()
	_, _ = w.Write(body)
	w.Header().Set("X-First", "1")
	w.Header()["X-Second"] = []string{"2", "ä"}
	w.Header().Set(http.TrailerPrefix+"X-Unannounced", "3")
	fmt.Fprintf(w, "%q", r.Trailer)
}

// events sends each further event only after the client has answered the previous one: an
// event that a proxy buffers blocks the stream.
func events(w http.ResponseWriter, r *http.Request) {
	controller := http.NewResponseController(w)
	_ = controller.EnableFullDuplex()
	w.Header().Set("Content-Type", "text/event-stream")
	lines := bufio.NewReader(r.Body)
	for n := range 3 {
		fmt.Fprintf(w, "data: %d\n\n", n)
		_ = controller.Flush()
		if line, err := lines.ReadString('\n'); err != nil {
			fmt.Fprintf(w, "data: %q, %v\n\n", line, err)
			return
		}
	}
	_, _ = io.Copy(io.Discard, lines)
}

// webSocket switches protocols and echoes all bytes. It does not parse frames.
func webSocket(w http.ResponseWriter, r *http.Request) {
	if r.Header.Get("Upgrade") != "websocket" {
		w.WriteHeader(http.StatusUpgradeRequired)
		return
	}
	conn, buffered, err := http.NewResponseController(w).Hijack()
	if err != nil {
		return
	}
	defer func() { _ = conn.Close() }()
	_, _ = io.WriteString(conn, "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-Websocket-Accept: x\r\n\r\n")
	_, _ = io.Copy(conn, buffered)
	if half, ok := conn.(*net.TCPConn); ok {
		_ = half.CloseWrite()
	}
}

// isZITADEL reports whether the adapter itself calls a path.
func isZITADEL(path string) bool {
	return slices.ContainsFunc([]string{"/zitadel.", "/oidc/", "/auth/v1/", "/v2/"}, func(prefix string) bool {
		return strings.HasPrefix(path, prefix)
	})
}
