package adapter

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"time"

	"connectrpc.com/connect"
	"connectrpc.com/grpchealth"
	"connectrpc.com/grpcreflect"

	"zitadel-v1-adapter/gen/zitadel/management/v1/managementv1connect"
)

// Answerer says who answers a gRPC service that both ZITADEL and the adapter may
// have.
type Answerer string

const (
	// AnswererUpstream is ZITADEL, and the adapter where ZITADEL does not know
	// the service or passthrough is off.
	AnswererUpstream Answerer = "upstream"
	// AnswererOwn is the adapter.
	AnswererOwn Answerer = "own"
)

func (a Answerer) validate(key string) error {
	if a != AnswererUpstream && a != AnswererOwn {
		return fmt.Errorf("%s: %q: use %q or %q", key, a, AnswererUpstream, AnswererOwn)
	}
	return nil
}

// ownService is a gRPC service that the adapter can answer itself.
type ownService struct {
	prefix  string // of its methods' paths
	method  string // one of them, by which to find out whether ZITADEL knows it
	handler http.Handler
	by      Answerer

	mu       sync.Mutex
	unknown  bool // to ZITADEL
	asking   bool
	askAgain time.Time
}

// maxOwnRequestBytes is how long a message to a service of the adapter's own may be,
// unpacked: they hold a name.
const maxOwnRequestBytes = 4 << 10

// newOwnServices makes gRPC health, which is SERVING while ready, and server
// reflection of v1's service.
func newOwnServices(health, reflection Answerer, ready func() bool) []*ownService {
	reflector := grpcreflect.NewStaticReflector(managementv1connect.ManagementServiceName)
	small := connect.WithReadMaxBytes(maxOwnRequestBytes)
	healthPath, healthHandler := grpchealth.NewHandler(healthChecker{ready}, small)
	v1Path, v1Handler := grpcreflect.NewHandlerV1(reflector, small)
	alphaPath, alphaHandler := grpcreflect.NewHandlerV1Alpha(reflector, small)
	return []*ownService{
		{prefix: healthPath, method: "Check", handler: healthHandler, by: health},
		{prefix: v1Path, method: "ServerReflectionInfo", handler: v1Handler, by: reflection},
		{prefix: alphaPath, method: "ServerReflectionInfo", handler: alphaHandler, by: reflection},
	}
}

// healthChecker is the health of the adapter and of the one service it has.
type healthChecker struct{ ready func() bool }

func (c healthChecker) Check(_ context.Context, request *grpchealth.CheckRequest) (*grpchealth.CheckResponse, error) {
	if request.Service != "" && request.Service != managementv1connect.ManagementServiceName {
		return nil, connect.NewError(connect.CodeNotFound, errors.New("unknown service"))
	}
	if c.ready != nil && !c.ready() {
		return &grpchealth.CheckResponse{Status: grpchealth.StatusNotServing}, nil
	}
	return &grpchealth.CheckResponse{Status: grpchealth.StatusServing}, nil
}

// ownService finds the service that is to answer r instead of ZITADEL, nil if
// there is none.
func (f *facade) ownService(r *http.Request, protocol string) http.Handler {
	if protocol == "" {
		return nil
	}
	for _, service := range f.ownServices {
		if strings.HasPrefix(r.URL.Path, service.prefix) && (service.by == AnswererOwn || !f.passthrough.knows(r, service)) {
			return service.handler
		}
	}
	return nil
}

// How long it is believed that ZITADEL knows a service, or does not, and how long
// that nobody can tell.
const (
	believed   = time.Minute
	cannotTell = 5 * time.Second
)

// errNotOfZITADEL is the error of an answer, or a refusal to ask, that may be due to the
// host that a client chose, and says nothing about ZITADEL.
var errNotOfZITADEL = errors.New("not of ZITADEL")

// knows tells whether ZITADEL knows a service, by what was found out last: once in
// a while a request asks. As long as nothing was, the service counts as known: what
// ZITADEL is not there to answer is not answered.
func (p *Passthrough) knows(r *http.Request, service *ownService) bool {
	if p == nil {
		return false
	}
	service.mu.Lock()
	if service.asking || time.Now().Before(service.askAgain) {
		defer service.mu.Unlock()
		return !service.unknown
	}
	service.asking = true
	service.mu.Unlock()

	known, err := p.ask(r, service.prefix+service.method)

	service.mu.Lock()
	defer service.mu.Unlock()
	service.asking = false
	switch {
	case err == nil:
		service.unknown, service.askAgain = !known, time.Now().Add(believed)
	case !errors.Is(err, errNotOfZITADEL): // or else the next request asks
		service.askAgain = time.Now().Add(cannotTell)
	}
	return !service.unknown
}

// ask makes a gRPC call with an empty message, and tells whether there is such a
// method.
func (p *Passthrough) ask(r *http.Request, method string) (known bool, err error) {
	host, ok := p.upstream.HostFor(r.Host)
	if !ok {
		return false, fmt.Errorf("%w: the request's host is not a host name", errNotOfZITADEL)
	}
	// Others will go by the answer: this client may go away.
	ctx, cancel := context.WithTimeout(context.WithoutCancel(r.Context()), 5*time.Second)
	defer cancel()
	url := p.upstream.Base().String() + method
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, url, bytes.NewReader(frame(nil)))
	if err != nil {
		return false, err
	}
	request.Host = host
	request.Header = http.Header{"Content-Type": {"application/grpc"}, "Te": {"trailers"}}
	response, err := p.http2.RoundTrip(request)
	if err != nil {
		return false, err
	}
	defer func() { _ = response.Body.Close() }()
	if _, err := io.Copy(io.Discard, io.LimitReader(response.Body, maxMessageBytes)); err != nil {
		return false, err
	}
	status := response.Header.Get("Grpc-Status") + response.Trailer.Get("Grpc-Status") // there is one or the other
	if status == "" {                                                                  // as from a proxy that does not know the host
		return false, fmt.Errorf("%w: HTTP %d without a grpc-status", errNotOfZITADEL, response.StatusCode)
	}
	return status != "12", nil
}
