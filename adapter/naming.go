package adapter

import (
	"context"
	"sync"
	"time"

	"zitadel-v1-adapter/v2client"
)

const (
	// lookupsAtOnce is how many tokens ZITADEL is asked about at once.
	lookupsAtOnce = 4
	// waitingTokens and waitingCalls bound what waits for an answer. Further calls are counted
	// under the hash of their token.
	waitingTokens = 1000
	waitingCalls  = 10_000
)

// naming finds out in the background who made calls that have ended, once a token, and then counts
// them.
type naming struct {
	adapter *Adapter
	slots   chan struct{}
	lookUps context.Context //nolint:containedctx // of all look-ups, until stop
	stop    context.CancelFunc

	running sync.WaitGroup
	mu      sync.Mutex
	waiting map[tokenHash][]Event
	calls   int                     // in waiting
	unnamed map[tokenHash]time.Time // ZITADEL did not say whose these are, and is asked again then
	ended   bool
}

func newNaming(a *Adapter) *naming {
	n := &naming{adapter: a, slots: make(chan struct{}, lookupsAtOnce), waiting: map[tokenHash][]Event{}, unnamed: map[tokenHash]time.Time{}}
	n.lookUps, n.stop = context.WithCancel(context.Background())
	return n
}

// add takes a call to be counted later, unless there is no room, or ZITADEL was just asked in vain.
func (n *naming) add(event Event, caller v2client.Caller, token tokenHash) bool {
	n.mu.Lock()
	defer n.mu.Unlock()
	events, isAsked := n.waiting[token]
	if n.ended || time.Now().Before(n.unnamed[token]) || n.calls >= waitingCalls || !isAsked && len(n.waiting) >= waitingTokens {
		return false
	}
	n.waiting[token] = append(events, event)
	n.calls++
	if !isAsked {
		caller.Attempts = nil // of the call, which has ended
		n.running.Go(func() { n.name(caller, token) })
	}
	return true
}

// name asks whose a token is, and counts its calls that wait.
func (n *naming) name(caller v2client.Caller, token tokenHash) {
	select {
	case n.slots <- struct{}{}:
		n.adapter.identify(n.lookUps, caller, token)
		<-n.slots
	case <-n.lookUps.Done():
	}
	_, known := n.adapter.identities.identity(token)
	n.mu.Lock()
	if len(n.unnamed) >= waitingTokens {
		clear(n.unnamed)
	}
	if !known {
		n.unnamed[token] = time.Now().Add(refusalTTL)
	}
	events := n.waiting[token]
	delete(n.waiting, token)
	n.calls -= len(events)
	n.mu.Unlock()
	for _, event := range events {
		event, _ = n.adapter.named(event, caller, token)
		n.adapter.config.Count(event)
	}
}

// finish counts all calls that wait, under the hash of their token if ZITADEL has not answered when
// ctx ends. It takes no calls any more.
func (n *naming) finish(ctx context.Context) {
	n.mu.Lock()
	n.ended = true
	n.mu.Unlock()
	defer context.AfterFunc(ctx, n.stop)()
	n.running.Wait()
	n.stop()
}
