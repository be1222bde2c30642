// Package listener listens for clients: on TCP or a Unix socket, with TLS or
// without, HTTP/1.1 and HTTP/2 alike, strictly framed, until it has drained.
package listener

import (
	"cmp"
	"context"
	"errors"
	"log/slog"
	"net"
	"net/http"
	"sync"
	"time"

	"zitadel-v1-adapter/internal/listener/framing"
	"zitadel-v1-adapter/internal/redact"
)

// Config says how a Server serves.
type Config struct {
	// Handler answers requests. Its requests have TLS set if they came so.
	Handler http.Handler
	// Certificates for TLS; nil for plain text.
	Certificates *Certificates
	// HeaderTimeout is how long a connection may take until a request's headers
	// are there, TLS handshake included; IdleTimeout is how long it may wait for
	// the next request. 0 is for ever.
	HeaderTimeout time.Duration
	IdleTimeout   time.Duration
	// WriteTimeout is how long an HTTP/2 connection may take nothing of what is
	// written to it. 0 is for ever. (Over HTTP/1.1 that is the handler's to limit.)
	WriteTimeout time.Duration
	// HeaderBytes is how long a request's headers may be. 0 is net/http's 1 MiB.
	HeaderBytes int
	// ConnectionsPerPeer is how many connections a peer may have at once, further ones
	// being closed at once; 0 is any number. OnRefused is told of each that is; nil
	// means that nobody is.
	ConnectionsPerPeer int
	OnRefused          func()
	// Log receives what net/http has to say of bad connections; nil discards it.
	Log *slog.Logger
}

// Server serves one listener.
type Server struct {
	http     *http.Server
	listener net.Listener
	handler  http.Handler
	log      *slog.Logger
	inFlight sync.WaitGroup
	cancel   context.CancelFunc // ends every request's context
}

// New makes a Server of listener, which it owns from now on.
func New(listener net.Listener, config Config) *Server {
	log := cmp.Or(config.Log, slog.New(slog.DiscardHandler))
	if config.ConnectionsPerPeer > 0 {
		listener = newPeerListener(listener, config.ConnectionsPerPeer, config.OnRefused)
	}
	if config.Certificates != nil {
		listener = &tlsListener{Listener: listener, config: config.Certificates.config(), log: log}
	}
	protocols := new(http.Protocols)
	protocols.SetHTTP1(true)
	// Watched connections are no *tls.Conn to net/http: what ALPN chose it finds
	// out by the preface, as in plain text.
	protocols.SetUnencryptedHTTP2(true)
	s := &Server{listener: framing.NewListener(listener), handler: config.Handler, log: log}
	ctx, cancel := context.WithCancel(context.Background())
	s.cancel = cancel
	s.http = &http.Server{
		Handler:           http.HandlerFunc(s.serve),
		Protocols:         protocols,
		ReadHeaderTimeout: config.HeaderTimeout,
		IdleTimeout:       config.IdleTimeout,
		MaxHeaderBytes:    config.HeaderBytes,
		ErrorLog:          redact.Logger(log, slog.LevelWarn),
		BaseContext:       func(net.Listener) context.Context { return ctx },
		ConnContext:       framing.WithConn,
		ConnState:         unwatchHijacked,
		// "OPTIONS *" is for the upstream.
		DisableGeneralOptionsHandler: true,
		HTTP2: &http.HTTP2Config{
			// HTTP/2's headers can be a thousand times as long as what a client sends
			// (RFC 7541 section 7.3): so many requests at once may hold theirs. RFC 9113
			// section 6.5.2 wants no less; net/http's default is 250.
			MaxConcurrentStreams: 100,
			// What a client may send ahead of a slow upstream, and in one frame,
			// which is kept whole; net/http's defaults are 1 MiB each.
			MaxReceiveBufferPerStream: 128 << 10,
			MaxReadFrameSize:          16 << 10,
			WriteByteTimeout:          config.WriteTimeout,
		},
	}
	return s
}

// Addr is the address listened on.
func (s *Server) Addr() net.Addr { return s.listener.Addr() }

// Serve serves until the listener fails or Drain closes it, of which the latter
// is no error.
func (s *Server) Serve() error {
	if err := s.http.Serve(s.listener); !errors.Is(err, http.ErrServerClosed) {
		return err
	}
	return nil
}

// Drain closes the listener, tells HTTP/2 clients to go away, and returns when
// every request has its whole answer and every WebSocket is closed. When ctx
// ends first, what is left is cut, and the error is ctx's.
func (s *Server) Drain(ctx context.Context) error {
	defer s.cancel()
	err := s.http.Shutdown(ctx)
	if err == nil { // Shutdown knows nothing of connections that were taken over
		err = s.wait(ctx)
	}
	if err != nil {
		s.cancel()
		_ = s.http.Close()
	}
	return err
}

func (s *Server) wait(ctx context.Context) error {
	done := make(chan struct{})
	go func() {
		defer close(done)
		s.inFlight.Wait()
	}()
	select {
	case <-done:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// unwatchHijacked lets connections go that speak something else from now on.
func unwatchHijacked(conn net.Conn, state http.ConnState) {
	if watched, ok := conn.(*framing.Conn); ok && state == http.StateHijacked {
		watched.Unwatch()
	}
}

func (s *Server) serve(w http.ResponseWriter, r *http.Request) {
	s.inFlight.Add(1)
	defer s.inFlight.Done()
	if r.Method == "PRI" { // the beginnings of an HTTP/2 preface that went astray
		w.Header().Set("Connection", "close")
		http.Error(w, "400 Bad Request", http.StatusBadRequest)
		return
	}
	if watched := framing.FromContext(r.Context()); watched != nil {
		if encrypted, ok := watched.NetConn().(*tlsConn); ok {
			r.TLS = &encrypted.state
		}
	}
	s.handler.ServeHTTP(w, r)
}
