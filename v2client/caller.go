package v2client

import (
	"net/http"
	"strings"
	"time"

	"zitadel-v1-adapter/internal/upstream"
)

// forwarded are the headers of a client that are sent on. Others stay with the adapter.
var forwarded = []string{
	// What the caller may do. Origin is one that the token's application has to allow (AUTH-DZG21).
	"Authorization", "X-Zitadel-Orgid", "Origin",
	// Which instance is meant.
	"X-Zitadel-Instance-Host", "X-Zitadel-Public-Host",
	// Where the client is: ZITADEL writes it down, and may make links from it.
	"Forwarded", "X-Forwarded-For", "X-Forwarded-Host", "X-Forwarded-Proto",
	// For ZITADEL's words, logs and traces.
	"Accept-Language", "Traceparent", "Tracestate", "Baggage", "B3", "X-B3-Traceid",
	"X-B3-Spanid", "X-B3-Parentspanid", "X-B3-Sampled", "X-B3-Flags", "X-Request-Id",
}

// Caller is the client on whose behalf, and with whose token, ZITADEL is called. The zero Caller has no token.
type Caller struct {
	RequestID string // in place of the client's X-Request-Id; "" is none
	// Deadline of all calls; zero is none. When this one passes, and not the client's own in the
	// calls' context, the upstream is too slow.
	Deadline time.Time
	Attempts *[]Attempt // gets each attempt that has ended, on the goroutine of the call; nil is none

	host   string
	header http.Header // the client's; setHeader says what goes upstream
}

// NewCaller makes the Caller of a request that arrived for host. The names in header are
// canonical; the Caller keeps it, and so it must not be changed any more.
func NewCaller(host string, header http.Header) Caller { return Caller{host: host, header: header} }

// setHeader sets a request's header, in which connect-go and package wire look for the Host.
func (c Caller) setHeader(header http.Header, userAgent, host string) {
	c.forward(header)
	if c.RequestID != "" {
		header["X-Request-Id"] = []string{c.RequestID}
	}
	header["User-Agent"], header["Host"] = []string{userAgent}, []string{host}
}

// forward copies the first value of each header that is sent on.
func (c Caller) forward(to http.Header) {
	for _, name := range forwarded {
		switch value := c.value(name); value {
		case "":
		case c.header[name][0]:
			to[name] = c.header[name][:1:1]
		default:
			to[name] = []string{value}
		}
	}
}

// maxForwardedBytes bounds the headers that a caller may have sent on. Tokens are a few kilobytes.
const maxForwardedBytes = 256 << 10

// isTooLarge reports whether more than maxForwardedBytes would be sent on.
func (c Caller) isTooLarge() bool {
	if len(c.host)+upstream.HeaderBytes(c.header) <= maxForwardedBytes {
		return false
	}
	sent := http.Header{}
	c.forward(sent)
	return len(c.host)+upstream.HeaderBytes(sent) > maxForwardedBytes
}

// value is what is sent on of a header. Over HTTP/2 a space may stand at an end, and would make of a
// request one that the upstream must reset (RFC 9113 section 8.2.1).
func (c Caller) value(name string) string {
	if values := c.header[name]; len(values) > 0 {
		return strings.Trim(values[0], " \t")
	}
	return ""
}

// Authorization is the Authorization header that goes to ZITADEL, or "".
func (c Caller) Authorization() string { return c.value("Authorization") }

// Organization is the x-zitadel-orgid header that goes to ZITADEL, or "".
func (c Caller) Organization() string { return c.value("X-Zitadel-Orgid") }

// Instance distinguishes the ZITADEL instances that one upstream serves: ids mean different things in each.
func (c Caller) Instance() string {
	return c.host + "\x00" + c.value("X-Zitadel-Instance-Host") + "\x00" + c.value("X-Zitadel-Public-Host") + "\x00"
}
