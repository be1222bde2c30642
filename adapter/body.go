package adapter

import (
	"errors"
	"io"
	"os"
	"time"

	"connectrpc.com/connect"

	"zitadel-v1-adapter/internal/ingress"
	"zitadel-v1-adapter/internal/rpcstatus"
)

// v1 takes messages of up to maxMessageBytes. None that has a meaning is longer than a
// kilobyte, but calls under way with as much as v1 takes would fill the memory: only
// largeBodies bodies over smallBodyBytes are held at once.
const (
	smallBodyBytes = 16 << 10
	largeBodies    = 8
)

// heldBody reads a request's body, and counts what the request holds of it in memory.
type heldBody struct {
	from  io.Reader
	slots *ingress.Slots // for large bodies
	bytes int
	taken bool // one of the slots
}

func (b *heldBody) Read(into []byte) (int, error) {
	n, err := b.from.Read(into)
	if refusal := b.hold(n); refusal != nil {
		return n, refusal
	}
	return n, err
}

// errTooManyLarge is the error of a large body for which there is no slot.
var errTooManyLarge = errors.New("large-body slots exhausted")

// hold is called when that many bytes more are in memory.
func (b *heldBody) hold(bytes int) error {
	b.bytes += bytes
	if b.bytes <= smallBodyBytes || b.taken {
		return nil
	}
	if b.taken = b.slots.Take(); !b.taken {
		return errTooManyLarge
	}
	return nil
}

// release is called when nothing is in memory any more.
func (b *heldBody) release() {
	if b.taken {
		b.slots.Free()
	}
}

// limitBody gives a body the client's timeout, or what is left of it, and a moment more, as
// v1's gateway waits for the body too. The answer to a client that is still sending would come with
// a connection that is closed, or over HTTP/2 a stream that is reset, and many then tell
// only of that.
func (a *Adapter) limitBody(x *ingress.Exchange, timeout time.Duration) {
	most := a.config.Limits.BodyTimeout
	x.LimitBody(min(min(timeout, most)+lateBody, most)) // timeout+lateBody may be more than there is
}

const lateBody = 500 * time.Millisecond

// bodyRefusal is the status of a call whose body did not arrive in time, or for which
// there is no room, nil if err says something else.
func bodyRefusal(err error) *rpcstatus.Status {
	switch {
	case errors.Is(err, os.ErrDeadlineExceeded):
		return rpcstatus.New(connect.CodeDeadlineExceeded, "the request's body did not arrive in time")
	case errors.Is(err, errTooManyLarge):
		return overloaded()
	}
	return nil
}
