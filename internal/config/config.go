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
	"zitadel-v1-adapter/v2client"
)

// Config is the whole configuration. docs/configuration.md and config.schema.json are
// generated from the comments of its fields, without "<Name> is", their types and their
// defaults. config.yaml is the annotated example.
type Config struct {
	// Server is the listener for legacy clients.
	Server Server `yaml:"server"`
	// Admin is the listener for the platform: probes and metrics.
	Admin Admin `yaml:"admin"`
	// Upstream is ZITADEL, and how it is called.
	Upstream Upstream `yaml:"upstream"`
	// OrgScope is the rule that says in which organizations a caller can set passwords.
	//
	// "strict": v1's rule. Only in the organization of the x-zitadel-orgid header, or without it in
	// the caller's own. Besides SetPassword, it costs GetUserByID the first time a caller deals with
	// a user, two more calls once for each token, and one for a refusal.
	//
	// "off": v2's permission check alone, with a single upstream call. In every organization in
	// which the caller may write users, and its own password without any role.
	OrgScope adapter.OrgScope `yaml:"orgScope" default:"strict"`
	// Messages are the texts of refusals.
	Messages Messages `yaml:"messages"`
	// Passthrough is the way of every request that is not translated: to ZITADEL, and its answer
	// back, both untouched.
	Passthrough Passthrough `yaml:"passthrough"`
	// Rollout is the gradual change from native v1 to translated calls.
	Rollout Rollout `yaml:"rollout"`
	// Deprecation is what callers of v1 methods are told of v1's end, and when they are refused, so
	// that they move to v2. It concerns all of their calls, also those that native v1 answers.
	Deprecation Deprecation `yaml:"deprecation"`
	// Usage is the ledger of who still calls v1, for /usage on admin.listen and the command report.
	Usage Usage `yaml:"usage"`
	// Breaker is the circuit breaker of translated calls. When ZITADEL itself fails (unreachable,
	// HTTP 502 or 503, gRPC code 14, or no answer in time), calls are refused at once for a while
	// instead of waiting. A timeout does not count if ZITADEL has answered another call in the
	// meantime: it is busy. If calls wait and nothing is answered for 3s, it is asked, without a
	// token, whether it is there; without an answer within 7s, the breaker opens. Callers' mistakes
	// never count, and what passes through neither counts nor is refused.
	Breaker Breaker `yaml:"breaker"`
	// Retry is the repetition of v2 calls that failed, within upstream.timeout and the client's
	// deadline: any call of which nothing can have reached ZITADEL, and one that only reads also if
	// ZITADEL was unavailable. A SetPassword that may have arrived is never repeated: its answer,
	// code 14, says that its outcome is unknown.
	Retry Retry `yaml:"retry"`
	// Limits are limits on what clients may use. limits.headerTimeout and limits.idleTimeout apply
	// to admin.listen too.
	Limits Limits `yaml:"limits"`
	// Log is the log, which goes to standard error.
	Log Log `yaml:"log"`
}

// Server is the section server.
type Server struct {
	// Listen is the address for legacy clients, over HTTP/1.1 and HTTP/2: host:port, in which no
	// host means all addresses and port 0 any free port; or "unix:/path", a Unix socket to which
	// its group may connect. Passwords arrive here: keep it on loopback, or use TLS. Flag --listen.
	// Needs a restart.
	Listen string `yaml:"listen" default:"127.0.0.1:8080"`
	// TLS is TLS for server.listen, with HTTP/2 by ALPN. The files are PEM, and are loaded again
	// when they change; an error in them is logged, and the old certificates stay in use. Turning
	// TLS on or off needs a restart.
	TLS ServerTLS `yaml:"tls"`
	// TrustedProxies are the peers that are believed when they say where a request came from:
	// addresses, networks such as "10.0.0.0/8", and "unix" for peers on a Unix socket. Their
	// Forwarded, X-Zitadel-Forwarded, X-Forwarded-For, X-Forwarded-Host and X-Forwarded-Proto
	// headers are believed, and the peer's address is added; everybody else's are replaced by what
	// the adapter itself sees. The host and the scheme in them matter only if upstream.host is
	// "client". An empty list trusts no peer.
	TrustedProxies []string `yaml:"trustedProxies"`
	// ProxyProtocol is whether connections from the addresses in server.trustedProxies must begin
	// with a header of the PROXY protocol, version 1 or 2, before TLS, as HAProxy, Envoy and AWS's
	// load balancers send it; it has limits.headerTimeout of its own. The client that it names is
	// then the peer: in the log, for limits.connectionsPerPeer, and for server.trustedProxies, where
	// its own address has to be too if its X-Forwarded-For and the like are to be believed. Health
	// checks (LOCAL, UNKNOWN) keep the proxy's address. Connections without the header are closed;
	// from other addresses, it is a malformed request. It needs a server.listen that is no Unix
	// socket.
	ProxyProtocol bool `yaml:"proxyProtocol"`
	// GRPCHealth is the program that answers grpc.health.v1.Health: "upstream" is ZITADEL, or the
	// adapter if passthrough.enabled is false; "own" is the adapter.
	GRPCHealth grpcservices.Answerer `yaml:"grpcHealth" default:"upstream"`
	// GRPCReflection is the program that answers gRPC server reflection, as server.grpcHealth says.
	// The adapter's own lists only v1's management service.
	GRPCReflection grpcservices.Answerer `yaml:"grpcReflection" default:"upstream"`
	// ShutdownDelay is how long everything goes on after SIGTERM or SIGINT while /readyz already
	// answers 503, so that load balancers notice. 0s means no delay.
	ShutdownDelay time.Duration `yaml:"shutdownDelay"`
	// ShutdownTimeout is how long calls in flight may go on after server.shutdownDelay, when
	// nothing new is accepted any more. Above 0s.
	ShutdownTimeout time.Duration `yaml:"shutdownTimeout" default:"15s"`
}

// ServerTLS is the section server.tls. See [listener.TLSFiles].
type ServerTLS struct {
	// CertFile are the files of the server's certificates, each with its intermediate certificates
	// after it. Of several, a client gets the one for the name that it asks for (SNI), else the
	// first. Set it together with server.tls.keyFile. None means plain text.
	CertFile []string `yaml:"certFile"`
	// KeyFile are the files of the private keys of server.tls.certFile, in the same order.
	KeyFile []string `yaml:"keyFile"`
	// MinVersion is the lowest version of TLS: 1.2 (without the suites that use CBC) or 1.3.
	MinVersion listener.TLSVersion `yaml:"minVersion" default:"1.2"`
	// ClientCAFile is the file of the CAs of client certificates: clients must show one of theirs.
	// It needs server.tls.certFile. "" asks for no client certificate.
	ClientCAFile string `yaml:"clientCAFile"`
}

// Files are the files, as the listener takes them.
func (t ServerTLS) Files() listener.TLSFiles {
	return listener.TLSFiles{CertFiles: t.CertFile, KeyFiles: t.KeyFile, ClientCAFile: t.ClientCAFile, MinVersion: t.MinVersion}
}

// Admin is the section admin.
type Admin struct {
	// Listen is the address of /healthz (the process lives), /readyz (it accepts calls), /metrics
	// (for Prometheus), /usage (who called v1), "/openapi.json" (the REST calls) and the migration
	// page at /. It has the form of server.listen. All but the first two answer requests that come
	// to a loopback address or a Unix socket; others need admin.tokenFile or admin.tls.clientCAFile.
	// Flag --admin-listen. Needs a restart.
	Listen string `yaml:"listen" default:"127.0.0.1:9090"`
	// TokenFile is a file with a token that all but /healthz and /readyz ask for, as "Authorization:
	// Bearer TOKEN", wherever requests come from. It is read at each request. "" asks for none.
	TokenFile string `yaml:"tokenFile"`
	// TLS is TLS for admin.listen, as for server.listen.
	TLS AdminTLS `yaml:"tls"`
	// Pprof is whether Go's profiles are at /debug/pprof/. They show what the program does.
	Pprof bool `yaml:"pprof"`
	// Hosts are the names under which admin.listen may be asked, besides localhost and addresses.
	// What a browser is made to ask under another name (DNS rebinding) is refused, but for /healthz
	// and /readyz.
	Hosts []string `yaml:"hosts"`
	// QuitQuitQuit is whether POST /quitquitquit on admin.listen ends the program, as SIGTERM does:
	// for the sidecar of a job.
	QuitQuitQuit bool `yaml:"quitquitquit"`
}

// AdminTLS is the section admin.tls. See [listener.TLSFiles].
type AdminTLS struct {
	// CertFile is the file of the certificate, with its intermediate certificates after it. Set it
	// together with admin.tls.keyFile. "" means plain text.
	CertFile string `yaml:"certFile"`
	// KeyFile is the file of the private key of admin.tls.certFile.
	KeyFile string `yaml:"keyFile"`
	// ClientCAFile is the file of the CAs of client certificates. A client that shows one needs no
	// admin.tokenFile; /healthz and /readyz need none. It needs admin.tls.certFile. "" asks for no
	// client certificate.
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

// Upstream is the section upstream. See [upstream.Config] and [v2client.Config].
type Upstream struct {
	// URL is the base URL of ZITADEL: http or https, without user, query or fragment; or
	// "unix:/path" for a Unix socket. Required: the only key without a default. Flag --upstream-url.
	URL string `yaml:"url"`
	// Protocol is the protocol of v2 calls. Flag --upstream-protocol.
	//
	// "auto": Connect where ZITADEL speaks it, else gRPC; found out at the first call, and again
	// when a call finds nothing there. On gRPC, Connect is looked for every ten minutes.
	//
	// "connect": for ZITADEL v4 and later, over HTTP/1.1 keep-alive connections.
	//
	// "grpc": for every version, over HTTP/2 (h2c with an http URL).
	Protocol v2client.Protocol `yaml:"protocol" default:"auto"`
	// Host is the name under which ZITADEL is asked: ZITADEL finds its instance by it, and names
	// itself by it in tokens (the issuer). It decides Host and all headers by which ZITADEL would
	// take another name, but for clients' x-zitadel-instance-host and x-zitadel-public-host, which
	// pass. Flag --upstream-host.
	//
	// "upstream": the name in upstream.url (localhost for a Unix socket), whatever clients dial:
	// for a sidecar. The issuer is the one that ZITADEL has without the adapter.
	//
	// A name such as "zitadel.example.com": that name, and its issuer, for a gateway that reaches
	// ZITADEL by an internal URL.
	//
	// "client": the name that the client dialled, or that one of server.trustedProxies says it
	// dialled: for a gateway in front of several instances. The issuer is that name's, with its
	// port and scheme.
	Host string `yaml:"host" default:"upstream"`
	// Timeout is the time for all upstream calls of one v1 call together, retries included. A
	// client's own shorter deadline (Grpc-Timeout header, gRPC deadline) takes precedence. Above
	// 0s. What passes through has passthrough.responseTimeout. With bcrypt's cost of 14, its
	// default, ZITADEL takes a second of one of its cores for each call, and calls that come
	// together share them.
	Timeout time.Duration `yaml:"timeout" default:"1m"`
	// ReadTimeout is how long ZITADEL may answer nothing at all before a look-up that precedes a
	// write is given up and, as retry allows, made again. Above 0s.
	ReadTimeout time.Duration `yaml:"readTimeout" default:"20s"`
	// TLS is TLS towards ZITADEL, and only allowed with an https URL. The files are PEM, and are
	// loaded again when they change; an error in them is logged, and the old ones stay in use.
	TLS UpstreamTLS `yaml:"tls"`
}

// UpstreamTLS is the section upstream.tls. See [upstream.TLS].
type UpstreamTLS struct {
	// CAFile is the file of the CAs to trust instead of the system's. "" trusts the system's.
	CAFile string `yaml:"caFile"`
	// CertFile is the file of the client certificate to show to ZITADEL. Set it together with
	// upstream.tls.keyFile. "" shows none.
	CertFile string `yaml:"certFile"`
	// KeyFile is the file of the private key of upstream.tls.certFile.
	KeyFile string `yaml:"keyFile"`
	// ServerName is the name to look for in ZITADEL's certificate, and to send as SNI. "" is the
	// host of upstream.url.
	ServerName string `yaml:"serverName"`
}

// Messages is the section messages. See [messages.Load].
type Messages struct {
	// Dir is a folder with ZITADEL's own language files, <language>.yaml, such as
	// internal/static/i18n of its source in the release that you run. With it, refusals come in the
	// language that native v1 chooses, from the caller's own language, Accept-Language and the
	// instance's default, for two more calls; without it, in the one that v2 chooses. The files are
	// loaded again when they change.
	Dir string `yaml:"dir"`
}

// Passthrough is the section passthrough. See [passthrough.Config].
type Passthrough struct {
	// Enabled is whether every request that is not translated goes to ZITADEL. If false, it is
	// answered with HTTP 404 or UNIMPLEMENTED, in v1's shape, and rollout.percent must be 100.
	Enabled bool `yaml:"enabled" default:"true"`
	// ResponseTimeout is how long ZITADEL may take to begin its answer once it has the whole
	// request. 0s means no limit. gRPC calls (but not gRPC-Web), which have deadlines of their own,
	// are never limited.
	ResponseTimeout time.Duration `yaml:"responseTimeout" default:"1m"`
}

// Rollout is the section rollout. See [adapter.Rollout].
type Rollout struct {
	// Percent is the share of v1 calls that are translated, from 0 to 100; ZITADEL's native v1
	// answers the others, which needs passthrough.enabled. All calls for one user go the same way,
	// on every replica, by a hash of the user id, and a larger share only moves users from v1 to
	// v2. 0 translates nothing and only counts calls.
	Percent adapter.Rollout `yaml:"percent" default:"100"`
	// Shadow is whether calls that native v1 answers are judged by the adapter too, by reading
	// alone, after the answer. Differences are logged, and counted in v1adapter_shadow_total. It
	// costs ZITADEL what a translated call costs without its SetPassword.
	Shadow bool `yaml:"shadow"`
}

// Breaker is the section breaker. See [v2client.BreakerConfig].
type Breaker struct {
	// MinimumCalls is the number of failures in a row at which the breaker opens, and the number of
	// calls within breaker.window below which breaker.failureRate does not open it. At least 1.
	MinimumCalls int `yaml:"minimumCalls" default:"10"`
	// FailureRate is the share of failed calls within breaker.window from which on the breaker
	// opens. Above 0, up to 1.
	FailureRate float64 `yaml:"failureRate" default:"0.5"`
	// Window is how far back calls are counted. At least 100ms.
	Window time.Duration `yaml:"window" default:"10s"`
	// OpenFor is how long all calls are refused. Then the next one makes the adapter ask ZITADEL,
	// without a token, whether it is there, and calls wait for its answer. Above 0s.
	OpenFor time.Duration `yaml:"openFor" default:"5s"`
}

// Retry is the section retry. See [v2client.RetryConfig].
type Retry struct {
	// Attempts is the largest number of attempts at a call, from 1 to 10. 1 means no retries.
	Attempts int `yaml:"attempts" default:"3"`
	// BaseDelay is the longest delay until the second attempt; it doubles with each further one, up
	// to retry.maxDelay. The delay itself is random. Above 0s.
	BaseDelay time.Duration `yaml:"baseDelay" default:"25ms"`
	// MaxDelay is the longest delay until any attempt. At least retry.baseDelay.
	MaxDelay time.Duration `yaml:"maxDelay" default:"500ms"`
	// Budget is the number of retries for each call, on average over time, so that retries do not
	// multiply an outage. From 0 to 1; 0 means no retries.
	Budget float64 `yaml:"budget" default:"0.2"`
}

// Limits is the section limits. See [adapter.Limits] and [listener.Config].
type Limits struct {
	// CallsInFlight is the number of translated calls in progress at once, each from the end of its
	// request. Further ones are refused at once with gRPC code 14, HTTP 503 and Retry-After. 0 means
	// no limit. What passes through is ZITADEL's to limit.
	CallsInFlight int `yaml:"callsInFlight" default:"1000"`
	// BodyTimeout is how long a v1 call may take from its headers to the end of its body, and how
	// long a stream of the adapter's own gRPC services may last. Above 0s.
	BodyTimeout time.Duration `yaml:"bodyTimeout" default:"30s"`
	// HeaderTimeout is how long a connection may take until the headers of a request are complete,
	// TLS handshake included. Above 0s. Needs a restart.
	HeaderTimeout time.Duration `yaml:"headerTimeout" default:"10s"`
	// IdleTimeout is how long a connection may wait for its next request. Above 0s. Needs a restart.
	IdleTimeout time.Duration `yaml:"idleTimeout" default:"2m"`
	// WriteTimeout is how long a client may take to read what is written to it: the whole answer to
	// a v1 call, or a piece of what passes through. WebSockets are not limited. Above 0s. Needs a
	// restart.
	WriteTimeout time.Duration `yaml:"writeTimeout" default:"1m"`
	// HeaderBytes is the size, in bytes, that the headers of a request may have. Larger ones are
	// refused with HTTP 431. At least 4096. Needs a restart.
	HeaderBytes int `yaml:"headerBytes" default:"65536"`
	// ConnectionsPerPeer is the number of connections that a peer (an IPv4 address, or an IPv6 /64)
	// may have at once. New ones are closed immediately. All clients of a proxy are one peer; peers
	// on a Unix socket are not limited. 0 means no limit. Needs a restart.
	ConnectionsPerPeer int `yaml:"connectionsPerPeer"`
	// CallerRate is the number of translated calls a second with one token, on average. Further
	// ones are refused with gRPC code 8, HTTP 429 and Retry-After, and cost ZITADEL nothing. Each
	// replica counts for itself; a reload with changes resets the counts. 0 means no limit.
	CallerRate float64 `yaml:"callerRate"`
	// CallerBurst is the number of translated calls with one token that may come at once. At least
	// 1, if limits.callerRate is not 0.
	CallerBurst int `yaml:"callerBurst" default:"20"`
}

// Log is the section log.
type Log struct {
	// Level is the least severe level that is logged: "debug", "info", "warn" or "error". Each v1
	// call is one line, at level info, or warn if the upstream failed; each request that passes
	// through is one at debug. Logs never contain a password or a token. Flag --log-level.
	Level slog.Level `yaml:"level" default:"info"`
	// Format is "json" or "text". Needs a restart.
	Format Format `yaml:"format" default:"json"`
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
