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

// gRPC health and server reflection, which server.grpcHealth and server.grpcReflection
// leave to ZITADEL or give to the adapter. Their limits are in limits_test.go.

// gRPC health and reflection are answered by ZITADEL or by the adapter, as configured.
func TestHealthAndReflectionAreAnsweredAsConfigured(t *testing.T) {
	t.Parallel()
	unauthenticated := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.ReadFull(r.Body, make([]byte, 5)) // the client may keep a stream open
		w.Header().Set("Content-Type", "application/grpc")
		w.Header().Set(http.TrailerPrefix+"Grpc-Status", "16")
	})
	for name, test := range map[string]struct {
		answerer grpcservices.Answerer
		own      bool
	}{"upstream": {grpcservices.AnswererUpstream, false}, "own": {grpcservices.AnswererOwn, true}} {
		ready := true
		address := newPassing(t, "http://"+wiretest.Listen(t, unauthenticated), func(p *parts) {
			p.services.Health, p.services.Reflection = test.answerer, test.answerer
			p.services.Ready = func() bool { return ready }
		})
		if got := healthOf(t, address, ""); (got == nil) != test.own {
			t.Errorf("%s: health: got error %v, want one: %v", name, got, !test.own)
		}
		services, err := reflected(t, address)
		if own := err == nil && slices.Equal(services, []string{"zitadel.management.v1.ManagementService"}); own != test.own {
			t.Errorf("%s: reflection: got %q, %v, want the management service alone: %v", name, services, err, test.own)
		}
		if !test.own {
			continue
		}
		if got := healthOf(t, address, "zitadel.management.v1.ManagementService"); got != nil {
			t.Errorf("%s: health of the management service: got %v, want SERVING", name, got)
		}
		if got := healthOf(t, address, "other"); connect.CodeOf(got) != connect.CodeNotFound {
			t.Errorf("%s: health of another service: got %v, want not_found", name, got)
		}
		ready = false
		if got := healthOf(t, address, ""); got == nil || !strings.Contains(got.Error(), "not serving") {
			t.Errorf("%s: health while draining: got %v, want an error with %q", name, got, "not serving")
		}
	}
}

// healthOf returns nil if a service is SERVING, and an error otherwise.
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

// reflected returns the services that server reflection lists.
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
