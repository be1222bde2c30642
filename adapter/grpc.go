package adapter

import (
	"bytes"
	"context"
	"encoding/binary"
	"fmt"
	"io"
	"net/http"
	"strings"

	"connectrpc.com/connect"
	"google.golang.org/protobuf/proto"

	"zitadel-v1-adapter/gen/zitadel/management/v1/managementv1connect"
	"zitadel-v1-adapter/internal/ingress"
	"zitadel-v1-adapter/internal/rpcstatus"
)

// gRPC and gRPC-Web are read as v1's grpc-go reads them.

// rpcCall is a request in one of the RPC protocols.
type rpcCall struct {
	*ingress.Exchange

	request  *http.Request
	protocol rpcstatus.Protocol
	body     *heldBody
	// message is the call's one message, unpacked, once it is read, and refusal why it
	// is not one.
	message []byte
	refusal *rpcstatus.Status
	isRead  bool
}

// serveRPC answers a request in an RPC protocol; a nil method is one that v1 does not
// know.
func (a *Adapter) serveRPC(x *ingress.Exchange, r *http.Request, protocol rpcstatus.Protocol, m *method) {
	c := &rpcCall{Exchange: x, request: r, protocol: protocol, body: &heldBody{from: r.Body, slots: &a.largeBody}}
	defer c.body.release()
	if a.config.Rollout != RolloutAll && !a.translatesRPC(c, m) {
		return
	}
	x.Header()["X-Robots-Tag"] = a.noRobots
	if protocol != rpcstatus.GRPC {
		a.webCORS.Allow(x, r)
	}
	a.answerRPC(c, m)
}

// translatesRPC reads the call's message for the user in it, and lets native v1 answer
// if the rollout has not reached that one.
func (a *Adapter) translatesRPC(c *rpcCall, m *method) bool {
	var raw bytes.Buffer
	c.body.from = io.TeeReader(c.request.Body, &raw)
	c.read()
	if c.refusal != nil && c.refusal.Code == connect.CodeUnavailable {
		return true // there was no room to read it: by its user, it might go the other way
	}
	userID, shadowed := "", &shadowing{method: m}
	if m != nil && c.refusal == nil {
		request := m.newRequest()
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
	a.serveNative(c.Exchange, &replayed, string(c.protocol), shadowed, userID)
	return false
}

// answerRPC answers by translation.
func (a *Adapter) answerRPC(c *rpcCall, m *method) {
	event := a.newEvent(string(c.protocol), m, c.request)
	c.Header()["X-Request-Id"] = event.answerID[:]
	if m != nil {
		c.request = a.traced(event, m, c.request)
		defer func() { a.end(c.request.Context(), event, c.Status()) }()
	}
	timeout, limited, err := grpcTimeout(c.request.Header.Get("Grpc-Timeout"))
	if err != nil {
		event.status = rpcstatus.New(connect.CodeInternal, "malformed grpc-timeout: "+err.Error())
		http.Error(c, event.status.Message, http.StatusBadRequest)
		return
	}
	if m == nil {
		a.status.WriteRPC(c, c.request, c.protocol, unknownMethod(c.request.URL.Path))
		return
	}
	ctx := c.request.Context()
	if limited { // from the headers on, and once
		var cancel context.CancelFunc
		ctx, cancel = context.WithDeadline(ctx, event.Started.Add(timeout))
		defer cancel()
		a.limitBody(c.Exchange, timeout)
	}
	response, refusal := a.runRPC(ctx, c, m, event)
	event.status = refusal
	if refusal != nil {
		a.status.WriteRPC(c, c.request, c.protocol, refusal)
		return
	}
	c.write(response)
}

// runRPC reads the request and makes the call.
func (a *Adapter) runRPC(ctx context.Context, c *rpcCall, m *method, event *Event) (response, *rpcstatus.Status) {
	c.read()
	if late := expired(ctx); late != nil { // whatever came in the meantime
		return nil, late
	}
	if c.refusal != nil {
		return nil, c.refusal
	}
	request := m.newRequest()
	if err := proto.Unmarshal(c.message, request.message()); err != nil { // before v1's interceptors (recording garbage-message)
		return nil, rpcstatus.New(connect.CodeInternal, "grpc: error unmarshalling request: "+stableProtoText(err))
	}
	a.setNoStore(c.Header())
	return a.run(ctx, m, request, event)
}

// read reads the call's one message, once.
func (c *rpcCall) read() {
	if c.isRead {
		return
	}
	c.isRead = true
	encoding := c.request.Header.Get("Grpc-Encoding")
	if c.refusal = checkEncoding(encoding); c.refusal != nil {
		return
	}
	var frame io.Reader = c.body
	if c.protocol == rpcstatus.GRPCWebText {
		frame = decodeText(frame)
	}
	c.message, c.refusal = readFrame(frame, encoding, c.body)
}

// write answers with a response. v1 does not compress answers, and these are tens of
// bytes.
func (c *rpcCall) write(response proto.Message) {
	var w http.ResponseWriter = c
	web := c.protocol != rpcstatus.GRPC
	if c.protocol == rpcstatus.GRPCWebText {
		text := rpcstatus.NewTextWriter(c)
		defer text.Close()
		w = text
	}
	header := w.Header()
	header["Content-Type"] = []string{c.binary().ContentType(c.request.Header.Get("Content-Type"))}
	if !web {
		header["Trailer"] = []string{"Grpc-Status"}
	}
	body := make([]byte, framePrefixBytes, 128)
	body, err := proto.MarshalOptions{}.MarshalAppend(body, response)
	if err != nil { // only text that is not UTF-8, which v2 does not send
		panic(err) //nolint:forbidigo // answered and logged at the edge
	}
	binary.BigEndian.PutUint32(body[1:], uint32(len(body)-framePrefixBytes)) //nolint:gosec // tens of bytes
	if web {
		const trailer = "grpc-status: 0\r\n"
		body = append(body, 1<<7, 0, 0, 0, byte(len(trailer)))
		body = append(body, trailer...)
	}
	w.WriteHeader(http.StatusOK)
	_, _ = w.Write(body) // a client that is gone needs no answer
	if !web {
		header["Grpc-Status"] = []string{"0"}
	}
}

// binary is the call's protocol, text mode being gRPC-Web in base64.
func (c *rpcCall) binary() rpcstatus.Protocol {
	if c.protocol == rpcstatus.GRPCWebText {
		return rpcstatus.GRPCWeb
	}
	return c.protocol
}

// unknownMethod is grpc-go's status for a path that no service has.
func unknownMethod(path string) *rpcstatus.Status {
	path = strings.TrimPrefix(path, "/")
	at := strings.LastIndexByte(path, '/')
	switch {
	case at < 0:
		return rpcstatus.New(connect.CodeUnimplemented, fmt.Sprintf("malformed method name: %q", "/"+path))
	case path[:at] == managementv1connect.ManagementServiceName:
		return rpcstatus.New(connect.CodeUnimplemented, fmt.Sprintf("unknown method %s for service %s", path[at+1:], path[:at]))
	}
	return rpcstatus.New(connect.CodeUnimplemented, "unknown service "+path[:at])
}
