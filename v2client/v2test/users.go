package v2test

import (
	"crypto/sha256"
	"strings"
	"time"
	"unicode/utf8"

	"connectrpc.com/connect"
	"google.golang.org/protobuf/types/known/timestamppb"

	objectv2 "zitadel-v1-adapter/gen/zitadel/object/v2"
	userv2 "zitadel-v1-adapter/gen/zitadel/user/v2"
	"zitadel-v1-adapter/internal/rpcstatus"
)

// user is a User with what has happened to it.
type user struct {
	User

	created, changed time.Time
	password         [sha256.Size]byte // hash of the password set last
	changeRequired   bool              // at the next login
	writes           int               // how often the password was set
}

// setPassword finds the user, in any organization, before it checks the permission. v1
// does it the other way round.
func (s *Server) setPassword(caller *Caller, request *userv2.SetPasswordRequest) (*userv2.SetPasswordResponse, *rpcstatus.Status) {
	if refusal := validateSetPassword(request); refusal != nil {
		return nil, refusal
	}
	target := s.find(request.GetUserId())
	switch {
	case target == nil || target.Type != Human:
		return nil, errPasswordNotFound
	case target.State == Initial:
		return nil, errNotInitialized
	}
	if target.ID != caller.UserID || !s.release.setsOwnPassword() {
		if refusal := caller.check(userWrite, target.Org); refusal != nil {
			return nil, refusal
		}
	}
	// Without new_password, ZITADEL answers 200 and stores the hash of "". The adapter
	// must never send such a request.
	if request.GetNewPassword() != nil {
		if refusal := checkPassword(request.GetNewPassword().GetPassword()); refusal != nil {
			return nil, refusal
		}
	}
	target.write(request.GetNewPassword())
	details := target.details()
	details.CreationDate = nil // only queries answer with it
	return &userv2.SetPasswordResponse{Details: details}, nil
}

// updateUser sets a password as setPassword does, but for three things (recordings update_user):
// another error for an unknown user, permission before the user's state, and less in the answer.
func (s *Server) updateUser(caller *Caller, request *userv2.UpdateUserRequest) (*userv2.UpdateUserResponse, *rpcstatus.Status) {
	password := request.GetHuman().GetPassword().GetPassword()
	if refusal := checkLength("UpdateUserRequest.UserId", request.GetUserId()); refusal != nil {
		return nil, refusal
	}
	if refusal := checkLength("Password.Password", password.GetPassword()); refusal != nil {
		const embedded = ": embedded message failed validation | caused by: "
		refusal.Message = "invalid UpdateUserRequest.Human" + embedded + "invalid UpdateUserRequest_Human.Password" + embedded +
			"invalid SetPassword.Password" + embedded + refusal.Message
		return nil, refusal
	}
	target := s.find(request.GetUserId())
	if target == nil || target.Type != Human {
		return nil, errNothingToUpdate
	}
	if refusal := caller.check(userWrite, target.Org); refusal != nil {
		return nil, refusal
	}
	if target.State == Initial {
		return nil, errNotInitialized
	}
	if refusal := checkPassword(password.GetPassword()); refusal != nil {
		return nil, refusal
	}
	target.write(password)
	return &userv2.UpdateUserResponse{ChangeDate: timestamppb.New(target.changed)}, nil
}

// write sets a user's password; nil is the empty one.
func (u *user) write(password *userv2.Password) {
	u.writes++
	u.changed = timestamp()
	u.changeRequired = password.GetChangeRequired()
	u.password = sha256.Sum256([]byte(password.GetPassword()))
}

func validateSetPassword(request *userv2.SetPasswordRequest) *rpcstatus.Status {
	refusal := checkLength("SetPasswordRequest.UserId", request.GetUserId())
	if password := request.GetNewPassword(); refusal == nil && password != nil {
		if refusal = checkLength("Password.Password", password.GetPassword()); refusal != nil {
			refusal.Message = "invalid SetPasswordRequest.NewPassword: embedded message failed validation | caused by: " + refusal.Message
		}
	}
	return refusal
}

// checkLength is ZITADEL's validation of a request's field; its error has no id.
func checkLength(field, value string) *rpcstatus.Status {
	if n := utf8.RuneCountInString(value); n >= 1 && n <= 200 {
		return nil
	}
	return rpcstatus.New(connect.CodeInvalidArgument, "invalid "+field+": value length must be between 1 and 200 runes, inclusive")
}

// checkPassword checks the default password complexity policy, in ZITADEL's order, and
// then the limit of the hash function. ZITADEL counts bytes.
func checkPassword(password string) *rpcstatus.Status {
	const lower, upper, numbers = "abcdefghijklmnopqrstuvwxyz", "ABCDEFGHIJKLMNOPQRSTUVWXYZ", "0123456789"
	switch {
	case len(password) < 8:
		return errTooShort
	case !strings.ContainsAny(password, lower):
		return errNoLower
	case !strings.ContainsAny(password, upper):
		return errNoUpper
	case !strings.ContainsAny(password, numbers):
		return errNoNumber
	case strings.Trim(password, lower+upper+numbers) == "":
		return errNoSymbol
	case len(password) > 72: // bcrypt's limit
		return errHash
	}
	return nil
}

// getUserByID returns the caller's own user, and other users if the caller has the
// permission user.read.
func (s *Server) getUserByID(caller *Caller, request *userv2.GetUserByIDRequest) (*userv2.GetUserByIDResponse, *rpcstatus.Status) {
	if refusal := checkLength("GetUserByIDRequest.UserId", request.GetUserId()); refusal != nil {
		return nil, refusal
	}
	target := s.find(request.GetUserId())
	if target == nil {
		return nil, errUserNotFound
	}
	if target.ID != caller.UserID {
		if refusal := caller.check(userRead, target.Org); refusal != nil {
			return nil, refusal
		}
	}
	return &userv2.GetUserByIDResponse{Details: target.details(), User: target.message()}, nil
}

// find returns the user with an id, or nil if it is unknown or deleted.
func (s *Server) find(id string) *user {
	if found := s.users[id]; found != nil && found.State != Deleted {
		return found
	}
	return nil
}

func (u *user) details() *objectv2.Details {
	return &objectv2.Details{
		Sequence:      uint64(1 + u.writes), //nolint:gosec // not negative
		ChangeDate:    timestamppb.New(u.changed),
		CreationDate:  timestamppb.New(u.created),
		ResourceOwner: u.Org,
	}
}

func (u *user) message() *userv2.User {
	state := userv2.UserState(userv2.UserState_value["USER_STATE_"+strings.ToUpper(u.State)])
	message := &userv2.User{UserId: u.ID, State: state, Details: u.details(), Type: &userv2.User_Machine{Machine: &userv2.MachineUser{}}}
	if u.Type == Human {
		message.Type = &userv2.User_Human{Human: &userv2.HumanUser{}}
	}
	return message
}

// timestamp returns the current time in microseconds, the precision of ZITADEL's database.
func timestamp() time.Time { return time.Now().UTC().Truncate(time.Microsecond) }
