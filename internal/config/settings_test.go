package config_test

import (
	"slices"
	"strings"
	"testing"
	"time"

	"zitadel-v1-adapter/internal/config"
)

// Addresses lose their passwords, and keys that are named like secrets their values.
func TestRedacted(t *testing.T) {
	t.Parallel()
	for _, test := range []struct{ key, value, want string }{
		{"upstream.url", "https://zitadel.example.com", "https://zitadel.example.com"},
		{"upstream.url", "https://user:s3cret@zitadel.example.com/path", "https://(hidden)@zitadel.example.com/path"},
		{"upstream.url", "https://s3cret@zitadel.example.com", "https://(hidden)@zitadel.example.com"},
		{"upstream.url", "unix:/run/zitadel.sock", "unix:/run/zitadel.sock"},
		{"usage.store", "", ""},
		{"usage.store", "sqlite:/var/lib/zitadel-v1-adapter/usage.db", "sqlite:/var/lib/zitadel-v1-adapter/usage.db"},
		{"usage.store", "postgres://v1adapter@db.example.com/zitadel", "postgres://v1adapter@db.example.com/zitadel"},
		{"usage.store", "postgres://v1adapter:s3cret@db.example.com:5432/zitadel?sslmode=verify-full", "postgres://v1adapter:(hidden)@db.example.com:5432/zitadel?sslmode=verify-full"},
		{"usage.store", "postgresql://v1adapter:s3%20cret@db/z", "postgresql://v1adapter:(hidden)@db/z"},
		{"usage.store", "postgres://v1adapter:s3%cret@db/z", "postgres://(hidden)"},
		{"usage.store", "postgres://db/z?user=v1adapter&password=s3cret", "postgres://db/z?user=v1adapter&password=(hidden)"},
		{"usage.store", "postgres://db/z?sslpassword=s3cret&sslmode=require", "postgres://db/z?sslpassword=(hidden)&sslmode=require"},
		{"usage.store", "postgres://db/z?pass%77ord=s3cret", "postgres://db/z?pass%77ord=(hidden)"},
		{"usage.store", "postgres://db/z?PassWord=s3cret", "postgres://db/z?PassWord=(hidden)"},
		{"usage.store", "postgres://v1adapter:s3,s3cret@db/z", "postgres://v1adapter:(hidden)@db/z"},
		{"usage.store", "postgres://v1adapter:12/s3cret@db/z", "postgres://(hidden)"},
		{"usage.store", "postgres://v1adapter:12#s3cret@db/z", "postgres://(hidden)"},
		{"usage.store", "postgres://v1adapter:s3 s3cret@db/z", "postgres://(hidden)"},
		{"admin.token", "s3cret", "(hidden)"},
		{"admin.token", "", ""},
		{"admin.tokenFile", "/etc/v1adapter/token", "/etc/v1adapter/token"},
		{"telemetry.headers", "authorization=s3cret", "(hidden)"},
		{"server.tls.keyFile", "/etc/tls/key.pem", "/etc/tls/key.pem"},
		{"deprecation.link", "https://example.com/v1?token=s3cret&page=2#end", "https://example.com/v1?token=(hidden)&page=2#end"},
	} {
		if got := config.Redacted(test.key, test.value); got != test.want {
			t.Errorf("%s: %s: got %s, want %s", test.key, test.value, got, test.want)
		}
	}
}

// Whatever a database's password is, it is not shown.
func FuzzRedacted(f *testing.F) {
	for _, password := range []string{"s3cret", "p@ss", "a:b", "100%", "%zz", "a/b?c#d", "a b", "ü"} {
		f.Add(password)
	}
	f.Fuzz(func(t *testing.T, password string) {
		const mark = "s3cret"
		if got := config.Redacted("usage.store", "postgres://v1adapter:"+mark+password+mark+"@db.example.com/zitadel"); strings.Contains(got, mark) {
			t.Errorf("got %s", got)
		}
	})
}

func TestSettingsHaveEveryKey(t *testing.T) {
	t.Parallel()
	changed := config.Default()
	changed.Usage.Store = "postgres://v1adapter:s3cret@DB/zitadel"
	changed.Upstream.Timeout = 90 * time.Second
	changed.Deprecation.Exempt = []string{"7", "8"}
	changed.Deprecation.Since = time.Date(2027, 1, 31, 0, 0, 0, 0, time.UTC)
	values, different := map[string]string{}, []string{}
	for i, setting := range config.Settings(changed) {
		if want := config.Keys()[i]; setting.Key != want {
			t.Errorf("got key %s, want %s", setting.Key, want)
		}
		values[setting.Key] = setting.Value
		if setting.Changed {
			different = append(different, setting.Key)
		}
	}
	for key, want := range map[string]string{
		"usage.store": "postgres://v1adapter:(hidden)@DB/zitadel", "upstream.timeout": "1m30s", "usage.retention": "400d",
		"limits.idleTimeout": "1h5m", "retry.baseDelay": "25ms", "server.shutdownDelay": "0s", "deprecation.exempt": "7, 8",
		"deprecation.since": "2027-01-31T00:00:00Z", "deprecation.sunset": "", "log.level": "info", "rollout.percent": "100",
		"passthrough.enabled": "true", "breaker.failureRate": "0.5",
	} {
		if got := values[key]; got != want {
			t.Errorf("%s: got %q, want %q", key, got, want)
		}
	}
	if want := []string{"upstream.timeout", "deprecation.since", "deprecation.exempt", "usage.store"}; !slices.Equal(different, want) {
		t.Errorf("got changed keys %v, want %v", different, want)
	}
}
