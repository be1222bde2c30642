package main

import (
	"log/slog"
	"net/http"

	"zitadel-v1-adapter/adapter"
	"zitadel-v1-adapter/internal/config"
	"zitadel-v1-adapter/internal/forwarded"
	"zitadel-v1-adapter/internal/metrics"
	"zitadel-v1-adapter/internal/upstream"
	"zitadel-v1-adapter/v2client"
)

// core is all that a configuration decides between the listener and ZITADEL. It
// is replaced as a whole; requests under way go on in the one they came to.
type core struct {
	handler     http.Handler
	client      *v2client.Client
	passthrough *adapter.Passthrough // nil: off
}

// newCore makes a core. Errors name the configuration key.
func newCore(settings config.Config, ready func() bool, counted *metrics.Metrics, log *slog.Logger) (*core, error) {
	to, err := upstream.New(upstreamConfig(settings))
	if err != nil {
		return nil, err
	}
	c := new(core)
	if c.client, err = newClient(settings, to, counted.BreakerChanged, log); err != nil {
		return nil, err
	}
	if settings.Passthrough.Enabled {
		if c.passthrough, err = adapter.NewPassthrough(adapter.PassthroughConfig{
			Upstream: to, ResponseTimeout: settings.Passthrough.ResponseTimeout, Observe: counted.PassedThrough, Log: log,
		}); err != nil {
			return nil, err
		}
	}
	forwarding, err := newForwarding(settings, to)
	if err != nil {
		return nil, err
	}
	c.handler, err = adapter.New(adapter.Config{
		ZITADEL: c.client, OrgScope: settings.OrgScope, Timeout: settings.Upstream.Timeout,
		Passthrough: c.passthrough, Rollout: settings.Rollout.Percent, Limits: adapter.Limits{
			CallsInFlight: settings.Limits.CallsInFlight, BodyTimeout: settings.Limits.BodyTimeout, WriteTimeout: settings.Limits.WriteTimeout,
			CallerRate: settings.Limits.CallerRate, CallerBurst: settings.Limits.CallerBurst,
		},
		Forwarding: forwarding,
		GRPCHealth: settings.Server.GRPCHealth, GRPCReflection: settings.Server.GRPCReflection, Ready: ready,
		Observe: counted.Call, OnPanic: counted.Panicked, Log: log,
	})
	return c, err
}

// newForwarding makes what goes upstream agree with the Host that goes there.
func newForwarding(settings config.Config, to *upstream.Upstream) (forwarded.Policy, error) {
	trusted, err := forwarded.ParseTrustedProxies(settings.Server.TrustedProxies)
	return forwarded.Policy{Trusted: trusted, TellHost: to.HostByClient()}, err
}

func upstreamConfig(settings config.Config) upstream.Config {
	return upstream.Config{URL: settings.Upstream.URL, Host: settings.Upstream.Host, TLS: upstream.TLS(settings.Upstream.TLS)}
}

func newClient(settings config.Config, to *upstream.Upstream, onBreaker func(state string), log *slog.Logger) (*v2client.Client, error) {
	return v2client.New(v2client.Config{
		Upstream:  to,
		Protocol:  settings.Upstream.Protocol,
		Breaker:   v2client.BreakerConfig(settings.Breaker),
		Retry:     v2client.RetryConfig(settings.Retry),
		Timeout:   settings.Upstream.Timeout,
		UserAgent: "zitadel-v1-adapter/" + buildVersion(),
		OnBreaker: onBreaker,
		Log:       log,
	})
}

// close drops idle connections to ZITADEL.
func (c *core) close() {
	c.client.Close()
	if c.passthrough != nil {
		c.passthrough.Close()
	}
}
