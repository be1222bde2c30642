package adapter

import (
	"crypto/tls"
	"maps"
	"net/http"
	"slices"
	"testing"
)

// What a request says of where it came from, by who says it.
func TestForwarded(t *testing.T) {
	t.Parallel()
	sent := http.Header{
		"X-Forwarded-For": {"1.1.1.1", "2.2.2.2"}, "X-Forwarded-Proto": {"https"}, "X-Forwarded-Host": {"public.example"},
		"Forwarded": {"for=1.1.1.1", "for=2.2.2.2"},
	}
	for name, test := range map[string]struct {
		trusted []string
		peer    string
		host    string
		tls     bool
		want    http.Header
	}{
		"nobody is trusted": {nil, "192.0.2.1:1", "h:80", false, http.Header{
			"X-Forwarded-For": {"192.0.2.1"}, "X-Forwarded-Proto": {"http"}, "X-Forwarded-Host": {"h:80"},
			"Forwarded": {`for=192.0.2.1;host="h:80";proto=http`},
		}},
		"TLS, IPv6": {nil, "[2001:db8::1%eth0]:1", "h", true, http.Header{
			"X-Forwarded-For": {"2001:db8::1"}, "X-Forwarded-Proto": {"https"}, "X-Forwarded-Host": {"h"},
			"Forwarded": {`for="[2001:db8::1]";host="h";proto=https`},
		}},
		"a trusted network, IPv4 in IPv6": {[]string{"192.0.2.0/24"}, "[::ffff:192.0.2.7]:1", "h", false, http.Header{
			"X-Forwarded-For": {"1.1.1.1, 2.2.2.2, 192.0.2.7"}, "X-Forwarded-Proto": {"https"}, "X-Forwarded-Host": {"public.example"},
			"Forwarded": {`for=1.1.1.1, for=2.2.2.2, for=192.0.2.7;host="h";proto=http`},
		}},
		"another network": {[]string{"192.0.2.0/24", "unix"}, "192.0.3.1:1", "h", false, http.Header{
			"X-Forwarded-For": {"192.0.3.1"}, "X-Forwarded-Proto": {"http"}, "X-Forwarded-Host": {"h"},
			"Forwarded": {`for=192.0.3.1;host="h";proto=http`},
		}},
		"a trusted socket": {[]string{"unix"}, "@", "h", false, http.Header{
			"X-Forwarded-For": {"1.1.1.1", "2.2.2.2"}, "X-Forwarded-Proto": {"https"}, "X-Forwarded-Host": {"public.example"},
			"Forwarded": {`for=1.1.1.1, for=2.2.2.2, for=unknown;host="h";proto=http`},
		}},
		"a socket that is not, and no host name": {[]string{"0.0.0.0/0"}, "", `h"; for=x`, false, http.Header{
			"X-Forwarded-Proto": {"http"}, "Forwarded": {"for=unknown;proto=http"},
		}},
	} {
		trusted, err := ParseTrustedProxies(test.trusted)
		if err != nil {
			t.Fatal(err)
		}
		r := &http.Request{Header: sent.Clone(), RemoteAddr: test.peer, Host: test.host}
		if test.tls {
			r.TLS = new(tls.ConnectionState)
		}
		trusted.apply(r)
		if !maps.EqualFunc(r.Header, test.want, slices.Equal[[]string]) {
			t.Errorf("%s: %q\nwant %q", name, r.Header, test.want)
		}
	}
}
