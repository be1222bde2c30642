package adapter

import (
	"net/http"
	"strings"
	"time"

	"github.com/rs/cors"
)

// grpcWebMaxAge is how long v1 lets a browser remember a gRPC-Web preflight;
// for REST it says nothing (recordings cors-preflight of both).
const grpcWebMaxAge = 10 * time.Minute

// newCORS makes v1's cross-origin policy, with the library that ZITADEL uses:
// any origin, with credentials. Error answers carry the same headers, and so
// does gRPC-Web's status, which v1 forgets to expose.
//
// next answers preflights too, after their headers are set.
func newCORS(maxAge time.Duration, next http.HandlerFunc) http.Handler {
	return cors.New(cors.Options{
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
		ExposedHeaders: []string{
			"Location", "Content-Length", "Grpc-Status", "Grpc-Message", "Grpc-Status-Details-Bin",
		},
		MaxAge: int(maxAge.Seconds()),
	}).Handler(next)
}

func isPreflight(r *http.Request) bool {
	return r.Method == http.MethodOptions && r.Header.Get("Access-Control-Request-Method") != ""
}

// isGRPCWebPreflight recognises the preflight of a gRPC-Web call by the header
// that every client of it sends.
func isGRPCWebPreflight(r *http.Request) bool {
	return isPreflight(r) &&
		strings.Contains(strings.ToLower(r.Header.Get("Access-Control-Request-Headers")), "x-grpc-web")
}
