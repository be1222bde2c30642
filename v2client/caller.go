package v2client

import (
	"maps"
	"net/http"
	"strings"
	"time"

	"zitadel-v1-adapter/internal/upstream"
)

// forwardedHeaders names, in canonical form, every header of an incoming request that
// is sent on. Whatever does not stand here stays with the adapter.
//
//   - Authorization and X-Zitadel-Orgid decide what the caller may do;
//   - Origin, because ZITADEL compares it with the origins that the token's
//     application allows (error id AUTH-DZG21): leaving it out would widen what
//     a browser may do;
//   - X-Zitadel-Instance-Host and X-Zitadel-Public-Host decide which instance
//     is meant;
//   - Forwarded and X-Forwarded-* say where the client is: ZITADEL writes it
//     down, and may make links from it;
//   - the rest is for ZITADEL's logs and traces.
var forwardedHeaders = [...]string{
	"Authorization",
	"X-Zitadel-Orgid",
	"Origin",
	"X-Zitadel-Instance-Host",
	"X-Zitadel-Public-Host",
	"Forwarded",
	"X-Forwarded-For",
	"X-Forwarded-Host",
	"X-Forwarded-Proto",
	"Accept-Language",
	"Traceparent",
	"Tracestate",
	"Baggage",
	"B3",
	"X-B3-Traceid",
	"X-B3-Spanid",
	"X-B3-Parentspanid",
	"X-B3-Sampled",
	"X-B3-Flags",
	"X-Request-Id",
}

// Caller is the client on whose behalf, and with whose token, ZITADEL is
// called. The zero Caller has no token.
type Caller struct {
	host     string
	header   http.Header
	deadline time.Time
	noToken  bool
	observe  func(Attempt)
}

// NewCaller makes the Caller of a request that arrived for host. get answers
// the value of the header with the given canonical name, or "" when the request
// has none; it is asked only for the headers that may be sent on.
func NewCaller(host string, get func(name string) string) Caller {
	header := make(http.Header, 4)
	var noToken bool
	for _, name := range forwardedHeaders {
		// Over HTTP/2 a space may stand at an end, and would make of a request one that
		// the upstream must reset (RFC 9113 section 8.2.1).
		sent := get(name)
		if value := strings.Trim(sent, " \t"); value != "" {
			header[name] = []string{value}
		}
		noToken = noToken || name == "Authorization" && strings.HasSuffix(sent, "Bearer ")
	}
	return Caller{host: host, header: header, noToken: noToken}
}

// WithDeadline is the caller with the time until which all calls on its behalf may
// take. It is the adapter's: when it passes, the upstream is too slow. A client's own
// deadline is in the calls' context, and says nothing about the upstream.
func (c Caller) WithDeadline(deadline time.Time) Caller {
	c.deadline = deadline
	return c
}

// WithObserver is the caller with what is told of each attempt at a call on its behalf,
// when it has ended. It is called on the goroutine of the call.
func (c Caller) WithObserver(observe func(Attempt)) Caller {
	c.observe = observe
	return c
}

// Authorization is the Authorization header as the client sent it, or "".
func (c Caller) Authorization() string { return c.header.Get("Authorization") }

// NoToken reports whether the Authorization header ended in "Bearer ", which only HTTP/2
// can bring. It goes to ZITADEL without the space.
func (c Caller) NoToken() bool { return c.noToken }

// Organization is the x-zitadel-orgid header, or "" when the client sent none.
func (c Caller) Organization() string { return c.header.Get("X-Zitadel-Orgid") }

// Instance distinguishes the ZITADEL instances that one upstream serves: equal
// ids under different Instance values may name different things.
func (c Caller) Instance() string {
	return c.host + "\x00" + c.header.Get("X-Zitadel-Instance-Host") + "\x00" + c.header.Get("X-Zitadel-Public-Host")
}

// addTo copies the caller's headers into those of an upstream request.
func (c Caller) addTo(header http.Header) {
	maps.Copy(header, c.header)
}

// size is the length of all that goes upstream on the caller's behalf.
func (c Caller) size() int {
	return len(c.host) + upstream.HeaderBytes(c.header)
}
