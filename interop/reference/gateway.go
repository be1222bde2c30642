package reference

import (
	"context"
	"errors"
	"io"
	"net/http"
	"strings"

	"github.com/grpc-ecosystem/grpc-gateway/v2/runtime"
	"github.com/rs/cors"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
)

// The names of the metadata that tells the gRPC server which REST call it is.
const (
	activityPath   = "zitadel-activity-path"
	activityMethod = "zitadel-activity-request-method"
)

// gateway returns v1's REST: grpc-gateway, which calls the gRPC server over a connection.
func (v *V1) gateway() (http.Handler, error) {
	serveMux := newServeMux()
	for _, method := range methods() {
		// /users/{user_id}/ and literals, in grpc-gateway's operations.
		operations := []int{2, 0, 1, 0, 4, 1, 5, 1, 2, 2}
		pool := []string{"users", "user_id", "password"}
		if method.suffix != "" {
			operations, pool = append(operations, 2, 3), append(pool, method.suffix)
		}
		pattern, err := runtime.NewPattern(1, operations, pool, "")
		if err != nil {
			return nil, err
		}
		serveMux.Handle(http.MethodPost, pattern, func(w http.ResponseWriter, r *http.Request, parameters map[string]string) {
			v.forward(serveMux, method, w, r, parameters["user_id"])
		})
	}
	return intercept(serveMux), nil
}

// newServeMux returns a ServeMux without routes, with ZITADEL's options.
func newServeMux() *runtime.ServeMux {
	marshaler := &runtime.JSONPb{UnmarshalOptions: protojson.UnmarshalOptions{DiscardUnknown: true}}
	return runtime.NewServeMux(
		runtime.WithMarshalerOption(marshaler.ContentType(nil), marshaler),
		runtime.WithMarshalerOption("*/*", marshaler),
		runtime.WithMarshalerOption(runtime.MIMEWildcard, marshaler),
		runtime.WithIncomingHeaderMatcher(func(header string) (string, bool) {
			if strings.HasPrefix(strings.ToLower(header), "x-zitadel-") {
				return header, true
			}
			return runtime.DefaultHeaderMatcher(header)
		}),
		runtime.WithOutgoingHeaderMatcher(runtime.DefaultHeaderMatcher),
		runtime.WithRoutingErrorHandler(routingError),
	)
}

// routingError answers 405 with UNIMPLEMENTED.
func routingError(ctx context.Context, serveMux *runtime.ServeMux, marshaler runtime.Marshaler, w http.ResponseWriter, r *http.Request, httpStatus int) {
	if httpStatus != http.StatusMethodNotAllowed {
		runtime.DefaultRoutingErrorHandler(ctx, serveMux, marshaler, w, r, httpStatus)
		return
	}
	runtime.DefaultHTTPErrorHandler(ctx, serveMux, marshaler, w, r, &runtime.HTTPStatusError{
		HTTPStatus: httpStatus,
		Err:        status.Error(codes.Unimplemented, http.StatusText(httpStatus)),
	})
}

// forward does the same as the code that grpc-gateway generates for a method with body "*".
func (v *V1) forward(serveMux *runtime.ServeMux, method method, w http.ResponseWriter, r *http.Request, userID string) {
	ctx, cancel := context.WithCancel(r.Context())
	defer cancel()
	inbound, outbound := runtime.MarshalerForRequest(serveMux, r)
	annotated, err := runtime.AnnotateContext(ctx, serveMux, r, method.procedure())
	if err != nil {
		runtime.HTTPError(ctx, serveMux, outbound, w, r, err)
		return
	}
	request, response := method.newRequest(), method.newResponse()
	var headers runtime.ServerMetadata
	err = inbound.NewDecoder(r.Body).Decode(request)
	if err != nil && !errors.Is(err, io.EOF) {
		err = status.Errorf(codes.InvalidArgument, "%v", err)
	} else {
		_, _ = io.Copy(io.Discard, r.Body)
		setUserID(request, userID)
		err = v.loopback.Invoke(annotated, method.procedure(), request, response, grpc.Header(&headers.HeaderMD), grpc.Trailer(&headers.TrailerMD))
	}
	annotated = runtime.NewServerMetadataContext(annotated, headers)
	if err != nil {
		runtime.HTTPError(annotated, serveMux, outbound, w, r, err)
		return
	}
	runtime.ForwardResponseMessage(annotated, serveMux, outbound, w, r, response)
}

func setUserID(request proto.Message, userID string) {
	message := request.ProtoReflect()
	message.Set(message.Descriptor().Fields().ByName("user_id"), protoreflect.ValueOfString(userID))
}

// activity is the key of a REST call's path and method in its context.
type activity struct{}

// sendActivity tells the gRPC server the path and the method of the REST call.
func sendActivity(ctx context.Context, procedure string, request, response any, to *grpc.ClientConn, invoke grpc.UnaryInvoker, options ...grpc.CallOption) error {
	if r, ok := ctx.Value(activity{}).(*http.Request); ok {
		ctx = metadata.AppendToOutgoingContext(ctx, activityPath, r.URL.Path)
		ctx = metadata.AppendToOutgoingContext(ctx, activityMethod, r.Method)
	}
	return invoke(ctx, procedure, request, response, to, options...)
}

// intercept does what ZITADEL does to every REST call, from the inside out.
func intercept(next http.Handler) http.Handler {
	next = cors.New(cors.Options{
		AllowCredentials: true,
		AllowedHeaders:   append(allowedHeaders(), "X-Requested-With", "Connect-Protocol-Version", "Connect-Timeout-Ms", "grpc-timeout"),
		AllowedMethods: []string{
			http.MethodOptions, http.MethodGet, http.MethodHead, http.MethodPost, http.MethodPut, http.MethodPatch, http.MethodDelete,
		},
		ExposedHeaders:  []string{"Location", "Content-Length", "grpc-status", "grpc-message", "grpc-status-details-bin"},
		AllowOriginFunc: func(string) bool { return true },
	}).Handler(next)
	next = robotsTag(next)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		next.ServeHTTP(&cookieWriter{ResponseWriter: w}, r.WithContext(context.WithValue(r.Context(), activity{}, r)))
	})
}

func allowedHeaders() []string {
	return []string{"Origin", "Content-Type", "Accept", "Accept-Language", "Authorization", "x-zitadel-orgid", "X-User-Agent", "X-Grpc-Web"}
}

// cookieWriter deletes, in successes, the cookie that says that a quota is used up.
type cookieWriter struct {
	http.ResponseWriter

	wroteHeader bool
}

func (w *cookieWriter) WriteHeader(code int) {
	if code >= 200 && code < 300 {
		w.deleteCookie()
	}
	w.wroteHeader = true
	w.ResponseWriter.WriteHeader(code)
}

func (w *cookieWriter) Write(data []byte) (int, error) {
	if !w.wroteHeader {
		w.deleteCookie()
	}
	return w.ResponseWriter.Write(data)
}

func (w *cookieWriter) deleteCookie() {
	http.SetCookie(w.ResponseWriter, &http.Cookie{Name: "zitadel.quota.exhausted", Path: "/", MaxAge: -1, SameSite: http.SameSiteLaxMode}) //nolint:gosec // as ZITADEL's
	w.Header().Add("Vary", "Cookie")
}

// behindGateway gives the REST calls of an embedded ZITADEL the headers that the gateway hands
// on, and refuses those that gRPC does not take: their own handlers are no gateway's.
func behindGateway(next http.Handler) http.Handler {
	serveMux := newServeMux()
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if !strings.HasPrefix(r.URL.Path, "/auth/v1/") && !strings.HasPrefix(r.URL.Path, "/v2/") {
			next.ServeHTTP(w, r)
			return
		}
		_, outbound := runtime.MarshalerForRequest(serveMux, r)
		ctx, err := runtime.AnnotateContext(r.Context(), serveMux, r, r.URL.Path)
		md, _ := metadata.FromOutgoingContext(ctx)
		header := http.Header{}
		for name, values := range md {
			for _, value := range values {
				if !strings.HasSuffix(name, "-bin") && strings.ContainsFunc(value, func(c rune) bool { return c < ' ' || c > '~' }) {
					err = status.Errorf(codes.Internal, "header key %q contains value with non-printable ASCII characters", name)
				}
				header.Add(name, value)
			}
		}
		if err != nil {
			runtime.HTTPError(r.Context(), serveMux, outbound, w, r, err)
			return
		}
		handed := r.Clone(r.Context())
		handed.Header = header
		next.ServeHTTP(w, handed)
	})
}
