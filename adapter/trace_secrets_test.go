package adapter_test

import (
	"fmt"
	"io"
	"net/http"
	"regexp"
	"slices"
	"strings"
	"testing"

	"connectrpc.com/connect"
	"go.opentelemetry.io/otel/attribute"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"

	"zitadel-v1-adapter/adapter"
	zitadelv1 "zitadel-v1-adapter/gen/zitadel/v1"
	"zitadel-v1-adapter/internal/recordings"
	"zitadel-v1-adapter/internal/wiretest"
	"zitadel-v1-adapter/v2client"
)

const methods = `GET|HEAD|POST|PUT|PATCH|DELETE|OPTIONS`

// spanAttributes are all attributes that a span may have, with all that they may hold. A
// host and a port are those of upstream.url.
var spanAttributes = map[attribute.Key]string{
	"http.request.method":       methods + `|_OTHER`,
	"http.request.resend_count": `\d`,
	"http.response.status_code": `\d{3}`,
	"http.route":                `/management/v1/users/\{user_id\}/password(/_initialize)?`,
	"server.address":            `127\.0\.0\.1`,
	"server.port":               `\d+`,
	"rpc.system.name":           `grpc|connectrpc`,
	"rpc.method":                `zitadel\.(management\.v1\.ManagementService|user\.v2\.UserService|internal_permission\.v2(beta)?\.InternalPermissionService)/(SetHumanInitialPassword|SetHumanPassword|SetPassword|GetUserByID|ListAdministrators)`,
	"rpc.response.status_code":  `[A-Z_]{2,20}`,
	"error.type":                `[a-z_]{2,20}|\d{3}|\*?[a-z0-9/.]{2,40}\.[A-Za-z]{2,40}`,
	"zitadel.error_id":          `[A-Z]{2,9}-[0-9A-Za-z]{5}`,
	"v1adapter.protocol":        `rest|grpc|grpc-web|grpc-web-text`,
	"v1adapter.way":             `v1|v2`,
	"v1adapter.code":            `[a-z_]{2,20}|\d{3}`,
	"v1adapter.refused_by":      `breaker`,
}

var spanName = regexp.MustCompile(`^(` + methods + `|HTTP|SetHumanInitialPassword|SetHumanPassword|SetPassword|GetUserByID|ListAdministrators|permissions|memberships|me|userinfo|settings)$`)

// checkHarmless checks that spans tell nothing but what they may, and none of the secrets.
func checkHarmless(t *testing.T, spans tracetest.SpanStubs, secrets []string) {
	t.Helper()
	if len(spans) == 0 {
		t.Fatal("got no spans, want some")
	}
	for _, span := range spans {
		if !spanName.MatchString(span.Name) || span.Status.Description != "" || len(span.Events) > 0 || len(span.Links) > 0 {
			t.Errorf("got %+v, want a name that is known, and neither description, events nor links", span)
		}
		for _, each := range span.Attributes {
			if may, known := spanAttributes[each.Key]; !known || !regexp.MustCompile("^("+may+")$").MatchString(each.Value.String()) {
				t.Errorf("%s: got attribute %s=%q, want only %q", span.Name, each.Key, each.Value.String(), may)
			}
		}
		text := fmt.Sprintf("%+v", span)
		for _, secret := range secrets {
			if strings.Contains(text, secret) {
				t.Errorf("got %q in %s, want no secret", secret, text)
			}
		}
	}
}

// No password, token, user, organization, caller, message or header gets into a span,
// whichever recorded request is sent, however ZITADEL answers, and whether the request is
// translated or passes through.
func TestSpansHoldNoSecrets(t *testing.T) {
	t.Parallel()
	for name, options := range map[string][]option{
		"zitadel":  nil,
		"gRPC":     {func(c *stackConfig) { c.protocol = v2client.ProtocolGRPC }},
		"unscoped": {func(c *stackConfig) { c.scope = adapter.OrgScopeOff }},
		"broken":   {func(c *stackConfig) { c.upstream = http.HandlerFunc(echo) }},
		"reset":    {func(c *stackConfig) { c.upstream = wiretest.Reset(t) }},
		"id": {func(c *stackConfig) {
			c.upstream = failWith(t, connect.CodePermissionDenied, "s3cret", &zitadelv1.ErrorDetail{Id: "s3cret-t0ken"})
		}},
		"native":        {func(c *stackConfig) { c.rollout, c.passes = 0, true }},
		"broken native": {func(c *stackConfig) { c.rollout, c.native = 0, http.HandlerFunc(echo) }},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s, kept := newTraced(t, sdktrace.AlwaysSample(), options...)
			secrets := []string{"Sup3r", "Passw0rd", "s3cret", userA, orgA, orgB, "400850337704971302", "legacy"}
			for _, file := range []string{recordings.V1RESTEdges, recordings.V1GRPCWeb} {
				for _, recording := range recordings.Load(t, file) {
					request := recording.Request
					if _, token, ok := strings.Cut(request.Headers["Authorization"], " "); ok && token != "" {
						secrets = append(secrets, `"`+token, " "+token, ":"+token)
					}
					response := sendRaw(t, s.address, request)
					_, _ = io.Copy(io.Discard, response.Body)
				}
			}
			call := aCall()
			for _, name := range []string{"User-Agent", "X-Request-Id", "X-Forwarded-For", "Baggage", "Accept-Language", "Cookie", "Traceparent"} {
				call.Headers[name] = "legacy-s3cret"
			}
			bodyOf(t, sendRaw(t, s.address, call))
			call.Path = "/users/" + userA + "?token=s3cret"
			bodyOf(t, sendRaw(t, s.address, call))
			s.settle()
			checkHarmless(t, kept.GetSpans(), slices.DeleteFunc(secrets, func(secret string) bool { return len(secret) < 4 }))
		})
	}
}

// The upstream may send a password or a token back wherever it likes, also as an error's id
// or as what net/http and connect-go quote in their errors.
func TestSecretsReflectedByUpstreamStayOutOfSpans(t *testing.T) {
	t.Parallel()
	for name, answer := range reflections {
		for part, sent := range map[string]func(*http.Request) string{"token": tokenOf, "body": lineOf} {
			t.Run(name+"/"+part, func(t *testing.T) {
				t.Parallel()
				reflect := reflecting(t, answer, sent)
				s, kept := newTraced(t, sdktrace.AlwaysSample(), func(c *stackConfig) { c.upstream, c.native = reflect, reflect })
				for _, path := range []string{userAPath, "/passes/through"} {
					sendSecrets(t, "http://"+s.address+path)
				}
				s.settle()
				checkHarmless(t, kept.GetSpans(), []string{"s3cret", "Sup3r", "Passw0rd"})
			})
		}
	}
}
