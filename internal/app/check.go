package app

import (
	"zitadel-v1-adapter/adapter"
	"zitadel-v1-adapter/internal/check"
	"zitadel-v1-adapter/internal/config"
	"zitadel-v1-adapter/internal/messages"
	"zitadel-v1-adapter/v2client"
)

// NewCheckConfig is a check of the upstream that an App with these settings would
// have. Host and Token are left to the caller. Errors name the configuration key.
func NewCheckConfig(settings config.Config, version string) (check.Config, error) {
	to, forwarding, err := newUpstream(settings)
	if err != nil {
		return check.Config{}, err
	}
	var languages []string
	if settings.Messages.Dir != "" {
		catalog, err := messages.Load(settings.Messages.Dir)
		if err != nil {
			return check.Config{}, err
		}
		languages = catalog.Languages()
	}
	return check.Config{
		Languages: languages, Deprecation: adapter.Deprecation(settings.Deprecation),
		Upstream: to, Forwarding: forwarding, TLS: settings.Server.TLS.Files().Enabled(), Listen: settings.Server.Listen,
		Protocol: settings.Upstream.Protocol, OrgScope: settings.OrgScope, Rollout: settings.Rollout.Percent,
		NewClient: func(protocol v2client.Protocol) (*v2client.Client, error) {
			clientConfig := newClientConfig(settings, to, version)
			clientConfig.Protocol = protocol
			return v2client.New(clientConfig)
		},
	}, nil
}
