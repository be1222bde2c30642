package adapter_test

import (
	"bytes"
	"errors"
	"io"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"

	"connectrpc.com/connect"
	"connectrpc.com/grpchealth"
	"connectrpc.com/grpcreflect"
	"google.golang.org/protobuf/types/known/emptypb"

	"zitadel-v1-adapter/adapter"
	"zitadel-v1-adapter/internal/grpcservices"
	"zitadel-v1-adapter/internal/recordings"
	"zitadel-v1-adapter/internal/wiretest"
)

// nativeV1 keeps what arrives and answers as native v1 would, more or less.
type nativeV1 struct {
	mu     sync.Mutex
	bodies [][]byte
	paths  []string
}

func (n *nativeV1) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, _ := io.ReadAll(r.Body)
	n.mu.Lock()
	n.bodies, n.paths = append(n.bodies, body), append(n.paths, r.Method+" "+r.URL.Path)
	n.mu.Unlock()
	if contentType := r.Header.Get("Content-Type"); strings.HasPrefix(contentType, "application/grpc") {
		w.Header().Set("Content-Type", contentType)
		w.Header().Set(http.TrailerPrefix+"Grpc-Status", "9")
		return
	}
	w.WriteHeader(http.StatusTeapot)
}

// Calls for users whom the rollout has not reached go to native v1, over every
// protocol, byte by byte as they came; those for others are translated.
func TestRolloutCalls(t *testing.T) {
	t.Parallel()
	for percent, way := range map[adapter.Rollout]string{0: adapter.RouteNative, 10: adapter.RouteNative, 11: adapter.RouteTranslated, 100: adapter.RouteTranslated} { // userA is the 11th percent
		native := &nativeV1{}
		s := newStack(t, func(c *stackConfig) { c.native, c.rollout = native, percent })
		body := grpcCallBody(t)
		frame := recordings.Request{BodyBase64: body}.Body(t)
		headers := func(contentType string) map[string]string {
			return map[string]string{"Content-Type": contentType, "Authorization": "Bearer pat-org-owner-a"}
		}
		response := sendRaw(t, s.address, aCall())
		if native := response.StatusCode == http.StatusTeapot; native != (way == adapter.RouteNative) {
			t.Errorf("%d%%, REST: %d", percent, response.StatusCode)
		}
		const path = "/zitadel.management.v1.ManagementService/SetHumanInitialPassword"
		sendGRPC(t, newTransport(t, true), s.address, recordings.Request{Method: http.MethodPost, Path: path, BodyBase64: body, Headers: headers("application/grpc")})
		_ = bodyOf(t, sendRaw(t, s.address, recordings.Request{Method: http.MethodPost, Path: path, BodyBase64: body, Headers: headers("application/grpc-web+proto")}))
		_ = bodyOf(t, sendRaw(t, s.address, recordings.Request{Method: http.MethodPost, Path: path, Text: body, Headers: headers("application/grpc-web-text")}))

		calls := s.calls()
		got := make([]string, 0, len(calls))
		for _, call := range calls {
			got = append(got, call.Protocol+" "+call.Route+" "+call.Code)
		}
		want := []string{"rest v2 ok", "grpc v2 ok", "grpc-web v2 ok", "grpc-web-text v2 ok"}
		var bodies [][]byte
		if way == adapter.RouteNative {
			want = []string{"rest v1 418", "grpc v1 failed_precondition", "grpc-web v1 failed_precondition", "grpc-web-text v1 failed_precondition"}
			bodies = [][]byte{[]byte(good), frame, frame, []byte(*body)}
		}
		if !slices.Equal(got, want) {
			t.Errorf("%d%%: %q, want %q", percent, got, want)
		}
		if !slices.EqualFunc(native.bodies, bodies, bytes.Equal) {
			t.Errorf("%d%%: %q arrived at native v1, want %q", percent, native.bodies, bodies)
		}
		if log := s.log.String(); strings.Count(log, `"way":"`+way+`"`) != 4 || strings.Contains(log, "Sup3r") {
			t.Errorf("%d%%: %s", percent, log)
		}
	}
}

// What belongs to a call goes where the call goes; what cannot be read goes
// somewhere; nothing else is counted as a call.
func TestRolloutOddities(t *testing.T) {
	t.Parallel()
	native := &nativeV1{}
	s := newStack(t, func(c *stackConfig) { c.native, c.rollout = native, 0 })
	preflight := recordings.Request{Method: http.MethodOptions, Path: userAPath, Headers: map[string]string{"Origin": "https://a", "Access-Control-Request-Method": "POST"}}
	sendRaw(t, s.address, preflight)
	sendRaw(t, s.address, recordings.Request{Method: http.MethodGet, Path: userAPath})
	if calls := s.calls(); len(calls) > 0 {
		t.Errorf("counted as calls: %+v", calls)
	}
	garbage := "\x01garbage"
	sendGRPC(t, newTransport(t, true), s.address, recordings.Request{
		Method: http.MethodPost, Path: "/zitadel.management.v1.ManagementService/SetHumanInitialPassword", Text: &garbage,
		Headers: map[string]string{"Content-Type": "application/grpc", "Grpc-Encoding": "zstd"},
	})
	want := []string{"OPTIONS " + userAPath, "GET " + userAPath, "POST /zitadel.management.v1.ManagementService/SetHumanInitialPassword"}
	if !slices.Equal(native.paths, want) || string(native.bodies[2]) != garbage {
		t.Errorf("arrived: %q, %q", native.paths, native.bodies)
	}
}

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
