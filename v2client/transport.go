package v2client

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"strconv"
	"sync"
	"time"

	"connectrpc.com/connect"

	"zitadel-v1-adapter/internal/rpcstatus"
	"zitadel-v1-adapter/internal/tracing"
	"zitadel-v1-adapter/internal/upstream"
)

// transport makes requests for connect-go, and notes of each what connect-go does not
// tell.
//
// Connect runs over HTTP/1.1 keep-alive connections, which cost less than half
// of HTTP/2's work per call on both sides; gRPC needs HTTP/2.
type transport struct{ upstream *upstream.Transport }

func newTransport(to *upstream.Upstream, protocol Protocol) transport {
	version := upstream.HTTP1
	if protocol == ProtocolGRPC {
		version = upstream.HTTP2
	}
	return transport{to.NewTransport(upstream.TransportConfig{Version: version, MaxResponseHeaderBytes: 64 << 10, SmallRequests: true})}
}

// Do makes connect-go's and userinfo's requests. It follows no redirects: ZITADEL's API
// has none, and what redirects must not be sent a token or a password.
func (t transport) Do(request *http.Request) (*http.Response, error) {
	note, noted := request.Context().Value(noteKey{}).(*note)
	if noted && note.span != nil {
		traceRequest(note.span, request)
	}
	response, outcome, err := t.upstream.Do(request)
	made := attempt{Outcome: outcome}
	if http1, ok := errors.AsType[*upstream.HTTP1AnswerError](err); ok {
		made.status, made.foreign, made.Sent = http1.Status, true, false
	}
	if err == nil {
		made.status = response.StatusCode
		made.retryAfter = retryAfter(response.Header.Get("Retry-After"), time.Now())
		if response.Status != "200 OK" { // connect-go repeats the upstream's reason phrase
			response.Status = strconv.Itoa(response.StatusCode) + " " + http.StatusText(response.StatusCode)
		}
		switch {
		case response.Header["X-Envoy-Ratelimited"] != nil: // to gRPC, Envoy says it with code 14
			made.status, made.foreign = http.StatusTooManyRequests, true
		case response.StatusCode != http.StatusOK && request.Method == http.MethodPost:
			made.foreign, made.noRoute = judge(response)
		}
	}
	if noted {
		note.write(made)
		if err == nil {
			note.span.HTTPStatus(response.StatusCode)
		}
	}
	return response, err
}

// note is where an attempt is written down. It is the attempt's context, because connect-go
// stands between the call and its transport.
type note struct {
	context.Context //nolint:containedctx // it is one

	span *tracing.Span // nil: none

	mu      sync.Mutex // a transport may still be at work when its call has ended
	attempt attempt
}

// newNote begins an attempt. While it is under way, it may have been handled.
func newNote(ctx context.Context, span *tracing.Span) *note {
	return &note{Context: ctx, span: span, attempt: attempt{Outcome: upstream.Outcome{Dialed: true, Sent: true}}}
}

type noteKey struct{}

// Value implements [context.Context].
func (n *note) Value(key any) any {
	if key == (noteKey{}) {
		return n
	}
	return n.Context.Value(key)
}

func (n *note) write(made attempt) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.attempt = made
}

// known is what is known of the attempt.
func (n *note) known() attempt {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.attempt
}

// judge tells whether an answer is foreign: no error as the Connect protocol has it, whose
// code is named in the body and belongs to its HTTP status. noRoute says that it is the
// answer of ZITADEL's REST API for paths that it does not have.
func judge(response *http.Response) (foreign, noRoute bool) {
	body, _ := io.ReadAll(io.LimitReader(response.Body, maxAnswerBytes)) // an error comes again below
	unread(response, body)
	var told struct {
		Code connect.Code `json:"code"`
	}
	if json.Unmarshal(body, &told) == nil && told.Code != 0 && rpcstatus.HTTPStatus(told.Code) == response.StatusCode {
		return false, false
	}
	own, ok := errors.AsType[*gatewayError](newGatewayError(response.StatusCode, body))
	return true, ok && own.missing && !own.foreign
}

// retryAfter reads a Retry-After header (RFC 9110 section 10.2.3): seconds or a date. 0 is
// none, or none that is valid and in the future.
func retryAfter(value string, now time.Time) time.Duration {
	if seconds, err := strconv.ParseUint(value, 10, 31); err == nil {
		return time.Duration(seconds) * time.Second
	}
	if date, err := http.ParseTime(value); err == nil {
		return max(date.Sub(now), 0)
	}
	return 0
}

// unread puts what was read of an answer's body before the rest of it.
func unread(response *http.Response, read []byte) {
	response.Body = struct {
		io.Reader
		io.Closer
	}{io.MultiReader(bytes.NewReader(read), response.Body), response.Body}
}
