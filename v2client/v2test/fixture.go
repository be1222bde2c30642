package v2test

import (
	"bytes"
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"slices"
)

// Fixture is the state of a ZITADEL, in the format of recordings/fixture.json. Ids and
// tokens that it does not contain are unknown to the Server.
type Fixture struct {
	InstanceHosts []string          `json:"instance_hosts"` // without port; they select the instance
	Orgs          map[string]string `json:"orgs"`           // ids by name; ZITADEL itself does not know the names
	Callers       map[string]Caller `json:"callers"`        // by name
	Users         map[string]User   `json:"users"`          // by name
}

// Caller is a user with a token.
type Caller struct {
	Kind            string            `json:"kind,omitempty"` // "" for a machine user, or Session for a human
	Token           string            `json:"token"`          // sent as "Authorization: Bearer <token>"
	UserID          string            `json:"user_id"`
	HomeOrg         string            `json:"home_org"` // the id of the user's organization
	AdministratorOf []AdministratorOf `json:"administrator_of"`
	// UserinfoNamesOrganization says that the token's scopes make the userinfo
	// endpoint return the home organization.
	UserinfoNamesOrganization bool   `json:"userinfo_names_organization"`
	PreferredLanguage         string `json:"preferred_language,omitempty"` // a human's

	loginName string // the name in Fixture.Callers
}

// Session is the Caller.Kind of a human with a session token, which the userinfo endpoint
// rejects. The same id may also be one of the fixture's Users.
const Session = "session"

// AdministratorOf is a set of roles on one resource: exactly one of Instance, Organization
// and Project is set. A Project also needs ProjectOrganization.
type AdministratorOf struct {
	Instance            bool     `json:"instance,omitempty"`
	Organization        string   `json:"organization,omitempty"`
	Project             string   `json:"project,omitempty"`
	ProjectOrganization string   `json:"project_organization,omitempty"`
	Roles               []string `json:"roles"`
}

// User is a user without a token.
type User struct {
	ID    string `json:"id"`
	Org   string `json:"org"`
	Type  string `json:"type"`
	State string `json:"state"`
}

// The values of User.Type and User.State.
const (
	Human   = "human"
	Machine = "machine"

	Active   = "active"
	Initial  = "initial"
	Locked   = "locked"
	Inactive = "inactive"
	Deleted  = "deleted"
)

// LoadFixture reads a Fixture from a JSON file. Unknown keys and whatever New rejects are
// errors. Errors name the file.
func LoadFixture(path string) (Fixture, error) {
	content, err := os.ReadFile(path) //nolint:gosec // the operator names the file
	if err != nil {
		return Fixture{}, err
	}
	var fixture Fixture
	decoder := json.NewDecoder(bytes.NewReader(content))
	decoder.DisallowUnknownFields()
	err = decoder.Decode(&fixture)
	if _, end := decoder.Token(); err == nil && !errors.Is(end, io.EOF) {
		err = errors.New("more than one JSON document")
	}
	if err = cmp.Or(err, fixture.validate()); err != nil {
		return Fixture{}, fmt.Errorf("%s: %w", path, err)
	}
	return fixture, nil
}

// validate has a line for each mistake, with its key and what would be right.
func (f Fixture) validate() error {
	var mistakes []error
	check := func(ok bool, format string, args ...any) {
		if !ok {
			mistakes = append(mistakes, fmt.Errorf(format, args...))
		}
	}
	check(len(f.InstanceHosts) > 0, "instance_hosts: empty: no request could select the instance")
	orgs := slices.Sorted(maps.Values(f.Orgs))
	check(!slices.Contains(orgs, ""), "orgs: empty id")
	tokens, homes, ids := map[string]string{}, map[string]string{}, map[string]string{}
	for _, name := range slices.Sorted(maps.Keys(f.Callers)) {
		caller, key := f.Callers[name], "callers."+name
		check(caller.Kind == "" || caller.Kind == Session, "%s.kind: %q: use %q, or leave it out", key, caller.Kind, Session)
		check(caller.Token != "", "%s.token: empty", key)
		check(tokens[caller.Token] == "", "%s.token: also the token of %s", key, tokens[caller.Token])
		check(caller.UserID != "", "%s.user_id: empty", key)
		check(slices.Contains(orgs, caller.HomeOrg), "%s.home_org: %q is not in orgs", key, caller.HomeOrg)
		for i, on := range caller.AdministratorOf {
			resources := []bool{on.Instance, on.Organization != "", on.Project != ""}
			isOne := len(slices.DeleteFunc(resources, func(named bool) bool { return !named })) == 1
			check(isOne, "%s.administrator_of[%d]: name one of instance, organization, project", key, i)
			check(on.Project == "" || on.ProjectOrganization != "", "%s.administrator_of[%d].project_organization: missing", key, i)
		}
		tokens[caller.Token], homes[caller.UserID] = name, caller.HomeOrg
	}
	states := []string{Active, Initial, Locked, Inactive, Deleted}
	for _, name := range slices.Sorted(maps.Keys(f.Users)) {
		user, key := f.Users[name], "users."+name
		home := cmp.Or(homes[user.ID], user.Org)
		check(user.ID != "", "%s.id: empty", key)
		check(ids[user.ID] == "", "%s.id: also the id of %s", key, ids[user.ID])
		check(slices.Contains(orgs, user.Org), "%s.org: %q is not in orgs", key, user.Org)
		check(home == user.Org, "%s.org: %q, but the home of the caller with this id is %q", key, user.Org, home)
		check(user.Type == Human || user.Type == Machine, "%s.type: %q: use %q or %q", key, user.Type, Human, Machine)
		check(slices.Contains(states, user.State), "%s.state: %q: use one of %q", key, user.State, states)
		ids[user.ID] = name
	}
	return errors.Join(mistakes...)
}
