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

// Errors that ZITADEL, or a gateway in front of it, answers with, and how they reach the
// v1 caller.

// Every gRPC code that ZITADEL may answer with is kept with its message and details, and
// gets grpc-gateway's HTTP status, whether v2 is asked by Connect or by gRPC.
func TestEveryErrorCodeIsMappedWithMessageAndDetails(t *testing.T) {
	t.Parallel()
	statuses := map[connect.Code]int{
		connect.CodeCanceled: 499, connect.CodeUnknown: 500, connect.CodeInvalidArgument: 400,
		connect.CodeDeadlineExceeded: 504, connect.CodeNotFound: 404, connect.CodeAlreadyExists: 409,
		connect.CodePermissionDenied: 403, connect.CodeResourceExhausted: 429, connect.CodeFailedPrecondition: 400,
		connect.CodeAborted: 409, connect.CodeOutOfRange: 400, connect.CodeUnimplemented: 501,
		connect.CodeInternal: 500, connect.CodeUnavailable: 503, connect.CodeDataLoss: 500, connect.CodeUnauthenticated: 401,
	}
	for _, protocol := range upstreamProtocols {
		for code, httpStatus := range statuses {
			t.Run(fmt.Sprintf("%s/%v", protocol, code), func(t *testing.T) {
				t.Parallel()
				const message = `100% "quoted" & <ä>`
				detail := &zitadelv1.ErrorDetail{Id: "AUTH-Made1", Message: message}
				s := newStack(t, func(c *stackConfig) {
					c.scope, c.protocol, c.upstream = adapter.OrgScopeOff, protocol, failWith(t, code, message, detail)
				})
				response := sendRaw(t, s.address, aCall())
				want := fmt.Sprintf(`{"code":%d,"message":"100%% \"quoted\" & <ä>","details":[{`+
					`"@type":"type.googleapis.com/zitadel.v1.ErrorDetail","id":"AUTH-Made1","message":"100%% \"quoted\" & <ä>"}]}`, code)
				checkREST(t, "REST", response, httpStatus, want)
				err := callGRPC(t, s)
				if err.Code() != code || err.Message() != message || len(err.Details()) != 1 {
					t.Errorf("gRPC: got %v with %d details, want %v: %s with one detail", err, len(err.Details()), code, message)
				}
			})
		}
	}
}

// Known error details are expanded, and unknown ones keep "@type" and "value" in base64.
// None is dropped, and none makes the answer fail.
func TestKnownAndUnknownErrorDetailsAreKept(t *testing.T) {
	t.Parallel()
	fields, err := structpb.NewStruct(map[string]any{"limit": 3})
	if err != nil {
		t.Fatal(err)
	}
	unknown := &anypb.Any{TypeUrl: "type.googleapis.com/google.rpc.QuotaFailure", Value: []byte{0x0a, 0x02, 0x08, 0x01, 0xff}}
	s := newStack(t, func(c *stackConfig) {
		c.scope = adapter.OrgScopeOff
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
		t.Errorf("gRPC details: got %v, want three, of which the first is the unknown one", details)
	}
}

// When the upstream resets the connection, or answers with what is not ZITADEL's, the
// answer has v1's form and names no address; the log names the cause.
func TestUnusableUpstreamAnswerIsUnavailable(t *testing.T) {
	t.Parallel()
	page := func(status int) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", "text/html")
			w.WriteHeader(status)
			_, _ = w.Write([]byte("<html>load balancer</html>"))
		})
	}
	for name, upstream := range map[string]http.Handler{
		"HTML with 200": page(200),
		"HTML with 500": page(500),
		"HTML with 502": page(502),
		"HTML with 503": page(503),
		"reset":         wiretest.Reset(t),
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
			checkREST(t, "REST", sendRaw(t, s.address, aCall()), http.StatusServiceUnavailable, restUnreachable)
			checkGRPCFails(t, s, connect.CodeUnavailable, unreachable)
			log := s.logged()
			if !strings.Contains(log, `"level":"WARN","msg":"SetHumanInitialPassword"`) || !strings.Contains(log, `"cause":`) {
				t.Errorf("the log: got %s\nwant a warning with a cause", log)
			}
		})
	}
}

// When a proxy in front of ZITADEL refuses, or redirects, the answer and the log name its
// status, and Retry-After is handed on: for a look-up as for SetPassword, whose outcome is
// not unknown.
func TestGatewayRefusalIsNamed(t *testing.T) {
	t.Parallel()
	for _, scope := range []adapter.OrgScope{adapter.OrgScopeStrict, adapter.OrgScopeOff} {
		for _, status := range []int{302, 307, 401, 403, 404, 413, 421, 451} {
			t.Run(fmt.Sprintf("%s/%d", scope, status), func(t *testing.T) {
				t.Parallel()
				s := newStack(t, func(c *stackConfig) {
					c.scope = scope
					c.upstream = http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
						w.Header().Set("Location", "/login")
						w.Header().Set("Retry-After", "17")
						http.Error(w, "<html>proxy</html>", status)
					})
				})
				message := fmt.Sprintf("the proxy in front of ZITADEL answered HTTP %d", status)
				response := sendRaw(t, s.address, aCall())
				if got := response.Header.Get("Retry-After"); got != "17" {
					t.Errorf("Retry-After: got %q, want 17", got)
				}
				checkREST(t, "REST", response, http.StatusServiceUnavailable, fmt.Sprintf(`{"code":14,"message":%q}`, message))
				checkGRPCFails(t, s, connect.CodeUnavailable, message)
				if log := s.logged(); !strings.Contains(log, message) {
					t.Errorf("the log: got %s\nwant %s", log, message)
				}
			})
		}
	}
}

// A gateway that answers in ZITADEL's place does not know whether the password was written,
// even if its answer is JSON as Connect's errors are.
func TestGatewayErrorInJSONLeavesOutcomeUnknown(t *testing.T) {
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
		checkREST(t, fmt.Sprintf("gateway's %d", status), sendRaw(t, s.address, aCall()), http.StatusServiceUnavailable, restUnknown)
	}
}

// A SetPassword that may have arrived is sent once, retries notwithstanding, and the answer
// says that its outcome is unknown.
func TestSetPasswordThatMayHaveArrivedIsNotRetried(t *testing.T) {
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
	checkREST(t, "REST", sendRaw(t, s.address, aCall()), http.StatusServiceUnavailable, restUnknown)
	checkGRPCFails(t, s, connect.CodeUnavailable, unknownOutcome)
	if got := s.upstream.setPasswordCalls(t); got != 2 {
		t.Errorf("SetPassword calls: got %d, want one for each of two v1 calls", got)
	}
}

// An upstream that does not answer in time is reported with code 4 and HTTP 504. A shorter
// deadline of the client's replaces upstream.timeout.
func TestUpstreamTimeoutIsDeadlineExceeded(t *testing.T) {
	t.Parallel()
	const exceeded = `{"code":4,"message":"context deadline exceeded"}`
	s := newStack(t, func(c *stackConfig) { c.upstream, c.timeout = hanging(), aMoment })
	checkREST(t, "upstream.timeout", sendRaw(t, s.address, aCall()), http.StatusGatewayTimeout, exceeded)
	patient := newStack(t, func(c *stackConfig) { c.upstream, c.timeout = hanging(), time.Hour })
	call := aCall()
	call.Headers["Grpc-Timeout"] = "200m"
	checkREST(t, "client's deadline", sendRaw(t, patient.address, call), http.StatusGatewayTimeout, exceeded)
}

// ZITADEL is told the deadline of a call: upstream.timeout, or a shorter one of the client's.
func TestDeadlineIsSentUpstream(t *testing.T) {
	t.Parallel()
	bothUpstreams(t, func(t *testing.T, protocol v2client.Protocol) {
		t.Helper()
		s := newStack(t, func(c *stackConfig) { c.protocol, c.scope, c.timeout = protocol, adapter.OrgScopeOff, time.Hour })
		for timeout, most := range map[string]time.Duration{"": time.Hour, "10M": 10 * time.Minute, "2H": time.Hour} {
			call := aCall()
			if timeout != "" {
				call.Headers["Grpc-Timeout"] = timeout
			}
			bodyOf(t, sendRaw(t, s.address, call))
			if left, told := timeLeft(t, s.upstream.last(t)); !told || left > most || left < most-5*time.Minute {
				t.Errorf("Grpc-Timeout %q: got %v, want %v or a little less", timeout, left, most)
			}
		}
	})
}
