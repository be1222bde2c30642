// Package refusals records what the adapter refuses before it is a call: connections and
// requests.
package refusals

import (
	"log/slog"
	"sync/atomic"
	"time"

	"golang.org/x/time/rate"

	"zitadel-v1-adapter/internal/redact"
)

// Reason says why something was refused.
type Reason string

// The reasons. Requests with headers that are too large are recorded over HTTP/1.1 only:
// over HTTP/2, net/http answers them and tells nobody.
const (
	Connections Reason = "connections" // a connection: its peer had limits.connectionsPerPeer
	TLS         Reason = "tls"         // a connection: its handshake failed
	Proxy       Reason = "proxy"       // a connection: a proxy's, without a valid PROXY header
	Framing     Reason = "framing"     // a request: net/http's server cannot read it
	Headers     Reason = "headers"     // a request: larger than limits.headerBytes
	Loop        Reason = "loop"        // a request: it has passed through this adapter before
)

// Reasons are all of them.
func Reasons() []Reason { return []Reason{Connections, TLS, Proxy, Framing, Headers, Loop} }

// Recorder counts all that is refused, and logs a sample: a line for each Reason in ten
// seconds. What is refused costs strangers nothing, and must not fill the log. A nil
// *Recorder does nothing. It is safe for concurrent use.
type Recorder struct {
	observe func(Reason)
	log     *slog.Logger
	samples map[Reason]*sample
}

type sample struct {
	rate.Sometimes

	since atomic.Int64 // refusals since the last line
}

// NewRecorder makes a Recorder. observe is called for each refusal; it must be safe for
// concurrent use, and not block.
func NewRecorder(observe func(Reason), log *slog.Logger) *Recorder {
	r := &Recorder{observe: observe, log: log, samples: map[Reason]*sample{}}
	for _, reason := range Reasons() {
		r.samples[reason] = &sample{Sometimes: rate.Sometimes{Interval: 10 * time.Second}}
	}
	return r
}

// Add records a refusal. rule is what was broken: a key of the configuration's, or a section of
// an RFC. client is the peer's address; cause may hold what the client sent.
func (r *Recorder) Add(reason Reason, rule, client, cause string) {
	if r == nil {
		return
	}
	r.observe(reason)
	s := r.samples[reason]
	s.since.Add(1)
	s.Do(func() {
		r.log.Warn("refused", "reason", string(reason), "rule", rule, "client", client,
			"cause", redact.Shorten(redact.Quotes(cause)), "others_not_logged", s.since.Swap(0)-1)
	})
}
