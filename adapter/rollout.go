package adapter

import (
	"hash/fnv"
	"io"
)

// Rollout is the share of translated calls, in percent; native v1 answers the others. It goes by
// the user id: a user stays on one side, on every replica and after every restart, and a larger
// share only ever moves users from v1 to v2. The zero Rollout translates nothing.
type Rollout int

// RolloutAll translates every call.
const RolloutAll Rollout = 100

// translates tells whether calls for a user are translated.
func (r Rollout) translates(userID string) bool {
	if r == RolloutAll {
		return true
	}
	hash := fnv.New64a()
	_, _ = io.WriteString(hash, userID) // never fails
	// The last bits of FNV-1a know little but the last letters: fold the first ones in.
	sum := hash.Sum64()
	return (sum>>32^sum)%uint64(RolloutAll) < uint64(r) //nolint:gosec // not negative
}
