package v2client

import (
	"strings"

	"connectrpc.com/connect"
	lru "github.com/hashicorp/golang-lru/v2"

	"zitadel-v1-adapter/internal/upstream"
)

// maxForwardedBytes bounds the headers that a caller may have sent on. Tokens
// are a few kilobytes.
const maxForwardedBytes = 256 << 10

// target is where a call goes.
type target struct {
	host string
	// largeHeaders and unverifiedHost say that a failure may be the call's own fault: a
	// load balancer may turn away large headers, and a host that it does not know.
	largeHeaders, unverifiedHost bool
}

// suspect reports whether a failure of a call to t may be the call's own fault.
func (t target) suspect() bool { return t.largeHeaders || t.unverifiedHost }

// mayBeWhy reports whether a call to t may have failed because of t. Without a
// connection it did not, and a load balancer that does not know a host says so at once.
func (t target) mayBeWhy(origin Origin, made attempt) bool {
	switch {
	case !made.Dialed:
		return false
	case origin == OriginDeadline:
		return t.largeHeaders
	}
	return t.suspect()
}

// targetOf says where a caller's calls go. It refuses what net/http would not send: a
// caller must not be able to fail calls in a way that looks like the upstream's fault.
func (c *Client) targetOf(caller Caller) (target, error) {
	bytes := caller.headerBytes()
	if len(caller.host)+bytes > maxForwardedBytes {
		return target{}, &Error{Code: connect.CodeResourceExhausted, Message: "the request's headers are too large", Origin: OriginSelf}
	}
	host, ok := c.upstream.HostFor(caller.host)
	if !ok {
		return target{}, &Error{Code: connect.CodeNotFound, Message: "Instance not found: the request's host is not a host name", Origin: OriginSelf}
	}
	return target{host: host, largeHeaders: bytes > upstream.UsualHeaderBytes, unverifiedHost: !c.verified.contain(host)}, nil
}

// verifiedHosts are those under which the upstream has answered as ZITADEL, where
// clients say under which it is asked. Without them, anybody could open the breaker with
// hosts that a load balancer does not know; a list in the configuration would have to be
// kept up with every new instance. A nil *verifiedHosts contains all.
type verifiedHosts struct {
	seen *lru.Cache[string, struct{}]
}

// maxVerifiedHosts is more than most ZITADELs have instances.
const maxVerifiedHosts = 1000

func newVerifiedHosts(to *upstream.Upstream) (*verifiedHosts, error) {
	if !to.HostByClient() {
		return nil, nil //nolint:nilnil // as said above
	}
	seen, err := lru.New[string, struct{}](maxVerifiedHosts)
	return &verifiedHosts{seen}, err
}

func (v *verifiedHosts) contain(host string) bool {
	return v == nil || v.seen.Contains(strings.ToLower(host))
}

// add is called when a call succeeded, which takes a token.
func (v *verifiedHosts) add(host string) {
	if v != nil {
		v.seen.Add(strings.ToLower(host), struct{}{})
	}
}
