package v2test

import (
	"encoding/json"
	"net/http"
)

// userinfo implements OpenID Connect Core 1.0 section 5.3, with ZITADEL's claims.
func (s *Server) userinfo(w http.ResponseWriter, r *http.Request) {
	header := r.Header.Clone()
	header.Set("Host", r.Host)
	header.Del("X-Zitadel-Orgid") // the OIDC endpoint ignores it
	w.Header().Set("Content-Type", "application/json")
	caller, refused := s.state.authenticate(header)
	if refused != nil || caller.Kind == Session {
		w.WriteHeader(http.StatusUnauthorized)
		_, _ = w.Write([]byte(`{"error":"access_denied","error_description":"access token invalid"}`))
		return
	}
	claims := map[string]string{"sub": caller.UserID}
	if caller.UserinfoNamesOrganization {
		claims["urn:zitadel:iam:user:resourceowner:id"] = caller.HomeOrg
	}
	body, err := json.Marshal(claims)
	if err != nil {
		w.WriteHeader(http.StatusInternalServerError)
		return
	}
	_, _ = w.Write(body)
}

// discovery implements OpenID Connect Discovery 1.0 section 4, with only the values that a
// client needs to check that the instance exists.
func (s *Server) discovery(w http.ResponseWriter, r *http.Request) {
	header := r.Header.Clone()
	header.Set("Host", r.Host)
	if refused := s.state.checkInstance(header); refused != nil {
		http.Error(w, refused.message, http.StatusNotFound)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	issuer := domainOf(header).origin()
	body, err := json.Marshal(map[string]string{"issuer": issuer, "userinfo_endpoint": issuer + UserinfoPath})
	if err != nil {
		w.WriteHeader(http.StatusInternalServerError)
		return
	}
	_, _ = w.Write(body)
}
