// Package v2test is an in-memory ZITADEL v2 for tests and for the demo command. It has
// SetPassword, GetUserByID and ListAdministrators over Connect, gRPC and gRPC-Web, and
// OIDC userinfo and discovery, and two calls of the Auth API v1. Its answers are those recorded from a real ZITADEL
// (v2_calls.jsonl). What the calls do not need, such as user profiles, is not modelled.
package v2test

import (
	"cmp"
	"context"
	"crypto/sha256"
	"fmt"
	"net"
	"net/http"
	"path"
	"strings"
	"time"
	"unicode/utf8"

	"connectrpc.com/connect"

	filterv2 "zitadel-v1-adapter/gen/zitadel/filter/v2"
	permissionv2 "zitadel-v1-adapter/gen/zitadel/internal_permission/v2"
	"zitadel-v1-adapter/gen/zitadel/internal_permission/v2/internal_permissionv2connect"
	objectv2 "zitadel-v1-adapter/gen/zitadel/object/v2"
	userv2 "zitadel-v1-adapter/gen/zitadel/user/v2"
	"zitadel-v1-adapter/gen/zitadel/user/v2/userv2connect"
	"zitadel-v1-adapter/internal/crossorigin"
	"zitadel-v1-adapter/internal/rpcstatus"
)

// UserinfoPath is the path of the OIDC userinfo endpoint.
const UserinfoPath = "/oidc/v1/userinfo"

// externalDomain is the configured domain of the ZITADEL, which it names in errors.
const externalDomain = "localhost"

// Server is the [http.Handler] of an in-memory ZITADEL, for HTTP/1.1 and HTTP/2. It is safe
// for concurrent use.
type Server struct {
	release         Release
	defaultLanguage string
	cores           cores
	state           *state
	mux             *http.ServeMux
	cors            *crossorigin.Policy
}

// Config says which ZITADEL a Server is.
type Config struct {
	// Release is what it has. Default: Main.
	Release Release
	// WithoutAuthAPI takes the Auth API v1 away, as a release to come will.
	WithoutAuthAPI bool
	// DefaultLanguage is what the settings call the instance's. Default: en. The Server's
	// own words are English all the same.
	DefaultLanguage string
	// Cores is how many of its machine's cores work for it. Default: no work takes time.
	Cores int
	// HashTime is how much of a core's time the hash of a password takes; it needs Cores.
	// ZITADEL's default, bcrypt with a cost of 14, takes about 0.95s.
	HashTime time.Duration
}

// New returns a Server in the state of a fixture. Errors name the invalid key of the
// fixture.
func New(fixture Fixture, config Config) (*Server, error) {
	if err := fixture.validate(); err != nil {
		return nil, err
	}
	s := &Server{
		release: cmp.Or(config.Release, Main), defaultLanguage: cmp.Or(config.DefaultLanguage, "en"),
		cores: newCores(config.Cores), state: newState(fixture), mux: http.NewServeMux(), cors: crossorigin.New(0),
	}
	s.mux.Handle(userv2connect.NewUserServiceHandler(users{s.state, s.release, func() { s.cores.work(config.HashTime) }}))
	path, handler := internal_permissionv2connect.NewInternalPermissionServiceHandler(permissions{s.state})
	v2, beta := s.release.listsAdministrators()
	if v2 {
		s.mux.Handle(path, handler)
	}
	if beta {
		betaPath := strings.Replace(path, ".v2.", ".v2beta.", 1)
		s.mux.HandleFunc(betaPath, func(w http.ResponseWriter, r *http.Request) {
			same := r.Clone(r.Context()) // the messages are v2's
			same.URL.Path = path + strings.TrimPrefix(r.URL.Path, betaPath)
			handler.ServeHTTP(w, same)
		})
	}
	if !config.WithoutAuthAPI {
		s.mux.HandleFunc("GET "+MePath, s.forCaller(s.me))
		s.mux.HandleFunc("POST "+PermissionsPath, s.forCaller(s.permissions))
		s.mux.HandleFunc("POST "+MembershipsPath, s.forCaller(s.memberships))
	}
	s.mux.HandleFunc("GET "+SettingsPath, s.forCaller(s.settings))
	s.mux.HandleFunc("GET "+UserinfoPath, s.userinfo)
	s.mux.HandleFunc("GET /.well-known/openid-configuration", s.discovery)
	return s, nil
}

// ServeHTTP implements [http.Handler].
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	s.state.count(r.URL.Path)
	s.cores.work(lookUp)
	_, pattern := s.mux.Handler(r)
	isRPC := strings.HasPrefix(pattern, "/zitadel.")
	isGRPC := r.ProtoMajor == 2 && strings.HasPrefix(r.Header.Get("Content-Type"), "application/grpc")
	switch {
	case isGRPC && !isRPC:
		// The answer of grpc-go for an unknown service.
		w.Header().Set("Content-Type", "application/grpc")
		w.Header().Set("Grpc-Status", "12")
		w.Header().Set("Grpc-Message", "unknown service "+strings.Trim(path.Dir(r.URL.Path), "/"))
	case pattern == "", isRPC && !isGRPC && !s.release.SpeaksConnect():
		s.cors.Allow(w, r)
		notFound(w, r)
	default:
		s.mux.ServeHTTP(w, r)
	}
}

// notFound answers for a path that ZITADEL does not have: gorilla/mux redirects an unclean
// one, and grpc-gateway has no other.
func notFound(w http.ResponseWriter, r *http.Request) {
	clean := path.Clean("/" + r.URL.Path)
	if strings.HasSuffix(r.URL.Path, "/") && clean != "/" {
		clean += "/"
	}
	if clean != r.URL.Path {
		to := *r.URL
		to.Path = clean
		w.Header().Set("Location", to.String())
		w.WriteHeader(http.StatusMovedPermanently)
		return
	}
	w.Header().Set("X-Robots-Tag", "none")
	rpcstatus.WriteJSON(w, rpcstatus.New(connect.CodeNotFound, "Not Found"))
}

// Calls returns how often a path, such as
// [userv2connect.UserServiceSetPasswordProcedure], was called, successfully or not.
func (s *Server) Calls(path string) int {
	s.state.mu.Lock()
	defer s.state.mu.Unlock()
	return s.state.calls[path]
}

// Writes returns how often the password of a user was set.
func (s *Server) Writes(userID string) int {
	s.state.mu.Lock()
	defer s.state.mu.Unlock()
	if found := s.state.users[userID]; found != nil {
		return found.writes
	}
	return 0
}

// PasswordIs reports whether this is the password that was last set for a user.
func (s *Server) PasswordIs(userID, password string) bool {
	s.state.mu.Lock()
	defer s.state.mu.Unlock()
	found := s.state.users[userID]
	return found != nil && found.writes > 0 && found.password == sha256.Sum256([]byte(password))
}

// PasswordChangeRequired reports whether a user must change the password at the next
// login.
func (s *Server) PasswordChangeRequired(userID string) bool {
	s.state.mu.Lock()
	defer s.state.mu.Unlock()
	found := s.state.users[userID]
	return found != nil && found.changeRequired
}

// Add adds a user, or replaces the user with the same id.
func (s *Server) Add(added User) {
	s.state.mu.Lock()
	defer s.state.mu.Unlock()
	s.state.add(added)
}

// authenticate does what ZITADEL's interceptors do before every v2 method: it checks the
// instance, the token, and the organization in the x-zitadel-orgid header, in this order.
func (s *state) authenticate(header http.Header) (*Caller, *fault) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if fault := s.checkInstance(header); fault != nil {
		return nil, fault
	}
	authorization := header.Get("Authorization")
	if authorization == "" {
		return nil, faultNoAuthorization
	}
	parts := strings.Split(authorization, "Bearer ")
	if len(parts) != 2 {
		return nil, faultAuthorization
	}
	caller := s.callers[parts[1]]
	if caller == nil {
		return nil, faultToken
	}
	if org := header.Get("X-Zitadel-Orgid"); org != "" && !s.orgs[org] {
		return nil, faultOrganization
	}
	return caller, nil
}

// checkInstance returns an error if a request's headers select no instance. The lock is
// not needed: hosts never changes.
func (s *state) checkInstance(header http.Header) *fault {
	asked := domainOf(header)
	name := asked.instance
	if withoutPort, _, err := net.SplitHostPort(name); err == nil {
		name = withoutPort
	}
	if s.hosts[name] {
		return nil
	}
	return &fault{code: connect.CodeNotFound, message: fmt.Sprintf(
		"unable to set instance using origin &{%s %s %s} (ExternalDomain is %s): ID=QUERY-1kIjX "+
			"Message=Instance not found. Make sure you got the domain right. "+
			"Check out https://zitadel.com/docs/apis/introduction#domains",
		asked.instance, asked.public, asked.scheme, externalDomain)}
}

type users struct {
	*state

	release Release
	hash    func() // takes the time that a password's hash takes
}

// SetPassword finds the user, in any organization, before it checks the permission. v1
// does it the other way round.
func (s users) SetPassword(_ context.Context, req *connect.Request[userv2.SetPasswordRequest]) (*connect.Response[userv2.SetPasswordResponse], error) {
	caller, refused := s.authenticate(req.Header())
	if refused == nil {
		refused = validateSetPassword(req.Msg)
	}
	if refused != nil {
		return nil, refused.err()
	}
	s.hash()
	s.mu.Lock()
	defer s.mu.Unlock()
	target := s.find(req.Msg.GetUserId())
	if target == nil || target.Type != Human {
		return nil, faultPasswordNotFound.err()
	}
	if target.State == Initial {
		return nil, faultNotInitialized.err()
	}
	if target.ID != caller.UserID || !s.release.setsOwnPassword() {
		if refused := caller.check(userWrite, target.Org); refused != nil {
			return nil, refused.err()
		}
	}
	password := req.Msg.GetNewPassword().GetPassword()
	// Without new_password, ZITADEL answers 200 and stores the hash of "". The adapter
	// must never send such a request.
	if req.Msg.GetNewPassword() != nil {
		if refused := checkPassword(password); refused != nil {
			return nil, refused.err()
		}
	}
	target.setPassword(password, req.Msg.GetNewPassword().GetChangeRequired())
	details := target.details()
	return connect.NewResponse(&userv2.SetPasswordResponse{Details: &objectv2.Details{
		Sequence:      details.GetSequence(),
		ChangeDate:    details.GetChangeDate(),
		ResourceOwner: details.GetResourceOwner(),
	}}), nil
}

func validateSetPassword(msg *userv2.SetPasswordRequest) *fault {
	if n := utf8.RuneCountInString(msg.GetUserId()); n < 1 || n > 200 {
		return invalid("invalid SetPasswordRequest.UserId: value length must be between 1 and 200 runes, inclusive")
	}
	if password := msg.GetNewPassword(); password != nil {
		if n := utf8.RuneCountInString(password.GetPassword()); n < 1 || n > 200 {
			return invalid("invalid SetPasswordRequest.NewPassword: embedded message failed validation | " +
				"caused by: invalid Password.Password: value length must be between 1 and 200 runes, inclusive")
		}
	}
	return nil
}

// GetUserByID returns the caller's own user, and other users if the caller has the
// permission user.read.
func (s users) GetUserByID(_ context.Context, req *connect.Request[userv2.GetUserByIDRequest]) (*connect.Response[userv2.GetUserByIDResponse], error) {
	caller, refused := s.authenticate(req.Header())
	if refused != nil {
		return nil, refused.err()
	}
	if n := utf8.RuneCountInString(req.Msg.GetUserId()); n < 1 || n > 200 {
		return nil, invalid("invalid GetUserByIDRequest.UserId: value length must be between 1 and 200 runes, inclusive").err()
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	target := s.find(req.Msg.GetUserId())
	if target == nil {
		return nil, faultUserNotFound.err()
	}
	if target.ID != caller.UserID {
		if refused := caller.check(userRead, target.Org); refused != nil {
			return nil, refused.err()
		}
	}
	return connect.NewResponse(&userv2.GetUserByIDResponse{Details: target.details(), User: target.message()}), nil
}

type permissions struct{ *state }

// ListAdministrators returns only the caller's own roles. To see other users' roles, a
// caller would need permissions that are not modelled.
func (s permissions) ListAdministrators(
	_ context.Context, req *connect.Request[permissionv2.ListAdministratorsRequest],
) (*connect.Response[permissionv2.ListAdministratorsResponse], error) {
	caller, refused := s.authenticate(req.Header())
	if refused != nil {
		return nil, refused.err()
	}
	var own []*permissionv2.Administrator
	if asksFor(req.Msg.GetFilters(), caller.UserID) {
		for _, administrator := range caller.AdministratorOf {
			own = append(own, administrator.message(caller))
		}
	}
	const defaultLimit = 100
	limit := uint64(req.Msg.GetPagination().GetLimit())
	if limit == 0 {
		limit = defaultLimit
	}
	total := uint64(len(own))
	from := min(req.Msg.GetPagination().GetOffset(), total)
	to := from + min(limit, total-from)
	return connect.NewResponse(&permissionv2.ListAdministratorsResponse{
		Pagination:     &filterv2.PaginationResponse{TotalResult: total, AppliedLimit: limit},
		Administrators: own[from:to],
	}), nil
}

// asksFor reports whether the filters, which must all match, include a user.
func asksFor(filters []*permissionv2.AdministratorSearchFilter, userID string) bool {
	for _, filter := range filters {
		found := false
		for _, id := range filter.GetInUserIdsFilter().GetIds() {
			found = found || id == userID
		}
		if !found {
			return false
		}
	}
	return true
}

func (a AdministratorOf) message(caller *Caller) *permissionv2.Administrator {
	message := &permissionv2.Administrator{
		User:  &permissionv2.User{Id: caller.UserID, OrganizationId: caller.HomeOrg},
		Roles: a.Roles,
	}
	switch {
	case a.Instance:
		message.Resource = &permissionv2.Administrator_Instance{Instance: true}
	case a.Organization != "":
		message.Resource = &permissionv2.Administrator_Organization{
			Organization: &permissionv2.Organization{Id: a.Organization},
		}
	default:
		message.Resource = &permissionv2.Administrator_Project{
			Project: &permissionv2.Project{Id: a.Project, OrganizationId: a.ProjectOrganization},
		}
	}
	return message
}
