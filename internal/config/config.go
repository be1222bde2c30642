// Package config reads the adapter's configuration: a YAML file, then the
// environment, then flags, each over the one before.
package config

import (
	"log/slog"
	"time"

	"zitadel-v1-adapter/adapter"
	"zitadel-v1-adapter/internal/grpcservices"
	"zitadel-v1-adapter/internal/upstream"
	"zitadel-v1-adapter/v2client"
)

// Config is the whole configuration. config.yaml at the root of the project
// shows and explains every key with its default.
type Config struct {
	Server      Server           `yaml:"server"`
	Admin       Admin            `yaml:"admin"`
	Upstream    Upstream         `yaml:"upstream"`
	OrgScope    adapter.OrgScope `yaml:"orgScope"`
	Passthrough Passthrough      `yaml:"passthrough"`
	Rollout     Rollout          `yaml:"rollout"`
	Breaker     Breaker          `yaml:"breaker"`
	Retry       Retry            `yaml:"retry"`
	Limits      Limits           `yaml:"limits"`
	Log         Log              `yaml:"log"`
}

// Server is where legacy clients connect.
type Server struct {
	// Listen is a host:port, of which port 0 takes any free one, or unix:/path.
	Listen string    `yaml:"listen"`
	TLS    ServerTLS `yaml:"tls"`
	// TrustedProxies may say where requests came from. See
	// [forwarded.ParseTrustedProxies].
	TrustedProxies []string `yaml:"trustedProxies"`
	// GRPCHealth and GRPCReflection say who answers these services.
	GRPCHealth     grpcservices.Answerer `yaml:"grpcHealth"`
	GRPCReflection grpcservices.Answerer `yaml:"grpcReflection"`
	// ShutdownDelay is how long everything goes on after a signal, but for
	// readiness.
	ShutdownDelay time.Duration `yaml:"shutdownDelay"`
	// ShutdownTimeout is how long calls in flight may go on after that.
	ShutdownTimeout time.Duration `yaml:"shutdownTimeout"`
}

// ServerTLS is [listener.TLSFiles].
type ServerTLS struct {
	CertFile     string `yaml:"certFile"`
	KeyFile      string `yaml:"keyFile"`
	ClientCAFile string `yaml:"clientCAFile"`
}

// Admin is where the platform looks in.
type Admin struct {
	// Listen is as Server.Listen.
	Listen string `yaml:"listen"`
	// QuitQuitQuit allows POST /quitquitquit, which ends the program.
	QuitQuitQuit bool `yaml:"quitquitquit"`
}

// Upstream is ZITADEL. See [upstream.Config] and [v2client.Config].
type Upstream struct {
	URL      string            `yaml:"url"`
	Protocol v2client.Protocol `yaml:"protocol"`
	Host     string            `yaml:"host"`
	// Timeout is the budget of all upstream calls of one v1 call together.
	Timeout time.Duration `yaml:"timeout"`
	TLS     UpstreamTLS   `yaml:"tls"`
}

// UpstreamTLS is [upstream.TLS].
type UpstreamTLS struct {
	CAFile     string `yaml:"caFile"`
	CertFile   string `yaml:"certFile"`
	KeyFile    string `yaml:"keyFile"`
	ServerName string `yaml:"serverName"`
}

// Passthrough is what becomes of everything but the translated call. See
// [passthrough.Config].
type Passthrough struct {
	Enabled         bool          `yaml:"enabled"`
	ResponseTimeout time.Duration `yaml:"responseTimeout"`
}

// Rollout is [adapter.Rollout].
type Rollout struct {
	Percent adapter.Rollout `yaml:"percent"`
}

// Breaker is [v2client.BreakerConfig].
type Breaker struct {
	MinimumCalls int           `yaml:"minimumCalls"`
	FailureRate  float64       `yaml:"failureRate"`
	Window       time.Duration `yaml:"window"`
	OpenFor      time.Duration `yaml:"openFor"`
}

// Retry is [v2client.RetryConfig].
type Retry struct {
	Attempts  int           `yaml:"attempts"`
	BaseDelay time.Duration `yaml:"baseDelay"`
	MaxDelay  time.Duration `yaml:"maxDelay"`
	Budget    float64       `yaml:"budget"`
}

// Limits are [adapter.Limits], and those of connections. See [listener.Config].
type Limits struct {
	CallsInFlight int           `yaml:"callsInFlight"`
	BodyTimeout   time.Duration `yaml:"bodyTimeout"`
	HeaderTimeout time.Duration `yaml:"headerTimeout"`
	IdleTimeout   time.Duration `yaml:"idleTimeout"`
	WriteTimeout  time.Duration `yaml:"writeTimeout"`
	HeaderBytes   int           `yaml:"headerBytes"`
	// ConnectionsPerPeer is any number if it is 0, and so is CallerRate.
	ConnectionsPerPeer int     `yaml:"connectionsPerPeer"`
	CallerRate         float64 `yaml:"callerRate"`
	CallerBurst        int     `yaml:"callerBurst"`
}

// Log is what is logged, to standard error.
type Log struct {
	Level  slog.Level `yaml:"level"`
	Format string     `yaml:"format"`
}

// What Log.Format may be.
const (
	FormatJSON = "json"
	FormatText = "text"
)

// Default is the configuration where no key is set. Only upstream.url has no
// default.
func Default() Config {
	return Config{
		Server: Server{
			Listen: "127.0.0.1:8080", TrustedProxies: []string{},
			GRPCHealth: grpcservices.AnswererUpstream, GRPCReflection: grpcservices.AnswererUpstream,
			ShutdownTimeout: 15 * time.Second,
		},
		Admin:       Admin{Listen: "127.0.0.1:9090"},
		Upstream:    Upstream{Protocol: v2client.ProtocolConnect, Host: upstream.HostUpstream, Timeout: 10 * time.Second},
		OrgScope:    adapter.OrgScopeStrict,
		Passthrough: Passthrough{Enabled: true, ResponseTimeout: time.Minute},
		Rollout:     Rollout{Percent: adapter.RolloutAll},
		Breaker:     Breaker{MinimumCalls: 20, FailureRate: 0.5, Window: 10 * time.Second, OpenFor: 5 * time.Second},
		Retry:       Retry{Attempts: 3, BaseDelay: 25 * time.Millisecond, MaxDelay: 500 * time.Millisecond, Budget: 0.2},
		Limits: Limits{
			CallsInFlight: 1000, BodyTimeout: 30 * time.Second,
			HeaderTimeout: 10 * time.Second, IdleTimeout: 2 * time.Minute, WriteTimeout: time.Minute, HeaderBytes: 64 << 10,
			CallerBurst: 20,
		},
		Log: Log{Level: slog.LevelInfo, Format: FormatJSON},
	}
}
