package v2client

import (
	"bytes"
	"context"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"reflect"
	"strings"
	"testing"
	"time"

	"google.golang.org/protobuf/proto"

	objectv2 "zitadel-v1-adapter/gen/zitadel/object/v2"
	userv2 "zitadel-v1-adapter/gen/zitadel/user/v2"
	"zitadel-v1-adapter/internal/upstream"
)

// laneBeside returns the call by the lane and by connect-go, to a server.
func laneBeside(t *testing.T, handler http.Handler) map[string]func() (*userv2.SetPasswordResponse, attempt, error) {
	t.Helper()
	server := httptest.NewServer(handler)
	t.Cleanup(server.Close)
	to, err := upstream.New(upstream.Config{URL: server.URL + "/base", Host: upstream.HostUpstream})
	if err != nil {
		t.Fatal(err)
	}
	both := map[string]func() (*userv2.SetPasswordResponse, attempt, error){}
	for name, without := range map[string]bool{"lane": false, "connect-go": true} {
		service := newService(to, ProtocolConnect)
		t.Cleanup(service.transport.upstream.CloseIdleConnections)
		if without {
			service.lane = nil
		}
		both[name] = func() (*userv2.SetPasswordResponse, attempt, error) {
			ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
			defer cancel()
			made := newNote(ctx, nil)
			header := http.Header{"Authorization": {"Bearer t"}, "User-Agent": {"test"}, "Host": {"zitadel.example.com"}}
			response, err := service.setPassword(made, header, &userv2.SetPasswordRequest{UserId: "1", NewPassword: &userv2.Password{Password: "x"}})
			return response, made.known(), err
		}
	}
	return both
}

// What goes over the wire is what connect-go sends, but for how much time is left.
func TestLaneSendsWhatConnectGoSends(t *testing.T) {
	t.Parallel()
	type seen struct {
		Method, Host, Path string
		Header             http.Header
		Body               []byte
	}
	requests := make(chan seen, 2)
	both := laneBeside(t, http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		header := maps.Clone(r.Header)
		if timeout := header.Get("Connect-Timeout-Ms"); len(timeout) != 4 { // nearly ten seconds
			t.Errorf("got a timeout of %q ms, want 9999 or a little less", timeout)
		}
		header["Connect-Timeout-Ms"] = nil
		requests <- seen{r.Method, r.Host, r.URL.Path, header, body}
	}))
	for _, call := range []string{"lane", "connect-go"} {
		if _, _, err := both[call](); err == nil {
			t.Errorf("%s: got no error for an answer of no type", call)
		}
	}
	got := <-requests
	if want := <-requests; !reflect.DeepEqual(got, want) {
		t.Errorf("got %+v, want %+v", got, want)
	}
}

// What comes back is what connect-go makes of it.
func TestLaneUnderstandsAsConnectGo(t *testing.T) {
	t.Parallel()
	message, err := proto.Marshal(&userv2.SetPasswordResponse{Details: &objectv2.Details{Sequence: 2, ResourceOwner: "o"}})
	if err != nil {
		t.Fatal(err)
	}
	const refusal = `{"code":"permission_denied","message":"no","details":[{"type":"zitadel.v1.ErrorDetail","value":"CgFhEgFi"}]}`
	for name, answer := range map[string]struct {
		status      int
		contentType string
		body        []byte
		length      bool // Content-Length, or else chunked
		encoding    string
	}{
		"message":                {200, "application/proto", message, true, ""},
		"message, chunked":       {200, "application/proto", message, false, ""},
		"no details":             {200, "application/proto", nil, true, ""},
		"broken message":         {200, "application/proto", []byte{0xFF}, true, ""},
		"JSON":                   {200, "application/json", []byte("{}"), true, ""},
		"page":                   {200, "text/html", []byte("<html>"), true, ""},
		"unknown encoding":       {200, "application/proto", message, true, "br"},
		"too large":              {200, "application/proto", bytes.Repeat([]byte{0}, maxAnswerBytes+1), true, ""},
		"refusal":                {403, "application/json", []byte(refusal), true, ""},
		"load balancer's 503":    {503, "text/html", []byte("<html>"), true, ""},
		"rate limit":             {429, "text/plain", []byte("slow down"), true, ""},
		"not there":              {404, "text/plain", []byte("404 page not found"), true, ""},
		"redirect":               {307, "text/plain", nil, true, ""},
		"JSON that is no error":  {500, "application/json", []byte(`{"a":1}`), true, ""},
		"message in a wrong 201": {201, "application/proto", message, true, ""},
	} {
		both := laneBeside(t, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", answer.contentType)
			if answer.encoding != "" {
				w.Header().Set("Content-Encoding", answer.encoding)
			}
			if !answer.length {
				w.(http.Flusher).Flush()
			}
			w.WriteHeader(answer.status)
			_, _ = w.Write(answer.body)
		}))
		got, gotMade, gotErr := both["lane"]()
		want, wantMade, wantErr := both["connect-go"]()
		if !proto.Equal(got, want) || describe(gotErr) != describe(wantErr) || gotMade != wantMade {
			t.Errorf("%s: got %v, %s, %+v; connect-go gets %v, %s, %+v", name, got, describe(gotErr), gotMade, want, describe(wantErr), wantMade)
		}
	}
}

// describe is all that the client looks at in an error.
func describe(err error) string {
	if err == nil {
		return "no error"
	}
	failure := classify(err, write, attempt{}, target{}, goesOn)
	var details []string
	for _, detail := range failure.Details {
		details = append(details, detail.String())
	}
	return strings.Join(append(details, failure.Code.String(), failure.Message, failure.Origin.String(), err.Error()), "; ")
}
