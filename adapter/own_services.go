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
	lru "github.com/hashicorp/golang-lru/v2"

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

	findings *lru.Cache[string, *finding] // by host: a proxy may not know each
}

// finding is whether ZITADEL knows a service, under one host.
type finding struct {
	mu       sync.Mutex
	unknown  bool
	asking   bool
	askAgain time.Time
}

// maxFindings is for how many hosts findings are remembered.
const maxFindings = 1000

// findingOf is what is known under a host.
func (s *ownService) findingOf(host string) *finding {
	if known, ok := s.findings.Get(host); ok {
		return known
	}
	fresh := new(finding)
	if known, ok, _ := s.findings.PeekOrAdd(host, fresh); ok { // somebody else was faster
		return known
	}
	return fresh
}

// maxOwnRequestBytes is how long a message to a service of the adapter's own may be,
// unpacked: they hold a name.
const maxOwnRequestBytes = 4 << 10

// newOwnServices makes gRPC health, which is SERVING while ready, and server
// reflection of v1's service.
func newOwnServices(health, reflection Answerer, ready func() bool) ([]*ownService, error) {
	reflector := grpcreflect.NewStaticReflector(managementv1connect.ManagementServiceName)
	small := connect.WithReadMaxBytes(maxOwnRequestBytes)
	healthPath, healthHandler := grpchealth.NewHandler(healthChecker{ready}, small)
	v1Path, v1Handler := grpcreflect.NewHandlerV1(reflector, small)
	alphaPath, alphaHandler := grpcreflect.NewHandlerV1Alpha(reflector, small)
	services := []*ownService{
		{prefix: healthPath, method: "Check", handler: healthHandler, by: health},
		{prefix: v1Path, method: "ServerReflectionInfo", handler: v1Handler, by: reflection},
		{prefix: alphaPath, method: "ServerReflectionInfo", handler: alphaHandler, by: reflection},
	}
	for _, service := range services {
		var err error
		if service.findings, err = lru.New[string, *finding](maxFindings); err != nil {
			return nil, err
		}
	}
	return services, nil
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

// errNotOfZITADEL is the error of an answer that says nothing about ZITADEL.
var errNotOfZITADEL = errors.New("not of ZITADEL")

// knows tells whether ZITADEL knows a service, by what was found out last: once in
// a while a request asks. As long as nothing was, the service counts as known: what
// ZITADEL is not there to answer is not answered.
func (p *Passthrough) knows(r *http.Request, service *ownService) bool {
	if p == nil {
		return false
	}
	host, ok := p.upstream.HostFor(r.Host)
	if !ok {
		return true // and is refused there
	}
	found := service.findingOf(host)
	found.mu.Lock()
	if found.asking || time.Now().Before(found.askAgain) {
		defer found.mu.Unlock()
		return !found.unknown
	}
	found.asking = true
	found.mu.Unlock()

	known, err := p.ask(r.Context(), host, service.prefix+service.method)

	found.mu.Lock()
	defer found.mu.Unlock()
	found.asking = false
	switch {
	case err == nil:
		found.unknown, found.askAgain = !known, time.Now().Add(believed)
	case !errors.Is(err, errNotOfZITADEL): // or else the next request asks
		found.askAgain = time.Now().Add(cannotTell)
	}
	return !found.unknown
}

// ask makes a gRPC call with an empty message, and tells whether there is such a
// method. Others will go by the answer: it does not end with ctx.
func (p *Passthrough) ask(ctx context.Context, host, method string) (known bool, err error) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 5*time.Second)
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
