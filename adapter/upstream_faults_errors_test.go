package adapter_test

import (
	"encoding/base64"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"connectrpc.com/connect"
	"google.golang.org/protobuf/types/known/anypb"
	"google.golang.org/protobuf/types/known/structpb"

	"zitadel-v1-adapter/adapter"
	errorv2 "zitadel-v1-adapter/gen/zitadel/error/v2"
	zitadelv1 "zitadel-v1-adapter/gen/zitadel/v1"
	"zitadel-v1-adapter/internal/wiretest"
	"zitadel-v1-adapter/v2client"
)

// Every gRPC code that ZITADEL may answer with keeps its code, gets
// grpc-gateway's HTTP status, and keeps its message and details, over REST and
// over gRPC, whether v2 was asked by Connect or by gRPC.
func TestEveryCodeIsMapped(t *testing.T) {
	t.Parallel()
	statuses := map[connect.Code]int{
		connect.CodeCanceled: 499, connect.CodeUnknown: 500, connect.CodeInvalidArgument: 400,
		connect.CodeDeadlineExceeded: 504, connect.CodeNotFound: 404, connect.CodeAlreadyExists: 409,
		connect.CodePermissionDenied: 403, connect.CodeResourceExhausted: 429, connect.CodeFailedPrecondition: 400,
		connect.CodeAborted: 409, connect.CodeOutOfRange: 400, connect.CodeUnimplemented: 501,
		connect.CodeInternal: 500, connect.CodeUnavailable: 503, connect.CodeDataLoss: 500, connect.CodeUnauthenticated: 401,
	}
	for _, protocol := range []v2client.Protocol{v2client.ProtocolConnect, v2client.ProtocolGRPC} {
		for code, httpStatus := range statuses {
			t.Run(fmt.Sprintf("%s/%v", protocol, code), func(t *testing.T) {
				t.Parallel()
				const message = `100% "quoted" & <ä>`
				detail := &zitadelv1.ErrorDetail{Id: "AUTH-Made1", Message: message}
				s := newStack(t, func(c *stackConfig) {
					c.scope, c.protocol, c.upstream = adapter.OrgScopeOff, protocol, failWith(t, code, message, detail)
				})
				response := sendRaw(t, s.address, aCall())
				want := fmt.Sprintf(`{"code":%d,"message":"100%% \"quoted\" & <ä>","details":[{"@type":"type.googleapis.com/zitadel.v1.ErrorDetail","id":"AUTH-Made1","message":"100%% \"quoted\" & <ä>"}]}`, code)
				if got := bodyOf(t, response); response.StatusCode != httpStatus || got != want {
					t.Errorf("REST: %d %s, want %d %s", response.StatusCode, got, httpStatus, want)
				}
				err := callGRPC(t, s)
				if err.Code() != code || err.Message() != message || len(err.Details()) != 1 {
					t.Errorf("gRPC: %v with %d details", err, len(err.Details()))
				}
			})
		}
	}
}

// Known details are expanded, unknown ones keep "@type" and base64 "value";
// none is dropped, and none is a failure.
func TestDetailsAreKept(t *testing.T) {
	t.Parallel()
	fields, err := structpb.NewStruct(map[string]any{"limit": 3})
	if err != nil {
		t.Fatal(err)
	}
	unknown := &anypb.Any{TypeUrl: "type.googleapis.com/google.rpc.QuotaFailure", Value: []byte{0x0a, 0x02, 0x08, 0x01, 0xff}}
	s := newStack(t, func(c *stackConfig) {
		c.upstream = failWith(t, connect.CodeResourceExhausted, "too much",
			unknown,
			&zitadelv1.CredentialsCheckError{Id: "COMMAND-1", Message: "m", FailedAttempts: 2},
			&errorv2.ErrorDetail{Slug: "quota", Message: "m", Details: fields},
		)
	})
	const want = `{"code":8,"message":"too much","details":[` +
		`{"@type":"type.googleapis.com/google.rpc.QuotaFailure","value":"CgIIAf8="},` +
		`{"@type":"type.googleapis.com/zitadel.v1.CredentialsCheckError","id":"COMMAND-1","message":"m","failedAttempts":2},` +
		`{"@type":"type.googleapis.com/zitadel.error.v2.ErrorDetail","slug":"quota","message":"m","details":{"limit":3}}]}`
	if got := bodyOf(t, sendRaw(t, s.address, aCall())); got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
	details := callGRPC(t, s).Details()
	if len(details) != 3 || details[0].Type() != "google.rpc.QuotaFailure" ||
		base64.StdEncoding.EncodeToString(details[0].Bytes()) != "CgIIAf8=" {
		t.Errorf("gRPC details %v", details)
	}
}

// What never reached ZITADEL, or was not answered by it, is v1-shaped too and
// names no address.
func TestUpstreamFailures(t *testing.T) {
	t.Parallel()
	const unreachable = `{"code":14,"message":"ZITADEL cannot be reached"}`
	page := func(status int) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", "text/html")
			w.WriteHeader(status)
			_, _ = w.Write([]byte("<html>load balancer</html>"))
		})
	}
	for name, upstream := range map[string]http.Handler{
		"HTML with 200": page(200), "HTML with 403": page(403), "HTML with 404": page(404), "HTML with 502": page(502), "HTML with 503": page(503),
		"redirect": http.RedirectHandler("http://localhost:1/", http.StatusFound),
		"reset":    wiretest.Reset(t),
		"garbage": http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", "application/proto")
			_, _ = w.Write([]byte("\xff\xff\xff\xff"))
		}),
		"too much": http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", "application/proto")
			_, _ = w.Write(make([]byte, 2<<20))
		}),
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newStack(t, func(c *stackConfig) { c.upstream = upstream })
			response := sendRaw(t, s.address, aCall())
			if got := bodyOf(t, response); response.StatusCode != http.StatusServiceUnavailable || got != unreachable {
				t.Errorf("REST: %d %s", response.StatusCode, got)
			}
			if err := callGRPC(t, s); err.Code() != connect.CodeUnavailable || err.Message() != "ZITADEL cannot be reached" {
				t.Errorf("gRPC: %v", err)
			}
			if !strings.Contains(s.log.String(), `"level":"WARN","msg":"SetHumanInitialPassword"`) || !strings.Contains(s.log.String(), `"cause":`) {
				t.Errorf("the log does not tell the cause: %s", s.log.String())
			}
		})
	}
}

// A gateway that answers instead of ZITADEL, in JSON too, does not know whether the
// write was made.
func TestJSONInsteadOfZITADEL(t *testing.T) {
	t.Parallel()
	for status, body := range map[int]string{
		500: `{"message":"Internal server error"}`,
		502: `{"message":"The upstream server is timing out"}`,
		503: `{"message":"failure to get a peer from the ring-balancer"}`,
		504: `{"code":"gateway_timeout"}`,
	} {
		zitadel := wiretest.NewZITADEL(t, wiretest.Fixture(t))
		s := newStack(t, func(c *stackConfig) {
			c.upstream = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				if !isSetPassword(r) {
					zitadel.ServeHTTP(w, r)
					return
				}
				zitadel.ServeHTTP(httptest.NewRecorder(), r)
				answerJSON(w, status, body)
			})
		})
		response := sendRaw(t, s.address, aCall())
		if got := bodyOf(t, response); response.StatusCode != http.StatusServiceUnavailable || got != `{"code":14,"message":"ZITADEL did not answer: whether the change was made is unknown"}` {
			t.Errorf("%d: %d %s", status, response.StatusCode, got)
		}
	}
}

// A SetPassword that may have arrived is sent once, and the answer says that its
// outcome is unknown.
func TestUnknownOutcome(t *testing.T) {
	t.Parallel()
	var zitadel http.Handler
	s := newStack(t, func(c *stackConfig) {
		zitadel = wiretest.NewZITADEL(t, c.fixture)
		reset := wiretest.Reset(t)
		c.upstream = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if strings.HasSuffix(r.URL.Path, "/SetPassword") {
				reset.ServeHTTP(w, r)
				return
			}
			zitadel.ServeHTTP(w, r)
		})
		c.retry = v2client.RetryConfig{Attempts: 5, BaseDelay: time.Millisecond, MaxDelay: time.Millisecond, Budget: 1}
	})
	const unknown = "ZITADEL did not answer: whether the change was made is unknown"
	response := sendRaw(t, s.address, aCall())
	if got := bodyOf(t, response); response.StatusCode != http.StatusServiceUnavailable || got != `{"code":14,"message":"`+unknown+`"}` {
		t.Errorf("REST: %d %s", response.StatusCode, got)
	}
	if err := callGRPC(t, s); err.Code() != connect.CodeUnavailable || err.Message() != unknown {
		t.Errorf("gRPC: %v", err)
	}
	if got := s.upstream.setPasswordCalls(t); got != 2 {
		t.Errorf("SetPassword arrived %d times for two calls", got)
	}
}

// An upstream that does not answer in time is code 4 and HTTP 504.
func TestUpstreamTimeout(t *testing.T) {
	t.Parallel()
	s := newStack(t, func(c *stackConfig) { c.upstream, c.timeout = hanging(), 50*time.Millisecond })
	response := sendRaw(t, s.address, aCall())
	if got := bodyOf(t, response); response.StatusCode != http.StatusGatewayTimeout || got != `{"code":4,"message":"context deadline exceeded"}` {
		t.Errorf("%d %s", response.StatusCode, got)
	}
	// The client's own deadline goes before, and goes upstream.
	patient := newStack(t, func(c *stackConfig) { c.upstream = hanging() })
	call := aCall()
	call.Headers["Grpc-Timeout"] = "50m"
	response = sendRaw(t, patient.address, call)
	if got := bodyOf(t, response); response.StatusCode != http.StatusGatewayTimeout || got != `{"code":4,"message":"context deadline exceeded"}` {
		t.Errorf("%d %s", response.StatusCode, got)
	}
	if got := patient.upstream.last(t).Header.Get("Connect-Timeout-Ms"); got == "" || len(got) > 2 {
		t.Errorf("Connect-Timeout-Ms %q, want at most 50", got)
	}
}
