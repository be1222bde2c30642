package reference

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync/atomic"
	"unicode/utf8"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/types/known/timestamppb"

	zitadelv1 "zitadel-v1-adapter/gen/zitadel/v1"
	"zitadel-v1-adapter/v2client/v2test"
)

// state is that of a fixture. It does not change but for the sequence.
type state struct {
	hosts, orgs map[string]bool
	callers     map[string]v2test.Caller // by token
	users       map[string]v2test.User   // by id
	sequence    *atomic.Uint64
}

func newState(fixture v2test.Fixture) state {
	s := state{map[string]bool{}, map[string]bool{}, map[string]v2test.Caller{}, map[string]v2test.User{}, new(atomic.Uint64)}
	for _, host := range fixture.InstanceHosts {
		s.hosts[host] = true
	}
	for _, org := range fixture.Orgs {
		s.orgs[org] = true
	}
	for _, caller := range fixture.Callers {
		s.callers[caller.Token] = caller
	}
	for _, user := range fixture.Users {
		s.users[user.ID] = user
	}
	return s
}

// authorize returns the organization of a call whose caller may write users there.
func (s state) authorize(ctx context.Context) (string, error) {
	md, _ := metadata.FromIncomingContext(ctx)
	first := func(name string) string { return append(md.Get(name), "")[0] }
	authorization := first("authorization")
	if authorization == "" {
		return "", status.Error(codes.Unauthenticated, "auth header missing")
	}
	parts := strings.Split(authorization, "Bearer ")
	if len(parts) != 2 {
		return "", refusal(codes.Unauthenticated, "AUTH-toLo1", "invalid auth header")
	}
	caller, ok := s.callers[parts[1]]
	if !ok {
		return "", refusal(codes.Unauthenticated, "AUTH-7fs1e", "Errors.Token.Invalid")
	}
	org := caller.HomeOrg
	if named := first("x-zitadel-orgid"); named != "" {
		org = named
	}
	if !s.orgs[org] {
		return "", refusal(codes.PermissionDenied, "AUTH-Bs7Ds", "Organisation doesn't exist")
	}
	return org, checkRoles(caller, org)
}

// checkRoles applies ZITADEL's default mapping of roles to user.write.
func checkRoles(caller v2test.Caller, org string) error {
	writers := []string{"IAM_OWNER", "IAM_ORG_MANAGER", "IAM_USER_MANAGER", "IAM_LOGIN_CLIENT", "ORG_OWNER", "ORG_USER_MANAGER"}
	member := false
	for _, of := range caller.AdministratorOf {
		if !of.Instance && of.Organization != org && of.ProjectOrganization != org || len(of.Roles) == 0 {
			continue
		}
		member = true
		if slices.ContainsFunc(of.Roles, func(role string) bool { return slices.Contains(writers, role) }) {
			return nil
		}
	}
	if !member {
		return refusal(codes.NotFound, "AUTHZ-cdgFk", "membership not found")
	}
	return refusal(codes.PermissionDenied, "AUTH-5mWD2", "No matching permissions found")
}

// setPassword validates a request and does the work, for a user of an organization.
func (s state) setPassword(method method, request proto.Message, org string) (proto.Message, error) {
	fields := request.ProtoReflect().Descriptor().Fields()
	userID := request.ProtoReflect().Get(fields.ByName("user_id")).String()
	password := request.ProtoReflect().Get(fields.ByName("password")).String()
	if userID == "" {
		return nil, status.Error(codes.InvalidArgument, "invalid "+method.name+"Request.UserId: value length must be at least 1 runes")
	}
	if n := utf8.RuneCountInString(password); n < 1 || n > 72 {
		return nil, status.Error(codes.InvalidArgument,
			"invalid "+method.name+"Request.Password: value length must be between 1 and 72 runes, inclusive")
	}
	user, ok := s.users[userID]
	switch {
	case !ok, user.Org != org, user.Type != v2test.Human, user.State == v2test.Deleted:
		return nil, refusal(codes.FailedPrecondition, "COMMAND-G8dh3", "Password not found")
	case user.State == v2test.Initial:
		return nil, refusal(codes.FailedPrecondition, "COMMAND-M9dse", "User is not yet initialized")
	}
	if err := checkPassword(password); err != nil {
		return nil, err
	}
	response := method.newResponse()
	response.ProtoReflect().Set(response.ProtoReflect().Descriptor().Fields().ByName("details"), protoreflect.ValueOfMessage((&zitadelv1.ObjectDetails{
		Sequence: s.sequence.Add(1), ChangeDate: timestamppb.Now(), ResourceOwner: org,
	}).ProtoReflect()))
	return response, nil
}

// checkPassword checks the default password policy, and then the hash's own limit.
func checkPassword(password string) error {
	const lower, upper, digits = "abcdefghijklmnopqrstuvwxyz", "ABCDEFGHIJKLMNOPQRSTUVWXYZ", "0123456789"
	switch {
	case len(password) < 8:
		return refusal(codes.InvalidArgument, "DOMAIN-HuJf6", "Password is too short")
	case !strings.ContainsAny(password, lower):
		return refusal(codes.InvalidArgument, "DOMAIN-co3Xw", "Password must contain lower case")
	case !strings.ContainsAny(password, upper):
		return refusal(codes.InvalidArgument, "DOMAIN-VoaRj", "Password must contain upper case")
	case !strings.ContainsAny(password, digits):
		return refusal(codes.InvalidArgument, "DOMAIN-ZBv4H", "Password must contain number")
	case strings.Trim(password, lower+upper+digits) == "":
		return refusal(codes.InvalidArgument, "DOMAIN-ZDLwA", "Password must contain symbol")
	case len(password) > 72:
		return refusal(codes.Internal, "COMMAND-CahN2", "An internal error occurred")
	}
	return nil
}

// refusal returns an error with an id and ZITADEL's ErrorDetail.
func refusal(code codes.Code, id, message string) error {
	s, err := status.New(code, fmt.Sprintf("%s (%s)", message, id)).WithDetails(&zitadelv1.ErrorDetail{Id: id, Message: message})
	if err != nil {
		return err
	}
	return s.Err()
}
