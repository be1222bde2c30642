package adapter

import (
	"bytes"
	"cmp"
	"context"
	"io"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"

	"connectrpc.com/connect"
	"google.golang.org/protobuf/proto"

	"zitadel-v1-adapter/gen/zitadel/management/v1/managementv1connect"
	"zitadel-v1-adapter/internal/ingress"
	"zitadel-v1-adapter/internal/rpcstatus"
	"zitadel-v1-adapter/internal/v1wire"
)

// rpcCall is a call in one of the RPC protocols.
type rpcCall struct {
	*call
	*ingress.Exchange

	http     *http.Request
	protocol rpcstatus.Protocol
	// read reads the call's one message, unpacked, once.
	read func() ([]byte, *rpcstatus.Status)
	// The client's timeout counts from the headers on.
	timeout time.Duration
	limited bool // there is one
}

// serveRPC answers a request in an RPC protocol; a nil method is one that v1 does not know.
func (a *Adapter) serveRPC(x *ingress.Exchange, r *http.Request, protocol rpcstatus.Protocol, m *Method) {
	body := newMeteredBody(r.Body, &a.largeBody)
	defer body.release()
	c := &rpcCall{call: a.newCall(string(protocol), m, r), Exchange: x, http: r, protocol: protocol}
	c.read = sync.OnceValues(func() ([]byte, *rpcstatus.Status) { return v1wire.ReadRPC(r, protocol, body) })
	if c.timeout, c.limited, c.rejected = v1wire.AcceptRPC(r, protocol); c.limited {
		a.limitBody(x, c.timeout)
	}
	if a.config.Rollout != RolloutAll {
		var raw bytes.Buffer
		body.Reader = io.TeeReader(body.Reader, &raw)
		if !a.translatesRPC(c) {
			a.serveNative(x, replay(r, &raw), c.call)
			return
		}
	}
	x.Header().Set("X-Robots-Tag", "none")
	if protocol != rpcstatus.GRPC {
		a.webCORS.Allow(x, r)
	}
	a.answerRPC(c)
}

// translatesRPC reads the call's message for the user in it, and reports whether the rollout
// has reached that one. If not, it notes what shadow mode judges.
func (a *Adapter) translatesRPC(c *rpcCall) bool {
	message, refusal := c.read()
	if refusal != nil && (refusal.Code == connect.CodeUnavailable || refusal.Code == connect.CodeDeadlineExceeded) {
		return true // there was no room or no time to read it: native v1 could not be sent it
	}
	userID := ""
	if c.method != nil && refusal == nil {
		request := c.method.newRequest("", "")
		if proto.Unmarshal(message, request) == nil {
			c.request = request
		}
		userID = request.GetUserId() // as much as could be read
	}
	if a.config.Rollout.translates(userID) {
		return true
	}
	c.event.UserID = userID
	c.rejected = cmp.Or(c.rejected, v1wire.CheckEncoding(c.http, http.Header{}))
	return false
}

func (a *Adapter) answerRPC(c *rpcCall) {
	c.Header().Set("X-Request-ID", c.event.RequestID)
	if c.method != nil {
		c.beginTrace(c.http.Context())
		defer func() { a.end(c.http.Context(), c.call, c.Status()) }()
	}
	response, refusal := a.runRPC(c)
	if c.refusal = refusal; refusal != nil {
		c.refuse(refusal)
		return
	}
	if a.deprecated.headers() == nil {
		c.Header().Del("Access-Control-Expose-Headers") // the status is in the body (recording cors-post)
	}
	v1wire.WriteRPC(c, c.http, c.protocol, response)
}

func (a *Adapter) runRPC(c *rpcCall) (response, *rpcstatus.Status) {
	refusal := c.rejected
	if refusal == nil && c.method == nil {
		refusal = v1wire.UnknownMethod(c.http.URL.Path, managementv1connect.ManagementServiceName)
	}
	if refusal == nil {
		refusal = v1wire.CheckEncoding(c.http, c.Header())
	}
	if refusal != nil {
		return nil, refusal
	}
	ctx := c.http.Context()
	if c.limited {
		var cancel context.CancelFunc
		ctx, cancel = context.WithDeadline(ctx, c.event.Started.Add(c.timeout))
		defer cancel()
	}
	message, refusal := c.read()
	if refusal = cmp.Or(v1wire.DeadlineStatus(ctx), refusal); refusal != nil { // the deadline, whatever came in the meantime
		return nil, refusal
	}
	c.request = c.method.newRequest("", "")
	if refusal = v1wire.DecodeRPC(message, c.request); refusal != nil {
		return nil, refusal
	}
	setNoStore(c.Header())
	return a.run(ctx, c.call)
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
		header.Set("Access-Control-Expose-Headers", strings.Join(names, ", "))
	}
	rpcstatus.WriteRPC(c, c.http, c.protocol, refusal)
}
