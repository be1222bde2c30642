package adapter

import (
	"crypto/sha256"
	"fmt"
	"time"

	lru "github.com/hashicorp/golang-lru/v2"

	"zitadel-v1-adapter/v2client"
)

// How much is remembered, and for how long. Both kinds of facts never change;
// the bounds are there for memory, and so that nothing outlives a mistake.
const (
	memoryEntries = 10_000
	memoryTTL     = time.Hour
)

// memory holds what never changes of callers and of the users they deal with:
// whose a token is, and which organization a user belongs to. It never holds a
// token (only its SHA-256), and never that something was not found. v2 checks
// the token itself on every write.
//
// What v2 showed to one caller is not used for another: neither an answer nor
// its speed tells a stranger anything about users.
type memory struct {
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

func newMemory() (*memory, error) {
	subjects, err := lru.New[tokenHash, entry](memoryEntries)
	if err != nil {
		return nil, fmt.Errorf("memory of callers: %w", err)
	}
	organizations, err := lru.New[userKey, entry](memoryEntries)
	if err != nil {
		return nil, fmt.Errorf("memory of users: %w", err)
	}
	return &memory{subjects: subjects, organizations: organizations, now: time.Now}, nil
}

// subject returns the id of the user whose token it is.
func (m *memory) subject(token tokenHash) (string, bool) {
	return recall(m, m.subjects, token)
}

func (m *memory) keepSubject(token tokenHash, userID string) {
	m.subjects.Add(token, m.entry(userID))
}

// organization returns the organization that a user belongs to, if v2 showed it
// to the caller with this token.
func (m *memory) organization(token tokenHash, userID string) (string, bool) {
	return recall(m, m.organizations, userKey{token, userID})
}

func (m *memory) keepOrganization(token tokenHash, userID, organization string) {
	m.organizations.Add(userKey{token, userID}, m.entry(organization))
}

func (m *memory) entry(value string) entry {
	return entry{value: value, expires: m.now().Add(memoryTTL)}
}

func recall[K comparable](m *memory, cache *lru.Cache[K, entry], key K) (string, bool) {
	found, ok := cache.Get(key)
	if !ok || m.now().After(found.expires) {
		return "", false
	}
	return found.value, true
}

// hashToken hashes the caller's token, and the instance for which it is one.
func hashToken(caller v2client.Caller) tokenHash {
	return sha256.Sum256([]byte(caller.Instance() + "\x00" + caller.Authorization()))
}
