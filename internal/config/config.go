// Package config reads the adapter's configuration: a YAML file, then the
// environment, then flags, each of which overrides the previous one.
package config

import (
	"fmt"
	"log/slog"
	"os"
	"reflect"
	"strings"
	"time"

	"zitadel-v1-adapter/adapter"
	"zitadel-v1-adapter/internal/grpcservices"
	"zitadel-v1-adapter/internal/listener"
	"zitadel-v1-adapter/internal/passthrough"
	"zitadel-v1-adapter/internal/upstream"
	"zitadel-v1-adapter/v2client"
)

// Config is the whole configuration. Tags name the keys and their defaults; what is marked (restart)
// changes at a start alone. docs/configuration.md describes every key; config.yaml is the example.
type Config struct {
	Server      Server                 `yaml:"server"`
	Admin       Admin                  `yaml:"admin"`
	Upstream    Upstream               `yaml:"upstream"`
	OrgScope    adapter.OrgScope       `default:"strict"   yaml:"orgScope"`
	Roles       Roles                  `yaml:"roles"`
	Messages    Messages               `yaml:"messages"`
	Passthrough Passthrough            `yaml:"passthrough"`
	Rollout     Rollout                `yaml:"rollout"`
	Deprecation Deprecation            `yaml:"deprecation"`
	Usage       Usage                  `yaml:"usage"`
	Breaker     v2client.BreakerConfig `yaml:"breaker"`
	Retry       v2client.RetryConfig   `yaml:"retry"`
	Limits      Limits                 `yaml:"limits"`
	Log         Log                    `yaml:"log"`
}

// Server is the section server: the listener for legacy clients. See [listener.Config].
type Server struct {
	Listen         string                `default:"127.0.0.1:8080" yaml:"listen"` // host:port or unix:/path (restart)
	TLS            ServerTLS             `yaml:"tls"`                             // files are watched; on or off (restart)
	TrustedProxies []string              `yaml:"trustedProxies"`                  // whose forwarding headers are believed
	ProxyProtocol  bool                  `yaml:"proxyProtocol"`                   // with which those begin connections
	GRPCHealth     grpcservices.Answerer `default:"upstream"       yaml:"grpcHealth"`
	GRPCReflection grpcservices.Answerer `default:"upstream"       yaml:"grpcReflection"`

	ShutdownDelay   time.Duration `yaml:"shutdownDelay"`                        // from SIGTERM on, not ready; 0 is none
	ShutdownTimeout time.Duration `default:"15s"        yaml:"shutdownTimeout"` // then, for calls in flight; above 0
}

// ServerTLS is the section server.tls. See [listener.TLSFiles].
type ServerTLS struct {
	CertFile     []string            `yaml:"certFile"`                       // none is plain text
	KeyFile      []string            `yaml:"keyFile"`                        // in the same order
	MinVersion   listener.TLSVersion `default:"1.2"       yaml:"minVersion"` // the lowest
	ClientCAFile string              `yaml:"clientCAFile"`                   // of what clients must show; "" asks for none
}

// Files are the files, as the listener takes them.
func (t ServerTLS) Files() listener.TLSFiles {
	return listener.TLSFiles{CertFiles: t.CertFile, KeyFiles: t.KeyFile, ClientCAFile: t.ClientCAFile, MinVersion: t.MinVersion}
}

// Admin is the section admin: the listener for the platform, with probes and metrics.
type Admin struct {
	Listen       string   `default:"127.0.0.1:9090" yaml:"listen"` // as Server.Listen (restart)
	TokenFile    string   `yaml:"tokenFile"`                       // with what all but probes need; "" is none
	TLS          AdminTLS `yaml:"tls"`                             // as Server.TLS
	Pprof        bool     `yaml:"pprof"`                           // whether Go's profiles are at /debug/pprof/
	Hosts        []string `yaml:"hosts"`                           // its names besides localhost and addresses
	QuitQuitQuit bool     `yaml:"quitquitquit"`                    // whether POST /quitquitquit ends the program
}

// AdminTLS is the section admin.tls. See [listener.TLSFiles].
type AdminTLS struct {
	CertFile     string `yaml:"certFile"` // "" is plain text
	KeyFile      string `yaml:"keyFile"`
	ClientCAFile string `yaml:"clientCAFile"` // of certificates that stand for the token; "" asks for none
}

// Files are the files, as the listener takes them.
func (t AdminTLS) Files() listener.TLSFiles {
	files := listener.TLSFiles{ClientCAFile: t.ClientCAFile, ClientsMayBeUnknown: true, Key: "admin.tls"}
	if t.CertFile != "" {
		files.CertFiles = []string{t.CertFile}
	}
	if t.KeyFile != "" {
		files.KeyFiles = []string{t.KeyFile}
	}
	return files
}

// Upstream is the section upstream: ZITADEL, and how it is called. See [upstream.Config] and [v2client.Config].
type Upstream struct {
	URL         string            `yaml:"url"` // ZITADEL's, or unix:/path; required
	Protocol    v2client.Protocol `default:"auto"     yaml:"protocol"`
	Host        string            `default:"upstream" yaml:"host"`        // "upstream", "client", or a name
	Timeout     time.Duration     `default:"1m"       yaml:"timeout"`     // for all that one v1 call takes; above 0
	ReadTimeout time.Duration     `default:"20s"      yaml:"readTimeout"` // of silence, for a look-up; above 0
	TLS         upstream.TLS      `yaml:"tls"`                            // reloaded when its files change
}

// Roles is the section roles: an instance's own mapping of roles to permissions. See [v2client.Config].
type Roles struct {
	UserWrite []string `yaml:"userWrite"` // which have user.write, in place of ZITADEL's default ones
}

// Messages is the section messages: the texts of refusals. See [messages.Load].
type Messages struct {
	Dir string `yaml:"dir"` // with ZITADEL's own language files; "" leaves the language to v2
}

// Passthrough is the section passthrough: the way of every request that is not translated. See [passthrough.Config].
type Passthrough struct {
	Enabled         bool          `default:"true" yaml:"enabled"`         // false: Rollout.Percent must be 100
	ResponseTimeout time.Duration `default:"1m"   yaml:"responseTimeout"` // of an answer to begin, not over gRPC; 0 is none
}

// Rollout is the section rollout: the gradual change from native v1 to translated calls. See [adapter.Config].
type Rollout struct {
	Percent adapter.Rollout `default:"100" yaml:"percent"` // of users whose calls are translated, 0 to 100
	Shadow  bool            `yaml:"shadow"`                // whether calls that native v1 answers are judged too
}

// Deprecation is the section deprecation.
type Deprecation = adapter.Deprecation

// Usage is the section usage: the ledger of who still calls v1. See [usage.Ledger].
type Usage struct {
	Store     string        `yaml:"store"`                      // see [usage.OpenStore]; "" is memory (restart)
	StoreFile string        `yaml:"storeFile"`                  // with what would be Store; not both (restart)
	Retention time.Duration `default:"400d"   yaml:"retention"` // of days; 0 is for ever (restart)
	Identify  bool          `default:"true"   yaml:"identify"`  // whether ZITADEL is asked who called
	Names     bool          `default:"true"   yaml:"names"`     // whether login names are kept (restart)
}

// StoreAddress is the address of the store, or "", and the key that it is from. The error names the
// key, and nothing that is in the file.
func (u Usage) StoreAddress() (address, key string, err error) {
	const store, storeFile = "usage.store", "usage.storeFile"
	switch {
	case u.StoreFile == "":
		return u.Store, store, nil
	case u.Store != "":
		return "", storeFile, fmt.Errorf("%s, %s: both are set: keep one of them", storeFile, store)
	}
	content, err := os.ReadFile(u.StoreFile)
	if err != nil {
		return "", storeFile, fmt.Errorf("%s: %w", storeFile, err)
	}
	if address = strings.TrimSpace(string(content)); address == "" {
		return "", storeFile, fmt.Errorf("%s: %q is empty: it holds what %s would be", storeFile, u.StoreFile, store)
	}
	return address, storeFile, nil
}

// Limits is the section limits: what clients may use. See [adapter.Limits] and [listener.Config]. Timeouts
// are above 0.
type Limits struct {
	CallsInFlight      int           `default:"1000"            yaml:"callsInFlight"` // translated ones; 0 is no limit
	BodyTimeout        time.Duration `default:"30s"             yaml:"bodyTimeout"`   // of a v1 call; of own gRPC streams
	HeaderTimeout      time.Duration `default:"10s"             yaml:"headerTimeout"` // of a request, or TLS handshake (restart)
	IdleTimeout        time.Duration `default:"65m"             yaml:"idleTimeout"`   // of a connection without a request (restart)
	WriteTimeout       time.Duration `default:"1m"              yaml:"writeTimeout"`  // for a client to read an answer (restart)
	HeaderBytes        int           `default:"65536"           yaml:"headerBytes"`   // of a request; at least 4096 (restart)
	ConnectionsPerPeer int           `yaml:"connectionsPerPeer"`                      // IPv4 address or IPv6 /64; 0: none (restart)
	CallerRate         float64       `yaml:"callerRate"`                              // calls a second with one token; 0 is no limit
	CallerBurst        int           `default:"20"              yaml:"callerBurst"`   // of those at once; at least 1
}

// Log is the section log: the log, which goes to standard error.
type Log struct {
	Level       slog.Level         `default:"info" yaml:"level"`       // the least severe that is logged
	Format      Format             `default:"json" yaml:"format"`      // (restart)
	Passthrough passthrough.Logged `default:"off"  yaml:"passthrough"` // which requests, at info
}

// Format is how the log is written.
type Format string

// The values of Format.
const (
	FormatJSON Format = "json"
	FormatText Format = "text"
)

// Default is the configuration in which no key is set. Only upstream.url has no default.
func Default() Config {
	var config Config
	for _, field := range fieldsOf(reflect.ValueOf(&config).Elem(), "") {
		_ = setField(field.value, field.unset) // fails without a default: zero stays
	}
	return config
}
