package ingress

import (
	"net/http"
	"strings"

	"connectrpc.com/connect"

	"zitadel-v1-adapter/internal/refusals"
	"zitadel-v1-adapter/internal/rpcstatus"
)

// ViaHeader names the adapters that a request has passed through, by Config.ID, as Via does
// with proxies (RFC 9110 section 7.6.3). Via itself may change how servers answer.
const ViaHeader = "X-V1adapter-Via"

// ViaQuestion is the value of ViaHeader with which "check" asks whether it is an adapter that
// answers: one sets the header in its answer.
const ViaQuestion = "?"

// passes reports whether a request may go on, and answers it if not: it has been here
// before, and would go round until memory or ports were exhausted. The id is random, so
// that no client can have other clients' requests taken for that.
func (h *Handler) passes(x *Exchange, r *http.Request) bool {
	via := strings.Join(r.Header[ViaHeader], ",")
	switch {
	case via == ViaQuestion:
		x.Header()[ViaHeader] = []string{"1"}
	case h.config.ID != "" && strings.Contains(via, h.config.ID):
		h.config.Refusals.Add(refusals.Loop, r.RemoteAddr, "upstream.url leads back to this adapter: set it to ZITADEL's own address")
		loop := rpcstatus.New(connect.CodeInternal, "loop detected: the upstream of this adapter leads back to it")
		loop.HTTPStatus = http.StatusLoopDetected
		rpcstatus.Write(x, r, loop)
		return false
	}
	return true
}
