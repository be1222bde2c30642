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

	"zitadel-v1-adapter/adapter"
	"zitadel-v1-adapter/internal/listener"
	"zitadel-v1-adapter/internal/passthrough"
	"zitadel-v1-adapter/internal/upstream"
)

// Override sets one key. The elements of a list are separated by commas.
type Override struct {
	Key, Value string // the key by its path, such as "upstream.url"
	From       string // what errors name, such as a variable or a flag; "": the key
}

// Load reads the file at path ("" is none), then the V1ADAPTER_ variables of environ (in the form
// of os.Environ), then overrides. Unknown keys and variables are errors, as are values that cannot
// work, except for those that the packages which use them check. The error has a line for each
// mistake, with where it stands, the value, and what is allowed.
func Load(path string, environ []string, overrides []Override) (Config, error) {
	return Read(path, environ, overrides, Config.Validate)
}

// Read is Load with another check of the values, whose error has a line for each mistake, with
// the key in it. It is made in any case, so that all mistakes are found at once; nil makes none.
func Read(path string, environ []string, overrides []Override, validate func(Config) error) (Config, error) {
	r := &reader{config: Default(), mistakes: mistakes{path: path, origins: map[string]origin{}}}
	if path != "" {
		r.readFile()
	}
	for _, override := range append(r.environmentOverrides(environ), overrides...) {
		r.apply(override)
	}
	if validate != nil {
		r.locate(validate(r.config))
	}
	return r.config, r.all()
}

// reader makes a configuration of what it reads.
type reader struct {
	mistakes

	config Config
}

// apply sets the key. White space around the value, such as a newline at its end, is no part of it.
func (r *reader) apply(o Override) {
	from := cmp.Or(o.From, o.Key)
	fields := fieldsOf(reflect.ValueOf(&r.config).Elem(), "")
	i := slices.IndexFunc(fields, func(field field) bool { return field.key == o.Key })
	if i < 0 {
		r.addf(0, "%s: unknown key: %s", printable(from), r.meant(o.Key, Keys(), itself, seeExample))
		return
	}
	r.origins[o.Key] = origin{name: from}
	if err := setField(fields[i].value, strings.TrimSpace(o.Value)); err != nil {
		r.addf(0, "%s: %v", from, err)
		r.origins[o.Key] = origin{}
	}
}

// seeExample says where keys are.
const seeExample = "see config.yaml for all keys"

// meant asks whether an unknown key was meant to be one of those that are most like it, which
// named writes as it was; if none is, it says otherwise. What those keys are is then not known,
// unless they are set too.
func (r *reader) meant(unknown string, keys []string, named func(key string) string, otherwise string) string {
	near := nearest(unknown, keys)
	if len(near) == 0 {
		return otherwise
	}
	for i, key := range near {
		if _, set := r.origins[key]; !set {
			r.origins[key] = origin{}
		}
		near[i] = named(key)
	}
	return "did you mean " + strings.Join(near, " or ") + "?"
}

// itself names a key as a file does.
func itself(key string) string { return key }

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
// is a mistake, like an unknown key in the file, unless it is one of ServiceLinks.
func (r *reader) environmentOverrides(environ []string) []Override {
	keys := map[string]string{} // by variable
	for _, key := range Keys() {
		keys[Variable(key)] = key
	}
	var overrides []Override
	for _, entry := range environ {
		name, value, _ := strings.Cut(entry, "=")
		unknown, ours := strings.CutPrefix(name, environmentPrefix)
		if key, known := keys[name]; known {
			overrides = append(overrides, Override{Key: key, Value: value, From: name})
		} else if ours && !serviceLink.MatchString(name) {
			hint := fmt.Sprintf("a variable is %s and the key's path in capitals with _, such as %s", environmentPrefix, Variable("upstream.url"))
			r.addf(0, "%s: unknown key: %s", name, r.meant(unknown, Keys(), Variable, hint))
		}
	}
	return overrides
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
		c.validateAddresses(),
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
		checkf(c.Usage.Retention >= 0, "usage.retention: %v: use a duration such as 400d, or 0s for ever", c.Usage.Retention),
		checkf(c.Limits.HeaderTimeout > 0, "limits.headerTimeout: %v: use a duration above 0, such as 10s", c.Limits.HeaderTimeout),
		checkf(c.Limits.IdleTimeout > 0, "limits.idleTimeout: %v: use a duration above 0, such as 65m", c.Limits.IdleTimeout),
		checkf(c.Limits.HeaderBytes >= minHeaderBytes, "limits.headerBytes: %d: use %d or more, such as 65536", c.Limits.HeaderBytes, minHeaderBytes),
		checkf(c.Limits.ConnectionsPerPeer >= 0, "limits.connectionsPerPeer: %d: use a number such as 100, or 0 for no limit", c.Limits.ConnectionsPerPeer),
		checkf(!c.Rollout.Shadow || c.Rollout.Percent != adapter.RolloutAll,
			"rollout.shadow: true: with rollout.percent 100, native v1 answers no call that could be judged: use a lower one, or false here"),
		checkf(c.Log.Format == FormatJSON || c.Log.Format == FormatText, "log.format: %q: use %q or %q", c.Log.Format, FormatJSON, FormatText),
		checkf(slices.Contains([]passthrough.Logged{passthrough.LoggedOff, passthrough.LoggedErrors, passthrough.LoggedAll}, c.Log.Passthrough),
			"log.passthrough: %q: use %q, %q or %q", c.Log.Passthrough, passthrough.LoggedOff, passthrough.LoggedErrors, passthrough.LoggedAll),
	)
}

// validateAddresses finds what would be the same address.
func (c Config) validateAddresses() error {
	server, admin := c.Server.Listen, c.Admin.Listen
	same := listener.Reaches(server, admin) || listener.Reaches(admin, server)
	own := func(key, listen string) error {
		return checkf(!listener.Reaches(listen, upstream.Address(c.Upstream.URL)),
			"upstream.url: %q: the adapter itself is there, by %s: use ZITADEL's address here, or another address there", Redacted("", c.Upstream.URL), key)
	}
	return errors.Join(
		checkf(!same, "admin.listen: %q: it is server.listen too: use another address for one of them", admin),
		own("server.listen", server),
		own("admin.listen", admin),
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
