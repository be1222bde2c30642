package reference

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"time"

	"github.com/grpc-ecosystem/grpc-gateway/v2/runtime"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	_ "google.golang.org/grpc/encoding/gzip" // v1 accepts it
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"

	managementv1 "zitadel-v1-adapter/gen/zitadel/management/v1"
	"zitadel-v1-adapter/internal/forwarded"
)

const service = "zitadel.management.v1.ManagementService"

// method is one of v1's methods.
type method struct {
	name string
	// suffix is what the REST path has after "password".
	suffix      string
	newRequest  func() proto.Message
	newResponse func() proto.Message
}

func methods() []method {
	return []method{
		{
			"SetHumanInitialPassword", "_initialize",
			func() proto.Message { return new(managementv1.SetHumanInitialPasswordRequest) },
			func() proto.Message { return new(managementv1.SetHumanInitialPasswordResponse) },
		},
		{
			"SetHumanPassword", "",
			func() proto.Message { return new(managementv1.SetHumanPasswordRequest) },
			func() proto.Message { return new(managementv1.SetHumanPasswordResponse) },
		},
	}
}

func (m method) procedure() string { return "/" + service + "/" + m.name }

// newRPC returns v1's gRPC server.
func (v *V1) newRPC() *grpc.Server {
	server := grpc.NewServer()
	description := &grpc.ServiceDesc{ServiceName: service, HandlerType: (*any)(nil)}
	for _, method := range methods() {
		description.Methods = append(description.Methods, grpc.MethodDesc{
			MethodName: method.name,
			Handler: func(_ any, ctx context.Context, decode func(any) error, _ grpc.UnaryServerInterceptor) (any, error) {
				request := method.newRequest()
				if err := decode(request); err != nil {
					return nil, err
				}
				return v.call(ctx, method, request)
			},
		})
	}
	server.RegisterService(description, v)
	return server
}

// call does what ZITADEL's interceptors do, in their order, and then the work.
func (v *V1) call(ctx context.Context, method method, request proto.Message) (any, error) {
	if err := noStore(ctx); err != nil {
		return nil, err
	}
	// A query of ZITADEL's database ends with its context.
	if err := ctx.Err(); err != nil {
		return nil, status.FromContextError(err).Err()
	}
	if err := v.checkInstance(ctx); err != nil {
		return nil, err
	}
	org, err := v.state.authorize(ctx)
	if err != nil {
		return nil, err
	}
	return v.state.setPassword(method, request, org)
}

func noStore(ctx context.Context) error {
	headers := map[string]string{"cache-control": "no-store", "expires": time.Now().UTC().Format(http.TimeFormat), "pragma": "no-cache"}
	md := metadata.New(headers)
	for key, value := range headers {
		md.Append(runtime.MetadataHeaderPrefix+key, value)
	}
	return grpc.SetHeader(ctx, md)
}

// domain is what ZITADEL reads from a request's headers. It is printed as it is in errors.
type domain struct{ Instance, Public, Protocol string }

type domainKey struct{}

// withDomain reads the headers in ZITADEL's order.
func withDomain(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		found := &domain{Public: r.Header.Get("X-Zitadel-Public-Host"), Protocol: "http"}
		protocol := ""
		take := func(host, proto string) {
			if found.Instance == "" {
				found.Instance = host
			}
			if protocol == "" && (proto == "http" || proto == "https") {
				protocol, found.Protocol = proto, proto
			}
		}
		// "Host" is among the headers only if it came as the gateway's metadata.
		take(r.Header.Get("X-Zitadel-Instance-Host"), "")
		take(r.Header.Get("Host"), "")
		for _, name := range []string{"Forwarded", "X-Zitadel-Forwarded", "X-Forwarded-For"} {
			elements, _ := forwarded.Parse(r.Header.Values(name))
			for _, element := range elements {
				take(element.Host, element.Proto)
			}
		}
		take(r.Header.Get("X-Forwarded-Host"), r.Header.Get("X-Forwarded-Proto"))
		take(r.Host, "")
		next.ServeHTTP(w, r.WithContext(context.WithValue(r.Context(), domainKey{}, found)))
	})
}

func (v *V1) checkInstance(ctx context.Context) error {
	found, ok := ctx.Value(domainKey{}).(*domain)
	if !ok {
		return errors.New("reference: a call without a domain")
	}
	if found.Instance == "" {
		return status.Error(codes.NotFound, "no instanceHost specified")
	}
	if name, _, _ := strings.Cut(found.Instance, ":"); v.state.hosts[name] {
		return nil
	}
	return status.Error(codes.NotFound, fmt.Sprintf("unable to set instance using origin %s (ExternalDomain is localhost): ID=QUERY-1kIjX "+
		"Message=Instance not found. Make sure you got the domain right. Check out https://zitadel.com/docs/apis/introduction#domains", found))
}
