// Package listener serves HTTP/1.1 and HTTP/2 on a TCP port or a Unix socket, with or
// without TLS, behind the PROXY protocol or not. It limits the connections of each peer, and
// shuts down without interrupting requests in flight. net/http's server alone reads
// requests, as in ZITADEL, so that the two never take one apart differently.
package listener

import (
	"cmp"
	"context"
	"errors"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"sync/atomic"
	"time"

	"zitadel-v1-adapter/internal/redact"
	"zitadel-v1-adapter/internal/refusals"
)

// Config configures a Server. Times and limits are none if they are zero.
type Config struct {
	Handler            http.Handler  // answers requests; Request.TLS is set if the connection uses TLS
	Certificates       *Certificates // for TLS; nil: plain text
	HeaderTimeout      time.Duration // until the headers of a request are read, TLS handshake included
	IdleTimeout        time.Duration // between two requests on a connection
	WriteTimeout       time.Duration // for writing to an HTTP/2 connection; over HTTP/1.1 the handler sees to it
	HeaderBytes        int           // of a request; 0: net/http's 1 MiB
	ConnectionsPerPeer int           // open ones of an IPv4 address or an IPv6 /64, not of Unix sockets; more are closed
	// IsProxy says whether a peer is a proxy that begins connections with a header of the PROXY
	// protocol, for which it has HeaderTimeout. The client that the header names then counts as
	// the peer. It must be safe for concurrent use. nil: none is one.
	IsProxy  func(peer netip.Addr) bool
	Refusals *refusals.Recorder // of what is refused before the Handler; nil: none
	Log      *slog.Logger       // of net/http's errors, without the parts of requests that it quotes; nil: none
}

// Server serves HTTP on one listener.
type Server struct {
	http     *http.Server
	listener *listening
	inFlight atomic.Int64            // handlers that run
	leaving  atomic.Bool             // Announce was called
	cancel   context.CancelCauseFunc // cancels the contexts of all requests
}

// New returns a Server for listener. The Server owns the listener and closes it in Drain.
func New(listener net.Listener, config Config) *Server {
	allowLargeHeaders()
	s := &Server{listener: &listening{
		Listener: listener, Config: config, peers: peers{limit: config.ConnectionsPerPeer, open: map[netip.Prefix]int{}},
	}}
	if config.Certificates != nil {
		s.listener.tls = config.Certificates.config()
	}
	protocols := new(http.Protocols)
	protocols.SetHTTP1(true)
	// net/http does not see that a *Conn uses TLS. It detects HTTP/2 by the connection
	// preface, as in plain text, whatever ALPN has negotiated.
	protocols.SetUnencryptedHTTP2(true)
	ctx, cancel := context.WithCancelCause(context.Background())
	s.cancel = cancel
	s.http = &http.Server{
		Handler:           http.HandlerFunc(s.serve),
		Protocols:         protocols,
		ReadHeaderTimeout: config.HeaderTimeout,
		IdleTimeout:       config.IdleTimeout,
		MaxHeaderBytes:    config.HeaderBytes,
		ErrorLog:          redact.Logger(cmp.Or(config.Log, slog.New(slog.DiscardHandler)), slog.LevelWarn),
		BaseContext:       func(net.Listener) context.Context { return ctx },
		ConnContext: func(ctx context.Context, conn net.Conn) context.Context {
			return context.WithValue(ctx, connKey{}, conn)
		},
		DisableGeneralOptionsHandler: true, // "OPTIONS *" is passed to the upstream
		HTTP2: &http.HTTP2Config{
			// With HPACK, headers can be a thousand times as long in memory as they were sent (RFC
			// 7541 section 7.3). RFC 9113 section 6.5.2 recommends 100 or more; net/http has 250.
			MaxConcurrentStreams: 100,
			// The memory for what a client sends faster than the upstream reads, and for a frame.
			// net/http's defaults are 1 MiB each.
			MaxReceiveBufferPerStream: 128 << 10,
			MaxReadFrameSize:          16 << 10,
			WriteByteTimeout:          config.WriteTimeout,
		},
	}
	return s
}

// Addr returns the address of the listener.
func (s *Server) Addr() net.Addr { return s.listener.Addr() }

// Serve accepts connections until the listener fails, or Drain closes it, which is no error.
func (s *Server) Serve() error {
	if err := s.http.Serve(s.listener); !errors.Is(err, http.ErrServerClosed) {
		return err
	}
	return nil
}

// Announce makes each answer from now on the last one on its connection: over HTTP/1.1 it has
// Connection: close, over HTTP/2 GOAWAY comes with it. Connections without a request stay open:
// to close them at once would lose requests that are on their way.
func (s *Server) Announce() { s.leaving.Store(true) }

// ErrShutdown is why the contexts of requests end that Drain did not wait for.
var ErrShutdown = errors.New("the adapter was shut down, and server.shutdownTimeout was over")

// Drain closes the listener, sends GOAWAY to HTTP/2 clients, and returns when all requests are
// answered and all hijacked connections (WebSockets) closed. If ctx ends first, it closes all
// connections, cancels the contexts of all requests, gives their handlers a second to tell of
// it, and returns ctx's error.
func (s *Server) Drain(ctx context.Context) error {
	defer s.cancel(ErrShutdown)
	err := s.http.Shutdown(ctx)
	if err == nil { // Shutdown does not wait for hijacked connections
		err = s.wait(ctx)
	}
	if err != nil {
		s.cancel(ErrShutdown)
		_ = s.http.Close()
		aborting, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Second)
		defer cancel()
		_ = s.wait(aborting)
	}
	return err
}

// wait returns when no handler is running, or ctx's error if that ends first. It polls, as
// Shutdown does: a WaitGroup may not be waited for while an HTTP/2 stream still begins.
func (s *Server) wait(ctx context.Context) error {
	poll := time.NewTicker(5 * time.Millisecond)
	defer poll.Stop()
	for s.inFlight.Load() > 0 {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-poll.C:
		}
	}
	return nil
}

func (s *Server) serve(w http.ResponseWriter, r *http.Request) {
	s.inFlight.Add(1)
	defer s.inFlight.Add(-1)
	if encrypted, ok := ConnOf(r.Context()).halfCloser.(*tlsConn); ok {
		state := encrypted.ConnectionState()
		r.TLS = &state
	}
	// The first line of an HTTP/2 preface without the rest; and HTTP/1.1 where ALPN has
	// chosen h2.
	if r.Method == "PRI" && r.RequestURI == "*" || r.TLS != nil && r.TLS.NegotiatedProtocol == "h2" && r.ProtoMajor != 2 {
		s.listener.Refusals.Add(refusals.Framing, "RFC 9113 section 3.2", r.RemoteAddr, "HTTP/1.1 on a connection of HTTP/2")
		w.Header().Set("Connection", "close")
		http.Error(w, "400 Bad Request", http.StatusBadRequest)
		return
	}
	if s.leaving.Load() && r.Header["Upgrade"] == nil { // what takes the connection over ends it too
		w.Header()["Connection"] = []string{"close"}
	}
	s.listener.Handler.ServeHTTP(w, r)
}
