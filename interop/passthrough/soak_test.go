package passthrough_test

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"maps"
	"math/rand/v2"
	"net/http"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"connectrpc.com/connect"

	managementv1 "zitadel-v1-adapter/gen/zitadel/management/v1"
	"zitadel-v1-adapter/gen/zitadel/management/v1/managementv1connect"
	"zitadel-v1-adapter/internal/wiretest"
	"zitadel-v1-adapter/v2client"
	"zitadel-v1-adapter/v2client/v2test"
)

var (
	soakFor  = flag.Duration("soak", 3*time.Second, "how long TestSoak runs")
	soakRate = flag.Int("soak-rate", 400, "how many requests per second TestSoak makes")
	soakSeed = flag.Uint64("soak-seed", 1, "seed for the requests of TestSoak and their faults")
)

const (
	soakWorkers = 16
	soakUsers   = 20_000 // more than the adapter's caches hold
	orgA        = "400849858564525094"
)

// TestSoak combines everything for the time of -soak: calls of all protocols and outcomes,
// clients that disconnect, passthrough, an upstream with random faults and short outages, and
// reloads that change the upstream protocol. Every response is a permitted one, no write is
// lost or made twice, and at the end no goroutines and open files are left over. The test's
// log shows memory, goroutines and latency over time.
func TestSoak(t *testing.T) {
	const afterwards = 2 * time.Minute
	if deadline, ok := t.Deadline(); ok && time.Until(deadline) < *soakFor+afterwards {
		t.Fatalf("-soak %v exceeds the timeout of go test: add -timeout %v", *soakFor, *soakFor+10*time.Minute)
	}
	s := newSoak(t)
	baseline := s.sample(t)
	stop := make(chan struct{})
	var running sync.WaitGroup
	for worker := range soakWorkers {
		running.Go(func() { s.work(t, worker, stop) })
	}
	t.Log("   after  req/s     ok  refused  14 or 4  gone | p50 ms  p99 ms  max ms | RSS MiB  heap MiB  goroutines  files")
	const samples = 60
	interval := max(*soakFor/samples, time.Second)
	for began := time.Now(); time.Since(began) < *soakFor; {
		time.Sleep(interval)
		t.Logf("%8v %s %s", time.Since(began).Round(time.Second), s.window(interval), s.sample(t))
		if rand.IntN(samples/6) == 0 {
			s.reload(t)
		}
	}
	close(stop)
	running.Wait()

	var writes int64
	for n := range soakUsers {
		writes += int64(s.zitadel.Writes(soakUser(n)))
	}
	t.Logf("%d requests: %d succeeded, %d with unknown outcome, %d writes", s.made.Load(), s.ok.Load(), s.unknown.Load(), writes)
	if writes < s.ok.Load() || writes > s.ok.Load()+s.unknown.Load() {
		t.Errorf("got %d writes, want %d to %d", writes, s.ok.Load(), s.ok.Load()+s.unknown.Load())
	}
	s.reload(t) // closes the connections to the upstream
	var now sample
	defer func() { t.Logf("in the end %d goroutines and %d open files", now.goroutines, now.files) }()
	s.program.eventually(t, fmt.Sprintf("back at %d goroutines and %d open files", baseline.goroutines, baseline.files), func() bool {
		now = s.sample(t)
		// The first sample may come before the program has all that it keeps: 8 goroutines
		// were seen, where 10 are usual. What faults leave behind is more than these.
		const late = 4
		return now.goroutines <= baseline.goroutines+late && now.files <= baseline.files+late
	})
	if code := s.program.stop(t); code != 0 {
		t.Errorf("got exit code %d, want 0", code)
	}
}

// soak is the state of TestSoak.
type soak struct {
	program  *program
	settings string
	zitadel  *v2test.Server
	reloads  int

	// made counts requests, ok successful v1 calls, unknown failed v1 calls that may have
	// written.
	made, ok, unknown atomic.Int64

	mu      sync.Mutex
	outcome map[string]int  // since the last call of window
	took    []time.Duration // by successful calls, since the last call of window
}

func newSoak(t *testing.T) *soak {
	t.Helper()
	s := &soak{zitadel: wiretest.NewZITADEL(t, wiretest.Fixture(t)), outcome: map[string]int{}}
	for n := range soakUsers {
		s.zitadel.Add(v2test.User{ID: soakUser(n), Org: orgA, Type: v2test.Human, State: v2test.Active})
	}
	passed := httpOrigin()
	proxies := wiretest.NewFaultProxies(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/length" {
			passed.ServeHTTP(w, r)
			return
		}
		s.zitadel.ServeHTTP(w, r)
	}))
	s.settings = "upstream: {url: 'http://" + proxies.Address() + "', host: localhost:8088, protocol: %s, timeout: 2s}\n" +
		"breaker: {openFor: 200ms}\npassthrough: {responseTimeout: 2s}\n" +
		"limits: {idleTimeout: 5s}\n" + // net/http's client may keep a connection open that it does not use any more
		"log: {level: error}\n"
	s.program = start(t, plain, fmt.Sprintf(s.settings, v2client.ProtocolConnect))
	chooseFaults(&proxies.HTTP1.FaultChoice, wiretest.Faults(), "reset before it is handled")
	chooseFaults(&proxies.HTTP2.FaultChoice, wiretest.HTTP2Faults(), "GOAWAY before it is handled, then closed")
	return s
}

// soakUser returns the id of the nth user.
func soakUser(n int) string { return fmt.Sprintf("s%d", n) }

// chooseFaults gives one request in a hundred a random fault. Once a minute, for two seconds,
// it also gives every request the fault flap for the first half of each half-second.
func chooseFaults[F any](choice *wiretest.FaultChoice[F], faults map[string]F, flap string) {
	random := wiretest.RandomFaults(slices.Sorted(maps.Keys(faults)), *soakSeed, 100)
	began := time.Now()
	choice.Choose(func(*http.Request) F {
		const flapping, half = 2 * time.Second, 500 * time.Millisecond
		at := time.Since(began) % time.Minute
		if at > time.Second && at < time.Second+flapping && at%half < half/2 {
			return faults[flap]
		}
		return faults[random()]
	})
}

// reload changes the upstream protocol and waits until the adapter has reloaded.
func (s *soak) reload(t *testing.T) {
	t.Helper()
	s.reloads++
	protocol := v2client.ProtocolConnect
	if s.reloads%2 == 1 {
		protocol = v2client.ProtocolGRPC
	}
	rewrite(t, s.program.config, fmt.Sprintf(s.settings, protocol))
	s.program.eventually(t, "reloaded", func() bool {
		return strings.Contains(s.program.metrics(t), fmt.Sprintf("v1adapter_config_reloads_total{result=\"ok\"} %d\n", s.reloads))
	})
}

// soakClient is the client of one worker, which uses one protocol.
type soakClient struct {
	http *http.Client
	rpc  managementv1connect.ManagementServiceClient // nil: REST
}

func (s *soak) newClient(worker int) soakClient {
	switch worker % 3 {
	case 0:
		client := s.program.newHTTPClient(true)
		return soakClient{client, managementv1connect.NewManagementServiceClient(client, s.program.base(), connect.WithGRPC())}
	case 1:
		client := s.program.newHTTPClient(false)
		return soakClient{client, managementv1connect.NewManagementServiceClient(client, s.program.base(), connect.WithGRPCWeb())}
	}
	return soakClient{http: s.program.newHTTPClient(false)}
}

// work makes requests until stop is closed.
func (s *soak) work(t *testing.T, worker int, stop <-chan struct{}) {
	t.Helper()
	random := rand.New(rand.NewPCG(*soakSeed, uint64(worker)+1))
	client := s.newClient(worker)
	defer func() { client.http.CloseIdleConnections() }()
	pace := time.NewTicker(time.Second * soakWorkers / time.Duration(*soakRate))
	defer pace.Stop()
	for {
		select {
		case <-stop:
			return
		case <-pace.C:
		}
		s.made.Add(1)
		switch percent := random.IntN(100); {
		case percent < 20:
			s.pass(client.http)
		case percent < 22: // a call on a new connection
			client.http.CloseIdleConnections()
			fallthrough
		default:
			s.call(t, client, random)
		}
	}
}

// pass makes a request that the adapter passes through. Faults of the upstream are passed
// through too, so any result is permitted; a response that hangs is abandoned after 3 s.
func (s *soak) pass(client *http.Client) {
	ctx, cancel := context.WithTimeout(context.Background(), 3*time.Second)
	defer cancel()
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, s.program.base()+"/length", http.NoBody)
	if err != nil {
		panic(err)
	}
	if do(client, request, func(_ *http.Response, body []byte) bool { return string(body) == "hello" }) != nil {
		s.count("gone")
		return
	}
	s.count("passed")
}

// call makes a v1 call with a random expected outcome: success, an error, or cancellation.
func (s *soak) call(t *testing.T, client soakClient, random *rand.Rand) {
	t.Helper()
	token, user, password := "pat-org-owner-a", soakUser(random.IntN(soakUsers)), "Sup3rPassw0rd!"
	want := connect.Code(0)
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	switch random.IntN(20) {
	case 0:
		token, want = fmt.Sprintf("stranger-%d", random.Int()), connect.CodeUnauthenticated
	case 1:
		password, want = "short", connect.CodeInvalidArgument
	case 2:
		password, want = strings.Repeat("ä", 68)+"Aa1", connect.CodeInternal // longer than bcrypt's limit of 72 bytes
	case 3:
		user, want = "nobody", connect.CodeFailedPrecondition
	case 4:
		want = connect.CodeCanceled
		time.AfterFunc(time.Duration(random.IntN(3000))*time.Microsecond, cancel)
	}
	began := time.Now()
	code, message := client.call(ctx, s.program.base(), token, user, password)
	took := time.Since(began)
	switch {
	case code == 0:
		s.ok.Add(1)
		s.mu.Lock()
		s.took = append(s.took, took)
		s.mu.Unlock()
		s.count("ok")
	case code == connect.CodeUnavailable || code == connect.CodeDeadlineExceeded:
		if want == 0 || want == connect.CodeCanceled {
			s.unknown.Add(1)
		}
		s.count("unavailable")
	case code == connect.CodeCanceled && want == connect.CodeCanceled:
		s.unknown.Add(1)
		s.count("gone")
	case code == want:
		s.count("refused")
	default:
		t.Errorf("got code %v (%s), want %v", code, message, want)
	}
}

// call returns 0, or the code and message of the error.
func (c soakClient) call(ctx context.Context, base, token, user, password string) (connect.Code, string) {
	if c.rpc != nil {
		request := connect.NewRequest(&managementv1.SetHumanInitialPasswordRequest{UserId: user, Password: password})
		request.Header().Set("Authorization", "Bearer "+token)
		_, err := c.rpc.SetHumanInitialPassword(ctx, request)
		switch {
		case err == nil:
			return 0, ""
		case ctx.Err() != nil:
			return connect.CodeCanceled, err.Error()
		}
		return connect.CodeOf(err), err.Error()
	}
	request, err := http.NewRequestWithContext(ctx, http.MethodPost,
		base+"/management/v1/users/"+user+"/password/_initialize", strings.NewReader(`{"password":"`+password+`"}`))
	if err != nil {
		return connect.CodeUnknown, err.Error()
	}
	request.Header.Set("Authorization", "Bearer "+token)
	response, err := c.http.Do(request)
	if errors.Is(err, context.Canceled) {
		return connect.CodeCanceled, ""
	}
	if err != nil {
		return connect.CodeUnknown, err.Error()
	}
	defer func() { _ = response.Body.Close() }()
	body, err := io.ReadAll(response.Body)
	if errors.Is(err, context.Canceled) {
		return connect.CodeCanceled, ""
	}
	if err == nil && response.StatusCode == http.StatusOK {
		return 0, ""
	}
	var code connect.Code
	_, _ = fmt.Sscanf(string(body), `{"code":%d`, &code)
	return code, string(body)
}

func (s *soak) count(outcome string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.outcome[outcome]++
}

// window summarizes the outcomes of the requests since the last call.
func (s *soak) window(length time.Duration) string {
	s.mu.Lock()
	outcome, took := s.outcome, s.took
	s.outcome, s.took = map[string]int{}, nil
	s.mu.Unlock()
	total := 0
	for _, count := range outcome {
		total += count
	}
	slices.Sort(took)
	percentile := func(share float64) float64 {
		if len(took) == 0 {
			return 0
		}
		return float64(took[min(int(share*float64(len(took))), len(took)-1)].Microseconds()) / 1000
	}
	return fmt.Sprintf("%6.0f %6d  %7d  %7d %5d | %6.2f  %6.2f  %6.0f |", float64(total)/length.Seconds(),
		outcome["ok"], outcome["refused"], outcome["unavailable"], outcome["gone"], percentile(0.5), percentile(0.99), percentile(1))
}

// sample is the program's use of resources at one time.
type sample struct {
	resident, heap    float64 // MiB
	goroutines, files int
}

func (v sample) String() string {
	return fmt.Sprintf("%7.1f  %8.1f  %10d  %5d", v.resident, v.heap, v.goroutines, v.files)
}

func (s *soak) sample(t *testing.T) sample {
	t.Helper()
	scrape := s.program.metrics(t)
	value := func(name string) float64 {
		match := regexp.MustCompile(`(?m)^` + name + ` (\S+)$`).FindStringSubmatch(scrape)
		if match == nil {
			t.Fatalf("no %s", name)
		}
		number, err := strconv.ParseFloat(match[1], 64)
		if err != nil {
			t.Fatal(err)
		}
		return number
	}
	return sample{
		resident: value("process_resident_memory_bytes") / mebibyte, heap: value("go_memstats_heap_inuse_bytes") / mebibyte,
		goroutines: int(value("go_goroutines")), files: int(value("process_open_fds")),
	}
}
