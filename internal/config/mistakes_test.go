package config_test

import (
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"zitadel-v1-adapter/internal/config"
)

// load loads a file named c.yaml, and names it so in errors.
func load(t *testing.T, content string, environ []string, overrides ...config.Override) (config.Config, string) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "c.yaml")
	if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
	got, err := config.Load(path, environ, overrides)
	if err != nil {
		return got, strings.ReplaceAll(err.Error(), path, "c.yaml")
	}
	return got, ""
}

// wantMistakes compares all lines of an error.
func wantMistakes(t *testing.T, got string, want ...string) {
	t.Helper()
	if want := strings.Join(want, "\n"); got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
}

// The error of each mistake names its line, the key, the value, and what is allowed.
func TestMistakesNameLineKeyAndValue(t *testing.T) {
	t.Parallel()
	const url = "upstream: {url: http://x}\n"
	for file, want := range map[string]string{
		// Keys.
		url + "colour: red":              "c.yaml: line 2: unknown key colour: see config.yaml for all keys",
		"upstream:\n  uri: http://x":     "c.yaml: line 2: unknown key upstream.uri: see config.yaml for all keys",
		url + `"two\nlines": 1`:          `c.yaml: line 2: unknown key "two\nlines": see config.yaml for all keys`,
		url + "upstream: {timeout: 1s}":  "c.yaml: line 2: upstream: already set in line 1: keep one",
		url + "log: {<<: {level: warn}}": "c.yaml: line 2: log.<<: merging is not supported: write the keys out",
		url + "? [a]\n: b":               "c.yaml: line 2: use a name as key, not a list",
		url + "log: {{a: b}: c}":         "c.yaml: line 2: log: use a name as key, not a section of keys",
		// What kind of value.
		"server: x\n" + url:                              "c.yaml: line 1: server: use a section of keys, not a single value",
		url + "server: {trustedProxies: {a: b}}":         "c.yaml: line 2: server.trustedProxies: use a list, not a section of keys",
		url + "log: [level]":                             "c.yaml: line 2: log: use a section of keys, not a list",
		"upstream: {url: [http://x]}":                    "c.yaml: line 1: upstream.url: use a single value, not a list",
		"upstream: {url: {{ .Values.url }}}":             "c.yaml: line 1: upstream.url: use a single value, not a section of keys",
		url + "server:\n  trustedProxies:\n  - {unix: }": "c.yaml: line 4: server.trustedProxies: use single values in the list, not a section of keys",
		// Of the whole file, and of a tag.
		"- upstream":                "c.yaml: line 1: use a section of keys, not a list",
		"text":                      "c.yaml: line 1: use a section of keys, not a single value",
		"upstream: {url: !env URL}": `c.yaml: line 1: upstream.url: "!env": leave this out: tags are not supported`,
		// Values.
		"upstream: {url: http://x, timeout: 10}": `c.yaml: line 1: upstream.timeout: "10": use a duration such as 10s`,
		url + "breaker: {minimumCalls: many}":    `c.yaml: line 2: breaker.minimumCalls: "many": use a whole number such as 20`,
		url + "rollout: {percent: 12.5}":         `c.yaml: line 2: rollout.percent: "12.5": use a whole number such as 20`,
		url + "rollout: {percent: 0.9}":          `c.yaml: line 2: rollout.percent: "0.9": use a whole number such as 20`,
		url + "rollout: {percent: 1e2}":          `c.yaml: line 2: rollout.percent: "1e2": use a whole number such as 20`,
		url + "breaker: {failureRate: .nan}":     `c.yaml: line 2: breaker.failureRate: ".nan": use a number such as 0.5`,
		url + "passthrough: {enabled: yes}":      `c.yaml: line 2: passthrough.enabled: "yes": use true or false`,
		url + "log: {level: loud}":               `c.yaml: line 2: log.level: "loud": use debug, info, warn or error`,
		url + "deprecation: {sunset: soon}":      `c.yaml: line 2: deprecation.sunset: "soon": use a date such as 2027-01-31, or a time such as 2027-01-31T12:00:00Z`,
		// YAML.
		url + "---\n{}":                      "c.yaml: more than one YAML document: keep one",
		url + "a: b: c":                      "c.yaml: line 2: not YAML: mapping values are not allowed in this context",
		url + "rollout: {percent: 1":         "c.yaml: line 2: not YAML: did not find expected ',' or '}'",
		"a: b: c":                            "c.yaml: not YAML: mapping values are not allowed in this context",
		"log: {level: *up}":                  "c.yaml: not YAML: unknown anchor 'up' referenced",
		url + "]":                            "c.yaml: line 2: not YAML: did not find expected key",
		"log:\n  level: warn\n format: text": "c.yaml: line 3: not YAML: did not find expected key",
		url + "log:\n\tlevel: warn":          "c.yaml: line 3: not YAML: found character that cannot start any token",
		// Values that their types allow, and that cannot work.
		url + "server: {tls: {certFile: [a, b], keyFile: a}}": "server.tls.certFile has 2 files, server.tls.keyFile has 1: name a key for each certificate, in the same order",
		url + "server: {tls: {minVersion: 1.1}}":              `server.tls.minVersion: "1.1": use "1.2" or "1.3"`,
		"":                                                    `upstream.url: missing: set it in the file, by V1ADAPTER_UPSTREAM_URL or by --upstream-url to the base URL of ZITADEL, such as "https://zitadel.example.com"`,
		url + "log: {format: xml}":                            `log.format: "xml": use "json" or "text"`,
		url + "server: {listen: '8080'}":                      `server.listen: "8080": use host:port, such as "127.0.0.1:8080" or ":8080", or unix:/path`,
		url + "server: {proxyProtocol: true}":                 `server.proxyProtocol: true: server.trustedProxies is []: list there the load balancers that send the header, such as "10.0.0.0/8", or use false here`,
		url + "server: {proxyProtocol: true, trustedProxies: [unix]}":                     `server.proxyProtocol: true: server.trustedProxies is ["unix"]: list there the load balancers that send the header, such as "10.0.0.0/8", or use false here`,
		url + "server: {proxyProtocol: true, trustedProxies: ['::1'], listen: 'unix:/s'}": `server.proxyProtocol: true: server.listen is "unix:/s": use host:port there, or false here`,
		url + "admin: {tokenFile: nowhere}":                                               "admin.tokenFile: open nowhere: no such file or directory",
		url + "admin: {tls: {certFile: c}}":                                               "admin.tls.certFile, admin.tls.keyFile: one is set without the other: set both, or neither for plain text",
		url + "limits: {headerTimeout: 0s}":                                               "limits.headerTimeout: 0s: use a duration above 0, such as 10s",
	} {
		_, got := load(t, file, nil)
		if got != want {
			t.Errorf("%s\ngot  %s\nwant %s", file, got, want)
		}
	}
}

// All mistakes in a file are reported at once, in the order of its lines.
func TestAllMistakesOfAFile(t *testing.T) {
	t.Parallel()
	_, got := load(t, `upstream:
  uri: http://x
  timeout: 10
rollout: {percent: 12.5}
log:
  level: loud
colour: red
passthrough: [enabled]
server: &server
  listen: [a]
upstream: {url: http://x}
`, nil)
	wantMistakes(t, got,
		"c.yaml: line 2: unknown key upstream.uri: see config.yaml for all keys",
		`c.yaml: line 3: upstream.timeout: "10": use a duration such as 10s`,
		`c.yaml: line 4: rollout.percent: "12.5": use a whole number such as 20`,
		`c.yaml: line 6: log.level: "loud": use debug, info, warn or error`,
		"c.yaml: line 7: unknown key colour: see config.yaml for all keys",
		"c.yaml: line 8: passthrough: use a section of keys, not a list",
		"c.yaml: line 10: server.listen: use a single value, not a list",
		"c.yaml: line 11: upstream: already set in line 1: keep one",
	)
}

// Mistakes in variables and flags are reported with those in the file, and name their
// source.
func TestAllMistakesOfEverySource(t *testing.T) {
	t.Parallel()
	_, got := load(t, "log: {level: loud}",
		[]string{"V1ADAPTER_UPSTREAM_TIMEOUT=soon", "V1ADAPTER_UPSTREAM_URI=x", "V1ADAPTER_ROLLOUT_PERCENT=0.9"},
		config.Override{Key: "log.level", Value: "silent", From: "--log-level"},
		config.Override{Key: "retry.attempts", Value: ""},
		config.Override{Key: "retry.colour", Value: "red"})
	wantMistakes(t, got,
		`c.yaml: line 1: log.level: "loud": use debug, info, warn or error`,
		"V1ADAPTER_UPSTREAM_URI: no such key: a variable is V1ADAPTER_ and the key's path in capitals with _, such as V1ADAPTER_UPSTREAM_URL",
		`V1ADAPTER_UPSTREAM_TIMEOUT: "soon": use a duration such as 10s`,
		`V1ADAPTER_ROLLOUT_PERCENT: "0.9": use a whole number such as 20`,
		`--log-level: "silent": use debug, info, warn or error`,
		`retry.attempts: "": use a whole number such as 20`,
		"unknown key retry.colour: see config.yaml for all keys",
	)
}

// All values that cannot work are reported at once.
func TestAllValuesThatCannotWork(t *testing.T) {
	t.Parallel()
	_, got := load(t, `
server: {listen: 'unix:s', tls: {certFile: c}, shutdownDelay: -1s, shutdownTimeout: 0s}
admin: {listen: 'unix:s'}
limits: {headerTimeout: 0s, idleTimeout: 0s, headerBytes: 1, connectionsPerPeer: -1}
log: {format: xml}`, nil)
	wantMistakes(t, got,
		`upstream.url: missing: set it in the file, by V1ADAPTER_UPSTREAM_URL or by --upstream-url to the base URL of ZITADEL, such as "https://zitadel.example.com"`,
		`server.listen: "unix:s": use an absolute path, such as "unix:/run/zitadel-v1-adapter.sock"`,
		`admin.listen: "unix:s": use an absolute path, such as "unix:/run/zitadel-v1-adapter.sock"`,
		"server.tls.certFile, server.tls.keyFile: one is set without the other: set both, or neither for plain text",
		"server.shutdownDelay: -1s: use a duration such as 5s, or 0s for none",
		"server.shutdownTimeout: 0s: use a duration above 0, such as 15s",
		"limits.headerTimeout: 0s: use a duration above 0, such as 10s",
		"limits.idleTimeout: 0s: use a duration above 0, such as 65m",
		"limits.headerBytes: 1: use 4096 or more, such as 65536",
		"limits.connectionsPerPeer: -1: use a number such as 100, or 0 for no limit",
		`log.format: "xml": use "json" or "text"`,
	)
}

// A text means the same value in a file, a variable and a flag. Those with nil are
// refused, with what is allowed.
func TestValuesOfEveryType(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		key, allowed string
		values       map[string]any
	}{
		{"upstream.host", "", map[string]any{"x": "x", "": "", "10": "10", "true": "true", "null": "null", "[::1]:80": "[::1]:80", "a: b # c": "a: b # c"}},
		{"admin.quitquitquit", "true or false", map[string]any{"true": true, "false": false, "True": nil, "yes": nil, "1": nil, "": nil}},
		{"retry.attempts", "a whole number such as 20", map[string]any{
			"7": 7, "-7": -7, "0": 0, "12.5": nil, "0.9": nil, "1.0": nil, "1e3": nil, "1_000": nil, "0x10": nil, "": nil, "many": nil, "99999999999999999999": nil,
		}},
		{"retry.budget", "a number such as 0.5", map[string]any{
			"0.25": 0.25, "1": 1., "-1": -1., "1e-2": 0.01, ".5": .5, "NaN": nil, ".nan": nil, "inf": nil, "-Infinity": nil, "0x1p-2": nil, "1_0": nil, "": nil, "half": nil, "1e999": nil,
		}},
		{"retry.baseDelay", "a duration such as 10s", map[string]any{
			"1m30s": 90 * time.Second, "0s": time.Duration(0), "1.5h": 90 * time.Minute, "-1s": -time.Second, "0": nil, "-0": nil, "10": nil, "10 s": nil, "1d": nil, "": nil, "soon": nil,
		}},
		{"log.level", "debug, info, warn or error", map[string]any{
			"debug": slog.LevelDebug, "info": slog.LevelInfo, "WARN": slog.LevelWarn, "Error": slog.LevelError, "info+2": nil, "warn-1": nil, "0": nil, "": nil, "loud": nil,
		}},
	} {
		section, name, _ := strings.Cut(test.key, ".")
		for text, want := range test.values {
			file := fmt.Sprintf("%s: {%s: %q}", section, name, text)
			variable := config.Variable(test.key)
			for from, read := range map[string]func() (config.Config, string){
				"c.yaml: line 1: " + test.key: func() (config.Config, string) { return load(t, file, []string{"V1ADAPTER_UPSTREAM_URL=x"}) },
				variable:                      func() (config.Config, string) { return load(t, "upstream: {url: x}", []string{variable + "=" + text}) },
				"--flag": func() (config.Config, string) {
					return load(t, "upstream: {url: x}", nil, config.Override{Key: test.key, Value: text, From: "--flag"})
				},
			} {
				got, mistakes := read()
				if want == nil {
					wantMistakes(t, mistakes, fmt.Sprintf("%s: %q: use %s", from, text, test.allowed))
					continue
				}
				wantMistakes(t, mistakes)
				if value := valueOf(t, got, test.key); value != want {
					t.Errorf("%s: %q is %#v, want %#v", from, text, value, want)
				}
			}
		}
	}
}

// valueOf is the value of a key.
func valueOf(t *testing.T, of config.Config, key string) any {
	t.Helper()
	value := reflect.ValueOf(of)
	for name := range strings.SplitSeq(key, ".") {
		for field, fieldValue := range value.Fields() {
			if field.Tag.Get("yaml") == name {
				value = fieldValue
				break
			}
		}
	}
	return value.Interface()
}

// A list is a YAML list in a file, or is separated by commas, as elsewhere.
func TestListsInFilesAndVariables(t *testing.T) {
	t.Parallel()
	for file, want := range map[string][]string{
		"server: {trustedProxies: [10.0.0.0/8, '::1', unix]}":    {"10.0.0.0/8", "::1", "unix"},
		"server: {trustedProxies: []}":                           {},
		"server: {trustedProxies: '10.0.0.0/8,unix'}":            {"10.0.0.0/8", "unix"},
		"server: {listen: &a ':1', trustedProxies: [*a, 'a,b']}": {":1", "a,b"},
	} {
		got, mistakes := load(t, file, []string{"V1ADAPTER_UPSTREAM_URL=x"})
		if wantMistakes(t, mistakes); !reflect.DeepEqual(got.Server.TrustedProxies, want) {
			t.Errorf("%s is %q, want %q", file, got.Server.TrustedProxies, want)
		}
	}
	for text, want := range map[string][]string{"10.0.0.0/8, ::1,,unix,": {"10.0.0.0/8", "::1", "unix"}, "": {}, "[a]": {"[a]"}} {
		got, mistakes := load(t, "server: {trustedProxies: [replaced]}", []string{"V1ADAPTER_UPSTREAM_URL=x", "V1ADAPTER_SERVER_TRUSTEDPROXIES=" + text})
		if wantMistakes(t, mistakes); !reflect.DeepEqual(got.Server.TrustedProxies, want) {
			t.Errorf("%q is %q, want %q", text, got.Server.TrustedProxies, want)
		}
	}
}

// A key without a value in the file keeps its default.
func TestEmptyKeepsDefaults(t *testing.T) {
	t.Parallel()
	for _, file := range []string{"", "# nothing\n", "---\n", "{}", "null", "server:\nlog: ~", "server: {listen: , tls: , trustedProxies: }\nlog: {level: null}\nrollout: {percent: }"} {
		got, mistakes := load(t, file, []string{"V1ADAPTER_UPSTREAM_URL=x"})
		want := config.Default()
		want.Upstream.URL = "x"
		if wantMistakes(t, mistakes); !reflect.DeepEqual(got, want) {
			t.Errorf("%q is\n%+v\nwant\n%+v", file, got, want)
		}
	}
}

// An alias has the value of its anchor, and the mistakes in it.
func TestAliasesAreFollowed(t *testing.T) {
	t.Parallel()
	got, mistakes := load(t, "admin: {tls: &tls {certFile: &pem /pem, keyFile: *pem}}\nupstream: {url: http://x, tls: *tls}", nil)
	if wantMistakes(t, mistakes); got.Upstream.TLS.KeyFile != "/pem" || got.Admin.TLS.KeyFile != "/pem" {
		t.Errorf("%+v", got)
	}
	_, mistakes = load(t, "server: &server\n  tls: *server\nupstream: {url: http://x,\n  timeout: &ten 10}\nretry: {baseDelay: *ten}", nil)
	wantMistakes(t, mistakes,
		"c.yaml: line 2: unknown key server.tls.tls: see config.yaml for all keys",
		`c.yaml: line 4: upstream.timeout: "10": use a duration such as 10s`,
		`c.yaml: line 5: retry.baseDelay: "10": use a duration such as 10s`,
	)
}

func TestMissingFileIsAnError(t *testing.T) {
	t.Parallel()
	if _, err := config.Load("nowhere.yaml", nil, nil); err == nil || !strings.Contains(err.Error(), "--config: open nowhere.yaml") {
		t.Errorf("got %v", err)
	}
}

// Any file is a configuration, or has mistakes, one per line.
func FuzzLoad(f *testing.F) {
	content, err := os.ReadFile(example)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(content)
	for _, seed := range []string{
		"", "- a", "log: [level]", "a: &a {*a : *a}", "log: &log {level: *log}", "server: {trustedProxies: &p [*p, {}, 1]}",
		"log: {<<: {level: warn}}", "upstream: {url: !!binary eA==}", "\"\\n\": 1", "? {}\n: 1", "{}\n--- \n]", "rollout: {percent: 0.9}", "\xff\xfea",
	} {
		f.Add([]byte(seed))
	}
	path := filepath.Join(f.TempDir(), "c.yaml")
	f.Fuzz(func(t *testing.T, content []byte) {
		if err := os.WriteFile(path, content, 0o600); err != nil {
			t.Fatal(err)
		}
		got, err := config.Read(path, nil, nil)
		if err == nil {
			if got.Server.TrustedProxies == nil {
				t.Errorf("defaults are lost: %+v", got)
			}
			return
		}
		for line := range strings.SplitSeq(err.Error(), "\n") {
			if !strings.HasPrefix(line, path+": ") {
				t.Errorf("%q is not a mistake of the file", line)
			}
		}
	})
}
