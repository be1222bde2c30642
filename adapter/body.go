package adapter

import (
	"errors"
	"io"
	"net/http"
	"os"
	"sync"
	"time"

	"connectrpc.com/connect"
)

// v1 takes messages of up to maxMessageBytes. None that has a meaning is longer than a
// kilobyte, but calls under way with as much as v1 takes would fill the memory: of the
// large ones, only so many are read at once.
const (
	smallBodyBytes = 16 << 10
	largeBodies    = 8
)

// bodyBudget is what one request holds of its body in memory.
type bodyBudget struct {
	large *slots // those of all requests
	held  int
	taken bool // one of the slots
	// streamed says that no more is held: it passes through.
	streamed bool
}

// errTooManyLarge is the error of a body that is one large one too many.
var errTooManyLarge = errors.New("too many large bodies at once")

// hold is called when so many bytes more are in memory.
func (b *bodyBudget) hold(bytes int) error {
	if b.streamed {
		return nil
	}
	b.held += bytes
	if b.held <= smallBodyBytes || b.taken {
		return nil
	}
	if b.taken = b.large.take(); !b.taken {
		return errTooManyLarge
	}
	return nil
}

// release is called when nothing is in memory any more.
func (b *bodyBudget) release() {
	if b.taken {
		b.large.free()
	}
}

// heldReader is a reader whose bytes are kept.
type heldReader struct {
	io.Reader

	budget *bodyBudget
}

func (h heldReader) Read(into []byte) (int, error) {
	n, err := h.Reader.Read(into)
	if refusal := h.budget.hold(n); refusal != nil {
		return n, refusal
	}
	return n, err
}

// limitBody gives a request's body its time and its memory. The body's end must come
// before the handler returns.
func limitBody(w http.ResponseWriter, r *http.Request, timeout time.Duration, budget *bodyBudget) *limitedBody {
	body := &limitedBody{Closer: r.Body, from: r.Body, budget: budget, controller: http.NewResponseController(w)}
	if r.ContentLength != 0 { // or else nobody might read that it has ended
		_ = body.controller.SetReadDeadline(time.Now().Add(timeout)) // fails only for writers that are not net/http's
	}
	r.Body = body
	return body
}

// limitedBody has a read deadline until it ends. After that, a deadline would end
// the call: net/http reads on to see whether the client goes away.
type limitedBody struct {
	io.Closer

	reading sync.Mutex // by one at a time: passthrough may hang up on the transport
	from    io.Reader
	budget  *bodyBudget

	mu         sync.Mutex
	controller *http.ResponseController
	ended      bool
}

func (b *limitedBody) Read(into []byte) (int, error) {
	b.reading.Lock()
	defer b.reading.Unlock()
	n, err := heldReader{b.from, b.budget}.Read(into)
	if errors.Is(err, io.EOF) {
		b.arrived()
	}
	return n, err
}

// arrived ends the deadline.
func (b *limitedBody) arrived() {
	b.mu.Lock()
	defer b.mu.Unlock()
	if !b.ended {
		_ = b.controller.SetReadDeadline(time.Time{}) // as in limitBody
	}
}

// end is called when the handler returns: after that nothing may touch the request any
// more, and the transport may still be reading, when native v1 has answered early.
func (b *limitedBody) end() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.ended = true
}

// budgetOf is the budget of a request that limitBody has seen.
func budgetOf(r *http.Request) *bodyBudget {
	if body, ok := r.Body.(*limitedBody); ok {
		return body.budget
	}
	return &bodyBudget{large: new(slots)}
}

// bodyRefusal is the status of a call whose body did not arrive in time, or for which
// there is no room, nil if err says something else.
func bodyRefusal(err error) *status {
	switch {
	case errors.Is(err, os.ErrDeadlineExceeded):
		return newStatus(connect.CodeDeadlineExceeded, "the request's body did not arrive in time")
	case errors.Is(err, errTooManyLarge):
		return overloaded()
	}
	return nil
}
