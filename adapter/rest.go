package adapter

import (
	"cmp"
	"context"
	"net/http"
	"time"

	"connectrpc.com/connect"

	"zitadel-v1-adapter/internal/crossorigin"
	"zitadel-v1-adapter/internal/ingress"
	"zitadel-v1-adapter/internal/rpcstatus"
	"zitadel-v1-adapter/internal/v1wire"
)

// serveREST answers a request that is in no RPC protocol.
func (a *Adapter) serveREST(x *ingress.Exchange, r *http.Request, called match) {
	switch {
	case crossorigin.IsPreflight(r):
		x.Header().Add("Vary", "Cookie") // v1 adds it to every 2xx
		x.WriteHeader(http.StatusNoContent)
		return
	case called.method == nil:
		rpcstatus.WriteJSON(x, rpcstatus.New(connect.CodeNotFound, "Not Found"))
		return
	}
	c := a.newCall(protocolREST, called.method, r)
	body := newMeteredBody(r.Body, &a.largeBody)
	defer body.release()
	verb, refusal := v1wire.RESTMethod(r, body)
	if refusal == nil && verb != http.MethodPost {
		rpcstatus.WriteMethodNotAllowed(x)
		return
	}
	x.Header().Set("X-Request-ID", c.event.RequestID)
	c.beginTrace(r.Context())
	defer func() {
		if x.Status() != 0 { // or else it broke down
			x.Flush() // the caller does not wait for the log
		}
		a.end(r.Context(), c, x.Status())
	}()
	ctx, cancel, malformed := v1wire.RESTContext(r)
	defer cancel()
	if deadline, ok := ctx.Deadline(); ok {
		a.limitBody(x, time.Until(deadline))
	}
	if refusal = cmp.Or(refusal, malformed); refusal != nil { // before v1's gateway has a call
		c.refusal = refusal
		rpcstatus.WriteJSON(x, refusal)
		return
	}
	var response response
	if refusal = c.readREST(ctx, r, body, called.userID); refusal == nil {
		response, refusal = a.run(ctx, c)
		if refusal == nil || refusal.Code != connect.CodeDeadlineExceeded { // recording expired-grpc-timeout
			setNoStore(x.Header())
		}
	}
	if c.refusal = refusal; refusal != nil {
		v1wire.WriteRESTStatus(x, r, refusal)
		return
	}
	x.Header().Add("Vary", "Cookie")
	v1wire.WriteREST(x, r, response)
}

// readREST reads the call's request, for the user whom the path names.
func (c *call) readREST(ctx context.Context, r *http.Request, body v1wire.Body, userID string) *rpcstatus.Status {
	c.request = c.method.newRequest("", "")
	return v1wire.ReadREST(ctx, r, body, c.request, func() { setUserID(c.request, userID) })
}

// setNoStore adds what v1's gRPC server adds to every answer of a method.
func setNoStore(header http.Header) {
	header.Set("Cache-Control", "no-store")
	header.Set("Expires", time.Now().UTC().Format(http.TimeFormat))
	header.Set("Pragma", "no-cache")
}
