package deploy_test

import (
	"strings"
	"testing"
)

// What helm prints after an installation says how to reach the adapter, how to look at usage,
// and what comes next.
func TestChartNotes(t *testing.T) {
	t.Parallel()
	for name, notes := range map[string]struct {
		values string
		set    string
		want   []string
		not    []string
	}{
		"nobody calls": {
			"default", "",
			[]string{
				"by asking http://zitadel.zitadel.svc.cluster.local:8080.", "kubectl --namespace legacy rollout status deployment/zitadel-v1-adapter\n",
				"Nobody calls it yet. Set route.enabled (Gateway API) or ingress.enabled", "REST to port 8080, gRPC and gRPC-Web to 8081.",
				"http://zitadel-v1-adapter.legacy:8080 as ZITADEL's address", "port-forward deployment/zitadel-v1-adapter 9090:9090\n",
				"open http://127.0.0.1:9090/", "forgets when it ends", "uninstall this release",
			},
			[]string{"Log in"},
		},
		"a route for all traffic": {"all-traffic", "", []string{"All traffic goes through it at zitadel.example.com.", "set route.enabled to false"}, []string{"Nobody calls it"}},
		"an ingress": {
			"oauth2-proxy-ingress", "",
			[]string{"What the adapter translates goes through it at zitadel.example.com, login.example.com.", "set ingress.enabled to false"},
			[]string{"Nobody calls it"},
		},
		"TLS, a token": {
			"tls", "secrets.adminToken.name=adapter-admin",
			[]string{"open https://127.0.0.1:9090/", "Log in with any name. The password is the key token of the Secret adapter-admin."},
			nil,
		},
		"a ledger in SQLite":     {"sqlite", "", []string{"The volume claim zitadel-v1-adapter keeps these counts."}, []string{"forgets"}},
		"a ledger in PostgreSQL": {"postgres", "", nil, []string{"forgets", "volume claim"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			args := []string{"install", "zitadel-v1-adapter", chart, "--dry-run=client", "--namespace", "legacy", "--values", chart + "/ci/" + notes.values + "-values.yaml"}
			if notes.set != "" {
				args = append(args, "--set", notes.set)
			}
			out, err := helm(t, args...)
			if err != nil {
				t.Fatal(err)
			}
			_, got, found := strings.Cut(out, "\nNOTES:\n")
			if !found {
				t.Fatalf("got\n%s\nwant notes", out)
			}
			for _, want := range notes.want {
				if !strings.Contains(got, want) {
					t.Errorf("got the notes\n%s\nwant %q in them", got, want)
				}
			}
			for _, not := range append(notes.not, "<no value>", "map[", "%!") {
				if strings.Contains(got, not) {
					t.Errorf("got the notes\n%s\nwant no %q in them", got, not)
				}
			}
		})
	}
}
