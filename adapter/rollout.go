package adapter

import (
	"bytes"
	"fmt"
	"hash/fnv"
	"io"
	"net/http"
	"strings"

	"connectrpc.com/connect"
	"google.golang.org/protobuf/proto"

	managementv1 "zitadel-v1-adapter/gen/zitadel/management/v1"
)

// Rollout is the share of translated calls, in percent; native v1 answers the
// others. Calls are told apart by their user id, so that a user stays on one
// side, on every replica and after every restart, and a larger share only ever
// moves users from v1 to v2. The zero Rollout translates nothing.
type Rollout int

// RolloutAll translates every call.
const RolloutAll Rollout = 100

func (r Rollout) validate() error {
	if r < 0 || r > RolloutAll {
		return fmt.Errorf("rollout.percent: %d: use a whole number from 0 (none is translated) to 100 (all are)", r)
	}
	return nil
}

// translates tells whether calls for a user are translated.
func (r Rollout) translates(userID string) bool {
	if r == RolloutAll {
		return true
	}
	hash := fnv.New64a()
	_, _ = io.WriteString(hash, userID) // never fails
	// The last bits of FNV-1a know little but the last letters: fold the first
	// ones in.
	sum := hash.Sum64()
	return (sum>>32^sum)%uint64(RolloutAll) < uint64(r) //nolint:gosec // not negative
}

// callPath are the parts of the translated call's REST path around the user id.
const (
	callPathBefore = "/management/v1/users/"
	callPathAfter  = "/password/_initialize"
)

// callUserID finds the user id in a REST path of the translated call, decoded
// and clean; false means that the path is another.
func callUserID(path string) (string, bool) {
	rest, ok := strings.CutPrefix(path, callPathBefore)
	if !ok {
		return "", false
	}
	userID, ok := strings.CutSuffix(rest, callPathAfter)
	return userID, ok && userID != "" && !strings.Contains(userID, "/")
}

// peekUserID reads the message of a gRPC or gRPC-Web call for the user id in it,
// "" if there is none to be read, and leaves the body as it was. It says if there was
// no room to read it: by another user id, the call might go the other way.
func peekUserID(r *http.Request, protocol string, body *limitedBody) (userID string, crowded bool) {
	var read bytes.Buffer
	peeked := *r
	peeked.Body = io.NopCloser(io.TeeReader(body, &read))
	if protocol == "grpc-web-text" {
		decodeGRPCWebText(&peeked)
	}
	var request managementv1.SetHumanInitialPasswordRequest
	encoding := r.Header.Get("Grpc-Encoding")
	if checkEncoding(encoding) == nil {
		message, refusal := readFrame(peeked.Body, encoding, body.budget)
		if refusal == nil {
			_ = proto.Unmarshal(message, &request) // as much as can be read
		}
		crowded = refusal != nil && refusal.code == connect.CodeUnavailable
	}
	body.from = io.MultiReader(&read, body.from)
	return request.GetUserId(), crowded
}
