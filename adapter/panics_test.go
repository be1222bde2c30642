package adapter_test

import (
	"context"
	"log/slog"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"zitadel-v1-adapter/adapter"
	objectv2 "zitadel-v1-adapter/gen/zitadel/object/v2"
	"zitadel-v1-adapter/internal/ingress"
	"zitadel-v1-adapter/internal/recordings"
	"zitadel-v1-adapter/internal/wiretest"
	"zitadel-v1-adapter/v2client"
)

// broken is a ZITADEL whose client has a defect.
type broken struct{ adapter.ZITADEL }

func (broken) UserOrganization(context.Context, v2client.Caller, string) (string, error) {
	panic("Sup3rPassw0rd! for pat-org-owner-a")
}

func (broken) SetPassword(_ context.Context, _ v2client.Caller, _, password string, _ bool) (*objectv2.Details, error) {
	return nil, []error{}[len(password)]
}

// A panic is code 13 in the caller's protocol, is logged with its stack and
// without secrets, counted, and costs nothing but its call.
func TestPanics(t *testing.T) {
	t.Parallel()
	var log wiretest.Buffer
	var panics atomic.Int32
	for _, scope := range []adapter.OrgScope{adapter.OrgScopeStrict, adapter.OrgScopeOff} {
		logger := slog.New(slog.NewJSONHandler(&log, nil))
		address := wiretest.Listen(t, parts{
			v1:   adapter.Config{ZITADEL: broken{}, OrgScope: scope, Timeout: time.Minute, Rollout: adapter.RolloutAll, Limits: roomy(), Log: logger},
			edge: ingress.Config{WriteTimeout: time.Minute, OnPanic: func() { panics.Add(1) }, Log: logger},
		}.assemble(t))
		call := aCall()
		for range 2 {
			response := sendRaw(t, address, call)
			if got := bodyOf(t, response); response.StatusCode != http.StatusInternalServerError || got != `{"code":13,"message":"internal error"}` {
				t.Errorf("%s, REST: %d %s", scope, response.StatusCode, got)
			}
		}
		const path = "/zitadel.management.v1.ManagementService/SetHumanInitialPassword"
		headers := func(contentType string) map[string]string {
			return map[string]string{"Content-Type": contentType, "Authorization": "Bearer pat-org-owner-a", "X-Zitadel-Orgid": "1"}
		}
		body := grpcCallBody(t)
		header, trailer, message := sendGRPC(t, newTransport(t, true), address, recordings.Request{Method: http.MethodPost, Path: path, BodyBase64: body, Headers: headers("application/grpc")})
		if got := grpcOutcome(t, header, trailer, message); got.code != "13" || got.text != "internal error" {
			t.Errorf("%s, gRPC: %+v", scope, got)
		}
		for contentType, request := range map[string]recordings.Request{
			"application/grpc-web+proto": {BodyBase64: body}, "application/grpc-web-text": {Text: body},
		} {
			request.Method, request.Path, request.Headers = http.MethodPost, path, headers(contentType)
			response := sendRaw(t, address, request)
			if got := grpcWebOutcome(t, response.Header, []byte(bodyOf(t, response))); got.code != "13" || got.text != "internal error" {
				t.Errorf("%s, %s: %+v", scope, contentType, got)
			}
		}
	}
	if got := panics.Load(); got != 10 {
		t.Errorf("%d panics were counted", got)
	}
	got := log.String()
	for _, want := range []string{
		`"msg":"panic","cause":"string","stack":"goroutine `, `"cause":"runtime.boundsError: runtime error: index out of range [14] with length 0"`,
		"adapter.(*call)", `"code":"internal"`,
	} {
		if !strings.Contains(got, want) {
			t.Errorf("%s is not in %s", want, got)
		}
	}
	for _, secret := range []string{"Sup3r", "pat-org-owner-a"} {
		if strings.Contains(got, secret) {
			t.Errorf("%s is in the log", secret)
		}
	}
}
