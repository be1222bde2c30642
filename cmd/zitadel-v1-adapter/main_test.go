package main

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"os"
	"os/exec"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"
	collector "go.opentelemetry.io/proto/otlp/collector/trace/v1"
	"google.golang.org/protobuf/proto"
)

func TestMain(m *testing.M) {
	testscript.Main(m, map[string]func(){"zitadel-v1-adapter": main})
}

// TestScripts runs the real program, as testdata/*.txtar tell.
func TestScripts(t *testing.T) {
	t.Parallel()
	testscript.Run(t, testscript.Params{
		Dir: "testdata",
		Setup: func(env *testscript.Env) error {
			root, err := os.Getwd()
			env.Setenv("ROOT", root+"/../..")
			return err
		},
		Cmds: map[string]func(ts *testscript.TestScript, neg bool, args []string){
			"collector":    collectSpans,
			"exitcode":     exitCode,
			"freeport":     freePort,
			"harmless":     harmless,
			"hostile":      hostileUpstream,
			"hostilecalls": hostileCalls,
			"metrics":      metrics,
			"request":      request,
			"upstream":     rawUpstream,
		},
	})
}

// exitCode runs the program, which must exit with a code: exitcode CODE [ARG...].
func exitCode(ts *testscript.TestScript, _ bool, args []string) {
	failure, ok := errors.AsType[*exec.ExitError](ts.Exec("zitadel-v1-adapter", args[1:]...))
	if !ok || strconv.Itoa(failure.ExitCode()) != args[0] {
		ts.Fatalf("exit: %v, not %s", failure, args[0])
	}
}

// freePort sets variables to addresses on which nobody listens, and VAR_PORT to their
// ports: freeport VAR...
// The ports are below those that the system gives to others in the meantime.
func freePort(ts *testscript.TestScript, _ bool, args []string) {
	for _, name := range args {
		for {
			port := strconv.FormatUint(uint64(20_000+nextPort.Add(1)%10_000), 10)
			address := "127.0.0.1:" + port
			if listener, err := net.Listen("tcp", address); err == nil {
				_ = listener.Close()
				ts.Setenv(name, address)
				ts.Setenv(name+"_PORT", port)
				break
			}
		}
	}
}

var nextPort = func() *atomic.Uint32 {
	var start atomic.Uint32
	start.Store(rand.Uint32N(10_000))
	return &start
}()

// patience is how long what is to happen may take, on any machine.
const patience = 5 * time.Minute

// request makes a call, again and again until somebody listens, and puts the
// answer in the file "answer": request METHOD URL TOKEN [BODY].
func request(ts *testscript.TestScript, _ bool, args []string) {
	body := ""
	if len(args) > 3 {
		body = args[3]
	}
	client := &http.Client{Timeout: patience}
	defer client.CloseIdleConnections()
	for deadline := time.Now().Add(patience); ; time.Sleep(10 * time.Millisecond) {
		request, err := http.NewRequest(args[0], args[1], strings.NewReader(body))
		ts.Check(err)
		request.Header.Set("Authorization", "Bearer "+args[2])
		response, err := client.Do(request)
		if err != nil {
			if time.Now().After(deadline) {
				ts.Fatalf("%v", err)
			}
			continue
		}
		answer, err := io.ReadAll(response.Body)
		ts.Check(err)
		_ = response.Body.Close()
		ts.Check(os.WriteFile(ts.MkAbs("answer"), fmt.Appendf(nil, "%d %s\n", response.StatusCode, answer), 0o600))
		return
	}
}

// metrics waits until the metrics of an admin listener have all these lines, which are
// regular expressions: metrics ADMIN LINE...
// What a client has seen may be counted a moment later.
func metrics(ts *testscript.TestScript, _ bool, args []string) {
	for deadline := time.Now().Add(patience); ; time.Sleep(10 * time.Millisecond) {
		request(ts, false, []string{http.MethodGet, "http://" + args[0] + "/metrics", "-"})
		missing := slices.DeleteFunc(slices.Clone(args[1:]), func(line string) bool {
			return regexp.MustCompile("(?m)^" + line + "$").MatchString(ts.ReadFile("answer"))
		})
		if len(missing) == 0 {
			return
		}
		if time.Now().After(deadline) {
			ts.Fatalf("%s has no line %q", ts.ReadFile("answer"), missing)
		}
	}
}

// rawUpstream answers every request with the bytes of a file: upstream VAR FILE sets
// VAR to its address.
func rawUpstream(ts *testscript.TestScript, _ bool, args []string) {
	answer := strings.ReplaceAll(ts.ReadFile(args[1]), "\n", "\r\n")
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	ts.Check(err)
	ts.Defer(func() { _ = listener.Close() })
	ts.Setenv(args[0], listener.Addr().String())
	go func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			go func() {
				defer func() { _ = conn.Close() }()
				requests := bufio.NewReader(conn)
				for {
					request, err := http.ReadRequest(requests)
					if err != nil {
						return
					}
					_, _ = io.Copy(io.Discard, request.Body)
					_, _ = io.WriteString(conn, answer)
				}
			}()
		}
	}()
}

// collectSpans receives spans, and writes two lines of each to a file: collector VAR FILE sets
// VAR to its URL. The first has the service's name, the span's kind and its name, the second its attributes.
func collectSpans(ts *testscript.TestScript, _ bool, args []string) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	ts.Check(err)
	file, err := os.Create(ts.MkAbs(args[1]))
	ts.Check(err)
	server := &http.Server{Handler: http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		var export collector.ExportTraceServiceRequest
		if proto.Unmarshal(body, &export) != nil {
			return
		}
		for _, spans := range export.GetResourceSpans() {
			for _, attribute := range spans.GetResource().GetAttributes() {
				if attribute.GetKey() == "service.name" {
					for _, span := range spans.GetScopeSpans()[0].GetSpans() {
						fmt.Fprintf(file, "%s %v %s\n  %v\n", attribute.GetValue().GetStringValue(), span.GetKind(), span.GetName(), span.GetAttributes())
					}
				}
			}
		}
	})}
	ts.Defer(func() { _, _ = server.Close(), file.Close() })
	ts.Setenv(args[0], "http://"+listener.Addr().String())
	go func() { _ = server.Serve(listener) }()
}
