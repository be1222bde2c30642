// Package ingress is what is done to every request once, at the edge: it is copied, its forwarded
// headers are decided, its answer has a time to be taken, a panic costs no other request. It also
// has what limits calls and callers.
package ingress

import (
	"fmt"
	"log/slog"
	"net/http"
	"runtime"
	"runtime/debug"
	"strings"
	"time"

	"connectrpc.com/connect"

	"zitadel-v1-adapter/internal/forwarded"
	"zitadel-v1-adapter/internal/refusals"
	"zitadel-v1-adapter/internal/rpcstatus"
)

const (
	// ViaHeader names the adapters that a request has passed through, by Config.ID, as Via does
	// with proxies (RFC 9110 section 7.6.3). Via itself may change how servers answer.
	ViaHeader = "X-V1adapter-Via"
	// ViaQuestion is the value of ViaHeader that asks whether an adapter answers: one sets the header in its answer.
	ViaQuestion = "?"
)

// Config says how requests come in.
type Config struct {
	// Forwarding decides which proxies are believed, and what ZITADEL is told.
	Forwarding forwarded.Policy
	// ID is a random text by which requests that come back are recognized. Default: they are not.
	ID string
	// WriteTimeout is how long a client may take for each piece of an answer. Above 0.
	WriteTimeout time.Duration
	// Refusals records requests that come back. Default: none.
	Refusals *refusals.Recorder
	// OnPanic is called for each panic in a request, concurrently. Default: none.
	OnPanic func()
	// Log receives panics. Default: none.
	Log *slog.Logger
}

// Handler hands a copy of every request to the next handler, with an [*Exchange]. It is safe for
// concurrent use.
type Handler struct {
	config Config
	next   http.Handler
}

// New checks config and makes a Handler. The error names the configuration key.
func New(config Config, next http.Handler) (*Handler, error) {
	if config.WriteTimeout <= 0 {
		return nil, fmt.Errorf("limits.writeTimeout: %v: use a duration above 0, such as 1m", config.WriteTimeout)
	}
	if config.Log == nil {
		config.Log = slog.New(slog.DiscardHandler)
	}
	return &Handler{config: config, next: next}, nil
}

func (h *Handler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	x, request := newExchange(w, r, h.config.WriteTimeout)
	defer x.end()
	defer h.recoverPanic(x, request)
	if r.Header[ViaHeader] != nil && !h.passes(x, request) {
		return
	}
	h.config.Forwarding.Apply(request)
	keepWebSocket(request.Header)
	h.next.ServeHTTP(x, request)
}

// passes reports whether a request may go on, and answers it if not: it has been here before, and
// would go round until memory or ports were exhausted. No client can guess the id.
func (h *Handler) passes(x *Exchange, r *http.Request) bool {
	via := strings.Join(r.Header[ViaHeader], ",")
	switch {
	case via == ViaQuestion:
		x.Header()[ViaHeader] = []string{"1"}
	case h.config.ID != "" && strings.Contains(via, h.config.ID):
		h.config.Refusals.Add(refusals.Loop, "upstream.url", r.RemoteAddr, "upstream.url leads back to this adapter: set it to ZITADEL's own address")
		loop := rpcstatus.New(connect.CodeInternal, "loop detected: the upstream of this adapter leads back to it")
		loop.HTTPStatus = http.StatusLoopDetected
		rpcstatus.Write(x, r, loop)
		return false
	}
	return true
}

// recoverPanic, deferred, lets a panic cost its own request alone: code 13 in the caller's
// protocol, or the end of the connection if an answer has begun. The log gets the stack, but the
// panic's value, which may hold anything, only if it is the Go runtime's.
func (h *Handler) recoverPanic(x *Exchange, r *http.Request) {
	value := recover()
	switch value {
	case nil:
		return
	case http.ErrAbortHandler: // net/http's way to cut an answer
		panic(value) //nolint:forbidigo // same
	}
	kind := fmt.Sprintf("%T", value)
	if fault, ok := value.(runtime.Error); ok {
		kind += ": " + fault.Error()
	}
	h.config.Log.ErrorContext(r.Context(), "panic", "cause", kind, "stack", string(debug.Stack()))
	if h.config.OnPanic != nil {
		h.config.OnPanic()
	}
	if x.Status() != 0 {
		panic(http.ErrAbortHandler) //nolint:forbidigo // same
	}
	rpcstatus.Write(x, r, rpcstatus.New(connect.CodeInternal, "internal error"))
}

// keepWebSocket drops upgrades to anything else. ZITADEL takes one to h2c, after which
// requests would pass unseen (golang/go#80416).
func keepWebSocket(header http.Header) {
	delete(header, "Http2-Settings")
	if upgrade := header["Upgrade"]; len(upgrade) != 1 || !strings.EqualFold(upgrade[0], "websocket") {
		delete(header, "Upgrade")
	}
}
