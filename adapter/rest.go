package adapter

import (
	"cmp"
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
	event := a.newEvent(protocolREST, called.method, r)
	body := &meteredBody{from: r.Body, slots: &a.largeBody}
	defer body.release()
	verb, refusal := v1wire.RESTMethod(r, body)
	if refusal == nil && verb != http.MethodPost {
		rpcstatus.WriteMethodNotAllowed(x)
		return
	}
	x.Header()["X-Request-Id"] = event.answerID[:]
	event.beginTrace(r.Context(), called.method)
	defer func() {
		if x.Status() != 0 { // or else it broke down
			x.Flush() // the caller does not wait for the log
		}
		a.end(r.Context(), event, x.Status())
	}()
	request := called.method.newRequest("", "")
	ctx, cancel, malformed := v1wire.RESTContext(r)
	defer cancel()
	if deadline, ok := ctx.Deadline(); ok {
		a.limitBody(x, time.Until(deadline))
	}
	if refusal = cmp.Or(refusal, malformed); refusal != nil { // before v1's gateway has a call
		event.status = refusal
		rpcstatus.WriteJSON(x, refusal)
		return
	}
	if refusal = v1wire.ReadREST(ctx, r, body, request.message(), func() { request.setUserID(called.userID) }); refusal != nil {
		event.status = refusal
		v1wire.WriteRESTStatus(x, r, refusal)
		return
	}
	response, refusal := a.run(ctx, called.method, request, event)
	if refusal == nil || refusal.Code != connect.CodeDeadlineExceeded { // recording expired-grpc-timeout
		setNoStore(x.Header())
	}
	if refusal != nil {
		v1wire.WriteRESTStatus(x, r, refusal)
		return
	}
	x.Header().Add("Vary", "Cookie")
	v1wire.WriteREST(x, r, response)
}

// setNoStore adds what v1's gRPC server adds to every answer of a method.
func setNoStore(header http.Header) {
	header["Cache-Control"] = []string{"no-store"}
	header["Expires"] = []string{time.Now().UTC().Format(http.TimeFormat)}
	header["Pragma"] = []string{"no-cache"}
}
