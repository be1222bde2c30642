package app

import (
	"errors"
	"net/http"
	"strings"

	"zitadel-v1-adapter/adapter"
	"zitadel-v1-adapter/gen/zitadel/management/v1/managementv1connect"
	"zitadel-v1-adapter/internal/config"
	"zitadel-v1-adapter/internal/forwarded"
	"zitadel-v1-adapter/internal/grpcservices"
	"zitadel-v1-adapter/internal/ingress"
	"zitadel-v1-adapter/internal/messages"
	"zitadel-v1-adapter/internal/passthrough"
	"zitadel-v1-adapter/internal/upstream"
	"zitadel-v1-adapter/v2client"
)

// core is all that a configuration decides between the listener and ZITADEL. It
// is replaced as a whole; requests under way go on in the one they came to.
type core struct {
	settings    config.Config
	handler     http.Handler
	client      *v2client.Client
	v1          *adapter.Adapter
	passthrough *passthrough.Handler     // nil: off
	proxies     forwarded.TrustedProxies // that speak the PROXY protocol
}

// newCore makes a core. The error has a line for each mistake, with the configuration
// key.
func (a *App) newCore(settings config.Config) (*core, error) {
	c := &core{settings: settings}
	to, forwarding, err := newUpstream(settings)
	mistakes := []error{err}
	if settings.Server.ProxyProtocol {
		c.proxies = forwarding.Trusted
	}
	if to == nil { // another one, so that the mistakes in what needs it are found too
		to, _ = upstream.New(upstream.Config{URL: "http://localhost", Host: upstream.HostUpstream})
	}
	clientConfig := newClientConfig(settings, to, a.config.Version)
	clientConfig.Log = a.log
	clientConfig.OnBreaker = func(state v2client.BreakerState) {
		if a.core.Load() == c { // calls of one that was replaced may still fail
			a.metrics.BreakerChanged(state)
		}
	}
	c.client, err = v2client.New(clientConfig)
	mistakes = append(mistakes, err)
	limits := settings.Limits
	v1 := adapter.Config{
		ZITADEL: c.client, OrgScope: settings.OrgScope, Timeout: settings.Upstream.Timeout, Rollout: settings.Rollout.Percent,
		Limits: adapter.Limits{
			CallsInFlight: limits.CallsInFlight, BodyTimeout: limits.BodyTimeout, CallerRate: limits.CallerRate, CallerBurst: limits.CallerBurst,
		},
		Shadow: settings.Rollout.Shadow, ObserveShadow: a.observeShadow,
		Deprecation: settings.Deprecation,
		Observe:     a.observe, Catalogue: a.catalogue, Count: a.count, Identify: settings.Usage.Identify,
		CallerKey: a.callerKey, Log: a.log,
	}
	if settings.Messages.Dir != "" {
		v1.Messages, err = messages.Load(settings.Messages.Dir)
		mistakes = append(mistakes, err)
	}
	if settings.Passthrough.Enabled {
		c.passthrough, err = passthrough.New(passthrough.Config{
			Upstream: to, ID: a.id, ResponseTimeout: settings.Passthrough.ResponseTimeout, Observe: a.metrics.PassedThrough,
			Review: func(w http.ResponseWriter, r *http.Request, answer *http.Response) http.Handler {
				return c.v1.Review(w, r, answer)
			},
			Logged: settings.Log.Passthrough, Log: a.log,
		})
		mistakes = append(mistakes, err)
		v1.Passthrough = c.passthrough
	}
	c.v1, err = adapter.New(v1)
	mistakes = append(mistakes, err)
	services, err := grpcservices.New(grpcservices.Config{
		Health: settings.Server.GRPCHealth, Reflection: settings.Server.GRPCReflection, Passthrough: settings.Passthrough.Enabled,
		Service: managementv1connect.ManagementServiceName, Ready: a.admin.Ready, Timeout: limits.BodyTimeout,
	}, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if !strings.HasPrefix(r.URL.Path, "/grpc.health.v1.") { // a probe says nothing of who uses the adapter
			a.usage.Request()
		}
		c.v1.ServeHTTP(w, r)
	}))
	mistakes = append(mistakes, err)
	c.handler, err = ingress.New(ingress.Config{
		Forwarding: forwarding, ID: a.id, Refusals: a.refusals, WriteTimeout: limits.WriteTimeout, OnPanic: a.metrics.Panics.Inc, Log: a.log,
	}, services)
	return c, errors.Join(append(mistakes, err)...)
}

// observe tells everybody who counts calls of one.
func (a *App) observe(event adapter.Event) {
	a.metrics.Call(event)
	a.page.Observe(event)
}

// count counts a call of a deprecated API.
func (a *App) count(event adapter.Event) {
	a.metrics.Counted(event)
	a.usage.Observe(event)
}

// observeShadow tells everybody who counts comparisons of one.
func (a *App) observeShadow(found adapter.Shadow) {
	a.metrics.Shadowed(found)
	a.usage.ObserveShadow(found)
}

// newUpstream is ZITADEL, and what the headers that go there tell, which must agree
// with the Host that goes there.
func newUpstream(settings config.Config) (*upstream.Upstream, forwarded.Policy, error) {
	to, err := upstream.New(upstream.Config{URL: settings.Upstream.URL, Host: settings.Upstream.Host, TLS: settings.Upstream.TLS})
	trusted, trustedErr := forwarded.ParseTrustedProxies(settings.Server.TrustedProxies)
	if err != nil {
		return nil, forwarded.Policy{}, errors.Join(err, trustedErr)
	}
	return to, forwarded.Policy{Trusted: trusted, TellHost: to.HostByClient()}, trustedErr
}

func newClientConfig(settings config.Config, to *upstream.Upstream, version string) v2client.Config {
	return v2client.Config{
		Upstream:    to,
		Protocol:    settings.Upstream.Protocol,
		Breaker:     settings.Breaker,
		Retry:       settings.Retry,
		ReadTimeout: settings.Upstream.ReadTimeout,
		UserWriters: settings.Roles.UserWrite,
		UserAgent:   "zitadel-v1-adapter/" + version,
	}
}

// close drops idle connections to ZITADEL.
func (c *core) close() {
	c.client.Close()
	if c.passthrough != nil {
		c.passthrough.Close()
	}
}
