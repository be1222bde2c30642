package usage_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"zitadel-v1-adapter/internal/usage"
	"zitadel-v1-adapter/internal/usage/usagetest"
)

// What [usage.Examine] says of a PostgreSQL is what an adapter then finds, and it makes nothing. The
// database of each test is called NAME, and its role is v1adapter.
func TestExamineSaysWhatAWriterFinds(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	s.run(t, superuser, "CREATE ROLE v1adapter LOGIN")
	const own = "CREATE SCHEMA zitadel_v1_adapter AUTHORIZATION v1adapter"
	for name, test := range map[string]struct {
		counts     bool     // as the superuser, before the statements
		statements []string // in the database
		user       string   // "": v1adapter
		found      string   // "": it cannot be used
		texts      []string // what is said instead, and the hint
	}{
		"own_schema":  {statements: []string{own}, found: "PostgreSQL: no tables yet, and they can be made"},
		"may_make_it": {statements: []string{"GRANT CREATE ON DATABASE NAME TO v1adapter"}, found: "PostgreSQL: no tables yet, and they can be made"},
		"counts":      {counts: true, user: superuser, found: "PostgreSQL: can be written; counts since 20"},
		"no_schema": {texts: []string{
			"the schema zitadel_v1_adapter is not there, and the role v1adapter may not make it", own,
		}},
		"hidden_schema": {
			statements: []string{"CREATE SCHEMA zitadel_v1_adapter", "GRANT CREATE ON DATABASE NAME TO v1adapter"},
			texts:      []string{"v1adapter may not use the schema", "ALTER SCHEMA zitadel_v1_adapter OWNER TO v1adapter"},
		},
		"no_tables": {
			statements: []string{"CREATE SCHEMA zitadel_v1_adapter", "GRANT USAGE ON SCHEMA zitadel_v1_adapter TO v1adapter"},
			texts:      []string{"v1adapter may not make tables in the schema zitadel_v1_adapter", "ALTER SCHEMA"},
		},
		"tables_without_schema": {
			counts: true, statements: []string{
				"GRANT USAGE ON SCHEMA zitadel_v1_adapter TO v1adapter",
				"GRANT ALL ON ALL TABLES IN SCHEMA zitadel_v1_adapter TO v1adapter",
			}, texts: []string{"v1adapter may not make tables"},
		},
		"tables_of_another": {
			counts: true, statements: []string{"ALTER SCHEMA zitadel_v1_adapter OWNER TO v1adapter"},
			texts: []string{"may not read and write the tables calls, coverage, names, secrets, versions, writers", "OWNER TO v1adapter"},
		},
		"secrets_of_another": {
			counts: true, statements: []string{
				"ALTER SCHEMA zitadel_v1_adapter OWNER TO v1adapter",
				"GRANT ALL ON ALL TABLES IN SCHEMA zitadel_v1_adapter TO v1adapter",
				"REVOKE INSERT ON zitadel_v1_adapter.secrets FROM v1adapter",
			}, texts: []string{"the tables secrets in"},
		},
		"read_only": {
			statements: []string{own, "ALTER DATABASE NAME SET default_transaction_read_only = on"},
			texts:      []string{"it takes no writes", "name the primary server"},
		},
		"newer": {
			counts: true, user: superuser, statements: []string{"INSERT INTO zitadel_v1_adapter.versions VALUES (99)"},
			texts: []string{"the tables have version 99", "run its version"},
		},
		"not_let_in":   {statements: []string{"REVOKE ALL ON DATABASE NAME FROM PUBLIC"}, texts: []string{"permission denied for database", "GRANT CONNECT"}},
		"no_such_role": {user: "nobody", texts: []string{`role "nobody" does not exist`, "the right user and password"}},
		"not_there":    {texts: []string{`database "not_there" does not exist`, "make the database"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			user := test.user
			if user == "" {
				user = "v1adapter"
			}
			address := s.url(user, name)
			if name != "not_there" {
				s.run(t, superuser, "CREATE DATABASE "+name)
			}
			if test.counts {
				ledger, stop := usagetest.Start(t, s.url(superuser, name))
				ledger.Observe(usagetest.Call("7"))
				stop()
			}
			for _, statement := range test.statements {
				s.run(t, name, strings.ReplaceAll(statement, "NAME", name))
			}
			for range 2 { // the first one has made nothing
				expectExamined(t, address, test.found, test.texts)
			}
			store := usagetest.Open(t, address)
			if _, err := store.CallerKey(t.Context(), [32]byte{1}); (err == nil) != (test.found != "") {
				t.Errorf("a writer got %v", err)
			}
		})
	}
}

// expectExamined examines a database, which is found so, or cannot be used: then an error and its hint
// have the texts.
func expectExamined(t *testing.T, address, want string, texts []string) {
	t.Helper()
	found, err := usage.Examine(t.Context(), address, time.Now())
	said, wrong := "", err != nil
	if unusable, ok := errors.AsType[*usage.UnusableError](err); ok {
		said = unusable.Error() + " " + unusable.Hint
	}
	if wrong == (want != "") || !strings.HasPrefix(found, want) {
		t.Errorf("got %q, %v, want %q", found, err, want)
	}
	for _, text := range texts {
		if !strings.Contains(said, text) {
			t.Errorf("%q is not in %q", text, said)
		}
	}
}

// A PostgreSQL that is not running, or silent, is said to be.
func TestExamineOfWhatIsAway(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	address := s.fresh(t)
	s.stop(t)
	expectExamined(t, address, "", []string{"connection refused", "is PostgreSQL running"})
	s.start(t)
	expectExamined(t, address, "PostgreSQL: no tables yet", nil)
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := usage.Examine(ended, address, time.Now()); err == nil {
		t.Error("got no error after the end of the time")
	}
}
