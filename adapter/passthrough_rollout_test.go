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

// The rollout: which calls go to native v1, and that they arrive there unchanged.

// Calls for users whom the rollout has not reached pass through to native v1, over every
// protocol, byte by byte as they came. Calls for other users are translated.
func TestCallsOutsideRolloutReachNativeUnchanged(t *testing.T) {
	t.Parallel()
	for percent, route := range map[adapter.Rollout]string{ // userA is translated from 11 percent on
		0: adapter.RouteNative, 10: adapter.RouteNative, 11: adapter.RouteTranslated, 100: adapter.RouteTranslated,
	} {
		native := &nativeV1{}
		s := newStack(t, func(c *stackConfig) { c.native, c.rollout = native, percent })
		body := grpcCallBody(t)
		frame := recordings.Request{BodyBase64: body}.Body(t)
		request := func(contentType string) recordings.Request {
			return recordings.Request{
				Method: http.MethodPost, Path: procedure, BodyBase64: body,
				Headers: map[string]string{"Content-Type": contentType, "Authorization": "Bearer pat-org-owner-a"},
			}
		}
		response := sendRaw(t, s.address, aCall())
		if native := response.StatusCode == http.StatusTeapot; native != (route == adapter.RouteNative) {
			t.Errorf("%d%%, REST: got HTTP %d, want a call by route %s", percent, response.StatusCode, route)
		}
		sendGRPC(t, newTransport(t, true), s.address, request("application/grpc"))
		_ = bodyOf(t, sendRaw(t, s.address, request("application/grpc-web+proto")))
		text := request("application/grpc-web-text")
		text.Text, text.BodyBase64 = body, nil
		_ = bodyOf(t, sendRaw(t, s.address, text))

		calls := s.calls()
		got := make([]string, 0, len(calls))
		for _, call := range calls {
			got = append(got, call.Protocol+" "+call.Route+" "+call.Code)
		}
		want := []string{"rest v2 ok", "grpc v2 ok", "grpc-web v2 ok", "grpc-web-text v2 ok"}
		var bodies [][]byte
		if route == adapter.RouteNative {
			want = []string{
				"rest v1 418", "grpc v1 failed_precondition", "grpc-web v1 failed_precondition", "grpc-web-text v1 failed_precondition",
			}
			bodies = [][]byte{[]byte(good), frame, frame, []byte(*body)}
		}
		if !slices.Equal(got, want) {
			t.Errorf("%d%%: observed calls: got %q, want %q", percent, got, want)
		}
		if !slices.EqualFunc(native.bodies, bodies, bytes.Equal) {
			t.Errorf("%d%%: bodies at native v1: got %q, want %q", percent, native.bodies, bodies)
		}
		if log := s.logged(); strings.Count(log, `"way":"`+route+`"`) != 4 || strings.Contains(log, "Sup3r") {
			t.Errorf("%d%%: the log: got %s\nwant four lines with way %q, and no password", percent, log, route)
		}
	}
}

// While no user is translated, CORS preflights and other methods on a call's path go to
// native v1, and do not count as calls. A call whose message cannot be read goes there too.
func TestPreflightsAndUnreadableCallsFollowRollout(t *testing.T) {
	t.Parallel()
	native := &nativeV1{}
	s := newStack(t, func(c *stackConfig) { c.native, c.rollout = native, 0 })
	sendRaw(t, s.address, recordings.Request{
		Method: http.MethodOptions, Path: userAPath,
		Headers: map[string]string{"Origin": "https://a", "Access-Control-Request-Method": "POST"},
	})
	sendRaw(t, s.address, recordings.Request{Method: http.MethodGet, Path: userAPath})
	if calls := s.calls(); len(calls) > 0 {
		t.Errorf("observed calls: got %+v, want none", calls)
	}
	garbage := "\x01garbage"
	sendGRPC(t, newTransport(t, true), s.address, recordings.Request{
		Method: http.MethodPost, Path: procedure, Text: &garbage,
		Headers: map[string]string{"Content-Type": "application/grpc", "Grpc-Encoding": "zstd"},
	})
	want := []string{"OPTIONS " + userAPath, "GET " + userAPath, "POST " + procedure}
	if !slices.Equal(native.paths, want) || string(native.bodies[2]) != garbage {
		t.Errorf("at native v1: got %q with bodies %q\nwant %q with %q as the last body", native.paths, native.bodies, want, garbage)
	}
}
