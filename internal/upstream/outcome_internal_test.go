package upstream

import (
	"net/http/httptrace"
	"testing"
)

// A request that net/http made again by itself has only been sent if the last attempt
// was.
func TestSentBeginsAnewWithEachConnection(t *testing.T) {
	t.Parallel()
	ctx, sent := traceSent(t.Context())
	trace := httptrace.ContextClientTrace(ctx)
	trace.GetConn("")
	if sent.Load() {
		t.Error("sent before anything was written")
	}
	trace.WroteHeaders()
	if !sent.Load() {
		t.Error("not sent, although the headers were written")
	}
	trace.GetConn("") // net/http knows that nothing arrived
	if sent.Load() {
		t.Error("sent, although it begins anew")
	}
}
