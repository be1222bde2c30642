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
		"c.yaml:2: upstream.uri: unknown key: did you mean upstream.url?",
		`c.yaml:3: upstream.timeout: "10": use a duration such as 10s, 1h30m or 400d`,
		`c.yaml:4: rollout.percent: "12.5": use a whole number such as 20`,
		`c.yaml:6: log.level: "loud": use debug, info, warn or error`,
		"c.yaml:7: colour: unknown key: see config.yaml for all keys",
		"c.yaml:8: passthrough: use a section of keys, not a list",
		"c.yaml:10: server.listen: use a single value, not a list",
		"c.yaml:11: upstream: already set in line 1: keep one",
	)
}

// Mistakes in variables and flags are reported with those in the file, and name their
// source.
func TestAllMistakesOfEverySource(t *testing.T) {
	t.Parallel()
	_, got := load(t, "log: {level: loud}",
		[]string{"V1ADAPTER_COLOUR=red", "V1ADAPTER_LOG_FORMAT=xml", "V1ADAPTER_UPSTREAM_TIMEOUT=soon", "V1ADAPTER_UPSTREAM_URI=x", "V1ADAPTER_ROLLOUT_PERCENT=0.9"},
		config.Override{Key: "log.level", Value: "silent", From: "--log-level"},
		config.Override{Key: "retry.attempts", Value: ""},
		config.Override{Key: "retry.attempt", Value: "2", From: "--set retry.attempt"},
		config.Override{Key: "limits.headerBytes", Value: "1", From: "--set limits.headerBytes"})
	wantMistakes(t, got,
		`c.yaml:1: log.level: "loud": use debug, info, warn or error`,
		"V1ADAPTER_COLOUR: unknown key: a variable is V1ADAPTER_ and the key's path in capitals with _, such as V1ADAPTER_UPSTREAM_URL",
		"V1ADAPTER_UPSTREAM_URI: unknown key: did you mean V1ADAPTER_UPSTREAM_URL?",
		`V1ADAPTER_UPSTREAM_TIMEOUT: "soon": use a duration such as 10s, 1h30m or 400d`,
		`V1ADAPTER_ROLLOUT_PERCENT: "0.9": use a whole number such as 20`,
		`--log-level: "silent": use debug, info, warn or error`,
		`retry.attempts: "": use a whole number such as 20`,
		"--set retry.attempt: unknown key: did you mean retry.attempts?",
		"--set limits.headerBytes: 1: use 4096 or more, such as 65536",
		`V1ADAPTER_LOG_FORMAT: "xml": use "json" or "text"`,
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
		{"retry.baseDelay", "a duration such as 10s, 1h30m or 400d", map[string]any{
			"1m30s": 90 * time.Second, "0s": time.Duration(0), "1.5h": 90 * time.Minute, "-1s": -time.Second, "0": nil, "-0": nil, "10": nil, "10 s": nil, "1d": 24 * time.Hour, "1d12h": 36 * time.Hour, "1.5d": nil, "": nil, "soon": nil,
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
				"c.yaml:1: " + test.key: func() (config.Config, string) { return load(t, file, []string{"V1ADAPTER_UPSTREAM_URL=x"}) },
				variable:                func() (config.Config, string) { return load(t, "upstream: {url: x}", []string{variable + "=" + text}) },
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
		"c.yaml:2: server.tls.tls: unknown key: did you mean server.tls or admin.tls or upstream.tls?",
		`c.yaml:4: upstream.timeout: "10": use a duration such as 10s, 1h30m or 400d`,
		`c.yaml:5: retry.baseDelay: "10": use a duration such as 10s, 1h30m or 400d`,
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
		got, err := config.Read(path, nil, nil, nil)
		if err == nil {
			if got.Server.TrustedProxies == nil {
				t.Errorf("defaults are lost: %+v", got)
			}
			return
		}
		for line := range strings.SplitSeq(err.Error(), "\n") {
			if !strings.HasPrefix(line, path+":") {
				t.Errorf("%q is not a mistake of the file", line)
			}
		}
	})
}
