package refusals_test

import (
	"bytes"
	"log/slog"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"zitadel-v1-adapter/internal/refusals"
)

// Everything is counted; the log has a short line for each reason in ten seconds, which
// says how many it does not have. (A TLS handshake with a long list of protocols made a
// line of 315 KB.)
func TestRefusalsAreCountedAndSampled(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var log bytes.Buffer
		counted := map[refusals.Reason]int{}
		recorder := refusals.NewRecorder(func(reason refusals.Reason) { counted[reason]++ }, slog.New(slog.NewTextHandler(&log, nil)))
		long := strings.Repeat("x", 300_000)
		for range 1000 {
			recorder.Add(refusals.TLS, "RFC 8446", "192.0.2.1:1", `unsupported protocols ["s3cret"] `+long)
			recorder.Add(refusals.Framing, "RFC 9112", "192.0.2.1:1", long)
		}
		time.Sleep(10 * time.Second)
		recorder.Add(refusals.TLS, "RFC 8446", "192.0.2.1:1", "again")
		if counted[refusals.TLS] != 1001 || counted[refusals.Framing] != 1000 {
			t.Errorf("got %v, want 1001 and 1000", counted)
		}
		if lines := strings.Count(log.String(), "\n"); lines != 3 || log.Len() > 1500 || strings.Contains(log.String(), "s3cret") {
			t.Errorf("got %d lines, %d bytes: %s\nwant 3 lines, at most 1500 bytes, and no quoted text", lines, log.Len(), log.String())
		}
		if !strings.Contains(log.String(), `rule="RFC 8446" client=192.0.2.1:1 cause=again others_not_logged=999`) {
			t.Errorf("got %s\nwant the rule, the client, and the number of refusals that were not logged", log.String())
		}
	})
}
