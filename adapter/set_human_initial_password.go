package adapter

import (
	"context"
	"errors"
	"strings"
	"time"
	"unicode/utf8"

	"connectrpc.com/connect"

	managementv1 "zitadel-v1-adapter/gen/zitadel/management/v1"
	objectv2 "zitadel-v1-adapter/gen/zitadel/object/v2"
	"zitadel-v1-adapter/v2client"
)

// ZITADEL is what the adapter needs of ZITADEL v2. *v2client.Client is one; its
// methods say what each does. Errors are [*v2client.Error].
type ZITADEL interface {
	SetPassword(ctx context.Context, caller v2client.Caller, userID, password string) (*objectv2.Details, error)
	UserOrganization(ctx context.Context, caller v2client.Caller, userID string) (string, error)
	Administrators(ctx context.Context, caller v2client.Caller, userID string) ([]v2client.Administrator, error)
	UserInfo(ctx context.Context, caller v2client.Caller) (v2client.Identity, error)
}

// OrgScope is how the organization of a call is treated.
type OrgScope string

const (
	// OrgScopeStrict keeps v1's rule: only users of the organization that the
	// x-zitadel-orgid header names, or else of the caller's own.
	OrgScopeStrict OrgScope = "strict"
	// OrgScopeOff leaves it to v2's permission check alone, with one upstream
	// call and nothing else.
	OrgScopeOff OrgScope = "off"
)

// setHumanInitialPassword is the use case, the same for every protocol.
type setHumanInitialPassword struct {
	zitadel  ZITADEL
	scope    OrgScope
	timeout  time.Duration
	memory   *memory
	rates    *callerRates
	inFlight slots
}

// call is one v1 call, whatever protocol it came in.
type call struct {
	zitadel  ZITADEL
	memory   *memory
	record   *record
	caller   v2client.Caller
	token    tokenHash
	userID   string
	password string
}

// run answers a v1 call and notes in record what became of it. It gives up, with
// v1's words, when ctx or the upstream timeout ends.
func (s *setHumanInitialPassword) run(ctx context.Context, caller v2client.Caller, request *managementv1.SetHumanInitialPasswordRequest, record *record) (*managementv1.SetHumanInitialPasswordResponse, *status) {
	ctx, cancel := context.WithTimeoutCause(ctx, s.timeout, v2client.ErrTimeout)
	defer cancel()
	record.userID, record.organization = request.GetUserId(), caller.Organization()
	c := call{
		zitadel:  &observed{zitadel: s.zitadel, record: record},
		memory:   s.memory,
		record:   record,
		caller:   caller,
		token:    hashToken(caller),
		userID:   bounded(request.GetUserId()),
		password: request.GetPassword(),
	}
	set := c.setInOrganization
	if s.scope == OrgScopeOff {
		set = c.setAnywhere
	}
	refusal := ended(ctx) // as v1: no look at anything once it is too late
	if refusal == nil {
		refusal = s.admit(caller)
	}
	if refusal != nil {
		record.status = refusal
		return nil, refusal
	}
	defer s.inFlight.free()
	details, err := set(ctx)
	if err != nil {
		record.status = statusOf(err)
		return nil, record.status
	}
	record.status = nil
	return &managementv1.SetHumanInitialPasswordResponse{Details: objectDetails(details)}, nil
}

// admit takes a slot, to be freed, and one of what the caller may have; nil means that
// it has. A call counts from here on, when all of it is there: who sends slowly takes
// nobody's place.
func (s *setHumanInitialPassword) admit(caller v2client.Caller) *status {
	if !s.inFlight.take() {
		return overloaded()
	}
	if refusal := s.rates.take(caller.Authorization()); refusal != nil {
		s.inFlight.free()
		return refusal
	}
	return nil
}

// maxUserIDRunes is the longest user id that v2 takes, and so that anybody has.
const maxUserIDRunes = 200

// bounded cuts a user id that nobody has down to one rune too many, which v2
// refuses just the same: no stranger's megabytes go upstream.
func bounded(userID string) string {
	runes := 0
	for at := range userID {
		if runes > maxUserIDRunes {
			return userID[:at]
		}
		runes++
	}
	return userID
}

// ended is the status of a call whose time is up before it began (recording
// expired-grpc-timeout), nil if there is time left.
func ended(ctx context.Context) *status {
	switch err := ctx.Err(); {
	case err == nil:
		return nil
	case errors.Is(err, context.Canceled):
		return newStatus(connect.CodeCanceled, err.Error())
	default:
		return newStatus(connect.CodeDeadlineExceeded, err.Error())
	}
}

// validate is v1's request validation; nil means valid. Its errors carry no
// details (recordings password-empty, empty-user).
func (c *call) validate() error {
	if c.userID == "" {
		return newStatus(connect.CodeInvalidArgument,
			"invalid SetHumanInitialPasswordRequest.UserId: value length must be at least 1 runes")
	}
	const maxRunes = 72
	// Bytes first: counting the runes of megabytes would be work for nothing.
	if c.password == "" || len(c.password) > maxRunes*utf8.UTFMax || utf8.RuneCountInString(c.password) > maxRunes {
		return newStatus(connect.CodeInvalidArgument,
			"invalid SetHumanInitialPasswordRequest.Password: value length must be between 1 and 72 runes, inclusive")
	}
	return nil
}

// setAnywhere is the plain translation, for OrgScopeOff. Without further calls
// it can only see whether there is an Authorization header, not whether the
// token is good, before it refuses an invalid request.
func (c *call) setAnywhere(ctx context.Context) (*objectv2.Details, error) {
	if invalid := c.validate(); invalid != nil {
		if missing := c.checkAuthorization(); missing != nil {
			return nil, missing
		}
		return nil, invalid
	}
	details, err := c.zitadel.SetPassword(ctx, c.caller, c.userID, c.password)
	if err == nil {
		return details, nil
	}
	refusal := statusOf(err)
	switch {
	case isPermissionRefusal(refusal):
		return nil, noPermission()
	case refusal.cause == nil && refusal.code == connect.CodeInvalidArgument && refusal.id == "":
		// v2's validation. It is stricter than v1's in one thing: ids of more
		// than maxUserIDRunes (recording 201-character-user).
		return nil, passwordNotFound()
	}
	return nil, refusal
}

// checkAuthorization looks at the Authorization header as ZITADEL's interceptor
// does before it looks at the token.
func (c *call) checkAuthorization() error {
	authorization := c.caller.Authorization()
	if authorization == "" {
		return newStatus(connect.CodeUnauthenticated, "auth header missing")
	}
	if strings.Count(authorization, "Bearer ") != 1 {
		return newRefusal(connect.CodeUnauthenticated, "AUTH-toLo1", "invalid auth header")
	}
	return nil
}
