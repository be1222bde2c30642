package passthrough

import (
	"bytes"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"zitadel-v1-adapter/internal/ingress"
)

// A request without a line costs nothing for it.
func TestNoLineCostsNothing(t *testing.T) {
	request := httptest.NewRequest(http.MethodPost, "/", http.NoBody)
	request.Header.Set("Content-Type", "application/grpc-web")
	x, request := ingress.ExchangeOf(httptest.NewRecorder(), request)
	h := &Handler{config: Config{Logged: LoggedOff, Log: slog.New(slog.NewJSONHandler(new(bytes.Buffer), nil))}}
	answer, started := &response{Exchange: x, request: request}, time.Now()
	allocations := testing.AllocsPerRun(100, func() {
		h.keepForLog(answer)
		h.log(answer, started)
	})
	if _, _ = x.Write([]byte("x")); allocations > 0 || len(x.Kept()) > 0 {
		t.Errorf("got %v allocations, and %d bytes kept; want none", allocations, len(x.Kept()))
	}
}
