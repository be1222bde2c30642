package adapter_test

import (
	"bytes"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"connectrpc.com/connect"
	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/anypb"
	"google.golang.org/protobuf/types/known/structpb"

	"zitadel-v1-adapter/adapter"
	errorv2 "zitadel-v1-adapter/gen/zitadel/error/v2"
	managementv1 "zitadel-v1-adapter/gen/zitadel/management/v1"
	"zitadel-v1-adapter/gen/zitadel/management/v1/managementv1connect"
	zitadelv1 "zitadel-v1-adapter/gen/zitadel/v1"
	"zitadel-v1-adapter/internal/recordings"
	"zitadel-v1-adapter/v2client"
)

// failWith is an upstream that answers every Connect and gRPC call with an error.
func failWith(t *testing.T, code connect.Code, message string, details ...proto.Message) http.Handler {
	t.Helper()
	err := connect.NewError(code, errors.New(message))
	for _, message := range details {
		detail, detailErr := connect.NewErrorDetail(message)
		if detailErr != nil {
			t.Fatal(detailErr)
		}
		err.AddDetail(detail)
	}
	writer := connect.NewErrorWriter()
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = readAll(r)
		_ = writer.Write(w, r, err)
	})
}

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

// aCall is a v1 REST call that is well formed.
func aCall() recordings.Request {
	body := `{"password":"Sup3rPassw0rd!"}`
	return recordings.Request{
		Method: http.MethodPost, Path: "/management/v1/users/400850336480234534/password/_initialize", Text: &body,
		Headers: map[string]string{"Authorization": "Bearer pat-org-owner-a", "X-Zitadel-Orgid": "400849858564525094"},
	}
}

// callGRPC makes the same call over gRPC; it must fail.
func callGRPC(t *testing.T, s *stack) *connect.Error {
	t.Helper()
	client := managementv1connect.NewManagementServiceClient(&http.Client{Transport: newTransport(t, true)}, "http://"+s.address, connect.WithGRPC())
	request := connect.NewRequest(&managementv1.SetHumanInitialPasswordRequest{UserId: "400850336480234534", Password: "Sup3rPassw0rd!"})
	for name, value := range aCall().Headers {
		request.Header().Set(name, value)
	}
	_, err := client.SetHumanInitialPassword(t.Context(), request)
	var connectErr *connect.Error
	if !errors.As(err, &connectErr) {
		t.Fatalf("got %v, want an error", err)
	}
	return connectErr
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
		"reset":    http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { abort(t, w) }),
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

// abort resets the connection.
func abort(t *testing.T, w http.ResponseWriter) {
	t.Helper()
	connection, _, err := http.NewResponseController(w).Hijack()
	if err != nil {
		t.Error(err)
		return
	}
	if tcp, ok := connection.(*net.TCPConn); ok {
		_ = tcp.SetLinger(0)
	}
	_ = connection.Close()
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

// After enough failures the breaker is open: calls are refused at once, with no
// upstream call, in v1's shape.
func TestOpenBreaker(t *testing.T) {
	t.Parallel()
	s := newStack(t, func(c *stackConfig) {
		c.upstream = http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusBadGateway) })
	})
	for range 20 {
		bodyOf(t, sendRaw(t, s.address, aCall()))
	}
	s.upstream.calls(t)
	response := sendRaw(t, s.address, aCall())
	if got := bodyOf(t, response); response.StatusCode != http.StatusServiceUnavailable || got != `{"code":14,"message":"ZITADEL is unavailable, try again later"}` {
		t.Errorf("%d %s", response.StatusCode, got)
	}
	if calls := s.upstream.calls(t); len(calls) != 0 {
		t.Errorf("upstream calls %v", calls)
	}
}

// A caller's mistakes never open the breaker for the others: COMMAND-CahN2 with
// its HTTP 500, bad tokens, userinfo's refusals.
func TestCallersCannotOpenTheBreaker(t *testing.T) {
	t.Parallel()
	zitadel := http.Handler(nil)
	s := newStack(t, func(c *stackConfig) {
		c.upstream = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if strings.HasSuffix(r.URL.Path, "/userinfo") && r.Header.Get("Authorization") == "Bearer pat-none-a" {
				w.WriteHeader(http.StatusTooManyRequests)
				return
			}
			zitadel.ServeHTTP(w, r)
		})
	})
	zitadel = s.zitadel
	long := `{"password":"` + strings.Repeat("ä", 68) + `A1!y"}`
	for range 30 {
		call := aCall()
		call.Text = &long
		if response := sendRaw(t, s.address, call); response.StatusCode != http.StatusInternalServerError {
			t.Fatalf("status %d", response.StatusCode)
		}
		call = aCall()
		call.Headers["Authorization"] = "Bearer bad"
		sendRaw(t, s.address, call)
		call = aCall()
		call.Headers["Authorization"] = "Bearer pat-none-a"
		if response := sendRaw(t, s.address, call); response.StatusCode != http.StatusTooManyRequests {
			t.Fatalf("status %d", response.StatusCode)
		}
	}
	if response := sendRaw(t, s.address, aCall()); response.StatusCode != http.StatusOK {
		t.Errorf("status %d: %s", response.StatusCode, bodyOf(t, response))
	}
}

// What stands before ZITADEL may refuse a caller's request, as for its large
// headers. That does not open the breaker for the others either.
func TestRefusalsBeforeZITADELDoNotOpenTheBreaker(t *testing.T) {
	t.Parallel()
	for _, protocol := range []v2client.Protocol{v2client.ProtocolConnect, v2client.ProtocolGRPC} {
		for status, want := range map[int]int{400: 503, 403: 503, 413: 503, 429: 429, 431: 503} {
			s := newStack(t, func(c *stackConfig) {
				c.protocol = protocol
				c.upstream = http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(status) })
			})
			for range 25 {
				if response := sendRaw(t, s.address, aCall()); response.StatusCode != want {
					t.Fatalf("%s, %d: status %d, want %d", protocol, status, response.StatusCode, want)
				}
			}
			if strings.Contains(s.log.String(), `"to":"open"`) {
				t.Errorf("%s, %d: the breaker opened", protocol, status)
			}
		}
	}
}

// Over HTTP/2 anything may be called an :authority. It is no instance, and not
// the upstream's fault.
func TestHostThatIsNone(t *testing.T) {
	t.Parallel()
	s := newStack(t)
	for range 25 {
		response := sendH2C(t, s.address, "a b", userAPath, `{"password":"Sup3rPassw0rd!"}`)
		if response != "404" {
			t.Fatalf("status %s", response)
		}
	}
	if calls := s.upstream.calls(t); len(calls) != 0 || strings.Contains(s.log.String(), `"to":"open"`) {
		t.Errorf("upstream calls %v, log %s", calls, s.log.String())
	}
}

// sendH2C sends a request that net/http's client would not send; it returns the
// HTTP status.
func sendH2C(t *testing.T, address, authority, path, body string) string {
	t.Helper()
	connection, err := net.DialTimeout("tcp", address, 5*time.Second)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = connection.Close() }()
	var headers bytes.Buffer
	encoder := hpack.NewEncoder(&headers)
	for _, field := range [][2]string{
		{":method", http.MethodPost},
		{":scheme", "http"},
		{":authority", authority},
		{":path", path},
		{"authorization", "Bearer pat-org-owner-a"},
	} {
		if err := encoder.WriteField(hpack.HeaderField{Name: field[0], Value: field[1]}); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := io.WriteString(connection, http2.ClientPreface); err != nil {
		t.Fatal(err)
	}
	framer := http2.NewFramer(connection, connection)
	framer.ReadMetaHeaders = hpack.NewDecoder(4096, nil)
	err = errors.Join(
		framer.WriteSettings(),
		framer.WriteHeaders(http2.HeadersFrameParam{StreamID: 1, BlockFragment: headers.Bytes(), EndHeaders: true}),
		framer.WriteData(1, true, []byte(body)),
	)
	if err != nil {
		t.Fatal(err)
	}
	for {
		frame, err := framer.ReadFrame()
		if err != nil {
			t.Fatal(err)
		}
		if answer, ok := frame.(*http2.MetaHeadersFrame); ok {
			return answer.PseudoValue("status")
		}
	}
}

// A deadline that a caller set shorter than usual does not open the breaker for
// the others; upstream.timeout does.
func TestWhoseDeadlineOpensTheBreaker(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		handler http.Handler
		own     bool // the deadline is upstream.timeout
	}{
		"client's deadline":                     {hanging(), false},
		"upstream.timeout":                      {hanging(), true},
		"client's deadline, noticed by ZITADEL": {impatient(), false},
		"upstream.timeout, noticed by ZITADEL":  {impatient(), true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			call := aCall()
			s := newStack(t, func(c *stackConfig) {
				c.upstream = test.handler
				if test.own {
					c.timeout = 30 * time.Millisecond
				}
			})
			if !test.own {
				call.Headers["Grpc-Timeout"] = "30m"
			}
			for range 25 {
				response := sendRaw(t, s.address, call)
				if got := bodyOf(t, response); response.StatusCode != http.StatusGatewayTimeout && !test.own {
					t.Fatalf("%d %s", response.StatusCode, got)
				}
			}
			if opened := strings.Contains(s.log.String(), `"to":"open"`); opened != test.own {
				t.Errorf("breaker opened: %v", opened)
			}
		})
	}
}

// hanging is an upstream that never answers.
func hanging() http.Handler {
	return http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		_, _ = readAll(r)
		<-r.Context().Done()
	})
}

// impatient is an upstream that itself says that the deadline passed, a little
// before it did.
func impatient() http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = readAll(r)
		timeout, err := time.ParseDuration(r.Header.Get("Connect-Timeout-Ms") + "ms")
		if err != nil {
			w.WriteHeader(http.StatusInternalServerError)
			return
		}
		time.Sleep(timeout - 2*time.Millisecond)
		_ = connect.NewErrorWriter().Write(w, r, connect.NewError(connect.CodeDeadlineExceeded, errors.New("context deadline exceeded")))
	})
}
