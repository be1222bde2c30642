package usage_test

import (
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"zitadel-v1-adapter/internal/usage"
	"zitadel-v1-adapter/internal/usage/usagetest"
)

// Two adapters with one store are one ledger; two without are two. Remote ledgers are read whole.
func TestReportsOfSeveralAdapters(t *testing.T) {
	t.Parallel()
	store := "sqlite:" + filepath.Join(t.TempDir(), "usage.db")
	var sources []usage.Source
	serve := func(ledger *usage.Ledger, callers int) {
		for i := range callers {
			ledger.Observe(call(strconv.Itoa(i)))
		}
		if err := ledger.Finish(t.Context()); err != nil {
			t.Fatal(err)
		}
		server := httptest.NewServer(ledger)
		t.Cleanup(server.Close)
		sources = append(sources, usage.Remote{URL: server.URL + "/", Client: server.Client()})
	}
	const callers = 12_345 // more than a page
	serve(newLedger(t, usage.Config{Store: usagetest.Open(t, store)}), callers)
	serve(newLedger(t, usage.Config{Store: usagetest.Open(t, store)}), 1)
	serve(newLedger(t, usage.Config{}), 2)
	reports, err := usage.Collect(t.Context(), sources, usage.Query{By: []string{"caller"}, Since: time.Now().AddDate(0, 0, -1)}, time.Now(),
		func(_ int, err error) error { return err })
	if err != nil || len(reports) != 2 {
		t.Fatalf("got %d reports, %v, want two ledgers", len(reports), err)
	}
	rows := usage.Merge(reports)
	if len(rows) != callers || rows[0].Caller != "0" || rows[0].Calls != 3 || total(rows) != callers+3 {
		t.Errorf("got %d rows with %d calls, the first %+v", len(rows), total(rows), rows[0])
	}
}

// Who is asked and is no adapter, is said to be none.
func TestRemoteIsNoAdapter(t *testing.T) {
	t.Parallel()
	other := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch {
		case r.Header.Get("Authorization") != "":
			_, _ = w.Write([]byte("{}"))
		case r.URL.Path == "/old/usage":
			_, _ = w.Write([]byte(`{"since":"2027-01-01","rows":[]}`))
		default:
			http.Error(w, "go \x1b[31maway", http.StatusForbidden)
		}
	}))
	t.Cleanup(other.Close)
	for want, remote := range map[string]usage.Remote{
		`use "http://127.0.0.1:9090", or https://`: {URL: "127.0.0.1:9090"},
		`use "http://localhost:9090", or https://`: {URL: "localhost:9090"},
		`use "http://:9090", or https://`:          {URL: ":9090"},
		`use one such as "http://127.0.0.1:9090"`:  {URL: "localhost"},
		`or "unix:/run/admin.sock"`:                {URL: "unix:admin.sock"},
		"/nowhere.sock: connect: no such file":     {URL: "unix:/nowhere.sock"},
		"answered 403 Forbidden: go ":              {URL: other.URL},
		"older than this program":                  {URL: other.URL + "/old"},
		"is this the admin address of an adapter":  {URL: other.URL, Token: "s3cret"},
	} {
		remote.Client = other.Client()
		_, err := remote.Report(t.Context(), usage.Query{}, time.Now())
		if err == nil || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "s3cret") {
			t.Errorf("%s: got %v, want %q", remote.URL, err, want)
		}
	}
}
