package v2client

import (
	"net"
	"net/http"
	"time"
)

// newTransport is the one place that decides how bytes reach the upstream.
//
// Connect runs over HTTP/1.1 keep-alive connections, which cost less than half
// of HTTP/2's work per call on both sides; gRPC needs HTTP/2, in clear text
// (h2c) for an http:// upstream.
func newTransport(protocol Protocol) *http.Transport {
	protocols := new(http.Protocols)
	if protocol == ProtocolGRPC {
		protocols.SetHTTP2(true)
		protocols.SetUnencryptedHTTP2(true)
	} else {
		protocols.SetHTTP1(true)
	}
	dialer := &net.Dialer{Timeout: 5 * time.Second, KeepAlive: 15 * time.Second}
	return &http.Transport{
		Protocols:   protocols,
		Proxy:       http.ProxyFromEnvironment,
		DialContext: dialer.DialContext,
		// net/http's default of two idle connections a host would open and
		// close a connection for nearly every concurrent call.
		MaxIdleConnsPerHost:    256,
		IdleConnTimeout:        90 * time.Second,
		TLSHandshakeTimeout:    5 * time.Second,
		MaxResponseHeaderBytes: 64 << 10,
		// Answers are tens of bytes: unpacking them costs more than it saves.
		DisableCompression: true,
		HTTP2: &http.HTTP2Config{
			SendPingTimeout: 15 * time.Second,
			PingTimeout:     5 * time.Second,
		},
	}
}
