package adapter

import (
	"crypto/sha256"
	"fmt"
	"time"

	lru "github.com/hashicorp/golang-lru/v2"

	"zitadel-v1-adapter/v2client"
)

// The facts never change: the bounds are there for memory, and so that nothing
// outlives a mistake.
const (
	identityEntries = 10_000
	identityTTL     = time.Hour
)

// identityCache holds what never changes of callers and of the users they deal with:
// whose a token is, and which organization a user belongs to. It never holds a
// token (only its SHA-256), and never that something was not found. v2 checks
// the token itself on every write.
//
// What v2 showed to one caller is not used for another: neither an answer nor
// its speed tells a stranger anything about users.
type identityCache struct {
	subjects      *lru.Cache[tokenHash, entry]
	organizations *lru.Cache[userKey, entry]
	now           func() time.Time
}

type tokenHash [sha256.Size]byte

type entry struct {
	value   string
	expires time.Time
}

type userKey struct {
	token  tokenHash
	userID string
}

func newIdentityCache() (*identityCache, error) {
	subjects, err := lru.New[tokenHash, entry](identityEntries)
	if err != nil {
		return nil, fmt.Errorf("identity cache: %w", err)
	}
	organizations, err := lru.New[userKey, entry](identityEntries)
	if err != nil {
		return nil, fmt.Errorf("identity cache: %w", err)
	}
	return &identityCache{subjects: subjects, organizations: organizations, now: time.Now}, nil
}

// subject returns the id of the user whose token it is.
func (c *identityCache) subject(token tokenHash) (string, bool) {
	return lookup(c, c.subjects, token)
}

func (c *identityCache) keepSubject(token tokenHash, userID string) {
	c.subjects.Add(token, c.entry(userID))
}

// organization returns the organization that a user belongs to, if v2 showed it
// to the caller with this token.
func (c *identityCache) organization(token tokenHash, userID string) (string, bool) {
	return lookup(c, c.organizations, userKey{token, userID})
}

func (c *identityCache) keepOrganization(token tokenHash, userID, organization string) {
	c.organizations.Add(userKey{token, userID}, c.entry(organization))
}

func (c *identityCache) entry(value string) entry {
	return entry{value: value, expires: c.now().Add(identityTTL)}
}

func lookup[K comparable](c *identityCache, cache *lru.Cache[K, entry], key K) (string, bool) {
	found, ok := cache.Get(key)
	if !ok || c.now().After(found.expires) {
		return "", false
	}
	return found.value, true
}

// hashToken hashes the caller's token, and the instance for which it is one.
func hashToken(caller v2client.Caller) tokenHash {
	return sha256.Sum256([]byte(caller.Instance() + "\x00" + caller.Authorization()))
}
