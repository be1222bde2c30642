// Package grpcservices is gRPC health and server reflection, of the adapter itself.
package grpcservices

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"time"

	"connectrpc.com/connect"
	"connectrpc.com/grpchealth"
	"connectrpc.com/grpcreflect"

	"zitadel-v1-adapter/internal/ingress"
	"zitadel-v1-adapter/internal/rpcstatus"
)

// Answerer says who answers a gRPC service that both ZITADEL and the adapter may have.
type Answerer string

// Who may answer.
const (
	AnswererUpstream Answerer = "upstream" // ZITADEL, or the adapter if nothing passes through
	AnswererOwn      Answerer = "own"      // the adapter
)

func (a Answerer) validate(key string) error {
	if a != AnswererUpstream && a != AnswererOwn {
		return fmt.Errorf("%s: %q: use %q or %q", key, a, AnswererUpstream, AnswererOwn)
	}
	return nil
}

// Config says which services there are.
type Config struct {
	Health, Reflection Answerer      // of grpc.health.v1.Health, and of server reflection
	Passthrough        bool          // other requests reach ZITADEL
	Service            string        // the full name of the service that the adapter answers for
	Ready              func() bool   // what health tells
	Timeout            time.Duration // how long a request, and so a stream, may last
}

// maxRequestBytes is the largest message to a service of the adapter's own, unpacked:
// it holds a name.
const maxRequestBytes = 4 << 10

// New checks config and makes a handler that answers the adapter's own services and hands every
// other request on to next. The error names the configuration key.
func New(config Config, next http.Handler) (http.Handler, error) {
	if err := errors.Join(config.Health.validate("server.grpcHealth"), config.Reflection.validate("server.grpcReflection")); err != nil {
		return nil, err
	}
	services := map[string]http.Handler{} // by name
	small := connect.WithReadMaxBytes(maxRequestBytes)
	add := func(prefix string, handler http.Handler) { services[strings.Trim(prefix, "/")] = handler }
	if config.Health == AnswererOwn || !config.Passthrough {
		add(grpchealth.NewHandler(checker{config.Service, config.Ready}, small))
	}
	if config.Reflection == AnswererOwn || !config.Passthrough {
		reflector := grpcreflect.NewStaticReflector(config.Service)
		add(grpcreflect.NewHandlerV1(reflector, small))
		add(grpcreflect.NewHandlerV1Alpha(reflector, small))
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		name, _, _ := strings.Cut(strings.TrimPrefix(r.URL.Path, "/"), "/")
		service := services[name]
		if service == nil || rpcstatus.ProtocolOf(r) == "" {
			next.ServeHTTP(w, r)
			return
		}
		x, r := ingress.ExchangeOf(w, r)
		x.LimitBody(config.Timeout)
		service.ServeHTTP(x, r)
	}), nil
}

// checker is the health of the adapter and of the one service it has.
type checker struct {
	service string
	ready   func() bool
}

func (c checker) Check(_ context.Context, request *grpchealth.CheckRequest) (*grpchealth.CheckResponse, error) {
	if request.Service != "" && request.Service != c.service {
		return nil, connect.NewError(connect.CodeNotFound, errors.New("unknown service"))
	}
	status := grpchealth.StatusServing
	if !c.ready() {
		status = grpchealth.StatusNotServing
	}
	return &grpchealth.CheckResponse{Status: status}, nil
}
