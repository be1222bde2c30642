package adapter_test

import (
	"bytes"
	"net/http"
	"slices"
	"strings"
	"testing"

	"zitadel-v1-adapter/adapter"
	"zitadel-v1-adapter/internal/recordings"
)

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
