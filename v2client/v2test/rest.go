package v2test

import (
	"cmp"
	"encoding/json"
	"net/http"

	"zitadel-v1-adapter/internal/rpcstatus"
)

// UserinfoPath is the path of the OIDC userinfo endpoint.
const UserinfoPath = "/oidc/v1/userinfo"

// handleREST serves a call to callers with a good token.
func (s *Server) handleREST(pattern string, serve func(*http.Request, *Caller) (any, *rpcstatus.Status)) {
	s.mux.HandleFunc(pattern, func(w http.ResponseWriter, r *http.Request) {
		caller, refusal := s.authenticate(withHost(r))
		var answer any
		if refusal == nil {
			answer, refusal = serve(r, caller)
		}
		if refusal != nil {
			rpcstatus.WriteJSON(w, refusal)
			return
		}
		writeJSON(w, answer)
	})
}

// organizationOf is the organization of a REST call: that in its x-zitadel-orgid header,
// or else the caller's own.
func organizationOf(r *http.Request, caller *Caller) string {
	return cmp.Or(r.Header.Get("X-Zitadel-Orgid"), caller.HomeOrg)
}

func (s *Server) me(_ *http.Request, caller *Caller) (any, *rpcstatus.Status) {
	user := map[string]any{
		"id": caller.UserID, "details": map[string]any{"sequence": "1", "resourceOwner": caller.HomeOrg}, "state": "USER_STATE_ACTIVE",
		"preferredLoginName": caller.loginName,
	}
	if caller.PreferredLanguage != "" {
		user["human"] = map[string]any{"profile": map[string]any{"preferredLanguage": caller.PreferredLanguage}}
	}
	return map[string]any{"user": user}, nil
}

// listSessions lists the sessions that a caller may see: its own, and those of users whom it may
// read, which is taken for ZITADEL's session.read.
func (s *Server) listSessions(_ *http.Request, caller *Caller) (any, *rpcstatus.Status) {
	sessions := []any{}
	for _, other := range s.callers {
		if other.Kind == Session && (other.UserID == caller.UserID || caller.check(userRead, other.HomeOrg) == nil) {
			user := map[string]any{"id": other.UserID, "organizationId": other.HomeOrg}
			sessions = append(sessions, map[string]any{"id": other.Token, "factors": map[string]any{"user": user}})
		}
	}
	return map[string]any{"sessions": sessions}, nil
}

// settings is GetGeneralSettings of settings service v2. The roles that grant user.read are
// taken for those that grant policy.read, which it needs.
func (s *Server) settings(r *http.Request, caller *Caller) (any, *rpcstatus.Status) {
	return map[string]any{"defaultLanguage": s.defaultLanguage}, caller.check(userRead, organizationOf(r, caller))
}

// userinfo implements OpenID Connect Core 1.0 section 5.3, with ZITADEL's claims.
func (s *Server) userinfo(w http.ResponseWriter, r *http.Request) {
	header := withHost(r)
	header.Del("X-Zitadel-Orgid") // the OIDC endpoint ignores it
	caller, refusal := s.authenticate(header)
	if refusal != nil || caller.Kind == Session {
		rpcstatus.WriteBody(w, http.StatusUnauthorized, []byte(`{"error":"access_denied","error_description":"access token invalid"}`))
		return
	}
	claims := map[string]string{}
	if caller.UserinfoNamesOrganization || !s.release.needsOpenID() {
		claims["sub"] = caller.UserID
	}
	if caller.UserinfoNamesOrganization {
		claims["urn:zitadel:iam:user:resourceowner:id"] = caller.HomeOrg
	}
	writeJSON(w, claims)
}

// discovery implements OpenID Connect Discovery 1.0 section 4, with only the values that a
// client needs to check that the instance exists.
func (s *Server) discovery(w http.ResponseWriter, r *http.Request) {
	asked := domainOf(withHost(r))
	if refusal := s.checkInstance(asked); refusal != nil {
		http.Error(w, refusal.Message, http.StatusNotFound)
		return
	}
	issuer := asked.scheme + "://" + cmp.Or(asked.public, asked.instance)
	writeJSON(w, map[string]string{"issuer": issuer, "userinfo_endpoint": issuer + UserinfoPath})
}

// withHost is a request's header with its Host, as connect-go puts it there.
func withHost(r *http.Request) http.Header {
	header := r.Header.Clone()
	header.Set("Host", r.Host)
	return header
}

func writeJSON(w http.ResponseWriter, answer any) {
	body, _ := json.Marshal(answer) //nolint:errchkjson // maps of strings never fail
	rpcstatus.WriteBody(w, http.StatusOK, body)
}
