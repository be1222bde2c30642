package adapter

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math/big"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"connectrpc.com/connect"
	"google.golang.org/protobuf/proto"

	managementv1 "zitadel-v1-adapter/gen/zitadel/management/v1"
	objectv2 "zitadel-v1-adapter/gen/zitadel/object/v2"
	"zitadel-v1-adapter/internal/recordings"
	"zitadel-v1-adapter/v2client"
)

// A frame is what its prefix says, unpacked as the standard library unpacks it, or
// else an error; nothing is read that does not belong to it.
func FuzzFrame(f *testing.F) {
	for _, recording := range recordings.Load(f, recordings.V1GRPC) {
		f.Add(recording.Request.Body(f), false)
	}
	var packed bytes.Buffer
	writer := gzip.NewWriter(&packed)
	_, _ = writer.Write([]byte("\x0a\x01a\x12\x01b"))
	_ = writer.Close()
	f.Add(append([]byte{1, 0, 0, 0, byte(packed.Len())}, packed.Bytes()...), true)
	f.Add([]byte{0, 0xff, 0xff, 0xff, 0xff}, false)
	f.Add([]byte{2, 0, 0, 0, 0}, true)
	f.Fuzz(func(t *testing.T, body []byte, gzipped bool) {
		encoding := map[bool]string{true: "gzip"}[gzipped]
		rest := bytes.NewReader(body)
		message, refusal := readFrame(rest, encoding, &bodyBudget{large: new(slots)})
		var size uint32
		whole := len(body) >= framePrefixBytes
		if whole {
			size = binary.BigEndian.Uint32(body[1:])
			whole = uint64(len(body)) >= framePrefixBytes+uint64(size)
		}
		if refusal == nil && (!whole || size > maxMessageBytes || len(message) > maxMessageBytes || body[0] > 1) {
			t.Fatalf("%d bytes of %q", len(message), body)
		}
		if !whole || size > maxMessageBytes {
			return
		}
		if got, want := rest.Len(), len(body)-framePrefixBytes-int(size); got != want {
			t.Fatalf("%d bytes are left, want %d", got, want)
		}
		want, err := referenceUnpack(body[0], body[framePrefixBytes:][:size], gzipped)
		if (err == nil) != (refusal == nil) || err == nil && !bytes.Equal(message, want) {
			t.Fatalf("%q (%v), want %q (%v)", message, refusal, want, err)
		}
	})
}

func referenceUnpack(flag byte, payload []byte, gzipped bool) ([]byte, error) {
	switch {
	case flag == 0:
		return payload, nil
	case flag > 1 || !gzipped:
		return nil, errors.New("format")
	}
	reader, err := gzip.NewReader(bytes.NewReader(payload))
	if err != nil {
		return nil, err
	}
	message, err := io.ReadAll(reader)
	if len(message) > maxMessageBytes {
		err = errors.New("too large")
	}
	return message, err
}

// Timeouts are numbers with a unit, by the two sets of rules that v1's servers have.
func FuzzTimeouts(f *testing.F) {
	for _, text := range []string{"", "1S", "10m", "99999999H", "100000000n", "S", "1", "1x", "-1S", "+1S", "9223372036854775807H", "0n", " 1S", "1_0S", "٣S"} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		count, unit, readable := referenceTimeout(text)
		timeout, ok, err := grpcTimeout(text)
		isGRPC := readable && count.Sign() >= 0 && len(text) <= 9 && text[0] != '+' && text[0] != '-'
		if (err == nil) != (isGRPC || text == "") {
			t.Fatalf("gRPC: %q: %v", text, err)
		}
		if want := new(big.Int).Mul(count, big.NewInt(int64(unit))); isGRPC && ok != want.IsInt64() || ok && want.Int64() != int64(timeout) {
			t.Fatalf("gRPC: %q: %v, %v", text, timeout, ok)
		}

		request := httptest.NewRequest(http.MethodPost, "/", http.NoBody)
		request.Header["Grpc-Timeout"] = []string{text}
		ctx, cancel, refusal := withGatewayTimeout(request)
		defer cancel()
		isGateway := readable && count.IsInt64()
		if (refusal == nil) != (isGateway || text == "") {
			t.Fatalf("grpc-gateway: %q: %v", text, refusal)
		}
		if _, limited := ctx.Deadline(); limited != (isGateway && count.Sign() != 0) {
			t.Fatalf("grpc-gateway: %q: deadline %v", text, limited)
		}
	})
}

func referenceTimeout(text string) (count *big.Int, unit time.Duration, readable bool) {
	units := map[byte]time.Duration{'H': time.Hour, 'M': time.Minute, 'S': time.Second, 'm': time.Millisecond, 'u': time.Microsecond, 'n': time.Nanosecond}
	count = new(big.Int)
	if text == "" {
		return count, 0, false
	}
	number := text[:len(text)-1]
	unit, known := units[text[len(text)-1]]
	digits := strings.TrimLeft(number, "+-")
	if len(number)-len(digits) > 1 || digits == "" || strings.Trim(digits, "0123456789") != "" {
		return count, unit, false
	}
	_, _ = count.SetString(number, 10)
	return count, unit, known
}

// The upstream's request line is the client's, and what passes through is not the
// translated call, even if it is read again.
func FuzzTarget(f *testing.F) {
	for _, target := range []string{
		"/", "/a%2Fb?c", "//a//b", "/%2e%2E/a", "/a|b^c", "/ä", "*", "http://h/a?b", "/management/v1/users/1/password/_initialize",
		"/management/v1/users/%31/password/%5finitialize", "/x/../management/v1/users/1/password/_initialize", "//management/v1/users/1/password/_initialize",
		"/management/v1/users/a%2Fb/password/_initialize", "http://h//a|b", "/?//x", "http:/a", "http:///a",
	} {
		f.Add(target)
	}
	base, err := url.Parse("https://zitadel.example/base%2Fd")
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, target string) {
		read := func(target string) *http.Request {
			request, err := http.ReadRequest(bufio.NewReader(strings.NewReader("GET " + target + " HTTP/1.1\r\nHost: h\r\n\r\n")))
			if err != nil {
				return nil
			}
			return request
		}
		in := read(target)
		if in == nil || !validTarget(in) {
			return
		}
		for _, base := range []*url.URL{{Scheme: "https", Host: "zitadel.example"}, base} {
			sent := targetURL(base, "h", in)
			line := sent.RequestURI()
			line = strings.TrimPrefix(line, "https://h") // absolute-form, of paths that net/url would misread
			want := base.EscapedPath() + target
			if in.URL.Scheme != "" {
				want = base.EscapedPath() + requestTarget(in)
			}
			if target != "*" && line != want {
				t.Fatalf("%q went on as %q, want %q", target, line, want)
			}
		}
		clean := cleanPath(in.URL.Path)
		if _, isCall := callUserID(clean); isCall || clean == procedure {
			return // stays here
		}
		again := read(targetURL(&url.URL{Scheme: "https", Host: "h"}, "h", in).RequestURI())
		if again == nil {
			return
		}
		if _, isCall := callUserID(cleanPath(again.URL.Path)); isCall {
			t.Fatalf("%q passes, and is the call", target)
		}
	})
}

// stubZITADEL does nothing, in as many ways as there are; it condemns what must never
// be asked of ZITADEL.
type stubZITADEL struct{ t *testing.T }

func (z stubZITADEL) fail(userID string) error {
	switch len(userID) % 4 {
	case 1:
		return &v2client.Error{Code: connect.CodeNotFound, Message: userID}
	case 2:
		return &v2client.Error{Code: connect.CodeUnavailable, Origin: v2client.OriginTransport, Message: "ZITADEL cannot be reached"}
	}
	return nil
}

func (z stubZITADEL) SetPassword(_ context.Context, _ v2client.Caller, userID, password string) (*objectv2.Details, error) {
	if userID == "" || password == "" || utf8.RuneCountInString(password) > 72 {
		z.t.Errorf("SetPassword(%q, %q)", userID, password)
	}
	return &objectv2.Details{ResourceOwner: userID}, z.fail(userID)
}

func (z stubZITADEL) UserOrganization(_ context.Context, _ v2client.Caller, userID string) (string, error) {
	return "o", z.fail(userID)
}

func (stubZITADEL) Administrators(context.Context, v2client.Caller, string) ([]v2client.Administrator, error) {
	return []v2client.Administrator{{Instance: true, Roles: []string{"IAM_OWNER"}}}, nil
}

func (stubZITADEL) UserInfo(_ context.Context, caller v2client.Caller) (v2client.Identity, error) {
	if len(caller.Authorization())%5 == 1 {
		return v2client.Identity{}, v2client.ErrTokenRefused
	}
	return v2client.Identity{UserID: "me", Organization: "o"}, nil
}

// Whatever request net/http lets through is answered: no panic, a status that v1 has,
// and neither the token nor the password in the log.
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
	seed("POST", callPathBefore+"1"+callPathAfter, map[string]string{"Authorization": "Bearer " + secret, "Origin": "https://a.example"}, []byte(`{"password":"`+secret+`"}`), false)
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
		handler, err := New(Config{
			ZITADEL: stubZITADEL{t}, OrgScope: OrgScopeStrict, Timeout: time.Minute, Rollout: RolloutAll,
			Limits: Limits{BodyTimeout: time.Minute, WriteTimeout: time.Minute}, Log: slog.New(slog.NewTextHandler(&log, nil)),
			OnPanic: func() { t.Error("panic") },
		})
		if err != nil {
			t.Fatal(err)
		}
		recorder := httptest.NewRecorder()
		handler.ServeHTTP(recorder, request)
		if recorder.Code < 200 || recorder.Code > 599 {
			t.Errorf("status %d", recorder.Code)
		}
		if strings.Contains(log.String(), secret) {
			t.Errorf("a secret is in the log: %s", log.String())
		}
		if t.Failed() {
			t.Logf("%s\n%s\n%s", head, body, log.String())
		}
	})
}

// The user id by which the rollout decides is that of the message, and the message is
// still there.
func FuzzPeekUserID(f *testing.F) {
	for _, recording := range recordings.Load(f, recordings.V1GRPC) {
		f.Add(recording.Request.Body(f), "", "grpc")
	}
	for _, recording := range recordings.Load(f, recordings.V1GRPCWeb) {
		f.Add(recording.Request.Body(f), "gzip", "grpc-web-text")
	}
	f.Fuzz(func(t *testing.T, body []byte, encoding, protocol string) {
		newRequest := func() *http.Request {
			request := httptest.NewRequest(http.MethodPost, procedure, bytes.NewReader(body))
			request.Header.Set("Grpc-Encoding", encoding)
			return request
		}
		peeked := newRequest()
		got, _ := peekUserID(peeked, protocol, limitBody(httptest.NewRecorder(), peeked, time.Minute, &bodyBudget{large: new(slots)}))
		if left, err := io.ReadAll(peeked.Body); err != nil || !bytes.Equal(left, body) {
			t.Fatalf("%q is left of %q, %v", left, body, err)
		}
		whole := newRequest()
		if protocol == "grpc-web-text" {
			decodeGRPCWebText(whole)
		}
		message, refusal := readFrame(whole.Body, encoding, &bodyBudget{large: new(slots)})
		var request managementv1.SetHumanInitialPasswordRequest
		if refusal != nil || checkEncoding(encoding) != nil || proto.Unmarshal(message, &request) != nil {
			return
		}
		if got != request.GetUserId() {
			t.Fatalf("%q, want %q", got, request.GetUserId())
		}
	})
}
