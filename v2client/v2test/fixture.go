package v2test

import (
	"bytes"
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
)

// Fixture is the state of a ZITADEL, in the format of recordings/fixture.json. Ids and
// tokens that it does not contain are unknown to the Server.
type Fixture struct {
	// InstanceHosts are the host names, without port, that select the instance.
	InstanceHosts []string `json:"instance_hosts"`
	// Orgs maps names to the ids of organizations.
	Orgs map[string]string `json:"orgs"`
	// Callers and Users are by name. ZITADEL itself does not know the names.
	Callers map[string]Caller `json:"callers"`
	Users   map[string]User   `json:"users"`
}

// Caller is a user with a token.
type Caller struct {
	// Kind is "" for a machine user, or Session for a human with a session token.
	Kind string `json:"kind,omitempty"`
	// Token is sent as "Authorization: Bearer <token>".
	Token  string `json:"token"`
	UserID string `json:"user_id"`
	// HomeOrg is the id of the user's organization.
	HomeOrg         string            `json:"home_org"`
	AdministratorOf []AdministratorOf `json:"administrator_of"`
	// UserinfoNamesOrganization says that the token's scopes make the userinfo
	// endpoint return the home organization.
	UserinfoNamesOrganization bool `json:"userinfo_names_organization"`
	// PreferredLanguage is a human's.
	PreferredLanguage string `json:"preferred_language,omitempty"`
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

// The values of User.Type.
const (
	Human   = "human"
	Machine = "machine"
)

// The values of User.State.
const (
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

func (f Fixture) validate() error {
	if len(f.InstanceHosts) == 0 {
		return errors.New("instance_hosts: empty: no request could select the instance")
	}
	orgs := make(map[string]bool, len(f.Orgs))
	for name, id := range f.Orgs {
		if id == "" {
			return fmt.Errorf("orgs.%s: empty id", name)
		}
		orgs[id] = true
	}
	tokens, homes, ids := map[string]string{}, map[string]string{}, map[string]string{}
	for name, caller := range f.Callers {
		if err := caller.validate(orgs); err != nil {
			return fmt.Errorf("callers.%s.%w", name, err)
		}
		if other, taken := tokens[caller.Token]; taken {
			return fmt.Errorf("callers.%s.token: also the token of %s", name, other)
		}
		tokens[caller.Token] = name
		homes[caller.UserID] = caller.HomeOrg
	}
	for name, user := range f.Users {
		if err := user.validate(orgs); err != nil {
			return fmt.Errorf("users.%s.%w", name, err)
		}
		if other, taken := ids[user.ID]; taken {
			return fmt.Errorf("users.%s.id: also the id of %s", name, other)
		}
		if home, calls := homes[user.ID]; calls && home != user.Org {
			return fmt.Errorf("users.%s.org: %q, but the home of the caller with this id is %q", name, user.Org, home)
		}
		ids[user.ID] = name
	}
	return nil
}

// validate checks the caller; orgs contains the ids of the existing organizations.
func (c Caller) validate(orgs map[string]bool) error {
	switch {
	case c.Kind != "" && c.Kind != Session:
		return fmt.Errorf("kind: %q: use %q, or leave it out", c.Kind, Session)
	case c.Token == "":
		return errors.New("token: empty")
	case c.UserID == "":
		return errors.New("user_id: empty")
	case !orgs[c.HomeOrg]:
		return fmt.Errorf("home_org: %q is not in orgs", c.HomeOrg)
	}
	for i, administrator := range c.AdministratorOf {
		resources := []bool{administrator.Instance, administrator.Organization != "", administrator.Project != ""}
		if len(slices.DeleteFunc(resources, func(named bool) bool { return !named })) != 1 {
			return fmt.Errorf("administrator_of[%d]: name one of instance, organization, project", i)
		}
		if administrator.Project != "" && administrator.ProjectOrganization == "" {
			return fmt.Errorf("administrator_of[%d].project_organization: missing", i)
		}
	}
	return nil
}

// validate checks the user; orgs contains the ids of the existing organizations.
func (u User) validate(orgs map[string]bool) error {
	switch {
	case u.ID == "":
		return errors.New("id: empty")
	case !orgs[u.Org]:
		return fmt.Errorf("org: %q is not in orgs", u.Org)
	case u.Type != Human && u.Type != Machine:
		return fmt.Errorf("type: %q: use %q or %q", u.Type, Human, Machine)
	case !slices.Contains([]string{Active, Initial, Locked, Inactive, Deleted}, u.State):
		return fmt.Errorf("state: %q: use %q, %q, %q, %q or %q", u.State, Active, Initial, Locked, Inactive, Deleted)
	}
	return nil
}
