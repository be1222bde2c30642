package v2test

import (
	"cmp"
	"encoding/json"
	"net/http"

	"google.golang.org/protobuf/types/known/anypb"

	zitadelv1 "zitadel-v1-adapter/gen/zitadel/v1"
	"zitadel-v1-adapter/internal/rpcstatus"
)

// The calls of the Auth API v1 that say who a caller is and what it may do, over REST
// (recordings auth_v1_*.jsonl).
const (
	MePath          = "/auth/v1/users/me"
	PermissionsPath = "/auth/v1/permissions/zitadel/me/_search"
	MembershipsPath = "/auth/v1/memberships/me/_search"
)

// forCaller serves a REST call whose caller has a good token.
func (s *Server) forCaller(serve func(w http.ResponseWriter, r *http.Request, caller *Caller)) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		caller, refused := s.state.authenticate(withHost(r))
		if refused != nil {
			refused.writeJSON(w)
			return
		}
		serve(w, r, caller)
	}
}

// organizationOf is the organization of a REST call: that in its x-zitadel-orgid header,
// or else the caller's own.
func organizationOf(r *http.Request, caller *Caller) string {
	return cmp.Or(r.Header.Get("X-Zitadel-Orgid"), caller.HomeOrg)
}

func (s *Server) me(w http.ResponseWriter, _ *http.Request, caller *Caller) {
	user := map[string]any{
		"id": caller.UserID, "details": map[string]any{"sequence": "1", "resourceOwner": caller.HomeOrg}, "state": "USER_STATE_ACTIVE",
	}
	if caller.PreferredLanguage != "" {
		user["human"] = map[string]any{"profile": map[string]any{"preferredLanguage": caller.PreferredLanguage}}
	}
	writeJSON(w, map[string]any{"user": user})
}

// permissions lists what the caller's roles grant in the organization of the call.
// Permissions on single projects carry the project's id.
func (s *Server) permissions(w http.ResponseWriter, r *http.Request, caller *Caller) {
	org := organizationOf(r, caller)
	var granted []string
	for _, administrator := range caller.AdministratorOf {
		if !administrator.countsIn(org) {
			continue
		}
		suffix := ""
		if administrator.Project != "" {
			suffix = ":" + administrator.Project
		}
		for _, role := range administrator.Roles {
			if role != RoleWithoutPermissions && role != RoleUserWriteOnly {
				granted = append(granted, "org.read"+suffix)
			}
			for _, p := range []permission{userRead, userWrite} {
				if p.grantedBy(role) {
					granted = append(granted, string(p)+suffix)
				}
			}
		}
	}
	answer := map[string]any{}
	if granted != nil {
		answer["result"] = granted
	}
	writeJSON(w, answer)
}

// memberships lists where the caller has roles, whatever the organization of the call.
func (s *Server) memberships(w http.ResponseWriter, _ *http.Request, caller *Caller) {
	result := make([]map[string]any, 0, len(caller.AdministratorOf))
	for _, administrator := range caller.AdministratorOf {
		membership := map[string]any{"userId": caller.UserID, "roles": administrator.Roles}
		switch {
		case administrator.Instance:
			membership["iam"] = true
		case administrator.Organization != "":
			membership["orgId"] = administrator.Organization
			membership["details"] = map[string]any{"resourceOwner": administrator.Organization}
		default:
			membership["projectId"] = administrator.Project
			membership["details"] = map[string]any{"resourceOwner": administrator.ProjectOrganization}
		}
		result = append(result, membership)
	}
	writeJSON(w, map[string]any{"result": result})
}

// withHost is a request's header with its Host, as connect-go puts it there.
func withHost(r *http.Request) http.Header {
	header := r.Header.Clone()
	header.Set("Host", r.Host)
	return header
}

func writeJSON(w http.ResponseWriter, answer any) {
	body, err := json.Marshal(answer)
	if err != nil {
		w.WriteHeader(http.StatusInternalServerError)
		return
	}
	rpcstatus.WriteBody(w, http.StatusOK, body)
}

// writeJSON answers with the fault as grpc-gateway does.
func (f *fault) writeJSON(w http.ResponseWriter) {
	status := rpcstatus.New(f.code, f.message)
	if f.id != "" {
		status.Message += " (" + f.id + ")"
		if detail, err := anypb.New(&zitadelv1.ErrorDetail{Id: f.id, Message: f.message}); err == nil { // constants
			status.Details = []*anypb.Any{detail}
		}
	}
	rpcstatus.WriteJSON(w, status)
}
