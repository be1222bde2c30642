// Package config reads the adapter's configuration: a YAML file, then the
// environment, then flags, each of which overrides the previous one.
package config

import (
	"log/slog"
	"reflect"
	"time"

	"zitadel-v1-adapter/adapter"
	"zitadel-v1-adapter/internal/grpcservices"
	"zitadel-v1-adapter/internal/listener"
	"zitadel-v1-adapter/internal/upstream"
	"zitadel-v1-adapter/v2client"
)

// Config is the whole configuration: tags name the keys and their defaults. docs/configuration.md
// describes every key; config.yaml is the annotated example.
type Config struct {
	Server   Server   `yaml:"server"`
	Admin    Admin    `yaml:"admin"`
	Upstream Upstream `yaml:"upstream"`
	// OrgScope is the rule that says in which organizations a caller can set passwords.
	OrgScope adapter.OrgScope `default:"strict" yaml:"orgScope"`

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

// Server is the section server: the listener for legacy clients.
type Server struct {
	// Listen is host:port or unix:/path. Needs a restart.
	Listen string `default:"127.0.0.1:8080" yaml:"listen"`
	// TLS is reloaded when its files change; turning it on or off needs a restart.
	TLS ServerTLS `yaml:"tls"`
	// TrustedProxies are addresses, networks and "unix", whose forwarding headers are believed.
	TrustedProxies []string `yaml:"trustedProxies"`
	// ProxyProtocol is whether TrustedProxies begin connections with a PROXY header.
	ProxyProtocol bool `yaml:"proxyProtocol"`
	// GRPCHealth and GRPCReflection say who answers those services of gRPC's.
	GRPCHealth     grpcservices.Answerer `default:"upstream" yaml:"grpcHealth"`
	GRPCReflection grpcservices.Answerer `default:"upstream" yaml:"grpcReflection"`
	// ShutdownDelay is how long everything goes on after SIGTERM, not ready. 0 is no delay.
	ShutdownDelay time.Duration `yaml:"shutdownDelay"`
	// ShutdownTimeout is how long calls in flight may go on after that. Above 0.
	ShutdownTimeout time.Duration `default:"15s" yaml:"shutdownTimeout"`
}

// ServerTLS is the section server.tls. See [listener.TLSFiles].
type ServerTLS struct {
	// CertFile and KeyFile are PEM files in the same order; none is plain text.
	CertFile []string `yaml:"certFile"`
	KeyFile  []string `yaml:"keyFile"`
	// MinVersion is the lowest version of TLS.
	MinVersion listener.TLSVersion `default:"1.2" yaml:"minVersion"`
	// ClientCAFile has the CAs of the certificates that clients must show; "" asks for none.
	ClientCAFile string `yaml:"clientCAFile"`
}

// Files are the files, as the listener takes them.
func (t ServerTLS) Files() listener.TLSFiles {
	return listener.TLSFiles{CertFiles: t.CertFile, KeyFiles: t.KeyFile, ClientCAFile: t.ClientCAFile, MinVersion: t.MinVersion}
}

// Admin is the section admin: the listener for the platform, with probes and metrics.
type Admin struct {
	// Listen has the form of Server.Listen. Needs a restart.
	Listen string `default:"127.0.0.1:9090" yaml:"listen"`
	// TokenFile holds the token that all but probes need, wherever they come from; "" is none.
	TokenFile string `yaml:"tokenFile"`
	// TLS is as Server.TLS.
	TLS AdminTLS `yaml:"tls"`
	// Pprof is whether Go's profiles are at /debug/pprof/.
	Pprof bool `yaml:"pprof"`
	// Hosts are the names under which it may be asked, besides localhost and addresses.
	Hosts []string `yaml:"hosts"`
	// QuitQuitQuit is whether POST /quitquitquit ends the program.
	QuitQuitQuit bool `yaml:"quitquitquit"`
}

// AdminTLS is the section admin.tls. See [listener.TLSFiles].
type AdminTLS struct {
	// CertFile and KeyFile are PEM files; "" is plain text.
	CertFile string `yaml:"certFile"`
	KeyFile  string `yaml:"keyFile"`
	// ClientCAFile has the CAs of client certificates, which stand for the token; "" asks for none.
	ClientCAFile string `yaml:"clientCAFile"`
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
	// URL is ZITADEL's, or unix:/path. Required.
	URL string `yaml:"url"`
	// Protocol is the protocol of v2 calls.
	Protocol v2client.Protocol `default:"auto" yaml:"protocol"`
	// Host is the name under which ZITADEL is asked: "upstream", "client", or a name.
	Host string `default:"upstream" yaml:"host"`
	// Timeout is for all calls to ZITADEL of one v1 call, retries included. Above 0.
	Timeout time.Duration `default:"1m" yaml:"timeout"`
	// ReadTimeout is how long ZITADEL may answer nothing before a look-up is given up. Above 0.
	ReadTimeout time.Duration `default:"20s" yaml:"readTimeout"`
	// TLS needs an https URL. It is reloaded when its files change.
	TLS upstream.TLS `yaml:"tls"`
}

// Messages is the section messages: the texts of refusals. See [messages.Load].
type Messages struct {
	// Dir is a folder with ZITADEL's own language files; "" leaves the language to v2.
	Dir string `yaml:"dir"`
}

// Passthrough is the section passthrough: the way of every request that is not translated. See [passthrough.Config].
type Passthrough struct {
	// Enabled is whether there is any; without it, Rollout.Percent must be 100.
	Enabled bool `default:"true" yaml:"enabled"`
	// ResponseTimeout is for the beginning of ZITADEL's answer, but not to gRPC; 0 is no limit.
	ResponseTimeout time.Duration `default:"1m" yaml:"responseTimeout"`
}

// Rollout is the section rollout: the gradual change from native v1 to translated calls. See [adapter.Rollout].
type Rollout struct {
	// Percent is the share of users whose calls are translated, from 0 to 100.
	Percent adapter.Rollout `default:"100" yaml:"percent"`
	// Shadow is whether calls that native v1 answers are judged too, by reading alone.
	Shadow bool `yaml:"shadow"`
}

// Deprecation is the section deprecation.
type Deprecation = adapter.Deprecation

// Usage is the section usage: the ledger of who still calls v1. See [usage.Ledger].
type Usage struct {
	// Store is "sqlite:" and a path, or a PostgreSQL's URL; "" is memory. Needs a restart.
	Store string `yaml:"store"`
	// Retention is how long days are kept; 0 is for ever. Needs a restart.
	Retention time.Duration `default:"9600h" yaml:"retention"`
	// Identify is whether callers are asked for of whom only the token is known.
	Identify bool `yaml:"identify"`
}

// Limits is the section limits: what clients may use. See [adapter.Limits] and [listener.Config].
type Limits struct {
	// CallsInFlight is the number of translated calls at once; 0 is no limit.
	CallsInFlight int `default:"1000" yaml:"callsInFlight"`
	// BodyTimeout is for the body of a v1 call, and for streams of own gRPC services. Above 0.
	BodyTimeout time.Duration `default:"30s" yaml:"bodyTimeout"`
	// HeaderTimeout is for the headers of a request, and TLS's handshake. Above 0. Needs a restart.
	HeaderTimeout time.Duration `default:"10s" yaml:"headerTimeout"`
	// IdleTimeout is how long a connection may wait for a request. Above 0. Needs a restart.
	IdleTimeout time.Duration `default:"2m" yaml:"idleTimeout"`
	// WriteTimeout is how long a client may take to read an answer. Above 0. Needs a restart.
	WriteTimeout time.Duration `default:"1m" yaml:"writeTimeout"`
	// HeaderBytes is the size of a request's headers, at least 4096. Needs a restart.
	HeaderBytes int `default:"65536" yaml:"headerBytes"`
	// ConnectionsPerPeer are those of an IPv4 address or IPv6 /64; 0 is no limit. Needs a restart.
	ConnectionsPerPeer int `yaml:"connectionsPerPeer"`
	// CallerRate is the number of calls a second with one token; 0 is no limit.
	CallerRate float64 `yaml:"callerRate"`
	// CallerBurst is how many of them may come at once. At least 1.
	CallerBurst int `default:"20" yaml:"callerBurst"`
}

// Log is the section log: the log, which goes to standard error.
type Log struct {
	// Level is the least severe level that is logged.
	Level slog.Level `default:"info" yaml:"level"`
	// Format is how the log is written. Needs a restart.
	Format Format `default:"json" yaml:"format"`
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
