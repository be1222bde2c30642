package adapter_test

import (
	"bytes"
	"cmp"
	"crypto/tls"
	"fmt"
	"io"
	"maps"
	"net/http"
	"slices"
	"strings"
	"testing"

	"google.golang.org/protobuf/proto"

	managementv1 "zitadel-v1-adapter/gen/zitadel/management/v1"
	"zitadel-v1-adapter/internal/forwarded"
	"zitadel-v1-adapter/internal/listener"
	"zitadel-v1-adapter/internal/upstream"
	"zitadel-v1-adapter/internal/wiretest"
	"zitadel-v1-adapter/v2client"
)

// Which of its instances ZITADEL is asked for, and under which name and scheme.

// arrival is what ZITADEL chooses its instance and its own public address by, as it arrived
// there. "" is no such header.
type arrival struct {
	host, forwarded, forwardedFor, forwardedHost, forwardedProto, instanceHost, publicHost string
}

func arrivalOf(r *http.Request) arrival {
	return arrival{
		host: r.Host, forwarded: r.Header.Get("Forwarded"), forwardedFor: r.Header.Get("X-Forwarded-For"),
		forwardedHost: r.Header.Get("X-Forwarded-Host"), forwardedProto: r.Header.Get("X-Forwarded-Proto"),
		instanceHost: r.Header.Get("X-Zitadel-Instance-Host"), publicHost: r.Header.Get("X-Zitadel-Public-Host"),
	}
}

// wire is a way for a client to reach the adapter.
type wire struct {
	name, scheme, address string
	transport             *http.Transport
}

// wires returns three ways to the same adapter: HTTP/1.1, HTTP/2 without TLS, and TLS.
func wires(t *testing.T, s *stack) []wire {
	t.Helper()
	ca := wiretest.NewCA(t)
	certificates := ca.Certificates(t)
	on, err := listener.Listen(t.Context(), "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	wiretest.ServeTLS(t, on, s, certificates)
	secure := &http.Transport{ForceAttemptHTTP2: true, TLSClientConfig: &tls.Config{RootCAs: ca.Pool(), ServerName: "localhost"}}
	t.Cleanup(secure.CloseIdleConnections)
	return []wire{
		{"HTTP/1.1", "http", s.address, newTransport(t, false)},
		{"h2c", "http", s.address, newTransport(t, true)},
		{"TLS", "https", on.Addr().String(), secure},
	}
}

// ask makes a request of one of three kinds, and reports whether ZITADEL found the instance.
func (w wire) ask(t *testing.T, kind, host string, header map[string]string) (found bool) {
	t.Helper()
	method, path, body, contentType := http.MethodPost, userAPath, []byte(good), "application/json"
	switch kind {
	case "gRPC":
		message, err := proto.Marshal(&managementv1.SetHumanInitialPasswordRequest{UserId: userA, Password: "Sup3rPassw0rd!"})
		if err != nil {
			t.Fatal(err)
		}
		path, contentType = procedure, "application/grpc"
		body = append([]byte{0, 0, 0, 0, byte(len(message))}, message...)
	case "passed through":
		method, path, body = http.MethodGet, "/.well-known/openid-configuration", nil
	}
	request, err := http.NewRequestWithContext(t.Context(), method, w.scheme+"://"+w.address+path, bytes.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	request.Host = host
	request.Header.Set("Authorization", "Bearer pat-org-owner-a")
	request.Header.Set("Content-Type", contentType)
	for name, value := range header {
		request.Header.Set(name, value)
	}
	response, err := w.transport.RoundTrip(request)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = response.Body.Close() }()
	answer, err := io.ReadAll(response.Body)
	if err != nil {
		t.Fatal(err)
	}
	status := response.Header.Get("Grpc-Status") + response.Trailer.Get("Grpc-Status")
	switch {
	case response.StatusCode == http.StatusOK && (status == "" || status == "0"):
		return true
	case response.StatusCode == http.StatusNotFound, status == "5":
		return false
	}
	t.Errorf("got HTTP %d, gRPC status %q: %s; want a success or not found", response.StatusCode, status, answer)
	return false
}

// upstream.host decides which instance ZITADEL serves, and under which name and scheme
// (issue 9). With upstream.host: client that is the host of the client's request or, from a
// trusted proxy, the one that the proxy names. Otherwise nothing that the client sends
// counts, except ZITADEL's own two headers.
func TestInstanceIsChosenByUpstreamHost(t *testing.T) {
	t.Parallel()
	// ZITADEL knows localhost and the first two of these hosts.
	const named, public, unknown = "named.example", "public.example", "127.0.0.1:8080"
	type change func(*arrival)
	with := func(a arrival, changes []change) arrival {
		for _, change := range changes {
			change(&a)
		}
		return a
	}
	// withHost is what arrives if ZITADEL is told the client's host and scheme; scheme is
	// "" if it is the one that the client's connection has.
	withHost := func(host, scheme string, changes ...change) func(string) arrival {
		return func(clientScheme string) arrival {
			element := forwarded.Element{For: "127.0.0.1", Host: host, Proto: cmp.Or(scheme, clientScheme)}
			return with(arrival{
				host: host, forwarded: element.String(), forwardedFor: element.For,
				forwardedHost: host, forwardedProto: element.Proto,
			}, changes)
		}
	}
	// withoutHost is what arrives, besides the Host, if ZITADEL is not told the client's host.
	withoutHost := func(changes ...change) arrival {
		return with(arrival{forwarded: "for=127.0.0.1", forwardedFor: "127.0.0.1"}, changes)
	}
	viaForwardedFor := func(a *arrival) { a.forwardedFor = "192.0.2.1, 127.0.0.1" }
	viaForwarded := func(element string) change { return func(a *arrival) { a.forwarded = element + ", for=127.0.0.1" } }
	ownHeaders := func(a *arrival) { a.instanceHost, a.publicHost = public, "p.example" }
	for name, row := range map[string]struct {
		host    string // that the client dials
		trusted bool   // the client at 127.0.0.1 is a trusted proxy
		header  map[string]string

		client func(scheme string) arrival // what arrives with upstream.host: client
		found  bool                        // ZITADEL then finds the instance
		fixed  arrival                     // what arrives otherwise, besides the host, which ZITADEL knows
	}{
		"127.0.0.1":    {host: unknown, client: withHost(unknown, ""), fixed: withoutHost()},
		"localhost":    {host: "localhost:8088", client: withHost("localhost:8088", ""), found: true, fixed: withoutHost()},
		"another name": {host: public, client: withHost(public, ""), found: true, fixed: withoutHost()},
		"trusted proxy's X-Forwarded-Host": {
			host: unknown, trusted: true,
			header: map[string]string{"X-Forwarded-Host": public, "X-Forwarded-Proto": "https", "X-Forwarded-For": "192.0.2.1"},
			client: withHost(public, "https", viaForwardedFor), found: true,
			fixed: withoutHost(viaForwardedFor),
		},
		"trusted proxy's Forwarded": {
			host: unknown, trusted: true,
			header: map[string]string{"Forwarded": "for=192.0.2.1;host=public.example;proto=https"},
			client: withHost(public, "https", viaForwarded("for=192.0.2.1;host=public.example;proto=https")), found: true,
			fixed: withoutHost(viaForwarded("for=192.0.2.1")),
		},
		"client's own Forwarded": {
			host:   unknown,
			header: map[string]string{"Forwarded": "host=public.example;proto=https"},
			client: withHost(unknown, ""), fixed: withoutHost(),
		},
		"client's own X-Forwarded headers": {
			host: unknown,
			header: map[string]string{
				"X-Forwarded-Host": public, "X-Forwarded-For": "host=public.example", "X-Forwarded-Proto": "https",
				"Grpc-Metadata-Forwarded": "host=public.example",
			},
			client: withHost(unknown, ""), fixed: withoutHost(),
		},
		"client's own X-Zitadel-Forwarded": {
			host:   unknown,
			header: map[string]string{"X-Zitadel-Forwarded": "host=public.example;proto=https"},
			client: withHost(unknown, ""), fixed: withoutHost(),
		},
		"client's own x-zitadel-instance-host": {
			host:   unknown,
			header: map[string]string{"X-Zitadel-Instance-Host": public, "X-Zitadel-Public-Host": "p.example"},
			client: withHost(unknown, "", ownHeaders), found: true,
			fixed: withoutHost(ownHeaders),
		},
	} {
		for _, protocol := range upstreamProtocols {
			for _, mode := range []string{upstream.HostUpstream, named, upstream.HostClient} {
				t.Run(fmt.Sprintf("%s/%s/%s", name, mode, protocol), func(t *testing.T) {
					t.Parallel()
					s, zitadelHost := newInstances(t, mode, protocol, row.trusted, named, public)
					for _, wire := range wires(t, s) {
						for _, kind := range []string{"REST", "gRPC", "passed through"} {
							if kind == "gRPC" && wire.name == "HTTP/1.1" {
								continue // gRPC needs HTTP/2
							}
							want, wantFound := row.fixed, true
							switch want.host = zitadelHost; mode {
							case named:
								want.host = named
							case upstream.HostClient:
								want, wantFound = row.client(wire.scheme), row.found
							}
							if found := wire.ask(t, kind, row.host, row.header); found != wantFound {
								t.Errorf("%s, %s: instance found: got %v, want %v", wire.name, kind, found, wantFound)
							}
							for _, request := range s.upstream.takeRequests(t) {
								if got := arrivalOf(request); got != want {
									t.Errorf("%s, %s, %s: got\n%+v, want\n%+v", wire.name, kind, request.URL.Path, got, want)
								}
								if names := slices.Sorted(maps.Keys(request.Header)); slices.ContainsFunc(names, isOtherForwarded) {
									t.Errorf("%s, %s: headers upstream: got %q, want no other that names a host", wire.name, kind, names)
								}
							}
						}
					}
				})
			}
		}
	}
}

// isOtherForwarded reports whether a header could choose the instance and is none of those
// in arrival.
func isOtherForwarded(name string) bool {
	return name == "X-Zitadel-Forwarded" || strings.HasPrefix(name, "Grpc-Metadata-")
}

// newInstances starts an adapter in front of a ZITADEL that knows localhost and further
// host names. mode is upstream.host; host is what ZITADEL is called with HostUpstream.
func newInstances(
	t *testing.T, mode string, protocol v2client.Protocol, trusted bool, names ...string,
) (s *stack, host string) {
	t.Helper()
	fixture := wiretest.Fixture(t)
	fixture.InstanceHosts = append([]string{"localhost"}, names...)
	seen := &witness{next: wiretest.NewZITADEL(t, fixture)}
	_, port, _ := strings.Cut(wiretest.Listen(t, seen), ":")
	host = "localhost:" + port
	s = newStack(t, func(c *stackConfig) {
		c.protocol, c.to, c.passes = protocol, upstream.Config{URL: "http://" + host, Host: mode}, true
		if trusted {
			var err error
			if c.trusted, err = forwarded.ParseTrustedProxies([]string{"127.0.0.1"}); err != nil {
				t.Fatal(err)
			}
		}
	})
	s.upstream = seen
	return s, host
}

// The same token under two hosts that a trusted proxy names is two callers. What one
// instance answered is not used for the other, although both requests have the same Host.
func TestIdentitiesAreRememberedPerInstance(t *testing.T) {
	t.Parallel()
	s, _ := newInstances(t, upstream.HostClient, v2client.ProtocolConnect, true, "a.example", "b.example")
	for _, host := range []string{"a.example", "b.example", "a.example"} {
		call := aCall()
		call.Headers["X-Forwarded-Host"], call.Headers["Host"] = host, "gateway.internal"
		if response := sendRaw(t, s.address, call); response.StatusCode != http.StatusOK {
			t.Fatalf("%s: got HTTP %d, want 200", host, response.StatusCode)
		}
	}
	first := []string{"_search", "me", "GetUserByID", "SetPassword"}
	want := slices.Concat(first, first, []string{"SetPassword"})
	if got := s.upstream.calls(t); !slices.Equal(got, want) {
		t.Errorf("upstream calls: got %q, want %q", got, want)
	}
}
