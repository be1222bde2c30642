package upstream_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"go.uber.org/goleak"

	"zitadel-v1-adapter/internal/upstream"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// The error for an invalid configuration names the key, the value and what would be
// valid, but never contains a password.
func TestNewRejectsInvalidConfig(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	empty := filepath.Join(dir, "empty.pem")
	if err := os.WriteFile(empty, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	const hint = `use the base URL of ZITADEL, such as "https://zitadel.example.com", or "unix:/path/of/a.sock"`
	const hostHint = `use "upstream", "client", or a host name`
	caFile, pair := upstream.TLS{CAFile: empty}, upstream.TLS{CertFile: empty, KeyFile: empty}
	for want, config := range map[string]upstream.Config{
		"upstream.url: missing: " + hint:                            {},
		`upstream.url: "zitadel.example.com": ` + hint:              {URL: "zitadel.example.com"},
		`upstream.url: "ftp://x": ` + hint:                          {URL: "ftp://x"},
		`upstream.url: "unix:relative.sock": ` + hint:               {URL: "unix:relative.sock"},
		"upstream.url: not a URL: " + hint:                          {URL: "https://u:pw@x:y/"},
		`upstream.host: "": ` + hostHint:                            {URL: "https://x"},
		`upstream.host: "https://x": ` + hostHint:                   {URL: "https://x", Host: "https://x"},
		`upstream.tls: has no effect with upstream.url "http://x"`:  {URL: "http://x", Host: "x", TLS: upstream.TLS{ServerName: "y"}},
		"upstream.tls.caFile: open " + dir + "/none":                {URL: "https://x", Host: "x", TLS: upstream.TLS{CAFile: dir + "/none"}},
		`upstream.tls.caFile: "` + empty + `" holds no certificate`: {URL: "https://x", Host: "x", TLS: caFile},
		"upstream.url: without user and query, and with http:// or https://: " + hint: {
			URL: "https://x?y=pw",
		},
		`upstream.url: "https://u:xxxxx@x" holds credentials: the adapter has none of its own, ` + hint: {
			URL: "https://u:pw@x",
		},
		"upstream.tls.certFile, upstream.tls.keyFile: one is set without the other": {
			URL: "https://x", Host: "x", TLS: upstream.TLS{CertFile: empty},
		},
		`upstream.tls.certFile: "` + empty + `" with keyFile "` + empty + `": tls:`: {
			URL: "https://x", Host: "x", TLS: pair,
		},
	} {
		if _, err := upstream.New(config); err == nil || !strings.HasPrefix(err.Error(), want) || strings.Contains(err.Error(), "pw") {
			t.Errorf("%+v:\ngot  %v\nwant %s…", config, err, want)
		}
	}
}

// The error for an invalid URL does not repeat the secrets in it.
func TestURLErrorsContainNoSecrets(t *testing.T) {
	t.Parallel()
	for _, url := range []string{"admin:s3cret@zitadel.example.com", "https:/admin:s3cret@h", "https://h/?token=s3cret", "https://h?", "ftp://u:s3cret@h"} {
		if _, err := upstream.New(upstream.Config{URL: url, Host: "h"}); err == nil || strings.Contains(err.Error(), "s3cret") {
			t.Errorf("%s: got error %v, want one without the secret", url, err)
		}
	}
}

func TestHostForFollowsConfig(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		url, host, client, want string
		refused                 bool
	}{
		{url: "https://zitadel.example:8443", host: "upstream", client: "c", want: "zitadel.example:8443"},
		{url: "unix:/z.sock", host: "upstream", client: "c", want: "localhost"},
		{url: "https://x", host: "client", client: "c:80", want: "c:80"},
		{url: "https://x", host: "public.example", client: "c", want: "public.example"},
		{url: "https://x", host: "client", client: "not a host", refused: true},
		{url: "https://x", host: "client", client: "", want: "x"},
	} {
		to, err := upstream.New(upstream.Config{URL: test.url, Host: test.host})
		if err != nil {
			t.Fatal(err)
		}
		if got, ok := to.HostFor(test.client); ok == test.refused || ok && got != test.want {
			t.Errorf("url %s, host %s, client %q: got %q, %v, want %q, %v", test.url, test.host, test.client, got, ok, test.want, !test.refused)
		}
	}
}

// Base keeps the path of the URL, without its trailing slash.
func TestBaseHasNoTrailingSlash(t *testing.T) {
	t.Parallel()
	to, err := upstream.New(upstream.Config{URL: "https://x/a%2Fb/", Host: upstream.HostUpstream})
	if err != nil {
		t.Fatal(err)
	}
	if got, want := to.Base().String(), "https://x/a%2Fb"; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
}
