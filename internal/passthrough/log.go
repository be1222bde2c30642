package passthrough

import (
	"log/slog"
	"net/http"
	"time"

	"zitadel-v1-adapter/internal/ingress"
	"zitadel-v1-adapter/internal/redact"
	"zitadel-v1-adapter/internal/rpcstatus"
	"zitadel-v1-adapter/internal/tracing"
	"zitadel-v1-adapter/internal/v1wire"
)

// Logged says which requests have a line in the log at level info.
type Logged string

// The values of Logged.
const (
	LoggedOff    Logged = "off"
	LoggedErrors Logged = "errors" // HTTP 4xx and 5xx, gRPC codes other than 0, and answers that were cut
	LoggedAll    Logged = "all"
)

// isLogged reports whether every request, or any, has its line.
func (h *Handler) isLogged(r *http.Request) bool {
	return h.config.Logged == LoggedErrors || h.config.Logged == LoggedAll || h.config.Log.Enabled(r.Context(), slog.LevelDebug)
}

// keepForLog keeps as much of an answer as its line needs.
func (h *Handler) keepForLog(w *response) {
	if h.isLogged(w.request) && rpcstatus.ProtocolOf(w.request).IsWeb() {
		w.Keep(v1wire.RefusalBytes)
	}
}

// log writes a request's line when it has ended, unless it has one as a call. docs/operations.md says
// what is in it: of a query nothing, which may hold secrets.
func (h *Handler) log(w *response, started time.Time) {
	level := slog.LevelDebug
	switch {
	case w.cause != nil:
		level = slog.LevelWarn
	case w.HasLine || !h.isLogged(w.request):
		return
	case h.config.Logged == LoggedAll, h.config.Logged == LoggedErrors && w.failed():
		level = slog.LevelInfo
	}
	ctx, message := w.request.Context(), "passed through"
	if w.cause != nil || w.rule != "" {
		message = "not passed through"
	}
	if h.config.Log.Enabled(ctx, level) {
		h.config.Log.LogAttrs(ctx, level, message, w.attributes(time.Since(started))...)
	}
}

// failed reports whether [LoggedErrors] are to be told of an answer.
func (w *response) failed() bool {
	code := w.codeName()
	return !w.isWhole || w.Status() >= http.StatusBadRequest || code != "" && code != "ok"
}

// codeName is the answer's gRPC code, by its name in lower case; "" is none.
func (w *response) codeName() string {
	if w.code != 0 {
		return w.code.String()
	}
	return v1wire.CodeName(rpcstatus.ProtocolOf(w.request), w.Status(), w.Header(), w.Kept())
}

func (w *response) attributes(took time.Duration) []slog.Attr {
	r, why, cut := w.request, "", ""
	if w.cause != nil {
		why = redact.Quotes(w.cause.Error())
	}
	if !w.isWhole {
		cut = "true"
	}
	attributes := []slog.Attr{
		slog.String("method", redact.Method(r.Method)),
		slog.String("path", redact.Shorten(r.URL.Path)),
		slog.Int("http_status", w.Status()),
		slog.String("user_agent", redact.Shorten(ingress.UserAgent(r))),
		slog.String("peer", redact.Shorten(ingress.Peer(r))),
		slog.Float64("duration_ms", float64(took.Microseconds())/1000),
	}
	for _, optional := range []slog.Attr{
		slog.String("v1_method", w.Method), slog.String("code", w.codeName()), slog.String("request_id", ingress.RequestID(r)),
		slog.String("trace_id", tracing.ID(r)), slog.String("cut", cut), slog.String("rule", w.rule), slog.String("cause", why),
	} {
		if optional.Value.String() != "" {
			attributes = append(attributes, optional)
		}
	}
	return attributes
}
