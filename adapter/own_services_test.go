package adapter_test

import (
	"bytes"
	"errors"
	"io"
	"net/http"
	"slices"
	"strings"
	"testing"

	"connectrpc.com/connect"
	"connectrpc.com/grpchealth"
	"connectrpc.com/grpcreflect"
	"google.golang.org/protobuf/types/known/emptypb"

	"zitadel-v1-adapter/internal/grpcservices"
	"zitadel-v1-adapter/internal/wiretest"
)

// gRPC health and reflection are ZITADEL's, or the adapter's where the configuration
// says so.
func TestOwnServices(t *testing.T) {
	t.Parallel()
	zitadels := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.ReadFull(r.Body, make([]byte, 5)) // a stream's end may be long in coming
		w.Header().Set("Content-Type", "application/grpc")
		w.Header().Set(http.TrailerPrefix+"Grpc-Status", "16")
	})
	for name, test := range map[string]struct {
		by  grpcservices.Answerer
		own bool
	}{"upstream": {grpcservices.AnswererUpstream, false}, "own": {grpcservices.AnswererOwn, true}} {
		ready := true
		address := newPassing(t, "http://"+wiretest.Listen(t, zitadels), func(p *parts) {
			p.services.Health, p.services.Reflection, p.services.Ready = test.by, test.by, func() bool { return ready }
		})
		if got := healthOf(t, address, ""); (got == nil) != test.own {
			t.Errorf("%s: health %v", name, got)
		}
		services, err := reflected(t, address)
		if own := err == nil && slices.Equal(services, []string{"zitadel.management.v1.ManagementService"}); own != test.own {
			t.Errorf("%s: reflection of %q, %v", name, services, err)
		}
		if !test.own {
			continue
		}
		if got := healthOf(t, address, "zitadel.management.v1.ManagementService"); got != nil {
			t.Errorf("%s: health of the service %v", name, got)
		}
		if got := healthOf(t, address, "other"); connect.CodeOf(got) != connect.CodeNotFound {
			t.Errorf("%s: health of another service %v", name, got)
		}
		ready = false
		if got := healthOf(t, address, ""); got == nil || !strings.Contains(got.Error(), "not serving") {
			t.Errorf("%s: health while draining %v", name, got)
		}
	}
}

// healthOf is nil if a service is SERVING.
func healthOf(t *testing.T, address, service string) error {
	t.Helper()
	client := connect.NewClient[emptypb.Empty, emptypb.Empty](&http.Client{Transport: newTransport(t, true)},
		"http://"+address+"/"+grpchealth.HealthV1ServiceName+"/Check", connect.WithGRPC())
	request := &emptypb.Empty{}
	if service != "" { // field 1, a string
		request.ProtoReflect().SetUnknown(append([]byte{0x0a, byte(len(service))}, service...))
	}
	response, err := client.CallUnary(t.Context(), connect.NewRequest(request))
	if err != nil {
		return err
	}
	if status := response.Msg.ProtoReflect().GetUnknown(); !bytes.Equal(status, []byte{0x08, 1}) { // field 1: SERVING
		return errors.New("not serving")
	}
	return nil
}

func reflected(t *testing.T, address string) ([]string, error) {
	t.Helper()
	client := grpcreflect.NewClient(&http.Client{Transport: newTransport(t, true)}, "http://"+address, connect.WithGRPC())
	stream := client.NewStream(t.Context())
	defer func() { _, _ = stream.Close() }()
	names, err := stream.ListServices()
	services := make([]string, 0, len(names))
	for _, name := range names {
		services = append(services, string(name))
	}
	return services, err
}
