package adapter

import (
	"crypto/sha256"
	"time"

	lru "github.com/hashicorp/golang-lru/v2"

	"zitadel-v1-adapter/v2client"
)

// The bounds are for memory, and so that nothing outlives a mistake.
const (
	identityEntries = 20_000
	identityTTL     = time.Hour
	refusalTTL      = time.Minute
)

// identityCache holds what hardly ever changes: whose a token is, and which organization a user
// belongs to. It never holds a token (only its SHA-256), and never that something was not found.
// v2 checks the token itself on every write. That ZITADEL refused a token is remembered for a
// minute, so that to name its caller does not cost a request a call; no call is refused for it.
//
// What v2 showed to one caller is not used for another: neither an answer nor its speed tells a
// stranger anything about users.
type identityCache struct {
	entries *lru.Cache[identityKey, identityEntry]
	now     func() time.Time
}

type tokenHash [sha256.Size]byte

// identityKey is a user as the caller with a token sees it; "" is the caller.
type identityKey struct {
	token  tokenHash
	userID string
}

type identityEntry struct {
	v2client.Identity // without UserID: ZITADEL refused the token

	expires time.Time
}

func newIdentityCache() (*identityCache, error) {
	entries, err := lru.New[identityKey, identityEntry](identityEntries)
	return &identityCache{entries, time.Now}, err
}

// identity returns whose token it is.
func (c *identityCache) identity(token tokenHash) (v2client.Identity, bool) {
	identity, known := c.get(token, "")
	return identity, known && identity.UserID != ""
}

func (c *identityCache) keepIdentity(token tokenHash, identity v2client.Identity) {
	c.keep(token, "", identity, identityTTL)
	if identity.Organization != "" {
		c.keepOrganization(token, identity.UserID, identity.Organization)
	}
}

// isRefused reports whether ZITADEL has just refused the token.
func (c *identityCache) isRefused(token tokenHash) bool {
	identity, known := c.get(token, "")
	return known && identity.UserID == ""
}

func (c *identityCache) keepRefusal(token tokenHash) {
	c.keep(token, "", v2client.Identity{}, refusalTTL)
}

// organization returns a user's, if v2 showed it to the caller with this token.
func (c *identityCache) organization(token tokenHash, userID string) (string, bool) {
	user, known := c.get(token, userID)
	return user.Organization, known
}

func (c *identityCache) keepOrganization(token tokenHash, userID, organization string) {
	c.keep(token, userID, v2client.Identity{UserID: userID, Organization: organization}, identityTTL)
}

// forgetUser forgets, for all callers, a user who belongs elsewhere: rare enough to look at all.
func (c *identityCache) forgetUser(userID string) {
	for _, key := range c.entries.Keys() {
		if entry, ok := c.entries.Peek(key); ok && entry.UserID == userID {
			c.entries.Remove(key)
		}
	}
}

func (c *identityCache) keep(token tokenHash, userID string, identity v2client.Identity, ttl time.Duration) {
	c.entries.Add(identityKey{token, userID}, identityEntry{identity, c.now().Add(ttl)})
}

func (c *identityCache) get(token tokenHash, userID string) (v2client.Identity, bool) {
	entry, ok := c.entries.Get(identityKey{token, userID})
	return entry.Identity, ok && !c.now().After(entry.expires)
}

// hashToken hashes the caller's token, and the instance for which it is one.
func hashToken(caller v2client.Caller) tokenHash {
	hashed := make([]byte, 0, 512) // on the stack, as most tokens fit
	hashed = append(append(hashed, caller.Instance()...), 0)
	return sha256.Sum256(append(hashed, caller.Authorization()...))
}
