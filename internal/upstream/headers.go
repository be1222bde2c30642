package upstream

import "net/http"

// UsualHeaderBytes is the largest size, in bytes, of headers that every upstream and
// load balancer accepts: larger ones they may reject, or end the connection, although the
// upstream is healthy. Their smallest common limit is 8 KiB; nearly all tokens are far
// shorter than 6 KiB.
const UsualHeaderBytes = 6 << 10

// mayEndConnection reports whether a load balancer may answer the request by ending
// the whole connection: its headers and target exceed 6 KiB, or it announces
// trailers, whose size is not known before they are sent.
func mayEndConnection(request *http.Request) bool {
	return HeaderBytes(request.Header)+len(request.URL.Path)+len(request.URL.RawQuery)+len(request.Host) > UsualHeaderBytes ||
		len(request.Trailer) > 0
}

// HeaderBytes returns the total length of all names and values, in bytes; a name
// counts once for each of its values.
func HeaderBytes(header http.Header) int {
	total := 0
	for name, values := range header {
		for _, value := range values {
			total += len(name) + len(value)
		}
	}
	return total
}
