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

// A defect of the adapter's own costs one call, and nothing else.

// panickingZITADEL is a client of ZITADEL with a defect, in what each orgScope calls first.
type panickingZITADEL struct{ adapter.ZITADEL }

func (panickingZITADEL) Authorize(context.Context, v2client.Caller, v2client.Identity) (v2client.Grant, v2client.Identity, error) {
	panic("Sup3rPassw0rd! for pat-org-owner-a")
}

func (panickingZITADEL) SetPassword(_ context.Context, _ v2client.Caller, _, password string, _ bool) (*objectv2.Details, error) {
	return nil, []error{}[len(password)]
}

// A panic is answered with code 13 in the caller's protocol, counted, and logged with its
// stack but without secrets.
func TestPanicIsInternalErrorWithoutSecrets(t *testing.T) {
	t.Parallel()
	var log wiretest.Buffer
	var panics atomic.Int32
	for _, scope := range []adapter.OrgScope{adapter.OrgScopeStrict, adapter.OrgScopeOff} {
		logger := slog.New(slog.NewJSONHandler(&log, nil))
		address := wiretest.Listen(t, parts{
			v1: adapter.Config{
				ZITADEL: panickingZITADEL{}, OrgScope: scope, Timeout: time.Minute, Rollout: adapter.RolloutAll,
				Limits: roomy(), Log: logger,
			},
			edge: ingress.Config{WriteTimeout: time.Minute, OnPanic: func() { panics.Add(1) }, Log: logger},
		}.assemble(t))
		call := aCall()
		for range 2 {
			checkREST(t, string(scope)+", REST", sendRaw(t, address, call),
				http.StatusInternalServerError, `{"code":13,"message":"internal error"}`)
		}
		headers := func(contentType string) map[string]string {
			return map[string]string{"Content-Type": contentType, "Authorization": "Bearer pat-org-owner-a", "X-Zitadel-Orgid": "1"}
		}
		body := grpcCallBody(t)
		header, trailer, message := sendGRPC(t, newTransport(t, true), address, recordings.Request{
			Method: http.MethodPost, Path: procedure, BodyBase64: body, Headers: headers("application/grpc"),
		})
		grpcOutcome(t, header, trailer, message).check(t, string(scope)+", gRPC", "13", "internal error")
		for contentType, request := range map[string]recordings.Request{
			"application/grpc-web+proto": {BodyBase64: body}, "application/grpc-web-text": {Text: body},
		} {
			request.Method, request.Path, request.Headers = http.MethodPost, procedure, headers(contentType)
			response := sendRaw(t, address, request)
			got := grpcWebOutcome(t, response.Header, []byte(bodyOf(t, response)))
			got.check(t, string(scope)+", "+contentType, "13", "internal error")
		}
	}
	if got := panics.Load(); got != 10 {
		t.Errorf("panics counted: got %d, want 10", got)
	}
	got := log.String()
	for _, want := range []string{
		`"msg":"panic","cause":"string","stack":"goroutine `,
		`"cause":"runtime.boundsError: runtime error: index out of range [14] with length 0"`,
		"adapter.(*call)", `"code":"internal"`,
	} {
		if !strings.Contains(got, want) {
			t.Errorf("the log: got %s\nwant %s in it", got, want)
		}
	}
	for _, secret := range []string{"Sup3r", "pat-org-owner-a"} {
		if strings.Contains(got, secret) {
			t.Errorf("the log: got %s in it, want no secret", secret)
		}
	}
}
