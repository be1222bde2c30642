// Package reference is a model of ZITADEL's v1 calls, made of the libraries that ZITADEL itself
// uses: net/http, gorilla/mux, rs/cors, grpc-gateway, grpc-go, and improbable-eng's grpcweb,
// put together as ZITADEL does it. Only the work of the calls is its own. Tests use it to find
// out what v1 answers to requests that were not recorded.
package reference

import (
	"context"
	"net"
	"net/http"
	"regexp"

	"github.com/gorilla/mux"
	"github.com/improbable-eng/grpc-web/go/grpcweb"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"

	"zitadel-v1-adapter/v2client/v2test"
)

// V1 is a ZITADEL that has v1's calls and nothing else, in the state of a fixture.
type V1 struct {
	state    state
	rpc      *grpc.Server
	loopback *grpc.ClientConn
	http     *http.Server
	port     string
}

// New starts the model on a free port of the loopback interface. next answers what is not
// v1's, if it is not nil: it is the rest of ZITADEL. Call Close to stop the model.
func New(ctx context.Context, fixture v2test.Fixture, next http.Handler) (*V1, error) {
	var network net.ListenConfig
	listener, err := network.Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	_, port, err := net.SplitHostPort(listener.Addr().String())
	if err != nil {
		return nil, err
	}
	v1 := &V1{state: newState(fixture), port: port}
	v1.rpc = v1.newRPC()
	// REST calls go through ZITADEL's own port, under the name localhost.
	v1.loopback, err = grpc.NewClient("passthrough:///localhost:"+port,
		grpc.WithTransportCredentials(insecure.NewCredentials()), grpc.WithUnaryInterceptor(sendActivity))
	if err != nil {
		return nil, err
	}
	router, err := v1.router(next)
	if err != nil {
		return nil, err
	}
	protocols := new(http.Protocols)
	protocols.SetHTTP1(true)
	protocols.SetUnencryptedHTTP2(true)
	v1.http = &http.Server{Handler: router, Protocols: protocols} //nolint:gosec // ZITADEL has no timeouts either
	go func() { _ = v1.http.Serve(listener) }()
	return v1, nil
}

// Address returns the model's host:port.
func (v *V1) Address() string { return net.JoinHostPort("127.0.0.1", v.port) }

// Close stops the model.
func (v *V1) Close() {
	_ = v.loopback.Close()
	_ = v.http.Close()
	v.rpc.Stop()
}

// router routes as ZITADEL's does: first the prefixes of REST, then gRPC and gRPC-Web by
// content type, then the gateway without routes of v1.
func (v *V1) router(next http.Handler) (http.Handler, error) {
	router := mux.NewRouter()
	router.Use(withDomain)
	router.Use(robotsTag)
	rest, err := v.gateway()
	if err != nil {
		return nil, err
	}
	const prefix = "/management/v1"
	router.PathPrefix(prefix).Subrouter().PathPrefix("").Handler(http.StripPrefix(prefix, rest))
	if next != nil {
		router.MatcherFunc(func(r *http.Request, _ *mux.RouteMatch) bool { return !isService.MatchString(r.URL.Path) }).Handler(behindGateway(next))
	}
	router.MatcherFunc(func(r *http.Request, _ *mux.RouteMatch) bool { return r.ProtoMajor == 2 }).Subrouter().
		Methods(http.MethodPost).HeadersRegexp("Content-Type", `^application/grpc(\+proto|\+json)?$`).Handler(v.rpc)
	web := grpcweb.WrapServer(v.rpc,
		grpcweb.WithAllowedRequestHeaders(allowedHeaders()),
		grpcweb.WithOriginFunc(func(string) bool { return true }))
	router.Methods(http.MethodPost, http.MethodOptions).
		MatcherFunc(func(r *http.Request, _ *mux.RouteMatch) bool {
			return web.IsGrpcWebRequest(r) || web.IsAcceptableGrpcCorsRequest(r)
		}).Handler(web)
	router.NewRoute().Handler(intercept(newServeMux()))
	return router, nil
}

// isService matches the paths of gRPC services that are v1's, or that no ZITADEL has.
var isService = regexp.MustCompile(`^/zitadel\.management\.v1\.|^/nope`)

func robotsTag(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("X-Robots-Tag", "none")
		next.ServeHTTP(w, r)
	})
}
