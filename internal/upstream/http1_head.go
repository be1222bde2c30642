package upstream

import (
	"bufio"
	"net/http"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/net/http/httpguts"
)

// maxSortedHeaders is the number of headers that are sorted without an allocation.
const maxSortedHeaders = 32

// writeHead writes the head of a request without a body, or with one of a known length, as
// [http.Request.Write] does, at half of the cost (FuzzWriteHead compares them). It reports
// false, and has written nothing, if that has to do something special: then it must write the
// request.
func writeHead(w *bufio.Writer, request *http.Request) bool {
	var room [maxSortedHeaders]string
	names, usual := sortedNames(room[:0], request.Header)
	target := request.URL.RequestURI()
	if !usual || !isOrdinary(request, target) {
		return false
	}
	for _, part := range [...]string{request.Method, " ", target, " HTTP/1.1\r\nHost: ", request.Host, "\r\n"} {
		_, _ = w.WriteString(part) // bufio keeps an error
	}
	if agent := userAgent(request.Header); agent != "" {
		writeField(w, "User-Agent", agent)
	}
	if request.Close {
		writeField(w, "Connection", "close")
	}
	if hasBody(request) || request.Method == http.MethodPost || request.Method == http.MethodPut || request.Method == http.MethodPatch {
		writeField(w, "Content-Length", strconv.FormatInt(request.ContentLength, 10))
	}
	for _, name := range names {
		for _, value := range request.Header[name] {
			writeField(w, name, value)
		}
	}
	_, _ = w.WriteString("\r\n")
	return true
}

// sortedNames appends the names of the headers that are written as they are. usual says that
// net/http would change none of them.
func sortedNames(names []string, header http.Header) (sorted []string, usual bool) {
	for name, values := range header {
		if !httpguts.ValidHeaderFieldName(name) || slices.ContainsFunc(values, isOdd) {
			return nil, false
		}
		switch name {
		case "Host", "User-Agent", "Content-Length", "Transfer-Encoding", "Trailer": // written from other fields
		default:
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return names, true
}

// userAgent is what net/http sends: its own unless there is another, or an empty one.
func userAgent(header http.Header) string {
	agents, told := header["User-Agent"]
	switch {
	case !told:
		return "Go-http-client/1.1"
	case len(agents) == 0:
		return ""
	}
	return agents[0]
}

func writeField(w *bufio.Writer, name, value string) {
	_, _ = w.WriteString(name)
	_, _ = w.WriteString(": ")
	_, _ = w.WriteString(value)
	_, _ = w.WriteString("\r\n")
}

// isOrdinary reports whether a request has nothing that net/http treats in a way of its
// own, besides its headers.
func isOrdinary(request *http.Request, target string) bool {
	const plain = "abcdefghijklmnopqrstuvwxyz0123456789-._:[]"
	switch {
	case request.Method == "", request.Method == http.MethodConnect,
		len(request.TransferEncoding) > 0, len(request.Trailer) > 0,
		request.ContentLength < 0, hasBody(request) != (request.ContentLength > 0),
		request.Close && request.Header["Connection"] != nil,
		request.Host == "", strings.Trim(request.Host, plain) != "":
		return false
	}
	for i := range len(target) {
		if target[i] < ' ' || target[i] == 0x7F {
			return false
		}
	}
	return target != ""
}

// isOdd reports whether net/http would change a header's value.
func isOdd(value string) bool {
	if value == "" {
		return false
	}
	return strings.ContainsAny(value, "\r\n") || isSpace(value[0]) || isSpace(value[len(value)-1])
}

func isSpace(c byte) bool { return c == ' ' || c == '\t' || c == '\r' || c == '\n' }
