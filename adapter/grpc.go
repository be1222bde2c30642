package adapter

import (
	"bytes"
	"context"
	"io"
	"net/http"
	"slices"
	"strings"
	"time"

	"connectrpc.com/connect"
	"google.golang.org/protobuf/proto"

	"zitadel-v1-adapter/gen/zitadel/management/v1/managementv1connect"
	"zitadel-v1-adapter/internal/ingress"
	"zitadel-v1-adapter/internal/rpcstatus"
	"zitadel-v1-adapter/internal/v1wire"
)

// rpcCall is a request in one of the RPC protocols.
type rpcCall struct {
	*ingress.Exchange

	request  *http.Request
	protocol rpcstatus.Protocol
	body     *meteredBody
	// message is the call's one message, unpacked, once it is read, and refusal why it
	// is not one.
	message []byte
	refusal *rpcstatus.Status
	isRead  bool
	// The client's timeout counts from the headers on.
	timeout  time.Duration
	limited  bool              // there is one
	rejected *rpcstatus.Status // why the headers are no call's
}

// serveRPC answers a request in an RPC protocol; a nil method is one that v1 does not
// know.
func (a *Adapter) serveRPC(x *ingress.Exchange, r *http.Request, protocol rpcstatus.Protocol, m *Method) {
	c := &rpcCall{Exchange: x, request: r, protocol: protocol, body: &meteredBody{from: r.Body, slots: &a.largeBody}}
	defer c.body.release()
	event := a.newEvent(string(protocol), m, r)
	if c.timeout, c.limited, c.rejected = v1wire.AcceptRPC(r, protocol); c.limited {
		a.limitBody(x, c.timeout)
	}
	if a.config.Rollout != RolloutAll && !a.translatesRPC(c, m, event) {
		return
	}
	x.Header()["X-Robots-Tag"] = a.noRobots
	if protocol != rpcstatus.GRPC {
		a.webCORS.Allow(x, r)
	}
	a.answerRPC(c, m, event)
}

// translatesRPC reads the call's message for the user in it, and lets native v1 answer
// if the rollout has not reached that one.
func (a *Adapter) translatesRPC(c *rpcCall, m *Method, event *Event) bool {
	var raw bytes.Buffer
	c.body.from = io.TeeReader(c.request.Body, &raw)
	c.read()
	if c.refusal != nil && (c.refusal.Code == connect.CodeUnavailable || c.refusal.Code == connect.CodeDeadlineExceeded) {
		return true // there was no room or no time to read it: native v1 could not be sent it
	}
	userID, shadowed := "", &shadowCall{method: m, event: event, refusal: c.rejected}
	if shadowed.refusal == nil {
		shadowed.refusal = v1wire.CheckEncoding(c.request, http.Header{})
	}
	if m != nil && c.refusal == nil {
		request := m.newRequest("", "")
		if proto.Unmarshal(c.message, request.message()) == nil {
			shadowed.request = request
		}
		userID = request.userID() // as much as could be read
	}
	if a.config.Rollout.translates(userID) {
		return true
	}
	replayed := *c.request
	replayed.Body = struct {
		io.Reader
		io.Closer
	}{io.MultiReader(&raw, c.request.Body), c.request.Body}
	a.serveNative(c.Exchange, &replayed, shadowed, userID)
	return false
}

// answerRPC answers by translation.
func (a *Adapter) answerRPC(c *rpcCall, m *Method, event *Event) {
	c.Header()["X-Request-Id"] = event.answerID[:]
	if m != nil {
		event.beginTrace(c.request.Context(), m)
		defer func() { a.end(c.request.Context(), event, c.Status()) }()
	}
	refusal := c.rejected
	if refusal == nil && m == nil {
		refusal = v1wire.UnknownMethod(c.request.URL.Path, managementv1connect.ManagementServiceName)
	}
	if refusal == nil {
		refusal = v1wire.CheckEncoding(c.request, c.Header())
	}
	if refusal != nil {
		event.status = refusal
		c.refuse(refusal)
		return
	}
	ctx := c.request.Context()
	if c.limited {
		var cancel context.CancelFunc
		ctx, cancel = context.WithDeadline(ctx, event.Started.Add(c.timeout))
		defer cancel()
	}
	response, refusal := a.runRPC(ctx, c, m, event)
	event.status = refusal
	if refusal != nil {
		c.refuse(refusal)
		return
	}
	if a.deprecated.headers() == nil {
		delete(c.Header(), "Access-Control-Expose-Headers") // the status is in the body (recording cors-post)
	}
	v1wire.WriteRPC(c, c.request, c.protocol, response)
}

// runRPC reads the request and makes the call.
func (a *Adapter) runRPC(ctx context.Context, c *rpcCall, m *Method, event *Event) (response, *rpcstatus.Status) {
	c.read()
	if late := v1wire.DeadlineStatus(ctx); late != nil { // whatever came in the meantime
		return nil, late
	}
	if c.refusal != nil {
		return nil, c.refusal
	}
	request := m.newRequest("", "")
	if refusal := v1wire.DecodeRPC(c.message, request.message()); refusal != nil {
		return nil, refusal
	}
	setNoStore(c.Header())
	return a.run(ctx, m, request, event)
}

// read reads the call's one message, once.
func (c *rpcCall) read() {
	if c.isRead {
		return
	}
	c.isRead = true
	c.message, c.refusal = v1wire.ReadRPC(c.request, c.protocol, c.body)
}

// refuse answers with a status. Before v1's interceptors have a call, gRPC-Web's wrapper lets
// a browser's page read all headers (recording unknown-method).
func (c *rpcCall) refuse(refusal *rpcstatus.Status) {
	if header := c.Header(); c.protocol != rpcstatus.GRPC && header["Pragma"] == nil {
		names := slices.Clone(header["Access-Control-Expose-Headers"]) // crossorigin's, for another origin
		names = append(names, "Content-Type")
		if refusal.Plain {
			names = append(names, "X-Content-Type-Options")
		} else {
			names = append(names, "Date", "Grpc-Message", "Grpc-Status")
		}
		for name := range header {
			if name != "X-Request-Id" { // which v1 does not send
				names = append(names, name)
			}
		}
		names = append(names, "grpc-status", "grpc-message")
		header["Access-Control-Expose-Headers"] = []string{strings.Join(names, ", ")}
	}
	rpcstatus.WriteRPC(c, c.request, c.protocol, refusal)
}
