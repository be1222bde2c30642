package v2client

import (
	"maps"
	"net/http"
	"strings"
	"time"
)

// isForwarded reports whether the header with this canonical name is sent on. Whatever does
// not stand here stays with the adapter.
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
func isForwarded(name string) bool {
	switch name {
	case "Authorization", "X-Zitadel-Orgid", "Origin", "X-Zitadel-Instance-Host", "X-Zitadel-Public-Host",
		"Forwarded", "X-Forwarded-For", "X-Forwarded-Host", "X-Forwarded-Proto", "Accept-Language",
		"Traceparent", "Tracestate", "Baggage", "B3", "X-B3-Traceid",
		"X-B3-Spanid", "X-B3-Parentspanid", "X-B3-Sampled", "X-B3-Flags", "X-Request-Id":
		return true
	}
	return false
}

// Caller is the client on whose behalf, and with whose token, ZITADEL is
// called. The zero Caller has no token.
type Caller struct {
	host      string
	header    http.Header // that goes upstream
	requestID string      // in place of the client's; "" is none
	deadline  time.Time
	attempts  *[]Attempt // nil: not recorded
}

// NewCaller makes the Caller of a request that arrived for host, with the first value of
// each header that may be sent on. The names in header are canonical.
func NewCaller(host string, header http.Header) Caller {
	c := Caller{host: host, header: make(http.Header, len(header))}
	for name, sent := range header {
		if len(sent) == 0 || !isForwarded(name) {
			continue
		}
		// Over HTTP/2 a space may stand at an end, and would make of a request one that
		// the upstream must reset (RFC 9113 section 8.2.1).
		if value := strings.Trim(sent[0], " \t"); value == sent[0] {
			c.header[name] = sent[:1:1]
		} else {
			c.header[name] = []string{value}
		}
		if c.header[name][0] == "" {
			delete(c.header, name)
		}
	}
	return c
}

// WithRequestID is the caller with an X-Request-Id of the adapter's.
func (c Caller) WithRequestID(id string) Caller {
	c.requestID = id
	return c
}

// WithDeadline is the caller with the time until which all calls on its behalf may
// take. It is the adapter's: when it passes, the upstream is too slow. A client's own
// deadline is in the calls' context, and says nothing about the upstream.
func (c Caller) WithDeadline(deadline time.Time) Caller {
	c.deadline = deadline
	return c
}

// WithAttempts is the caller with a list to which each attempt at a call on its behalf is
// appended when it has ended, on the goroutine of the call; nil is none.
func (c Caller) WithAttempts(made *[]Attempt) Caller {
	c.attempts = made
	return c
}

// setHeader sets a request's header, in which connect-go and package wire look for the Host.
func (c Caller) setHeader(header http.Header, userAgent, host string) {
	maps.Copy(header, c.header)
	if c.requestID != "" {
		header["X-Request-Id"] = []string{c.requestID}
	}
	header["User-Agent"], header["Host"] = []string{userAgent}, []string{host}
}

// Authorization is the Authorization header that goes to ZITADEL, or "".
func (c Caller) Authorization() string { return c.header.Get("Authorization") }

// Organization is the x-zitadel-orgid header that goes to ZITADEL, or "".
func (c Caller) Organization() string { return c.header.Get("X-Zitadel-Orgid") }

// AppendInstance appends what distinguishes the ZITADEL instances that one upstream
// serves: equal ids under different ones may name different things.
func (c Caller) AppendInstance(to []byte) []byte {
	for _, name := range [...]string{c.host, c.header.Get("X-Zitadel-Instance-Host"), c.header.Get("X-Zitadel-Public-Host")} {
		to = append(append(to, name...), 0)
	}
	return to
}
