package wiretest

import (
	"bytes"
	"encoding/json"
	"io"
	"maps"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"connectrpc.com/connect"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/anypb"

	"zitadel-v1-adapter/adapter"
	managementv1 "zitadel-v1-adapter/gen/zitadel/management/v1"
	"zitadel-v1-adapter/gen/zitadel/management/v1/managementv1connect"
	zitadelv1 "zitadel-v1-adapter/gen/zitadel/v1"
	"zitadel-v1-adapter/internal/recordings"
	"zitadel-v1-adapter/internal/rpcstatus"
	"zitadel-v1-adapter/internal/v1wire"
	"zitadel-v1-adapter/v2client/v2test"
)

// NativeV1 is a ZITADEL that still has v1, played from the recordings of both methods: it
// refuses in v1's order, with the recorded answers. A refusal that was recorded over
// REST alone is put into the other protocols' form. It is for calls that v1 refuses
// whoever makes them and whatever the state of the user: another one fails the test.
type NativeV1 struct {
	tb      testing.TB
	next    http.Handler
	fixture v2test.Fixture
	// recorded are the answers by method, protocol and name.
	recorded map[string]recordings.Response
}

// NewNativeV1 returns a NativeV1 in the state of a fixture; next answers what is not v1's.
func NewNativeV1(tb testing.TB, fixture v2test.Fixture, next http.Handler) *NativeV1 {
	tb.Helper()
	n := &NativeV1{tb, next, fixture, map[string]recordings.Response{}}
	for _, set := range recordings.Methods() {
		for protocol, files := range map[rpcstatus.Protocol][]string{"": {set.RESTMatrix, set.RESTEdges}, rpcstatus.GRPC: {set.GRPC}, rpcstatus.GRPCWeb: {set.GRPCWeb}} {
			for _, file := range files {
				for _, recording := range recordings.Load(tb, file) {
					n.recorded[set.Method+" "+string(protocol)+" "+recording.Name] = recording.Response
				}
			}
		}
	}
	return n
}

// ServeHTTP implements [http.Handler].
func (n *NativeV1) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	for _, method := range adapter.Methods() {
		before, after, _ := strings.Cut(method.Pattern, ":user_id")
		switch clean := strings.TrimSuffix(strings.Replace(r.URL.Path, "//", "/", 1), "/"); {
		case strings.HasPrefix(r.URL.Path, method.Procedure): // one that v1 does not know may begin so
			n.serveRPC(w, r, method)
			return
		case strings.HasPrefix(clean, before) && strings.HasSuffix(clean, after):
			n.serveREST(w, r, method.Name(), strings.TrimSuffix(strings.TrimPrefix(clean, before), after))
			return
		}
	}
	n.next.ServeHTTP(w, r)
}

func (n *NativeV1) serveREST(w http.ResponseWriter, r *http.Request, method, userID string) {
	if strings.Contains(r.URL.Path, "//") {
		w.Header().Set("Location", strings.ReplaceAll(r.URL.Path, "//", "/"))
		w.WriteHeader(http.StatusMovedPermanently)
		return
	}
	for _, pair := range n.find(method, "", "cors-post-error").Headers { // as every refusal of another origin's has
		if strings.HasPrefix(pair[0], "Access-Control-") && r.Header.Get("Origin") != "" && r.Method == http.MethodPost {
			w.Header().Add(pair[0], pair[1])
		}
	}
	n.write(w, n.find(method, "", n.nameOf(r, userID)))
}

// nameOf is the name of the recording of a REST call, or of one that v1 refuses alike.
func (n *NativeV1) nameOf(r *http.Request, userID string) string {
	switch timeout := r.Header.Get("Grpc-Timeout"); {
	case r.Method == http.MethodOptions && r.Header.Get("Origin") != "":
		return "cors-preflight"
	case strings.HasSuffix(r.URL.Path, "/"):
		return "trailing-slash"
	case r.Method != http.MethodPost:
		return "method-get"
	case timeout == "1n":
		return "expired-grpc-timeout"
	case timeout == "x":
		return "bad-grpc-timeout"
	}
	body, _ := io.ReadAll(r.Body)
	switch {
	case bytes.HasPrefix(body, []byte("[")):
		return "array-body"
	case bytes.HasSuffix(body, []byte(",}")):
		return "trailing-comma"
	case bytes.HasSuffix(body, []byte(":")):
		return "cut-body"
	}
	request := new(managementv1.SetHumanPasswordRequest)
	if len(body) > 0 { // an empty one is {}
		if err := (protojson.UnmarshalOptions{DiscardUnknown: true}).Unmarshal(body, request); err != nil {
			n.tb.Errorf("native v1 cannot tell how a body is refused: %v", err)
		}
	}
	request.UserId = userID
	return n.refusal(r, request)
}

// refusal is the name of the recording, over REST, of how v1 refuses a call that can be read.
func (n *NativeV1) refusal(r *http.Request, request *managementv1.SetHumanPasswordRequest) string {
	authorization, org := r.Header.Get("Authorization"), r.Header.Get("X-Zitadel-Orgid")
	token, isBearer := strings.CutPrefix(authorization, "Bearer ")
	knows := func(caller v2test.Caller) bool { return caller.Token == token }
	switch {
	case authorization == "":
		return "no-authorization"
	case !isBearer:
		return "basic-auth"
	case !slices.ContainsFunc(slices.Collect(maps.Values(n.fixture.Callers)), knows):
		return "bad-token"
	case org != "" && !slices.Contains(slices.Collect(maps.Values(n.fixture.Orgs)), org):
		return "empty-password-bogus-org"
	case request.GetUserId() == "":
		return "empty-user"
	case request.GetPassword() == "":
		return "password-empty"
	}
	for _, user := range n.fixture.Users {
		if user.ID == request.GetUserId() {
			n.tb.Errorf("native v1 was asked to write: %s %s", r.Method, r.URL.Path)
		}
	}
	return "201-character-user"
}

func (n *NativeV1) serveRPC(w http.ResponseWriter, r *http.Request, called adapter.Method) {
	protocol, method := rpcstatus.ProtocolOf(r), called.Name()
	if r.Method == http.MethodOptions {
		n.write(w, n.find(method, rpcstatus.GRPCWeb, "cors-preflight"))
		return
	}
	_, _, refusal := v1wire.AcceptRPC(r, protocol)
	if refusal == nil && r.URL.Path != called.Procedure {
		refusal = v1wire.UnknownMethod(r.URL.Path, managementv1connect.ManagementServiceName)
	}
	if refusal != nil { // grpc-go's answer, with the headers that ZITADEL sets before it
		w.Header().Set("X-Robots-Tag", "none")
		if protocol == rpcstatus.GRPCWeb {
			w.Header().Set("Vary", "Origin")
		}
		rpcstatus.WriteRPC(w, r, protocol, refusal)
		return
	}
	body, _ := io.ReadAll(r.Body)
	names := map[string]string{"no-authorization": "no-authorization", "password-empty": "empty-password", "empty-user": "empty-user", "201-character-user": "missing-user", "bad-token": "bad-token"}
	var request managementv1.SetHumanPasswordRequest
	var name string
	const prefix = 5
	switch {
	case len(body) == 0:
		name = "no-frame"
	case int(body[4]) > len(body)-prefix:
		name = "cut-frame"
	case proto.Unmarshal(body[prefix:], &request) != nil:
		name = "garbage-message"
	default:
		n.refuseRPC(w, r, method, protocol, n.refusal(r, &request), names)
		return
	}
	n.write(w, n.find(method, protocol, name))
}

// refuseRPC answers with a recording of the protocol, or else with that of REST.
func (n *NativeV1) refuseRPC(w http.ResponseWriter, r *http.Request, method string, protocol rpcstatus.Protocol, name string, names map[string]string) {
	if r.Header.Get("Origin") != "" {
		w.Header().Set("Access-Control-Allow-Credentials", "true")
		w.Header().Set("Access-Control-Allow-Origin", r.Header.Get("Origin"))
	}
	if answer, ok := n.recorded[method+" "+string(protocol)+" "+names[name]]; ok {
		n.write(w, answer)
		return
	}
	var status struct {
		Code    uint32 `json:"code"`
		Message string `json:"message"`
		Details []struct {
			ID      string `json:"id"`
			Message string `json:"message"`
		} `json:"details"`
	}
	answer := n.find(method, "", name)
	if name == "empty-user" { // REST has none: another path
		answer = n.find("SetHumanInitialPassword", rpcstatus.GRPC, name)
		status.Code, status.Message = uint32(connect.CodeInvalidArgument), strings.ReplaceAll(answer.Header().Get("Grpc-Message"), "SetHumanInitialPassword", method)
	} else if err := json.Unmarshal(answer.Body(n.tb), &status); err != nil {
		n.tb.Errorf("%s: %v", name, err)
	}
	refusal := rpcstatus.New(connect.Code(status.Code), status.Message)
	for _, each := range status.Details {
		detail, err := anypb.New(&zitadelv1.ErrorDetail{Id: each.ID, Message: each.Message})
		if err != nil {
			n.tb.Error(err)
		}
		refusal.Details = append(refusal.Details, detail)
	}
	for name, values := range n.find("SetHumanInitialPassword", protocol, "no-authorization").Header() {
		if !strings.HasPrefix(name, "Grpc-") && name != "Expires" && name != "Content-Type" {
			w.Header()[name] = values
		}
	}
	w.Header().Set("Expires", time.Now().UTC().Format(http.TimeFormat))
	rpcstatus.WriteRPC(w, r, protocol, refusal)
}

// find is a recorded answer, of the other method if this one has none.
func (n *NativeV1) find(method string, protocol rpcstatus.Protocol, name string) recordings.Response {
	for _, each := range []string{method, "SetHumanInitialPassword", "SetHumanPassword"} {
		if answer, ok := n.recorded[each+" "+string(protocol)+" "+name]; ok {
			return answer
		}
	}
	n.tb.Errorf("no recording of %s over %q: %s", method, protocol, name)
	return recordings.Response{Status: http.StatusTeapot}
}

func (n *NativeV1) write(w http.ResponseWriter, answer recordings.Response) {
	for _, pair := range append(slices.Clone(answer.Headers), answer.HeadersAndTrailers...) {
		if pair[1] == "<date>" {
			pair[1] = time.Now().UTC().Format(http.TimeFormat)
		}
		name := http.CanonicalHeaderKey(pair[0])
		if len(answer.HeadersAndTrailers) > 0 && strings.HasPrefix(name, "Grpc-") {
			name = http.TrailerPrefix + name
		}
		w.Header().Add(name, pair[1])
	}
	w.WriteHeader(answer.Status)
	_, _ = w.Write(answer.Body(n.tb)) //nolint:gosec // a recording
}
