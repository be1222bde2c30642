package ingress

import (
	"cmp"
	"net/http"
	"strings"
)

// What the log says of clients are their own words, of any length unless it says otherwise.

// Peer is the address of a client, after those of trusted proxies. A [Handler] has set X-Forwarded-For;
// only peers on a Unix socket have none.
func Peer(r *http.Request) string { return cmp.Or(r.Header.Get("X-Forwarded-For"), r.RemoteAddr) }

// UserAgent is a client's User-Agent header, or X-User-Agent of a gRPC-Web client.
func UserAgent(r *http.Request) string {
	return cmp.Or(r.Header.Get("User-Agent"), r.Header.Get("X-User-Agent"))
}

// RequestID is the client's or a proxy's X-Request-Id, if it is fit for a log: at most 128 bytes of
// printable ASCII, without spaces. Else it is "".
func RequestID(r *http.Request) string {
	const most = 128
	id := r.Header.Get("X-Request-ID")
	if len(id) > most || strings.ContainsFunc(id, func(c rune) bool { return c <= ' ' || c > '~' }) {
		return ""
	}
	return id
}
