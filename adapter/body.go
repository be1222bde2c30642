package adapter

import (
	"io"
	"time"

	"zitadel-v1-adapter/internal/ingress"
)

// v1 takes messages of up to 4 MiB. No useful one is longer than a kilobyte, but many large
// ones at once would fill the memory: only largeBodies bodies over smallBodyBytes are held at
// once.
const (
	smallBodyBytes = 16 << 10
	largeBodies    = 8
)

// meteredBody is a request's body that accounts for what the request holds of it in memory.
type meteredBody struct {
	from    io.Reader
	slots   *ingress.Slots // for large bodies
	bytes   int
	hasSlot bool
}

func (b *meteredBody) Read(into []byte) (int, error) { return b.account(b.from.Read(into)) }

// Unpacked implements [v1wire.Body].
func (b *meteredBody) Unpacked(from io.Reader) io.Reader { return unpackedBody{b, from} }

type unpackedBody struct {
	body *meteredBody
	from io.Reader
}

func (u unpackedBody) Read(into []byte) (int, error) { return u.body.account(u.from.Read(into)) }

// account takes a slot when the body turns out to be a large one.
func (b *meteredBody) account(n int, err error) (int, error) {
	b.bytes += n
	if b.bytes > smallBodyBytes && !b.hasSlot {
		if b.hasSlot = b.slots.Take(); !b.hasSlot {
			return n, overloaded()
		}
	}
	return n, err
}

// release gives the slot back when nothing is in memory any more.
func (b *meteredBody) release() {
	if b.hasSlot {
		b.slots.Free()
	}
}

// limitBody sets the body's deadline: the client's timeout and 500 ms, as v1's gateway waits
// for the body too. The answer to a client that is still sending would come with
// a connection that is closed, or over HTTP/2 a stream that is reset, and many then tell
// only of that.
func (a *Adapter) limitBody(x *ingress.Exchange, timeout time.Duration) {
	most := a.config.Limits.BodyTimeout
	x.LimitBody(min(min(timeout, most)+lateBody, most)) // timeout+lateBody may be more than there is
}

const lateBody = 500 * time.Millisecond
