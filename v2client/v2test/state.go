package v2test

import (
	"crypto/sha256"
	"sync"
	"time"

	"google.golang.org/protobuf/types/known/timestamppb"

	objectv2 "zitadel-v1-adapter/gen/zitadel/object/v2"
	userv2 "zitadel-v1-adapter/gen/zitadel/user/v2"
)

// state is the mutable state of a Server. Only users and calls change after newState;
// they are protected by mu.
type state struct {
	mu      sync.Mutex
	hosts   map[string]bool
	orgs    map[string]bool
	callers map[string]*Caller // by token
	users   map[string]*user   // by id; includes the callers
	calls   map[string]int     // by path
}

// user is a User with what has happened to it.
type user struct {
	User

	sequence uint64
	created  time.Time
	changed  time.Time
	password [sha256.Size]byte // hash of the password set last
	// changeRequired says that the user must change the password at the next login.
	changeRequired bool
	writes         int // how often the password was set
}

func newState(fixture Fixture) *state {
	s := &state{
		hosts:   map[string]bool{},
		orgs:    map[string]bool{},
		callers: map[string]*Caller{},
		users:   map[string]*user{},
		calls:   map[string]int{},
	}
	for _, host := range fixture.InstanceHosts {
		s.hosts[host] = true
	}
	for _, org := range fixture.Orgs {
		s.orgs[org] = true
	}
	for _, caller := range fixture.Callers {
		s.callers[caller.Token] = &caller
		kind := Machine
		if caller.Kind == Session {
			kind = Human
		}
		s.add(User{ID: caller.UserID, Org: caller.HomeOrg, Type: kind, State: Active})
	}
	for _, user := range fixture.Users {
		s.add(user)
	}
	return s
}

func (s *state) add(added User) {
	now := timestamp()
	s.users[added.ID] = &user{User: added, sequence: 1, created: now, changed: now}
}

// find returns the user with an id, or nil if it is unknown or deleted. s.mu must be
// locked.
func (s *state) find(id string) *user {
	found := s.users[id]
	if found == nil || found.State == Deleted {
		return nil
	}
	return found
}

func (s *state) count(path string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.calls[path]++
}

// setPassword sets the password. The mutex of the state must be locked.
func (u *user) setPassword(password string, changeRequired bool) {
	u.sequence++
	u.writes++
	u.changed = timestamp()
	u.changeRequired = changeRequired
	u.password = sha256.Sum256([]byte(password))
}

// details returns the user's details as in the answers of queries. Answers of commands do
// not contain the creation date.
func (u *user) details() *objectv2.Details {
	return &objectv2.Details{
		Sequence:      u.sequence,
		ChangeDate:    timestamppb.New(u.changed),
		CreationDate:  timestamppb.New(u.created),
		ResourceOwner: u.Org,
	}
}

func (u *user) message() *userv2.User {
	states := map[string]userv2.UserState{
		Active:   userv2.UserState_USER_STATE_ACTIVE,
		Initial:  userv2.UserState_USER_STATE_INITIAL,
		Locked:   userv2.UserState_USER_STATE_LOCKED,
		Inactive: userv2.UserState_USER_STATE_INACTIVE,
	}
	message := &userv2.User{UserId: u.ID, State: states[u.State], Details: u.details(), Type: &userv2.User_Machine{Machine: &userv2.MachineUser{}}}
	if u.Type == Human {
		message.Type = &userv2.User_Human{Human: &userv2.HumanUser{}}
	}
	return message
}

// timestamp returns the current time in microseconds, the precision of ZITADEL's database.
func timestamp() time.Time { return time.Now().UTC().Truncate(time.Microsecond) }
