package v2client

import (
	"maps"
	"net/http"
	"strings"
	"time"
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
	header http.Header // that goes upstream
}

// NewCaller makes the Caller of a request that arrived for host, with the first value of each
// header that may be sent on. The names in header are canonical.
func NewCaller(host string, header http.Header) Caller {
	c := Caller{host: host, header: make(http.Header, len(header))}
	for _, name := range forwarded {
		// Over HTTP/2 a space may stand at an end, and would make of a request one that the
		// upstream must reset (RFC 9113 section 8.2.1).
		values := header[name]
		if len(values) == 0 {
			continue
		}
		switch value := strings.Trim(values[0], " \t"); value {
		case "":
		case values[0]:
			c.header[name] = values[:1:1]
		default:
			c.header[name] = []string{value}
		}
	}
	return c
}

// setHeader sets a request's header, in which connect-go and package wire look for the Host.
func (c Caller) setHeader(header http.Header, userAgent, host string) {
	maps.Copy(header, c.header)
	if c.RequestID != "" {
		header["X-Request-Id"] = []string{c.RequestID}
	}
	header["User-Agent"], header["Host"] = []string{userAgent}, []string{host}
}

// Authorization is the Authorization header that goes to ZITADEL, or "".
func (c Caller) Authorization() string { return c.header.Get("Authorization") }

// Organization is the x-zitadel-orgid header that goes to ZITADEL, or "".
func (c Caller) Organization() string { return c.header.Get("X-Zitadel-Orgid") }

// Instance distinguishes the ZITADEL instances that one upstream serves: ids mean different things in each.
func (c Caller) Instance() string {
	return c.host + "\x00" + c.header.Get("X-Zitadel-Instance-Host") + "\x00" + c.header.Get("X-Zitadel-Public-Host") + "\x00"
}
