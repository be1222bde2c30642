package reference_test

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"encoding/base64"
	"encoding/binary"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"regexp"
	"strings"
	"testing"
	"time"

	"google.golang.org/grpc/grpclog"
	"google.golang.org/protobuf/proto"

	"zitadel-v1-adapter/adapter"
	managementv1 "zitadel-v1-adapter/gen/zitadel/management/v1"
	"zitadel-v1-adapter/internal/wiretest"
	"zitadel-v1-adapter/interop/reference"
	"zitadel-v1-adapter/v2client"
	"zitadel-v1-adapter/v2client/v2test"
)

func TestMain(m *testing.M) {
	// grpc-gateway logs every header that it rejects.
	grpclog.SetLoggerV2(grpclog.NewLoggerV2(io.Discard, io.Discard, io.Discard))
	m.Run()
}

const (
	requests  = 20_000 // in each test
	userID    = "3001"
	validBody = `{"password":"Sup3rPassw0rd!"}`
)

func fixture() v2test.Fixture {
	return v2test.Fixture{
		InstanceHosts: []string{"localhost"},
		Orgs:          map[string]string{"home": "1001"},
		Callers: map[string]v2test.Caller{"owner": {
			Token: "owner-token", UserID: "2001", HomeOrg: "1001", UserinfoNamesOrganization: true,
			AdministratorOf: []v2test.AdministratorOf{{Organization: "1001", Roles: []string{"ORG_OWNER"}}},
		}},
		Users: map[string]v2test.User{"alice": {ID: userID, Org: "1001", Type: v2test.Human, State: v2test.Active}},
	}
}

// start starts the reference, and an adapter in front of v2test, both in the same state.
func start(t *testing.T) (v1 *reference.V1, adapterAddress string) {
	t.Helper()
	v1, err := reference.New(t.Context(), fixture())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(v1.Close)
	zitadel := wiretest.NewZITADEL(t, fixture())
	client, err := v2client.New(v2client.Config{
		ReadTimeout: 10 * time.Second,
		Upstream:    wiretest.Upstream(t, "http://"+wiretest.Listen(t, zitadel), "localhost"), Protocol: v2client.ProtocolConnect,
		Breaker: v2client.BreakerConfig{MinimumCalls: 20, FailureRate: 0.5, Window: 10 * time.Second, OpenFor: time.Second}, Retry: wiretest.NoRetry(),
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(client.Close)
	handler, err := adapter.New(adapter.Config{
		ZITADEL: client, OrgScope: adapter.OrgScopeStrict, Timeout: 10 * time.Second,
		Rollout: adapter.RolloutAll, Limits: adapter.Limits{BodyTimeout: time.Minute},
	})
	if err != nil {
		t.Fatal(err)
	}
	return v1, wiretest.Listen(t, handler)
}

// 20,000 unusual REST requests get the same HTTP status, WWW-Authenticate and body as from
// grpc-gateway in front of grpc-go.
func TestUnusualRESTRequestsAsGRPCGateway(t *testing.T) {
	t.Parallel()
	v1, adapterAddress := start(t)
	rest, err := v1.REST()
	if err != nil {
		t.Fatal(err)
	}
	referenceAddress := wiretest.Listen(t, rest)
	random := rand.New(rand.NewPCG(1, 2))
	for range requests {
		method, request := unusualREST(random)
		want, got := sendREST(t, referenceAddress, method, request), sendREST(t, adapterAddress, method, request)
		if got != want {
			t.Errorf("%q\ngot  %s\nwant %s", request, got, want)
		}
	}
}

func unusualREST(random *rand.Rand) (method string, request []byte) {
	pick := func(choices []string) string { return choices[random.IntN(len(choices))] }
	oneIn := func(n int, choices []string, usual string) string {
		if random.IntN(n) == 0 {
			return pick(choices)
		}
		return usual
	}
	method = oneIn(20, []string{"GET", "PUT", "HEAD", "PATCH", "FROB", "OPTIONS", "DELETE"}, http.MethodPost)
	id := oneIn(6, unusualIDs, userID)
	path := strings.ReplaceAll(oneIn(15, unusualPaths, "/management/v1/users/ID/password/_initialize"), "ID", id)
	headers := "Authorization: " + oneIn(4, unusualTokens, "Bearer owner-token") + "\r\n"
	if random.IntN(20) == 0 {
		headers = ""
	}
	if random.IntN(10) == 0 {
		headers += "Grpc-Timeout: " + pick(unusualTimeouts) + "\r\n"
	}
	if random.IntN(6) == 0 {
		headers += pick(unusualHeaders) + "\r\n"
	}
	body := mutate(random, []byte(pick(unusualBodies)))
	var out bytes.Buffer
	fmt.Fprintf(&out, "%s %s HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n%s", method, path, headers)
	if len(body) > 0 && random.IntN(4) == 0 {
		fmt.Fprintf(&out, "Transfer-Encoding: chunked\r\n\r\n%x\r\n%s\r\n0\r\n\r\n", len(body), body)
	} else {
		fmt.Fprintf(&out, "Content-Length: %d\r\n\r\n%s", len(body), body)
	}
	return method, out.Bytes()
}

var (
	unusualIDs = []string{
		"1", "a%20b", "%ff", "%E4", "%25zz", "a%2Fb", "a:b", "x%00", "%C3%A4", "a;b", "a+b", "*", "_initialize",
		userID + ":x", "%7B%7D", "300%31", strings.Repeat("9", 300),
	}
	unusualPaths = []string{
		"/management/v1/users/ID/password/_initialize/", "/management/v1/users/ID/password/_initialize:x",
		"/management/v1/users/ID/password/%5Finitialize", "/management/v1/users/ID/passwor%64/_initialize",
		"/management/v1%2Fusers/ID/password/_initialize", "/management/v1/users/ID",
		"/management/v1/users/ID/password/_initialize?a=%zz", "/management/v1/users/ID/password/_initialize?userId=x",
	}
	unusualTokens = []string{
		"Bearer x", "bearer owner-token", "Basic x", "", "Bearer ä", "xBearer owner-token", "Bearer ", "Bearer  owner-token",
	}
	unusualTimeouts = []string{"1n", "10S", "S", "", "0S", "-1S", "1x", "99999999999S", "1 S", "5H", "+5S", "1.5S"}
	unusualHeaders  = []string{
		"x-zitadel-orgid: 123", "X-ZITADEL-ORGID: 1001", "x-zitadel-orgid: ", "Grpc-Metadata-X-Zitadel-OrgID: 123",
		"x-zitadel-orgid: ä", "x-zitadel-orgid: ä\r\nx-zitadel-orgid: 123", "x-zitadel-orgid: \r\n123",
		"Grpc-Metadata-Foo: ä", "X-HTTP-Method-Override: GET",
		"X-HTTP-Method-Override: GET\r\nContent-Type: application/x-www-form-urlencoded",
		"X-HTTP-Method-Override: post\r\nContent-Type: application/x-www-form-urlencoded",
		"X-HTTP-Method-Override: x\r\nContent-Type: application/x-www-form-urlencoded; charset=utf-8",
		"Content-Type: application/x-www-form-urlencoded", "Content-Type: multipart/form-data", "Content-Type: ",
		"Content-Type: application/xml", "Content-Encoding: gzip", "Accept: text/html", "TE: trailers",
	}
	unusualBodies = []string{
		"", "{}", "null", "[]", `"x"`, "1", "{", "}", " ", "\x00", "-", "tru", validBody, validBody, validBody + " x", validBody + validBody, "\ufeff{}",
		`{"password":"Sup3rPassw0rd!","a":1}`, `{"password":1}`, `{"password":null}`, `{"password":true}`, `{"password":{}}`,
		`{"password":"a`, `{"password":"a\u12"}`, `{"password":"\ud800"}`, "{\"password\":\"\xff\"}", "{\"password\":\"a\tb\"}",
		`{"userId":1}`, `{"user_id":"a","userId":"b"}`, `{"userId":"a","password":"Sup3rPassw0rd!"}`, `{"PASSWORD":"x"}`,
		`{'password':'x'}`, `{"password":"Sup3rPassw0rd!",}`, `{"password" "x"}`, `{"password":"x"]`, `{password:"x"}`,
		`{"password":"Sup3rPassw0rd!","password":null}`, `{"a":{"a":[1,2,{"b":null}]},"password":"Sup3rPassw0rd!"}`, `{"a":01}`,
		`{"a":1e999,"password":"Sup3rPassw0rd!"}`, `{"@type":"x","password":"Sup3rPassw0rd!"}`, "password=x",
		`/* c */{}`, `{"":""}`, `{"password":"Sup3r\u0050assw0rd!"}`, `{"pass\u0077ord":"Sup3rPassw0rd!"}`, `{"a":"\x"}`,
	}
)

// mutate replaces, removes or inserts up to two bytes at random.
func mutate(random *rand.Rand, data []byte) []byte {
	for range random.IntN(3) {
		if len(data) == 0 {
			break
		}
		at := random.IntN(len(data))
		switch random.IntN(3) {
		case 0:
			data[at] = byte(random.IntN(256))
		case 1:
			data = append(data[:at], data[at+1:]...)
		default:
			data = append(data[:at], append([]byte{"\"\\{},: \n[]"[random.IntN(10)]}, data[at:]...)...)
		}
	}
	return data
}

func sendREST(t *testing.T, address, method string, request []byte) string {
	t.Helper()
	connection, err := net.DialTimeout("tcp", address, 5*time.Second)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = connection.Close() }()
	if _, err := connection.Write(request); err != nil {
		t.Fatal(err)
	}
	response, err := http.ReadResponse(bufio.NewReader(connection), &http.Request{Method: method})
	if err != nil {
		t.Fatal(err)
	}
	body, err := io.ReadAll(response.Body)
	if err != nil {
		t.Fatal(err)
	}
	if response.StatusCode == http.StatusOK {
		body = regexp.MustCompile(`"sequence":"\d+",\s?"changeDate":"[^"]+",\s?`).ReplaceAll(body, nil)
	}
	return fmt.Sprintf("%d %q %s", response.StatusCode, response.Header.Get("WWW-Authenticate"), stable(string(body)))
}

// stable removes the spaces that protobuf-go adds to JSON and errors, which differ between
// builds.
func stable(text string) string {
	return strings.NewReplacer("\u00a0", " ", `": `, `":`, `, "`, `,"`, "%C2%A0", " ").Replace(text)
}

// 20,000 unusual gRPC requests get the same status, message and details as from grpc-go.
func TestUnusualGRPCRequestsAsGRPCGo(t *testing.T) {
	t.Parallel()
	v1, adapterAddress := start(t)
	referenceAddress := wiretest.Listen(t, v1.GRPC())
	protocols := new(http.Protocols)
	protocols.SetUnencryptedHTTP2(true)
	transport := &http.Transport{Protocols: protocols, DisableCompression: true}
	defer transport.CloseIdleConnections()
	random := rand.New(rand.NewPCG(3, 4))
	for range requests {
		header, body := unusualGRPC(t, random)
		want, got := sendGRPC(t, transport, referenceAddress, header, body), sendGRPC(t, transport, adapterAddress, header, body)
		if got != want {
			t.Errorf("%v %q\ngot  %s\nwant %s", header, body, got, want)
		}
	}
}

func unusualGRPC(t *testing.T, random *rand.Rand) (http.Header, []byte) {
	t.Helper()
	pick := func(choices ...string) string { return choices[random.IntN(len(choices))] }
	message, err := proto.Marshal(&managementv1.SetHumanInitialPasswordRequest{
		UserId: pick(userID, userID, userID, "", "x"), Password: pick("Sup3rPassw0rd!", "Sup3rPassw0rd!", "", "a", strings.Repeat("ä", 73)),
	})
	if err != nil {
		t.Fatal(err)
	}
	encoding := ""
	if random.IntN(6) == 0 {
		encoding = pick("identity", "br", "gzip")
	}
	compressed := encoding == "gzip" && random.IntN(4) > 0
	if compressed {
		message = wiretest.Gzip(t, message)
	}
	message = mutate(random, message)
	size := len(message)
	flag := byte(0)
	if compressed {
		flag = 1
	}
	if random.IntN(8) == 0 {
		size += random.IntN(7) - 3
		flag = byte(random.IntN(4))
	}
	body := binary.BigEndian.AppendUint32([]byte{flag}, uint32(max(size, 0)))
	body = append(body, message...)
	if random.IntN(20) == 0 {
		body = body[:random.IntN(len(body))]
	}
	header := http.Header{
		"Content-Type":  {pick("application/grpc", "application/grpc+proto", "application/grpc+json")},
		"Authorization": {pick("Bearer owner-token", "Bearer owner-token", "Bearer owner-token", "Bearer x", "x", "")},
		"Te":            {"trailers"},
	}
	if random.IntN(8) == 0 {
		header.Set("X-Zitadel-Orgid", pick("1001", "123", ""))
	}
	if random.IntN(8) == 0 {
		// No timeout in the past: grpc-go's answer to that varies.
		header.Set("Grpc-Timeout", pick("10S", "5H", "S", "x", "123456789S", "99999999H", "-1S"))
	}
	if encoding != "" {
		header.Set("Grpc-Encoding", encoding)
	}
	return header, body
}

func sendGRPC(t *testing.T, transport http.RoundTripper, address string, header http.Header, body []byte) string {
	t.Helper()
	request, err := http.NewRequestWithContext(t.Context(), http.MethodPost,
		"http://"+address+"/zitadel.management.v1.ManagementService/SetHumanInitialPassword", bytes.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	request.Header = header.Clone()
	response, err := transport.RoundTrip(request)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = response.Body.Close() }()
	answer, err := io.ReadAll(response.Body)
	if err != nil {
		t.Fatal(err)
	}
	if response.StatusCode != http.StatusOK {
		return fmt.Sprintf("%d %s", response.StatusCode, answer)
	}
	trailer := func(name string) string {
		if value := response.Trailer.Get(name); value != "" {
			return value
		}
		return response.Header.Get(name)
	}
	details, _ := base64.RawStdEncoding.DecodeString(trailer("Grpc-Status-Details-Bin"))
	return fmt.Sprintf("%s %q %q %s", trailer("Grpc-Status"), stable(trailer("Grpc-Message")), details, owner(t, answer))
}

// owner returns the resource owner in a response, which grpc-go compresses if the request was
// compressed.
func owner(t *testing.T, answer []byte) string {
	t.Helper()
	if len(answer) < 5 {
		return ""
	}
	if answer[0] == 1 {
		reader, err := gzip.NewReader(bytes.NewReader(answer[5:]))
		if err != nil {
			t.Fatal(err)
		}
		decompressed, err := io.ReadAll(reader)
		if err != nil {
			t.Fatal(err)
		}
		answer = append(answer[:5], decompressed...)
	}
	var response managementv1.SetHumanInitialPasswordResponse
	if err := proto.Unmarshal(answer[5:], &response); err != nil {
		t.Fatal(err)
	}
	return response.GetDetails().GetResourceOwner()
}
