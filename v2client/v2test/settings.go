package v2test

import (
	"cmp"
	"net/http"
)

// SettingsPath is GetGeneralSettings of settings service v2, over REST.
const SettingsPath = "/v2/settings"

// settings tells the instance's default language. The roles that grant user.read are taken
// for those that grant policy.read, which it needs.
func (s *Server) settings(w http.ResponseWriter, r *http.Request) {
	caller, refused := s.state.authenticate(withHost(r))
	if refused == nil {
		refused = caller.check(userRead, cmp.Or(r.Header.Get("X-Zitadel-Orgid"), caller.HomeOrg))
	}
	if refused != nil {
		refused.writeJSON(w)
		return
	}
	writeJSON(w, map[string]any{"defaultLanguage": s.defaultLanguage})
}
