package upstream

import "net/http"

// usualHeaderBytes is how long the headers of a usual request are at most. Nearly all
// tokens are shorter; the least that load balancers take, 8 KiB, is longer.
const usualHeaderBytes = 6 << 10

// LargeHeaders reports whether headers are so large that the upstream might not like it,
// although there is nothing wrong with the upstream.
func LargeHeaders(header http.Header) bool { return HeaderBytes(header) > usualHeaderBytes }

// isUnusual reports whether a request may be one at which a load balancer ends the
// connection. How large its trailers are is known too late.
func isUnusual(request *http.Request) bool {
	return HeaderBytes(request.Header)+len(request.URL.Path)+len(request.URL.RawQuery)+len(request.Host) > usualHeaderBytes ||
		len(request.Trailer) > 0
}

// HeaderBytes is the length of all names and values.
func HeaderBytes(header http.Header) int {
	total := 0
	for name, values := range header {
		for _, value := range values {
			total += len(name) + len(value)
		}
	}
	return total
}
