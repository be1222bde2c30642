package adapter

import (
	"io"
	"net/http"
	"time"

	"connectrpc.com/connect"

	"zitadel-v1-adapter/internal/ingress"
	"zitadel-v1-adapter/internal/rpcstatus"
)

// v1 takes messages of up to 4 MiB. No useful one is longer than a kilobyte, but many large ones
// would fill the memory: only largeBodies bodies over smallBodyBytes are held at once.
const (
	smallBodyBytes = 16 << 10
	largeBodies    = 8
)

// meteredBody is a request's body that accounts for what the request holds of it in memory.
type meteredBody struct {
	io.Reader

	slots   *ingress.Slots // for large bodies
	bytes   int
	hasSlot bool
}

func newMeteredBody(from io.Reader, slots *ingress.Slots) *meteredBody {
	b := &meteredBody{slots: slots}
	b.Reader = b.Unpacked(from)
	return b
}

// Unpacked implements [v1wire.Body].
func (b *meteredBody) Unpacked(from io.Reader) io.Reader { return io.TeeReader(from, b) }

// Write accounts for what has been read. It takes a slot when the body turns out to be a large one.
func (b *meteredBody) Write(data []byte) (int, error) {
	b.bytes += len(data)
	if b.bytes > smallBodyBytes && !b.hasSlot {
		if b.hasSlot = b.slots.Take(); !b.hasSlot {
			return len(data), overloaded(errBodies)
		}
	}
	return len(data), nil
}

// release gives the slot back when nothing is in memory any more.
func (b *meteredBody) release() {
	if b.hasSlot {
		b.slots.Free()
	}
}

// overloaded refuses a call because the adapter has too much to do.
func overloaded(cause error) *rpcstatus.Status {
	s := rpcstatus.New(connect.CodeUnavailable, "too many calls at once, try again later")
	s.RetryAfter, s.Cause = time.Second, cause
	return s
}

// limitBody sets the body's deadline: the client's timeout and 500 ms, as v1's gateway waits for
// the body too. Many a client that is still sending tells only of the connection's end.
func (a *Adapter) limitBody(x *ingress.Exchange, timeout time.Duration) {
	const late = 500 * time.Millisecond
	most := a.config.Limits.BodyTimeout
	x.LimitBody(min(min(timeout, most)+late, most)) // timeout+late may be more than there is
}

// replay is r with a body that begins with what has been read of it.
func replay(r *http.Request, begin io.Reader) *http.Request {
	replayed := *r
	replayed.Body = struct {
		io.Reader
		io.Closer
	}{io.MultiReader(begin, r.Body), r.Body}
	return &replayed
}
