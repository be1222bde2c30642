package v2client

import (
	"strings"

	lru "github.com/hashicorp/golang-lru/v2"

	"zitadel-v1-adapter/internal/upstream"
)

// hosts are those under which the upstream has answered as ZITADEL, where clients say
// under which it is asked: what a load balancer does with a host that it does not know,
// and that anybody may send, says nothing about the upstream. A nil *hosts knows all.
type hosts struct {
	seen *lru.Cache[string, struct{}]
}

// maxHosts is how many are remembered: more than most have instances.
const maxHosts = 1000

func newHosts(to *upstream.Upstream) (*hosts, error) {
	if !to.HostByClient() {
		return nil, nil //nolint:nilnil // as said above
	}
	seen, err := lru.New[string, struct{}](maxHosts)
	return &hosts{seen}, err
}

func (h *hosts) known(host string) bool { return h == nil || h.seen.Contains(strings.ToLower(host)) }

// answered is called when a call succeeded, which nobody can bring about without a
// token.
func (h *hosts) answered(host string) {
	if h != nil {
		h.seen.Add(strings.ToLower(host), struct{}{})
	}
}
