package main

import (
	"bytes"
	"context"
	"io"
	"net/http"
	"net/http/httputil"
	"net/url"
	"os/exec"
	"strconv"
	"sync"
	"time"

	"connectrpc.com/connect"
	"google.golang.org/protobuf/types/known/timestamppb"

	objectv2 "zitadel-v1-adapter/gen/zitadel/object/v2"
	userv2 "zitadel-v1-adapter/gen/zitadel/user/v2"
	"zitadel-v1-adapter/gen/zitadel/user/v2/userv2connect"
)

// peers are the programs that bench itself can be. They listen on an address, and get an
// upstream, or how long a password takes.
func peers() map[string]func(address, upstream string) error {
	return map[string]func(address, upstream string) error{
		"upstream": serveUpstream,
		"gateway":  serveGateway,
		"vanguard": serveVanguard,
		"reverse-proxy": func(address, upstream string) error {
			return serveReverseProxy(address, upstream, newBufferPool(), false)
		},
		"reverse-proxy-without-pool": func(address, upstream string) error {
			return serveReverseProxy(address, upstream, nil, false)
		},
		"reverse-proxy-http2": func(address, upstream string) error {
			return serveReverseProxy(address, upstream, newBufferPool(), true)
		},
	}
}

// peer is one of peers, in a process of its own.
func peer(name string) program {
	return func(ctx context.Context, address, upstream string) *exec.Cmd {
		return exec.CommandContext(ctx, "/proc/self/exe", name, address, upstream) //nolint:gosec // bench itself
	}
}

// organization is the id of the organization that both the user and the caller of every
// measured call belong to.
const organization = "400849858564525094"

// users is a user service that answers at once.
type users struct {
	userv2connect.UnimplementedUserServiceHandler

	delay   time.Duration // of a write
	details *objectv2.Details
}

func (u users) SetPassword(context.Context, *connect.Request[userv2.SetPasswordRequest]) (*connect.Response[userv2.SetPasswordResponse], error) {
	time.Sleep(u.delay)
	return connect.NewResponse(&userv2.SetPasswordResponse{Details: u.details}), nil
}

func (u users) GetUserByID(context.Context, *connect.Request[userv2.GetUserByIDRequest]) (*connect.Response[userv2.GetUserByIDResponse], error) {
	return connect.NewResponse(&userv2.GetUserByIDResponse{Details: u.details}), nil
}

// largeMiB is the size of a download.
const largeMiB = 64

// serveUpstream is a ZITADEL that answers at once, but for passwords.
func serveUpstream(address, passwordTakes string) error {
	delay, err := time.ParseDuration(passwordTakes)
	if err != nil {
		return err
	}
	mux := http.NewServeMux()
	mux.Handle(userv2connect.NewUserServiceHandler(users{delay: delay, details: &objectv2.Details{
		Sequence: 2, ChangeDate: timestamppb.Now(), ResourceOwner: organization,
	}}, connect.WithCompression("gzip", nil, nil)))
	answer := func(contentType, body string) http.HandlerFunc {
		return func(w http.ResponseWriter, r *http.Request) {
			_, _ = io.Copy(io.Discard, r.Body)
			w.Header()["Content-Type"] = []string{contentType}
			_, _ = io.WriteString(w, body)
		}
	}
	mux.HandleFunc("GET /auth/v1/users/me", answer("application/json", `{"user":{"id":"7","details":{"resourceOwner":"`+organization+`"}}}`))
	mux.HandleFunc("POST /auth/v1/permissions/zitadel/me/_search", answer("application/json", `{"result":["user.write"]}`))
	for _, path := range []string{"/passes", countedPath} {
		mux.HandleFunc(path, answer("application/json", `{"details":{"sequence":"2","changeDate":"2026-11-24T14:50:53.375010Z","resourceOwner":"`+organization+`"}}`))
	}
	megabyte := bytes.Repeat([]byte("x"), 1<<20)
	mux.HandleFunc("GET /large", func(w http.ResponseWriter, _ *http.Request) {
		w.Header()["Content-Length"] = []string{strconv.Itoa(largeMiB << 20)}
		for range largeMiB {
			_, _ = w.Write(megabyte)
		}
	})
	return serve(address, mux)
}

// serveReverseProxy is net/http's own reverse proxy, with the connections that it needs.
func serveReverseProxy(address, upstream string, buffers httputil.BufferPool, overHTTP2 bool) error {
	to, err := url.Parse("http://" + upstream)
	if err != nil {
		return err
	}
	protocols := new(http.Protocols)
	protocols.SetHTTP1(!overHTTP2)
	protocols.SetUnencryptedHTTP2(overHTTP2)
	return serve(address, &httputil.ReverseProxy{
		Transport:  &http.Transport{MaxIdleConnsPerHost: 256, DisableCompression: true, Protocols: protocols},
		BufferPool: buffers,
		Rewrite: func(request *httputil.ProxyRequest) {
			request.SetURL(to)
			request.SetXForwarded()
		},
	})
}

// bufferPool spares ReverseProxy a buffer of 32 KiB for each answer.
type bufferPool struct{ sync.Pool }

const bufferSize = 32 << 10

func newBufferPool() *bufferPool {
	return &bufferPool{sync.Pool{New: func() any { return new([bufferSize]byte) }}}
}

func (p *bufferPool) Get() []byte {
	buffer, _ := p.Pool.Get().(*[bufferSize]byte)
	return buffer[:]
}

func (p *bufferPool) Put(buffer []byte) { p.Pool.Put((*[bufferSize]byte)(buffer)) }

func serve(address string, handler http.Handler) error {
	protocols := new(http.Protocols)
	protocols.SetHTTP1(true)
	protocols.SetUnencryptedHTTP2(true)
	server := &http.Server{Addr: address, Handler: handler, Protocols: protocols} //nolint:gosec // only bench connects
	return server.ListenAndServe()
}
