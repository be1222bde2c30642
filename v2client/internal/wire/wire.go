// Package wire sends HTTP requests to ZITADEL. What connect-go hides of a request that
// failed, the type of the error tells: [Error].
package wire

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"strconv"
	"time"

	"connectrpc.com/connect"
	semconv "go.opentelemetry.io/otel/semconv/v1.43.0"
	"go.opentelemetry.io/otel/trace"

	"zitadel-v1-adapter/internal/rpcstatus"
	"zitadel-v1-adapter/internal/upstream"
)

// Error is the error of a request to which ZITADEL gave no answer. [errors.As] finds it in
// connect-go's errors, but for those of an answer whose body ends early or makes no sense, and
// of a context that ended: without an Error, ZITADEL may have handled the request.
type Error struct {
	Dialed     bool          // connecting did not fail
	Sent       bool          // ZITADEL may have handled the request
	Status     int           // of an answer over HTTP that is not ZITADEL's; 0 is no answer
	NoRoute    bool          // ZITADEL did answer: its REST API has nothing at this path
	RetryAfter time.Duration // the answer's; 0 is none
	Cause      error         // why there is no answer, or what was answered
}

func (e *Error) Error() string { return e.Cause.Error() }

// Unwrap returns the cause.
func (e *Error) Unwrap() error { return e.Cause }

// Client sends requests over one version of HTTP. It is a [connect.HTTPClient].
//
// Connect runs over HTTP/1.1 keep-alive connections, which cost less than half of HTTP/2's
// work per call on both sides; gRPC needs HTTP/2.
type Client struct{ *upstream.Transport }

// NewClient makes a Client. It connects when the first request is sent.
func NewClient(to *upstream.Upstream, version upstream.Version) *Client {
	return &Client{to.NewTransport(upstream.TransportConfig{Version: version, MaxResponseHeaderBytes: 64 << 10, SmallRequests: true})}
}

// MaxAnswerBytes bounds what is read of an RPC's answer: more than a page of administrators
// takes. connect-go keeps the buffers, so garbage may cost this much for each call under way.
const MaxAnswerBytes = 256 << 10

// Do sends an RPC. An answer that is neither a success nor an error as the Connect protocol
// has it becomes an [*Error]: connect-go would take any JSON for an error of ZITADEL's.
func (c *Client) Do(request *http.Request) (*http.Response, error) {
	response, err := c.Send(request)
	if err != nil || response.StatusCode == http.StatusOK {
		return response, err
	}
	body, _ := io.ReadAll(io.LimitReader(response.Body, MaxAnswerBytes)) // what ends early is no JSON
	_ = response.Body.Close()
	var answer struct {
		Code connect.Code `json:"code"`
	}
	if json.Unmarshal(body, &answer) != nil || answer.Code == 0 || rpcstatus.HTTPStatus(answer.Code) != response.StatusCode {
		return nil, NewAnswerError(response, body)
	}
	response.Body = io.NopCloser(bytes.NewReader(body))
	return response, nil
}

// NewAnswerError is the error of an answer that is not ZITADEL's, or says that there is nothing at the path.
func NewAnswerError(response *http.Response, body []byte) *Error {
	status, _ := rpcstatus.ParseJSON(body)
	return &Error{
		Dialed: true, Sent: true, Status: response.StatusCode, RetryAfter: RetryAfter(response.Header),
		NoRoute: response.StatusCode == http.StatusNotFound && status.Code == connect.CodeNotFound,
		Cause:   fmt.Errorf("answered HTTP %d, and not as ZITADEL does", response.StatusCode),
	}
}

// Send sends any request, whose header may have a Host. It follows no redirects: ZITADEL's
// API has none, and what redirects must not be sent a token or a password. The span in the
// request's context gets the HTTP status.
func (c *Client) Send(request *http.Request) (*http.Response, error) {
	sent := *request
	sent.Header = maps.Clone(request.Header) // a transport may still read it when the call has ended and is being made again
	if host := sent.Header["Host"]; len(host) > 0 {
		sent.Host = host[0]
		delete(sent.Header, "Host")
	}
	span := trace.SpanFromContext(request.Context())
	response, outcome, err := c.Transport.Do(&sent)
	if err != nil {
		failure := &Error{Dialed: outcome.Dialed, Sent: outcome.Sent, Cause: err}
		if other, ok := errors.AsType[*upstream.NotHTTP2Error](err); ok && other.Status != 0 {
			failure.Status, failure.Sent = other.Status, false
			span.SetAttributes(semconv.HTTPResponseStatusCode(other.Status))
		}
		if errors.Is(err, io.EOF) { // for which connect-go forgets the error
			failure.Cause = io.ErrUnexpectedEOF
		}
		return nil, failure
	}
	span.SetAttributes(semconv.HTTPResponseStatusCode(response.StatusCode))
	if response.Header["X-Envoy-Ratelimited"] != nil { // over gRPC, Envoy says it with code 14
		_ = response.Body.Close()
		response.StatusCode = http.StatusTooManyRequests
		return nil, NewAnswerError(response, nil)
	}
	if response.StatusCode != http.StatusOK { // connect-go repeats the upstream's reason phrase
		response.Status = strconv.Itoa(response.StatusCode) + " " + http.StatusText(response.StatusCode)
	}
	return response, nil
}

// RetryAfter reads a Retry-After header (RFC 9110 section 10.2.3). 0 is none that is valid and in the future.
func RetryAfter(header http.Header) time.Duration {
	value := header.Get("Retry-After")
	if seconds, err := strconv.ParseUint(value, 10, 31); err == nil {
		return time.Duration(seconds) * time.Second
	}
	if date, err := http.ParseTime(value); err == nil {
		return max(time.Until(date), 0)
	}
	return 0
}
