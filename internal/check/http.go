package check

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptrace"
	"strings"
	"sync"
	"syscall"

	"connectrpc.com/connect"

	"zitadel-v1-adapter/adapter"
	"zitadel-v1-adapter/internal/upstream"
	"zitadel-v1-adapter/internal/v1wire"
)

// maxAnswer is how much of an answer is looked at.
const maxAnswer = 64 << 10

// answer is what came back of a request.
type answer struct {
	status string // such as "404 Not Found"
	code   int
	header http.Header
	body   []byte
}

// ask makes a request for a client, without a token.
func (c *checker) ask(ctx context.Context, client *http.Request, method, path, body string) (answer, error) {
	return c.askBy(ctx, c.transport, client, method, path, body)
}

func (c *checker) askBy(ctx context.Context, transport *upstream.Transport, client *http.Request, method, path, body string) (answer, error) {
	request, err := http.NewRequestWithContext(ctx, method, c.Upstream.Base().String()+path, strings.NewReader(body))
	if err != nil {
		return answer{}, err
	}
	request.Host, request.Header = client.Host, client.Header.Clone()
	response, err := transport.RoundTrip(request)
	if err != nil {
		return answer{}, err
	}
	defer func() { _ = response.Body.Close() }()
	content, err := io.ReadAll(io.LimitReader(response.Body, maxAnswer))
	return answer{response.Status, response.StatusCode, response.Header, content}, err
}

// checkDiscovery makes the first request, which tells of the connection, the
// instance and the clock.
func (c *checker) checkDiscovery(ctx context.Context) {
	var (
		mu        sync.Mutex // dials may go on after the request has ended
		shaken    *tls.ConnectionState
		connected string
	)
	traced := httptrace.WithClientTrace(ctx, &httptrace.ClientTrace{
		ConnectDone: func(network, address string, err error) {
			mu.Lock()
			defer mu.Unlock()
			if err == nil && network != "udp" { // by which names are resolved
				connected = network + " " + address
			}
		},
		TLSHandshakeDone: func(state tls.ConnectionState, err error) {
			mu.Lock()
			defer mu.Unlock()
			if err == nil {
				shaken = &state
			}
		},
	})
	var found discovered
	client, err := c.as(c.hosts()[0])
	if err == nil {
		found, err = c.discover(traced, client)
	}
	mu.Lock()
	defer mu.Unlock()
	if err != nil && upstream.IsDial(err) {
		c.add(Result{Name: nameReachable, Status: Failed, Detail: err.Error(), Hint: dialHint(err)})
		return
	}
	c.add(Result{Name: nameReachable, Status: OK, Detail: connected})
	c.checkTLS(shaken, err)
	if err != nil {
		return
	}
	c.checkInstances(ctx, found)
	if c.client != nil {
		c.checkClock(found.answer)
	}
}

func dialHint(err error) string {
	if unknown, ok := errors.AsType[*net.DNSError](err); ok && unknown.IsNotFound {
		return "does upstream.url have the right name, and does it resolve on this machine, or in this pod?"
	}
	if errors.Is(err, syscall.ECONNREFUSED) {
		return "is ZITADEL running, and does upstream.url have the right port?"
	}
	return "is upstream.url right, and does a firewall or network policy let this through?"
}

func (c *checker) checkTLS(shaken *tls.ConnectionState, err error) {
	switch {
	case c.Upstream.Base().Scheme != "https":
		c.add(Result{Name: nameTLS, Status: Skipped, Detail: "upstream.url has none: passwords pass in plain text"})
		if err != nil {
			c.add(Result{Name: nameAnswer, Status: Failed, Detail: err.Error(), Hint: "is this an HTTP port? If it speaks TLS, use an https:// URL"})
		}
	case shaken == nil:
		c.add(Result{Name: nameTLS, Status: Failed, Detail: err.Error(), Hint: tlsHint(err)})
	default:
		leaf := shaken.PeerCertificates[0]
		c.add(Result{
			Name: nameTLS, Status: OK,
			Detail: fmt.Sprintf("%s, certificate of %s until %s", tls.VersionName(shaken.Version), leaf.Subject, leaf.NotAfter.Format("2006-01-02")),
		})
		if err != nil { // after the handshake: TLS 1.3 tells a client only then
			c.add(Result{Name: nameAnswer, Status: Failed, Detail: err.Error(), Hint: "does ZITADEL ask for a client certificate? Set upstream.tls.certFile and upstream.tls.keyFile"})
		}
	}
}

func tlsHint(err error) string {
	var invalid x509.CertificateInvalidError
	switch {
	case errors.As(err, new(x509.UnknownAuthorityError)):
		return "set upstream.tls.caFile to the CA that signed ZITADEL's certificate"
	case errors.As(err, new(x509.HostnameError)):
		return "set upstream.tls.serverName to a name that is in ZITADEL's certificate"
	case errors.As(err, &invalid) && invalid.Reason == x509.Expired:
		return "renew ZITADEL's certificate, or mend the clock here"
	case errors.As(err, new(tls.RecordHeaderError)):
		return "this port does not speak TLS: use an http:// URL"
	}
	if _, ok := errors.AsType[*net.OpError](err); ok {
		return "if ZITADEL asks for a client certificate, set upstream.tls.certFile and upstream.tls.keyFile"
	}
	return "is this ZITADEL's port, and does it speak TLS 1.2 or later?"
}

// checkUserinfo looks for what tells whose a token is.
func (c *checker) checkUserinfo(ctx context.Context) {
	const path = "/oidc/v1/userinfo"
	got, err := c.ask(ctx, c.client, http.MethodGet, path, "")
	switch {
	case err != nil:
		c.add(Result{Name: nameUserinfo, Status: Failed, Detail: err.Error(), Hint: "the connection was fine a moment ago: try again"})
	case got.code == http.StatusUnauthorized && !got.isPage():
		c.add(Result{Name: nameUserinfo, Status: OK})
	default:
		result := Result{Name: nameUserinfo, Status: Failed, Detail: got.String(), Hint: "calls without x-zitadel-orgid need GET " + path + ": a proxy between must let it pass"}
		if !got.isREST() {
			result.Detail = got.byProxy("GET " + path)
			result.Hint += ": " + got.proxyHint("GET "+path)
		}
		c.add(result)
	}
}

// checkNative looks whether v1 itself is still there. Without a token the call
// cannot do anything.
func (c *checker) checkNative(ctx context.Context) {
	method := adapter.Methods()[0]
	call, err := v1wire.EncodeRequest("", method.Pattern, method.NewRequest("0", ""))
	var got answer
	if err == nil {
		got, err = c.ask(ctx, c.client, http.MethodPost, call.Path, string(call.Body))
	}
	switch path := call.Path; {
	case err != nil:
		c.add(Result{Name: nameNative, Status: Failed, Detail: err.Error(), Hint: "the connection was fine a moment ago: try again"})
	case got.code == http.StatusUnauthorized && got.refusal() == connect.CodeUnauthenticated:
		c.add(Result{Name: nameNative, Status: OK, Detail: "still there"})
	case got.isGone() && c.Rollout < 100:
		c.add(Result{
			Name: nameNative, Status: Failed, Detail: got.String(),
			Hint: "it is gone, and rollout.percent sends calls to it: set rollout.percent: 100",
		})
	case got.isGone():
		c.add(Result{Name: nameNative, Status: OK, Detail: "gone: not available on this ZITADEL; all calls are translated"})
	default:
		result := Result{
			Name: nameNative, Status: Warning, Detail: got.byProxy("POST " + path),
			Hint: "so it cannot be told whether v1 is there: does a proxy between refuse its path? " + got.proxyHint("POST "+path),
		}
		if c.Rollout < 100 {
			result.Status = Failed
		}
		c.add(result)
	}
}
