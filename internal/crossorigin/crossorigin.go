// Package crossorigin is ZITADEL's policy for browsers' requests from other origins,
// made with the library that ZITADEL uses.
package crossorigin

import (
	"net/http"
	"strings"
	"time"

	"github.com/rs/cors"
)

// Policy allows any origin, with credentials. Errors carry its headers too, and it
// exposes gRPC-Web's status, which v1 forgets.
type Policy struct{ cors *cors.Cors }

// New makes a Policy that exposes further headers too. maxAge is how long a browser may
// remember a preflight; 0 says nothing of it.
func New(maxAge time.Duration, exposed ...string) *Policy {
	return &Policy{cors.New(cors.Options{
		OptionsPassthrough: true,
		AllowOriginFunc:    func(string) bool { return true },
		AllowCredentials:   true,
		AllowedMethods: []string{
			http.MethodOptions, http.MethodGet, http.MethodHead, http.MethodPost,
			http.MethodPut, http.MethodPatch, http.MethodDelete,
		},
		AllowedHeaders: []string{
			"Origin", "Content-Type", "Accept", "Accept-Language", "Authorization",
			"X-Zitadel-Orgid", "X-User-Agent", "X-Grpc-Web", "X-Requested-With",
			"Connect-Protocol-Version", "Connect-Timeout-Ms", "Grpc-Timeout",
		},
		ExposedHeaders: append([]string{
			"Location", "Content-Length", "Grpc-Status", "Grpc-Message", "Grpc-Status-Details-Bin",
		}, exposed...),
		MaxAge: int(maxAge.Seconds()),
	})}
}

// Allow sets the policy's headers, for preflights too, and answers nothing.
func (p *Policy) Allow(w http.ResponseWriter, r *http.Request) {
	p.cors.ServeHTTP(w, r, func(http.ResponseWriter, *http.Request) {})
}

// IsPreflight reports whether a browser asks what it may send.
func IsPreflight(r *http.Request) bool {
	return r.Method == http.MethodOptions && r.Header.Get("Access-Control-Request-Method") != ""
}

// IsGRPCWebPreflight recognizes the preflight of a gRPC-Web call by the header
// that every client of it sends.
func IsGRPCWebPreflight(r *http.Request) bool {
	return IsPreflight(r) &&
		strings.Contains(strings.ToLower(r.Header.Get("Access-Control-Request-Headers")), "x-grpc-web")
}
