package config

import (
	"cmp"
	"errors"
	"fmt"
	"os"
	"reflect"
	"regexp"
	"slices"
	"strings"

	"zitadel-v1-adapter/internal/listener"
)

// Override sets one key. The elements of a list are separated by commas.
type Override struct {
	Key, Value string // the key by its path, such as "upstream.url"
	From       string // what errors name, such as a variable or a flag; "": the key
}

// Load reads the file at path ("" is none), then the V1ADAPTER_ variables of environ (in the form
// of os.Environ), then overrides. Unknown keys and variables are errors, as are values that cannot
// work, except for those that the packages which use them check. The error has a line for each
// mistake, with the key or the variable, the value, and what is allowed.
func Load(path string, environ []string, overrides []Override) (Config, error) {
	config, err := Read(path, environ, overrides)
	if err != nil {
		return Config{}, err
	}
	return config, config.Validate()
}

// Read is Load without a check of the values: for a command that needs a single key.
func Read(path string, environ []string, overrides []Override) (Config, error) {
	config := Default()
	var mistakes []error
	if path != "" {
		content, err := os.ReadFile(path) //nolint:gosec // the operator names the file
		if err != nil {
			return Config{}, fmt.Errorf("--config: %w", err)
		}
		for _, mistake := range decodeFile(content, &config) {
			mistakes = append(mistakes, fmt.Errorf("%s: %w", path, mistake))
		}
	}
	fromEnvironment, unknown := environmentOverrides(environ)
	mistakes = append(mistakes, unknown...)
	for _, override := range append(fromEnvironment, overrides...) {
		mistakes = append(mistakes, override.apply(&config))
	}
	if err := errors.Join(mistakes...); err != nil {
		return Config{}, err
	}
	return config, nil
}

// apply sets the key. White space around the value, such as a newline at its end, is no part of it.
func (o Override) apply(config *Config) error {
	fields := fieldsOf(reflect.ValueOf(config).Elem(), "")
	i := slices.IndexFunc(fields, func(field field) bool { return field.key == o.Key })
	if i < 0 {
		return fmt.Errorf("unknown key %s: see config.yaml for all keys", o.Key)
	}
	return of(cmp.Or(o.From, o.Key), setField(fields[i].value, strings.TrimSpace(o.Value)))
}

// environmentPrefix begins the variable of every key.
const environmentPrefix = "V1ADAPTER_"

// Variable is the environment variable of a key: V1ADAPTER_UPSTREAM_URL for upstream.url.
func Variable(key string) string {
	return environmentPrefix + strings.ToUpper(strings.ReplaceAll(key, ".", "_"))
}

// serviceLink is a variable that Kubernetes sets in every pod for a Service whose name begins
// with "v1adapter".
var serviceLink = regexp.MustCompile(
	`^` + environmentPrefix + `(.*_)?(SERVICE_HOST|SERVICE_PORT(_.+)?|PORT(_[0-9]+_(TCP|UDP|SCTP)(_(PROTO|PORT|ADDR))?)?)$`)

// ServiceLinks names the variables of environ, in the form of os.Environ, that Kubernetes
// has set for a Service, and that set no key for all their prefix.
func ServiceLinks(environ []string) []string {
	var links []string
	for _, entry := range environ {
		if name, _, _ := strings.Cut(entry, "="); serviceLink.MatchString(name) {
			links = append(links, name)
		}
	}
	return links
}

// environmentOverrides finds the variables that set keys. One with the prefix that sets no key
// is an error, like an unknown key in the file, unless it is one of ServiceLinks.
func environmentOverrides(environ []string) (overrides []Override, unknown []error) {
	keys := map[string]string{} // by variable
	for _, key := range Keys() {
		keys[Variable(key)] = key
	}
	for _, entry := range environ {
		name, value, _ := strings.Cut(entry, "=")
		key, known := keys[name]
		switch {
		case known:
			overrides = append(overrides, Override{Key: key, Value: value, From: name})
		case strings.HasPrefix(name, environmentPrefix) && !serviceLink.MatchString(name):
			unknown = append(unknown, fmt.Errorf("%s: no such key: a variable is %s and the key's path in capitals with _, such as %s",
				name, environmentPrefix, Variable("upstream.url")))
		}
	}
	return overrides, unknown
}

// Validate finds every mistake that neither the types of the values nor their users find.
func (c Config) Validate() error {
	const minHeaderBytes = 4096
	onSocket := c.Server.ProxyProtocol && strings.HasPrefix(c.Server.Listen, "unix:")
	isAddress := func(proxy string) bool { return proxy != "unix" }
	var tokenErr error
	if c.Admin.TokenFile != "" {
		_, tokenErr = os.ReadFile(c.Admin.TokenFile)
	}
	return errors.Join(
		checkf(c.Upstream.URL != "", `upstream.url: missing: set it in the file, by V1ADAPTER_UPSTREAM_URL or by --upstream-url to the base URL of ZITADEL, such as "https://zitadel.example.com"`),
		of("server.listen", listener.ValidateAddress(c.Server.Listen)),
		checkf(!onSocket, "server.proxyProtocol: true: server.listen is %q: use host:port there, or false here", c.Server.Listen),
		checkf(onSocket || !c.Server.ProxyProtocol || slices.ContainsFunc(c.Server.TrustedProxies, isAddress),
			`server.proxyProtocol: true: server.trustedProxies is %q: list there the load balancers that send the header, such as "10.0.0.0/8", or use false here`,
			c.Server.TrustedProxies),
		of("admin.listen", listener.ValidateAddress(c.Admin.Listen)),
		c.Server.TLS.Files().Validate(),
		c.Admin.TLS.Files().Validate(),
		of("admin.tokenFile", tokenErr),
		checkf(c.Server.ShutdownDelay >= 0, "server.shutdownDelay: %v: use a duration such as 5s, or 0s for none", c.Server.ShutdownDelay),
		checkf(c.Server.ShutdownTimeout > 0, "server.shutdownTimeout: %v: use a duration above 0, such as 15s", c.Server.ShutdownTimeout),
		checkf(c.Usage.Retention >= 0, "usage.retention: %v: use a duration such as 9600h, or 0s for ever", c.Usage.Retention),
		checkf(c.Limits.HeaderTimeout > 0, "limits.headerTimeout: %v: use a duration above 0, such as 10s", c.Limits.HeaderTimeout),
		checkf(c.Limits.IdleTimeout > 0, "limits.idleTimeout: %v: use a duration above 0, such as 65m", c.Limits.IdleTimeout),
		checkf(c.Limits.HeaderBytes >= minHeaderBytes, "limits.headerBytes: %d: use %d or more, such as 65536", c.Limits.HeaderBytes, minHeaderBytes),
		checkf(c.Limits.ConnectionsPerPeer >= 0, "limits.connectionsPerPeer: %d: use a number such as 100, or 0 for no limit", c.Limits.ConnectionsPerPeer),
		checkf(c.Log.Format == FormatJSON || c.Log.Format == FormatText, "log.format: %q: use %q or %q", c.Log.Format, FormatJSON, FormatText),
	)
}

// checkf returns an error unless ok.
func checkf(ok bool, format string, args ...any) error {
	if ok {
		return nil
	}
	return fmt.Errorf(format, args...)
}

// of is an error with what it is about before it, or nil.
func of(key string, err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("%s: %w", key, err)
}
