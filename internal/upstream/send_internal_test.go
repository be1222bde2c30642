package upstream

import (
	"net/http/httptrace"
	"testing"
)

// When net/http repeats a request on another connection, the request counts as sent only
// if the last attempt was sent.
func TestSentIsThatOfTheLastConnection(t *testing.T) {
	t.Parallel()
	ctx, sent := traceSent(t.Context())
	trace := httptrace.ContextClientTrace(ctx)
	trace.GetConn("")
	if sent.Load() {
		t.Error("got sent before anything was written, want not sent")
	}
	trace.WroteHeaders()
	if !sent.Load() {
		t.Error("got not sent after the headers were written, want sent")
	}
	trace.GetConn("") // net/http repeats the request: nothing was written on the first connection
	if sent.Load() {
		t.Error("got sent on the second connection before anything was written, want not sent")
	}
}
