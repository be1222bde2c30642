package forwarded_test

import (
	"crypto/tls"
	"maps"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"

	"zitadel-v1-adapter/internal/forwarded"
)

func trust(tb testing.TB, list ...string) forwarded.TrustedProxies {
	tb.Helper()
	trusted, err := forwarded.ParseTrustedProxies(list)
	if err != nil {
		tb.Fatal(err)
	}
	return trusted
}

// What goes upstream, by who the peer is and by what is told.
func TestApply(t *testing.T) {
	t.Parallel()
	said := http.Header{
		"X-Forwarded-For": {"1.1.1.1", "2.2.2.2"}, "X-Forwarded-Proto": {"https"}, "X-Forwarded-Host": {"public.example"},
		"Forwarded": {"for=1.1.1.1;by=3.3.3.3", `for="[::2]:80";host=inner.example;proto=http`}, "X-Zitadel-Forwarded": {"host=other.example"},
		"Grpc-Metadata-Forwarded": {"host=evil.example"}, "Grpc-Metadata-X-Zitadel-Forwarded": {"host=evil.example"},
	}
	only := func(name, value string) http.Header { return http.Header{name: {value}} }
	for name, test := range map[string]struct {
		trusted  []string
		tellHost bool
		peer     string
		host     string
		tls      bool
		said     http.Header
		want     http.Header
		wantHost string
	}{
		"stranger": {nil, false, "192.0.2.1:1", "h:80", false, said, http.Header{
			"X-Forwarded-For": {"192.0.2.1"}, "Forwarded": {"for=192.0.2.1"},
		}, "h:80"},
		"stranger, host told": {nil, true, "192.0.2.1:1", "h:80", false, said, http.Header{
			"X-Forwarded-For": {"192.0.2.1"}, "X-Forwarded-Proto": {"http"}, "X-Forwarded-Host": {"h:80"},
			"Forwarded": {`for=192.0.2.1;host="h:80";proto=http`},
		}, "h:80"},
		"stranger over TLS and IPv6, host told": {nil, true, "[2001:db8::1%eth0]:1", "h", true, said, http.Header{
			"X-Forwarded-For": {"2001:db8::1"}, "X-Forwarded-Proto": {"https"}, "X-Forwarded-Host": {"h"},
			"Forwarded": {`for="[2001:db8::1]";host=h;proto=https`},
		}, "h"},
		"trusted network, IPv4 in IPv6": {[]string{"192.0.2.0/24"}, false, "[::ffff:192.0.2.7]:1", "h", false, said, http.Header{
			"X-Forwarded-For": {"1.1.1.1, 2.2.2.2, 192.0.2.7"}, "Forwarded": {`for=1.1.1.1, for="[::2]:80", for=192.0.2.7`},
		}, "h"},
		"trusted network, host told": {[]string{"192.0.2.7"}, true, "192.0.2.7:1", "h", false, said, http.Header{
			"X-Forwarded-For": {"1.1.1.1, 2.2.2.2, 192.0.2.7"}, "X-Forwarded-Proto": {"http"}, "X-Forwarded-Host": {"inner.example"},
			"Forwarded": {`for=1.1.1.1;host=inner.example;proto=http, for="[::2]:80", for=192.0.2.7`},
		}, "inner.example"},
		"another network": {[]string{"192.0.2.0/24", "unix"}, false, "192.0.3.1:1", "h", false, said, http.Header{
			"X-Forwarded-For": {"192.0.3.1"}, "Forwarded": {"for=192.0.3.1"},
		}, "h"},
		"trusted socket": {[]string{"unix"}, false, "@", "h", false, said, http.Header{
			"X-Forwarded-For": {"1.1.1.1, 2.2.2.2"}, "Forwarded": {`for=1.1.1.1, for="[::2]:80", for=unknown`},
		}, "h"},
		"socket that is not trusted": {[]string{"0.0.0.0/0"}, false, "", "h", false, said, http.Header{"Forwarded": {"for=unknown"}}, "h"},
		"host that is none, told": {nil, true, "192.0.2.1:1", `h"; for=x`, false, nil, http.Header{
			"X-Forwarded-For": {"192.0.2.1"}, "X-Forwarded-Proto": {"http"}, "Forwarded": {"for=192.0.2.1;proto=http"},
		}, `h"; for=x`},
		"proxy names host in X-Forwarded-Host": {[]string{"10.0.0.0/8"}, true, "10.0.0.1:1", "inner", false, only("X-Forwarded-Host", "public.example, inner"), http.Header{
			"X-Forwarded-For": {"10.0.0.1"}, "X-Forwarded-Proto": {"http"}, "X-Forwarded-Host": {"public.example"},
			"Forwarded": {"for=10.0.0.1;host=public.example;proto=http"},
		}, "public.example"},
		"proxy names host in X-Zitadel-Forwarded": {[]string{"10.0.0.0/8"}, true, "10.0.0.1:1", "inner", false, only("X-Zitadel-Forwarded", "host=public.example;proto=https"), http.Header{
			"X-Forwarded-For": {"10.0.0.1"}, "X-Forwarded-Proto": {"https"}, "X-Forwarded-Host": {"public.example"},
			"Forwarded": {"for=10.0.0.1;host=public.example;proto=https"},
		}, "public.example"},
		"proxy names host in X-Forwarded-For": {[]string{"10.0.0.0/8"}, true, "10.0.0.1:1", "inner", false, only("X-Forwarded-For", "for=1.1.1.1;host=public.example"), http.Header{
			"X-Forwarded-For": {"10.0.0.1"}, "X-Forwarded-Proto": {"http"}, "X-Forwarded-Host": {"public.example"},
			"Forwarded": {"for=10.0.0.1;host=public.example;proto=http"},
		}, "public.example"},
		"trusted socket names host in X-Forwarded-For, not told": {[]string{"unix"}, false, "@", "h", false, only("X-Forwarded-For", "1.1.1.1, host=evil.example"), http.Header{
			"X-Forwarded-For": {"1.1.1.1"}, "Forwarded": {"for=unknown"},
		}, "h"},
		"proxy sends what nobody can read": {[]string{"10.0.0.0/8"}, true, "10.0.0.1:1", "h", false, http.Header{
			"Forwarded": {`for=1.1.1.1;host="x`}, "X-Forwarded-Host": {"a;b"}, "X-Forwarded-Proto": {"gopher"},
		}, http.Header{
			"X-Forwarded-For": {"10.0.0.1"}, "X-Forwarded-Proto": {"http"}, "X-Forwarded-Host": {"h"}, "Forwarded": {"for=10.0.0.1;host=h;proto=http"},
		}, "h"},
	} {
		r := &http.Request{Header: test.said.Clone(), RemoteAddr: test.peer, Host: test.host}
		if r.Header == nil {
			r.Header = http.Header{}
		}
		if test.tls {
			r.TLS = new(tls.ConnectionState)
		}
		forwarded.Policy{Trusted: trust(t, test.trusted...), TellHost: test.tellHost}.Apply(r)
		if !maps.EqualFunc(r.Header, test.want, slices.Equal[[]string]) || r.Host != test.wantHost {
			t.Errorf("%s: host %q, headers %q\nwant %q, %q", name, r.Host, r.Header, test.wantHost, test.want)
		}
	}
}

func TestParse(t *testing.T) {
	t.Parallel()
	for value, want := range map[string][]forwarded.Element{
		"for=192.0.2.60;proto=http;by=203.0.113.43":            {{For: "192.0.2.60", Proto: "http"}},
		`For="[2001:db8::17]:4711"; HOST="a:80" , for=unknown`: {{For: "[2001:db8::17]:4711", Host: "a:80"}, {For: "unknown"}},
		`host="a\"b"`:   {{Host: `a"b`}},
		`host=a;x=",;"`: {{Host: "a"}},
		"":              nil,
		"1.2.3.4":       nil,
		"host=":         nil,
		"host=a;":       nil,
		"host=a,":       nil,
		`host="a`:       nil,
		`host="a\`:      nil,
		"host=a b":      nil,
		"ho st=a":       nil,
		"host=a:80":     nil,
	} {
		got, ok := forwarded.Parse([]string{value})
		if !slices.Equal(got, want) || ok != (want != nil) {
			t.Errorf("%q: %+v, %v, want %+v", value, got, ok, want)
		}
	}
	if got, ok := forwarded.Parse([]string{"host=a", "junk"}); ok {
		t.Errorf("one bad value in two: %+v", got)
	}
}

func TestParseTrustedProxiesNamesTheValue(t *testing.T) {
	t.Parallel()
	_, err := forwarded.ParseTrustedProxies([]string{"10.0.0.0/8", "proxy.example"})
	if err == nil || !strings.Contains(err.Error(), `server.trustedProxies: "proxy.example": use an address`) {
		t.Error(err)
	}
}

// Whatever a peer sends: unless the host is told, nothing that goes upstream names a
// host or a scheme; if it is, all headers name the same one, and a stranger names none.
func FuzzApply(f *testing.F) {
	f.Add("192.0.2.1:1", "zitadel.example", "1.2.3.4", `for="[::1]"`, "public.example")
	f.Add("[2001:db8::1%eth0]:1", "a:80", "", `host="evil";proto=https`, "a,b")
	f.Add("@", `x";host=y`, ",,host=evil", ";", "x;y")
	everybody := trust(f, "0.0.0.0/0", "::/0", "unix")
	f.Fuzz(func(t *testing.T, peer, host, forwardedFor, element, forwardedHost string) {
		for i, policy := range []forwarded.Policy{{}, {TellHost: true}, {Trusted: everybody}, {Trusted: everybody, TellHost: true}} {
			request := httptest.NewRequest(http.MethodPost, "/", http.NoBody)
			request.RemoteAddr, request.Host = peer, host
			request.Header = http.Header{
				"X-Forwarded-For": {forwardedFor}, "Forwarded": {element}, "Grpc-Metadata-Forwarded": {element},
				"X-Zitadel-Forwarded": {element}, "X-Forwarded-Host": {forwardedHost},
			}
			policy.Apply(request)
			path, ok := forwarded.Parse(request.Header["Forwarded"])
			if !ok || len(path) == 0 {
				t.Fatalf("Forwarded %q", request.Header["Forwarded"])
			}
			for at, element := range path {
				if at > 0 || !policy.TellHost {
					if element.Host != "" || element.Proto != "" {
						t.Fatalf("%+v names a host in %q", policy, request.Header["Forwarded"])
					}
				}
			}
			if _, ok := forwarded.Parse(request.Header["X-Forwarded-For"]); ok && request.Header["X-Forwarded-For"] != nil {
				t.Fatalf("X-Forwarded-For %q reads as Forwarded", request.Header["X-Forwarded-For"])
			}
			if got := request.Header.Get("X-Forwarded-Host"); got != path[0].Host || got != "" && got != request.Host {
				t.Fatalf("X-Forwarded-Host %q, Host %q, Forwarded %q", got, request.Host, request.Header["Forwarded"])
			}
			// Without a trusted proxy's word, it may lose what follows the port, and nothing else.
			if request.Host != host && (!policy.TellHost || i < 2 && !strings.HasPrefix(host, request.Host+":")) {
				t.Fatalf("Host %q became %q", host, request.Host)
			}
			if request.Header["Grpc-Metadata-Forwarded"] != nil || request.Header["X-Zitadel-Forwarded"] != nil {
				t.Fatalf("passes on: %q", request.Header)
			}
		}
	})
}

// To ZITADEL's v1 the host is what stands before the first colon. Its v2 finds no instance for
// "localhost:8088:1", so it is told the host and the port.
func TestHostHasOnePort(t *testing.T) {
	t.Parallel()
	for host, want := range map[string]string{
		"localhost:8088:1": "localhost:8088", "localhost:8088": "localhost:8088", "localhost": "localhost", "a:b:c:d": "a:b", "[::1]:80": "[::1]:80", "[::1]": "[::1]",
	} {
		request := httptest.NewRequest(http.MethodPost, "/", http.NoBody)
		request.Host = host
		forwarded.Policy{TellHost: true}.Apply(request)
		if got := request.Header.Get("X-Forwarded-Host"); request.Host != want || got != want {
			t.Errorf("%s: got Host %q, X-Forwarded-Host %q, want %q", host, request.Host, got, want)
		}
	}
}
