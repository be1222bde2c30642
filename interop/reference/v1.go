// Package reference is a model of ZITADEL's v1 call, made of the libraries that ZITADEL
// itself uses, grpc-go and grpc-gateway, and a simple implementation of the call. Tests use
// it to find out what v1 answers to unusual requests that were not recorded.
package reference

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"strings"
	"unicode/utf8"

	"github.com/grpc-ecosystem/grpc-gateway/v2/runtime"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	_ "google.golang.org/grpc/encoding/gzip" // v1 accepts it
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/encoding/protojson"

	managementv1 "zitadel-v1-adapter/gen/zitadel/management/v1"
	zitadelv1 "zitadel-v1-adapter/gen/zitadel/v1"
	"zitadel-v1-adapter/v2client/v2test"
)

const procedure = "/zitadel.management.v1.ManagementService/SetHumanInitialPassword"

// V1 is a model of v1 in the state of a fixture. REST and GRPC return its handlers.
type V1 struct {
	fixture v2test.Fixture
	server  *grpc.Server
	client  *grpc.ClientConn
}

// New starts the model. Call Close to stop it.
func New(ctx context.Context, fixture v2test.Fixture) (*V1, error) {
	v1 := &V1{fixture: fixture, server: grpc.NewServer()}
	v1.server.RegisterService(&grpc.ServiceDesc{
		ServiceName: "zitadel.management.v1.ManagementService",
		HandlerType: (*any)(nil),
		Methods:     []grpc.MethodDesc{{MethodName: "SetHumanInitialPassword", Handler: v1.handle}},
	}, v1)
	var network net.ListenConfig
	listener, err := network.Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	go func() { _ = v1.server.Serve(listener) }()
	v1.client, err = grpc.NewClient(listener.Addr().String(), grpc.WithTransportCredentials(insecure.NewCredentials()))
	return v1, err
}

// Close stops the model.
func (v *V1) Close() {
	_ = v.client.Close()
	v.server.Stop()
}

// GRPC returns the handler for gRPC: grpc-go behind net/http, as in ZITADEL.
func (v *V1) GRPC() http.Handler { return v.server }

// REST returns the handler for REST: grpc-gateway with ZITADEL's options.
func (v *V1) REST() (http.Handler, error) {
	marshaler := &runtime.JSONPb{UnmarshalOptions: protojson.UnmarshalOptions{DiscardUnknown: true}}
	mux := runtime.NewServeMux(
		runtime.WithMarshalerOption(runtime.MIMEWildcard, marshaler),
		runtime.WithIncomingHeaderMatcher(func(header string) (string, bool) {
			if strings.HasPrefix(strings.ToLower(header), "x-zitadel-") {
				return header, true
			}
			return runtime.DefaultHeaderMatcher(header)
		}),
		runtime.WithRoutingErrorHandler(routingError),
	)
	// /users/{user_id}/password/_initialize in grpc-gateway's operations: a literal, a
	// variable of one segment, two literals.
	pattern, err := runtime.NewPattern(1, []int{2, 0, 1, 0, 4, 1, 5, 1, 2, 2, 2, 3},
		[]string{"users", "user_id", "password", "_initialize"}, "")
	if err != nil {
		return nil, err
	}
	mux.Handle(http.MethodPost, pattern, func(w http.ResponseWriter, r *http.Request, parameters map[string]string) {
		v.forward(mux, w, r, parameters["user_id"])
	})
	return http.StripPrefix("/management/v1", mux), nil
}

// routingError is ZITADEL's routing error handler, which answers 405 with UNIMPLEMENTED.
func routingError(ctx context.Context, mux *runtime.ServeMux, marshaler runtime.Marshaler, w http.ResponseWriter, r *http.Request, httpStatus int) {
	if httpStatus != http.StatusMethodNotAllowed {
		runtime.DefaultRoutingErrorHandler(ctx, mux, marshaler, w, r, httpStatus)
		return
	}
	runtime.DefaultHTTPErrorHandler(ctx, mux, marshaler, w, r, &runtime.HTTPStatusError{
		HTTPStatus: httpStatus,
		Err:        status.Error(codes.Unimplemented, http.StatusText(httpStatus)),
	})
}

// forward does the same as the code that grpc-gateway generates for a method with body "*".
func (v *V1) forward(mux *runtime.ServeMux, w http.ResponseWriter, r *http.Request, userID string) {
	inbound, outbound := runtime.MarshalerForRequest(mux, r)
	ctx, err := runtime.AnnotateContext(r.Context(), mux, r, procedure)
	if err != nil {
		runtime.HTTPError(r.Context(), mux, outbound, w, r, err)
		return
	}
	var request managementv1.SetHumanInitialPasswordRequest
	var response managementv1.SetHumanInitialPasswordResponse
	// An empty body is allowed.
	if err := inbound.NewDecoder(r.Body).Decode(&request); err != nil && err.Error() != "EOF" {
		runtime.HTTPError(ctx, mux, outbound, w, r, status.Error(codes.InvalidArgument, err.Error()))
		return
	}
	request.UserId = userID
	if err := v.client.Invoke(ctx, procedure, &request, &response); err != nil {
		runtime.HTTPError(ctx, mux, outbound, w, r, err)
		return
	}
	runtime.ForwardResponseMessage(ctx, mux, outbound, w, r, &response)
}

// handle implements the call.
//
//nolint:revive // the order of parameters is grpc-go's
func (v *V1) handle(_ any, ctx context.Context, decode func(any) error, _ grpc.UnaryServerInterceptor) (any, error) {
	request := new(managementv1.SetHumanInitialPasswordRequest)
	if err := decode(request); err != nil {
		return nil, err
	}
	caller, err := v.authenticate(ctx)
	if err != nil {
		return nil, err
	}
	if err := validate(request); err != nil {
		return nil, err
	}
	for _, user := range v.fixture.Users {
		if user.ID == request.GetUserId() && user.Org == caller.HomeOrg && user.State == v2test.Active {
			return respond(request.GetPassword(), user.Org)
		}
	}
	return nil, refusal(codes.FailedPrecondition, "COMMAND-G8dh3", "Password not found")
}

// authenticate returns the caller. It supports only calls for the caller's own organization,
// and assumes that every caller may write users there.
func (v *V1) authenticate(ctx context.Context) (v2test.Caller, error) {
	md, _ := metadata.FromIncomingContext(ctx)
	first := func(name string) string { return strings.Join(md.Get(name)[:min(1, len(md.Get(name)))], "") }
	if first("authorization") == "" {
		return v2test.Caller{}, status.Error(codes.Unauthenticated, "auth header missing")
	}
	parts := strings.Split(first("authorization"), "Bearer ")
	if len(parts) != 2 {
		return v2test.Caller{}, refusal(codes.Unauthenticated, "AUTH-toLo1", "invalid auth header")
	}
	for _, caller := range v.fixture.Callers {
		if caller.Token != parts[1] {
			continue
		}
		if org := first("x-zitadel-orgid"); org != "" && org != caller.HomeOrg {
			return v2test.Caller{}, refusal(codes.PermissionDenied, "AUTH-Bs7Ds", "Organisation doesn't exist")
		}
		return caller, nil
	}
	return v2test.Caller{}, refusal(codes.Unauthenticated, "AUTH-7fs1e", "Errors.Token.Invalid")
}

// validate applies the validation rules of v1's request message.
func validate(request *managementv1.SetHumanInitialPasswordRequest) error {
	if request.GetUserId() == "" {
		return status.Error(codes.InvalidArgument, "invalid SetHumanInitialPasswordRequest.UserId: value length must be at least 1 runes")
	}
	if n := utf8.RuneCountInString(request.GetPassword()); n < 1 || n > 72 {
		return status.Error(codes.InvalidArgument,
			"invalid SetHumanInitialPasswordRequest.Password: value length must be between 1 and 72 runes, inclusive")
	}
	return nil
}

// respond checks the default password policy and returns the response.
func respond(password, org string) (*managementv1.SetHumanInitialPasswordResponse, error) {
	const lower, upper, digits = "abcdefghijklmnopqrstuvwxyz", "ABCDEFGHIJKLMNOPQRSTUVWXYZ", "0123456789"
	switch {
	case len(password) < 8:
		return nil, refusal(codes.InvalidArgument, "DOMAIN-HuJf6", "Password is too short")
	case !strings.ContainsAny(password, lower):
		return nil, refusal(codes.InvalidArgument, "DOMAIN-co3Xw", "Password must contain lower case")
	case !strings.ContainsAny(password, upper):
		return nil, refusal(codes.InvalidArgument, "DOMAIN-VoaRj", "Password must contain upper case")
	case !strings.ContainsAny(password, digits):
		return nil, refusal(codes.InvalidArgument, "DOMAIN-ZBv4H", "Password must contain number")
	case strings.Trim(password, lower+upper+digits) == "":
		return nil, refusal(codes.InvalidArgument, "DOMAIN-ZDLwA", "Password must contain symbol")
	}
	return &managementv1.SetHumanInitialPasswordResponse{Details: &zitadelv1.ObjectDetails{ResourceOwner: org}}, nil
}

// refusal returns an error with an id and ZITADEL's ErrorDetail.
func refusal(code codes.Code, id, message string) error {
	s, err := status.New(code, fmt.Sprintf("%s (%s)", message, id)).WithDetails(&zitadelv1.ErrorDetail{Id: id, Message: message})
	if err != nil {
		return err
	}
	return s.Err()
}
