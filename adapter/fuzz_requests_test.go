package adapter

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"connectrpc.com/connect"
	"google.golang.org/protobuf/proto"

	managementv1 "zitadel-v1-adapter/gen/zitadel/management/v1"
	objectv2 "zitadel-v1-adapter/gen/zitadel/object/v2"
	"zitadel-v1-adapter/internal/ingress"
	"zitadel-v1-adapter/internal/recordings"
	"zitadel-v1-adapter/internal/rpcstatus"
	"zitadel-v1-adapter/internal/v1wire"
	"zitadel-v1-adapter/v2client"
)

// Fuzz targets of whole requests through the adapter.

// stubZITADEL succeeds or fails, depending on the user's id. The test fails if it is asked
// for what must never be sent to ZITADEL.
type stubZITADEL struct{ t testing.TB }

func (z stubZITADEL) fail(userID string) error {
	switch len(userID) % 4 {
	case 1:
		return &v2client.Error{Code: connect.CodeNotFound, Origin: v2client.OriginZITADEL, Message: userID}
	case 2:
		return &v2client.Error{Code: connect.CodeUnavailable, Origin: v2client.OriginTransport, Message: "ZITADEL cannot be reached"}
	}
	return nil
}

func (z stubZITADEL) SetPassword(_ context.Context, _ v2client.Caller, userID, password string, _ bool) (*objectv2.Details, error) {
	if userID == "" || password == "" || utf8.RuneCountInString(password) > 72 {
		z.t.Errorf("got SetPassword(%q, %q), want a user and a password of 1 to 72 runes", userID, password)
	}
	return &objectv2.Details{ResourceOwner: userID}, z.fail(userID)
}

func (z stubZITADEL) UserOrganization(_ context.Context, _ v2client.Caller, userID string) (string, error) {
	return "o", z.fail(userID)
}

func (stubZITADEL) IsHuman(context.Context, v2client.Caller, string) (bool, error) { return true, nil }

func (stubZITADEL) DefaultLanguage(context.Context, v2client.Caller) (string, error) {
	return "en", nil
}

func (stubZITADEL) Authorize(_ context.Context, caller v2client.Caller, known v2client.Identity) (v2client.Grant, v2client.Identity, error) {
	return v2client.Grant(len(caller.Authorization()) % 5), known, nil
}

func (stubZITADEL) Identify(_ context.Context, caller v2client.Caller) (v2client.Identity, error) {
	if len(caller.Authorization())%5 == 1 {
		return v2client.Identity{}, v2client.ErrTokenRefused
	}
	return v2client.Identity{UserID: "me", Organization: "o"}, nil
}

// Every request that net/http accepts is answered with a final HTTP status, without a panic
// and without the token or the password in the log.
func FuzzRequest(f *testing.F) {
	const secret = "s3cr3t-v4lue"
	seed := func(method, path string, header map[string]string, body []byte, http2 bool) {
		var head bytes.Buffer
		fmt.Fprintf(&head, "%s %s HTTP/1.1\r\nHost: localhost\r\n", method, path)
		for name, value := range header {
			if value != "" {
				fmt.Fprintf(&head, "%s: %s\r\n", name, value)
			}
		}
		head.WriteString("\r\n")
		f.Add(head.Bytes(), body, http2)
	}
	for _, file := range []string{recordings.V1RESTEdges, recordings.V1GRPC, recordings.V1GRPCWeb} {
		for _, recording := range recordings.Load(f, file) {
			if body := recording.Request.Body(f); len(body) < 1<<10 {
				seed(recording.Request.Method, recording.Request.Path, recording.Request.Headers, body, file == recordings.V1GRPC)
			}
		}
	}
	seed("POST", "/management/v1/users/1/password/_initialize",
		map[string]string{"Authorization": "Bearer " + secret, "Origin": "https://a.example"},
		[]byte(`{"password":"`+secret+`"}`), false)
	f.Fuzz(func(t *testing.T, head, body []byte, http2 bool) {
		request, err := http.ReadRequest(bufio.NewReader(bytes.NewReader(head)))
		if err != nil {
			return
		}
		request.Body, request.ContentLength = io.NopCloser(bytes.NewReader(body)), int64(len(body))
		request.RemoteAddr = "192.0.2.1:1"
		if http2 {
			request.Proto, request.ProtoMajor, request.ProtoMinor = "HTTP/2.0", 2, 0
		}
		if request.Header.Get("Authorization") != "" {
			request.Header.Set("Authorization", "Bearer "+secret)
		}
		var log bytes.Buffer
		logger := slog.New(slog.NewTextHandler(&log, nil))
		edge := ingress.Config{WriteTimeout: time.Minute, OnPanic: func() { t.Error("got a panic, want none") }, Log: logger}
		handler, err := ingress.New(edge, newTestAdapter(t, Config{ZITADEL: stubZITADEL{t}, Rollout: RolloutAll, Log: logger}))
		if err != nil {
			t.Fatal(err)
		}
		recorder := httptest.NewRecorder()
		handler.ServeHTTP(recorder, request)
		if recorder.Code < 200 || recorder.Code > 599 {
			t.Errorf("got HTTP %d, want 200 to 599", recorder.Code)
		}
		if strings.Contains(log.String(), secret) {
			t.Errorf("the log: got %s\nwant no secret in it", log.String())
		}
		if t.Failed() {
			t.Logf("%s\n%s\n%s", head, body, log.String())
		}
	})
}

// The rollout decides by the user in the message, and native v1 gets the message as it
// came.
func FuzzRolloutReadsTheMessage(f *testing.F) {
	for _, recording := range recordings.Load(f, recordings.V1GRPC) {
		f.Add(recording.Request.Body(f), "", "application/grpc")
	}
	for _, recording := range recordings.Load(f, recordings.V1GRPCWeb) {
		f.Add(recording.Request.Body(f), "gzip", "application/grpc-web-text")
	}
	f.Fuzz(func(t *testing.T, body []byte, encoding, contentType string) {
		newRequest := func() *http.Request {
			request := httptest.NewRequest(http.MethodPost, setHumanInitialPassword().Procedure, bytes.NewReader(body))
			request.ProtoMajor = 2
			request.Header.Set("Grpc-Encoding", encoding)
			request.Header.Set("Content-Type", contentType)
			return request
		}
		if rpcstatus.ProtocolOf(newRequest()) == "" {
			return
		}
		var event Event
		a := newTestAdapter(t, Config{
			ZITADEL: stubZITADEL{t}, Observe: func(e Event) { event = e },
			Passthrough: http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
				if passed, err := io.ReadAll(r.Body); err != nil || !bytes.Equal(passed, body) {
					t.Errorf("passed through: got %q, %v, want %q", passed, err, body)
				}
			}),
		})
		a.ServeHTTP(httptest.NewRecorder(), newRequest())
		whole := newRequest()
		message, refusal := v1wire.ReadRPC(whole, rpcstatus.ProtocolOf(whole), newMeteredBody(whole.Body, new(ingress.Slots)))
		var request managementv1.SetHumanInitialPasswordRequest
		if refusal == nil && proto.Unmarshal(message, &request) == nil && event.UserID != request.GetUserId() {
			t.Errorf("user: got %q, want %q", event.UserID, request.GetUserId())
		}
	})
}
