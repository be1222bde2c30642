// Package v2test is an in-memory ZITADEL v2 for tests and for the demo command, as far as the
// adapter needs one: users' passwords and roles, OIDC userinfo and discovery, the Auth API v1. Its
// answers are those recorded from a real ZITADEL (v2_calls.jsonl).
package v2test

import (
	"cmp"
	"context"
	"crypto/sha256"
	"maps"
	"net/http"
	"path"
	"slices"
	"strings"
	"sync"

	"connectrpc.com/connect"

	"zitadel-v1-adapter/gen/zitadel/internal_permission/v2/internal_permissionv2connect"
	"zitadel-v1-adapter/gen/zitadel/user/v2/userv2connect"
	"zitadel-v1-adapter/internal/crossorigin"
	"zitadel-v1-adapter/internal/rpcstatus"
)

// Server is the [http.Handler] of an in-memory ZITADEL, for HTTP/1.1 and HTTP/2. It is safe
// for concurrent use.
type Server struct {
	release         Release
	defaultLanguage string
	mux             *http.ServeMux
	cors            *crossorigin.Policy
	hosts, orgs     []string
	callers         map[string]*Caller // by token

	mu    sync.Mutex       // protects what follows
	users map[string]*user // by id; includes the callers
	calls map[string]int   // by path
}

// Config says which ZITADEL a Server is.
type Config struct {
	Release         Release // what it has; default: Main
	WithoutAuthAPI  bool    // takes the Auth API v1 away, as a gateway may
	DefaultLanguage string  // of the instance, as the settings say; default: en. The Server's own words are English all the same
}

// New returns a Server in the state of a fixture. Errors name the invalid keys of the fixture.
func New(fixture Fixture, config Config) (*Server, error) {
	if err := fixture.validate(); err != nil {
		return nil, err
	}
	s := &Server{
		release: cmp.Or(config.Release, Main), defaultLanguage: cmp.Or(config.DefaultLanguage, "en"),
		mux: http.NewServeMux(), cors: crossorigin.New(0),
		hosts: slices.Clone(fixture.InstanceHosts), orgs: slices.Collect(maps.Values(fixture.Orgs)),
		callers: map[string]*Caller{}, users: map[string]*user{}, calls: map[string]int{},
	}
	for name, caller := range fixture.Callers {
		caller.loginName = name
		s.callers[caller.Token] = &caller
		kind := Machine
		if caller.Kind == Session {
			kind = Human
		}
		s.Add(User{ID: caller.UserID, Org: caller.HomeOrg, Type: kind, State: Active})
	}
	for _, user := range fixture.Users {
		s.Add(user)
	}
	if s.release.HasSetPassword() {
		handleRPC(s, userv2connect.UserServiceSetPasswordProcedure, s.setPassword)
	}
	if s.release.SpeaksConnect() {
		handleRPC(s, userv2connect.UserServiceUpdateUserProcedure, s.updateUser)
	}
	handleRPC(s, userv2connect.UserServiceGetUserByIDProcedure, s.getUserByID)
	const listAdministrators = internal_permissionv2connect.InternalPermissionServiceListAdministratorsProcedure
	if s.release == Main || !s.release.HasV1() { // from v4.5 on
		handleRPC(s, listAdministrators, s.listAdministrators)
	}
	if s.release.SpeaksConnect() && s.release.HasV1() { // from v4.0 on, with the same messages
		handleRPC(s, strings.Replace(listAdministrators, ".v2.", ".v2beta.", 1), s.listAdministrators)
	}
	if s.release.HasV1() && !config.WithoutAuthAPI { // recordings auth_v1_*.jsonl
		s.handleREST("GET /auth/v1/users/me", s.me)
		s.handleREST("POST /auth/v1/permissions/zitadel/me/_search", s.permissions)
		s.handleREST("POST /auth/v1/memberships/me/_search", s.memberships)
	}
	s.handleREST("GET /v2/settings", s.settings)
	s.handleREST("POST /v2/sessions/search", s.listSessions)
	s.mux.HandleFunc("GET "+UserinfoPath, s.userinfo)
	s.mux.HandleFunc("GET /.well-known/openid-configuration", s.discovery)
	return s, nil
}

// handleRPC serves a procedure to callers with a good token, one call at a time.
func handleRPC[Req, Res any](s *Server, procedure string, serve func(*Caller, *Req) (*Res, *rpcstatus.Status)) {
	s.mux.Handle(procedure, connect.NewUnaryHandler(procedure, func(_ context.Context, r *connect.Request[Req]) (*connect.Response[Res], error) {
		s.mu.Lock()
		defer s.mu.Unlock()
		caller, refusal := s.authenticate(r.Header())
		var response *Res
		if refusal == nil {
			response, refusal = serve(caller, r.Msg)
		}
		if refusal != nil {
			return nil, refusal.ConnectError()
		}
		return connect.NewResponse(response), nil
	}))
}

// ServeHTTP implements [http.Handler].
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	s.calls[r.URL.Path]++
	s.mu.Unlock()
	_, pattern := s.mux.Handler(r)
	isRPC, isGRPC := strings.HasPrefix(pattern, "/zitadel."), rpcstatus.IsGRPC(r)
	service, method := path.Split(r.URL.Path)
	isService := service == "/"+userv2connect.UserServiceName+"/"
	switch {
	case isGRPC && !isRPC: // grpc-go's answers
		message := "unknown service " + strings.Trim(service, "/")
		if isService {
			message = "unknown method " + method + " for service " + userv2connect.UserServiceName
		}
		rpcstatus.WriteRPC(w, r, rpcstatus.GRPC, rpcstatus.New(connect.CodeUnimplemented, message))
	case !isRPC && isService && s.release.SpeaksConnect(): // recording update_user, unknown-procedure
		http.NotFound(w, r)
	case pattern == "", isRPC && !isGRPC && !s.release.SpeaksConnect():
		s.cors.Allow(w, r)
		w.Header().Set("X-Robots-Tag", "none")
		rpcstatus.WriteJSON(w, rpcstatus.New(connect.CodeNotFound, "Not Found"))
	default:
		s.mux.ServeHTTP(w, r)
	}
}

// Calls returns how often a path was called, successfully or not.
func (s *Server) Calls(path string) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.calls[path]
}

// Writes returns how often the password of a user was set.
func (s *Server) Writes(userID string) int { return s.user(userID).writes }

// PasswordIs reports whether this is the password that was last set for a user.
func (s *Server) PasswordIs(userID, password string) bool {
	found := s.user(userID)
	return found.writes > 0 && found.password == sha256.Sum256([]byte(password))
}

// PasswordChangeRequired reports whether a user must change the password at the next login.
func (s *Server) PasswordChangeRequired(userID string) bool { return s.user(userID).changeRequired }

// user returns the present state of a user, of an unknown one the zero value.
func (s *Server) user(id string) user {
	s.mu.Lock()
	defer s.mu.Unlock()
	if found := s.users[id]; found != nil {
		return *found
	}
	return user{}
}

// Add adds a user, or replaces the user with the same id.
func (s *Server) Add(added User) {
	s.mu.Lock()
	defer s.mu.Unlock()
	now := timestamp()
	s.users[added.ID] = &user{User: added, created: now, changed: now}
}

// Release is a release of ZITADEL, as far as its services and protocols differ.
type Release string

// The releases that were tried, and before them those to come, tried by taking away from Main what
// ZITADEL means to end: v1 and v2beta, and later SetPassword.
const (
	NextWithoutSetPassword Release = "next, without SetPassword" //nolint:gosec // no credential
	Next                   Release = "next"
	Main                   Release = "main" // of July 2026
	V42                    Release = "v4.2"
	V34                    Release = "v3.4"
	V271                   Release = "v2.71"
	V258                   Release = "v2.58"
)

// Releases are all of them, the newest first.
func Releases() []Release {
	return []Release{NextWithoutSetPassword, Next, Main, V42, V34, V271, V258}
}

// HasV1 reports whether the release has the APIs v1 and v2beta.
func (r Release) HasV1() bool { return r != Next && r != NextWithoutSetPassword }

// HasSetPassword reports whether the release has SetPassword, and not only UpdateUser.
func (r Release) HasSetPassword() bool { return r != NextWithoutSetPassword }

// SpeaksConnect reports whether the release speaks the Connect protocol, which ZITADEL
// does from v4.0 on.
func (r Release) SpeaksConnect() bool { return !r.HasV1() || r == Main || r == V42 }

// setsOwnPassword reports whether SetPassword needs no role for one's own password: on
// v2.66 to v3.4.6, and on v4.0 to v4.2.
func (r Release) setsOwnPassword() bool { return r == V42 || r == V271 }

// needsOpenID reports whether userinfo names the subject only of tokens with the scope
// openid, as before v2.63. Tokens whose userinfo names no organization have no such scope.
func (r Release) needsOpenID() bool { return r == V258 }
