package v2test

import "net/http"

// SettingsPath is GetGeneralSettings of settings service v2, over REST.
const SettingsPath = "/v2/settings"

// settings tells the instance's default language. The roles that grant user.read are taken
// for those that grant policy.read, which it needs.
func (s *Server) settings(w http.ResponseWriter, r *http.Request, caller *Caller) {
	if refused := caller.check(userRead, organizationOf(r, caller)); refused != nil {
		refused.writeJSON(w)
		return
	}
	writeJSON(w, map[string]any{"defaultLanguage": s.defaultLanguage})
}
