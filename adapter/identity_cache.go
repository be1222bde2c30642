package adapter

import (
	"crypto/sha256"
	"fmt"
	"time"

	lru "github.com/hashicorp/golang-lru/v2"

	"zitadel-v1-adapter/v2client"
)

// The facts hardly ever change: the bounds are there for memory, and so that nothing
// outlives a mistake.
const (
	identityEntries = 10_000
	identityTTL     = time.Hour
	refusalTTL      = time.Minute
)

// identityCache holds what hardly ever changes of callers and of the users they deal with:
// whose a token is, and which organization a user belongs to. It never holds a
// token (only its SHA-256), and never that something was not found. v2 checks
// the token itself on every write. A token that ZITADEL refused is remembered for a minute, so
// that naming its callers does not cost a request a call; no call is refused because of it.
//
// What v2 showed to one caller is not used for another: neither an answer nor
// its speed tells a stranger anything about users.
type identityCache struct {
	callers       *lru.Cache[tokenHash, entry[v2client.Identity]]
	organizations *lru.Cache[userKey, entry[string]]
	refusals      *lru.Cache[tokenHash, entry[struct{}]]
	now           func() time.Time
}

type tokenHash [sha256.Size]byte

type entry[V any] struct {
	value   V
	expires time.Time
}

type userKey struct {
	token  tokenHash
	userID string
}

func newIdentityCache() (*identityCache, error) {
	callers, err := lru.New[tokenHash, entry[v2client.Identity]](identityEntries)
	if err != nil {
		return nil, fmt.Errorf("identity cache: %w", err)
	}
	organizations, err := lru.New[userKey, entry[string]](identityEntries)
	if err != nil {
		return nil, fmt.Errorf("identity cache: %w", err)
	}
	refusals, err := lru.New[tokenHash, entry[struct{}]](identityEntries)
	if err != nil {
		return nil, fmt.Errorf("identity cache: %w", err)
	}
	return &identityCache{callers: callers, organizations: organizations, refusals: refusals, now: time.Now}, nil
}

// identity returns whose token it is.
func (c *identityCache) identity(token tokenHash) (v2client.Identity, bool) {
	return lookup(c, c.callers, token)
}

func (c *identityCache) keepIdentity(token tokenHash, identity v2client.Identity) {
	keep(c, c.callers, token, identity, identityTTL)
	if identity.Organization != "" {
		c.keepOrganization(token, identity.UserID, identity.Organization)
	}
}

// isRefused reports whether ZITADEL did not take the token a short while ago.
func (c *identityCache) isRefused(token tokenHash) bool {
	_, refused := lookup(c, c.refusals, token)
	return refused
}

func (c *identityCache) keepRefusal(token tokenHash) {
	keep(c, c.refusals, token, struct{}{}, refusalTTL)
}

// organization returns the organization that a user belongs to, if v2 showed it
// to the caller with this token.
func (c *identityCache) organization(token tokenHash, userID string) (string, bool) {
	return lookup(c, c.organizations, userKey{token, userID})
}

func (c *identityCache) keepOrganization(token tokenHash, userID, organization string) {
	keep(c, c.organizations, userKey{token, userID}, organization, identityTTL)
}

// forgetUser forgets, for all callers, a user who turns out to belong elsewhere. That is
// rare enough for a look at everything.
func (c *identityCache) forgetUser(userID string) {
	for _, key := range c.organizations.Keys() {
		if key.userID == userID {
			c.organizations.Remove(key)
		}
	}
	for _, token := range c.callers.Keys() {
		if caller, ok := c.callers.Peek(token); ok && caller.value.UserID == userID {
			c.callers.Remove(token)
		}
	}
}

func keep[K comparable, V any](c *identityCache, cache *lru.Cache[K, entry[V]], key K, value V, ttl time.Duration) {
	cache.Add(key, entry[V]{value: value, expires: c.now().Add(ttl)})
}

func lookup[K comparable, V any](c *identityCache, cache *lru.Cache[K, entry[V]], key K) (value V, ok bool) {
	found, ok := cache.Get(key)
	if !ok || c.now().After(found.expires) {
		return value, false
	}
	return found.value, true
}

// hashToken hashes the caller's token, and the instance for which it is one.
func hashToken(caller v2client.Caller) tokenHash {
	return sha256.Sum256([]byte(caller.Instance() + "\x00" + caller.Authorization()))
}
