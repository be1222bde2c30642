package adapter_test

import (
	"errors"
	"io"
	"log/slog"
	"net/http"
	"regexp"
	"slices"
	"strings"
	"testing"

	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"golang.org/x/net/http2"

	"zitadel-v1-adapter/internal/passthrough"
	"zitadel-v1-adapter/internal/recordings"
	"zitadel-v1-adapter/internal/wiretest"
)

// The log of what passes through.

// answerByPath is an upstream whose answers fail in one way or another.
func answerByPath(w http.ResponseWriter, r *http.Request) {
	contentType := r.Header.Get("Content-Type")
	if strings.HasPrefix(contentType, "application/grpc") {
		w.Header().Set("Content-Type", contentType)
	}
	switch r.URL.Path {
	case "/x.Y/Refused":
		w.Header().Set(http.TrailerPrefix+"Grpc-Status", "5")
	case "/x.Y/OK":
		w.Header().Set(http.TrailerPrefix+"Grpc-Status", "0")
	case "/x.Y/Web":
		_, _ = io.WriteString(w, "\x80\x00\x00\x00\x0fgrpc-status:7\r\n")
	case "/missing":
		w.WriteHeader(http.StatusNotFound)
	case "/cut":
		_, _ = io.WriteString(w, "begun")
		_ = http.NewResponseController(w).Flush()
		panic(http.ErrAbortHandler)
	}
}

// logging starts an adapter that passes through, and returns its address and its log from a level on.
func logging(t *testing.T, which passthrough.Logged, level slog.Level) (address string, log *wiretest.Buffer) {
	t.Helper()
	log = new(wiretest.Buffer)
	return newPassing(t, "http://"+wiretest.Listen(t, http.HandlerFunc(answerByPath)), func(p *parts) {
		p.passthrough.Logged, p.v1.Catalogue = which, catalogue(t)
		p.passthrough.Log = slog.New(slog.NewJSONHandler(log, &slog.HandlerOptions{Level: level}))
	}), log
}

// What passes through has a line at level info if log.passthrough says so: no request, those that
// fail in whatever protocol, or each.
func TestPassthroughIsLoggedAsAskedFor(t *testing.T) {
	t.Parallel()
	for which, want := range map[passthrough.Logged][]string{
		passthrough.LoggedOff: nil, "": nil,
		passthrough.LoggedErrors: {"/cut", "/missing", "/x.Y/Refused", "/x.Y/Web"},
		passthrough.LoggedAll:    {"/cut", "/missing", "/ok", "/x.Y/OK", "/x.Y/Refused", "/x.Y/Web"},
	} {
		address, log := logging(t, which, slog.LevelInfo)
		for _, path := range []string{"/ok", "/missing", "/cut"} {
			_, _ = io.Copy(io.Discard, sendRaw(t, address, recordings.Request{Method: http.MethodGet, Path: path}).Body)
		}
		for _, path := range []string{"/x.Y/OK", "/x.Y/Refused"} {
			sendGRPC(t, newTransport(t, true), address, recordings.Request{
				Method: http.MethodPost, Path: path, Headers: map[string]string{"Content-Type": "application/grpc", "Te": "trailers"},
			})
		}
		web := map[string]string{"Content-Type": "application/grpc-web"}
		bodyOf(t, sendRaw(t, address, recordings.Request{Method: http.MethodPost, Path: "/x.Y/Web", Headers: web}))
		eventually(t, strings.Join(want, " "), func() bool { return strings.Count(log.String(), "\n") >= len(want) })
		lines := regexp.MustCompile(`"level":"INFO","msg":"passed through",.*"path":"([^"]+)"`).FindAllStringSubmatch(log.String(), -1)
		got := make([]string, len(lines))
		for i, line := range lines {
			got[i] = line[1]
		}
		if slices.Sort(got); !slices.Equal(got, want) {
			t.Errorf("%q: got lines of %q, want %q: %s", which, got, want, log.String())
		}
	}
}

// A line says who asked for what, when the request has ended, and of one that ZITADEL did not answer
// why. Of a query and of credentials it says nothing.
func TestPassthroughLineSaysWhoAndWhat(t *testing.T) {
	t.Parallel()
	const trace = "4bf92f3577b34da6a3ce929d0e0e4736"
	const who = `"user_agent":"legacy/1.0","peer":"127.0.0.1","duration_ms":[0-9.]+,`
	const ids = `"request_id":"r-1","trace_id":"` + trace + `"`
	headers := map[string]string{
		"User-Agent": "legacy/1.0", "X-Request-Id": "r-1", "Traceparent": "00-" + trace + "-00f067aa0ba902b7-01",
		"Authorization": "Bearer s3cret", "Cookie": "s3cret",
	}
	refusing := new(wiretest.Buffer)
	unreachable := newPassing(t, "http://"+wiretest.RefusingAddress(t), func(p *parts) {
		p.passthrough.Log = slog.New(slog.NewJSONHandler(refusing, nil)) // at every setting
	})
	address, log := logging(t, passthrough.LoggedAll, slog.LevelInfo)
	for want, request := range map[string]recordings.Request{
		`"INFO","msg":"passed through","method":"GET","path":"/ok","http_status":200,` + who + ids: {
			Method: http.MethodGet, Path: "/ok?code=s3cret", Headers: headers,
		},
		`"INFO","msg":"passed through","method":"POST","path":"/management/v1/users/_search","http_status":200,` + who + `"v1_method":"management ListUsers",` + ids: {
			Method: http.MethodPost, Path: "/management/v1/users/_search", Headers: headers,
		},
		`"INFO","msg":"passed through","method":"GET","path":"/cut","http_status":200,` + who + ids + `,"cut":"true"`: {
			Method: http.MethodGet, Path: "/cut", Headers: headers,
		},
		`"INFO","msg":"not passed through","method":"CONNECT","path":"","http_status":405,` + who + ids + `,"rule":"RFC 9110 section 9.3.6"`: {
			Method: http.MethodConnect, Path: "x:80", Headers: headers,
		},
	} {
		_, _ = io.Copy(io.Discard, sendRaw(t, address, request).Body)
		line := regexp.MustCompile(`"level":` + want + "}\n")
		eventually(t, want+" in "+log.String(), func() bool { return line.MatchString(log.String()) })
	}
	bodyOf(t, sendRaw(t, unreachable, recordings.Request{Method: http.MethodGet, Path: "/ok?s3cret", Headers: headers}))
	line := regexp.MustCompile(`^{"time":"[^"]+","level":"WARN","msg":"not passed through","method":"GET","path":"/ok","http_status":503,` + who +
		`"code":"unavailable",` + ids + `,"cause":".*connection refused"}\n$`)
	eventually(t, line.String(), func() bool { return line.MatchString(refusing.String()) })
	if strings.Contains(log.String()+refusing.String(), "s3cret") {
		t.Errorf("got %s%s, want neither the query nor credentials", log.String(), refusing.String())
	}
}

// A v1 call that native v1 answers has its line as a call, and no other.
func TestNativeCallHasOneLine(t *testing.T) {
	t.Parallel()
	s := newStack(t, func(c *stackConfig) { c.rollout, c.passes = 0, true })
	bodyOf(t, sendRaw(t, s.address, aCall()))
	if got := s.logged(); strings.Count(got, "\n") != 1 || !strings.Contains(got, `"way":"v1"`) {
		t.Errorf("the log: got %s, want one line", got)
	}
}

// A text that is no HTTP method, such as a password that a client sends as one, is in no line of the
// log, span, metric or row of the ledger, over HTTP/1.1 and over HTTP/2, which brings any text.
func TestUnknownMethodIsToldNowhere(t *testing.T) {
	t.Parallel()
	for name, option := range map[string]option{
		"translated": func(c *stackConfig) { c.passes = true },
		"native":     func(c *stackConfig) { c.passes, c.rollout = true, 0 },
		"broken":     func(c *stackConfig) { c.passes, c.upstream = true, http.HandlerFunc(echo) },
	} {
		s, kept := newTraced(t, sdktrace.AlwaysSample(), option)
		for _, path := range []string{"/passes/through", userAPath, procedure, "/management/v1/users/_search", "/grpc.health.v1.Health/Check"} {
			_, _ = io.Copy(io.Discard, sendRaw(t, s.address, recordings.Request{Method: "s3cret-Passw0rd", Path: path}).Body)
			for _, method := range []string{"s3cret-Passw0rd", "s3cret Passw0rd", "s3cret\"Passw0rd"} {
				for _, contentType := range []string{"application/json", "application/grpc"} {
					sendMethod(t, s.address, method, path, contentType)
				}
			}
		}
		bodyOf(t, sendRaw(t, s.address, aCall()))
		s.settle()
		logged := s.logged()
		if !strings.Contains(logged, `"method":"(other)","path":"/passes/through"`) {
			t.Errorf("%s: got %s, want a line of a method that nobody knows", name, logged)
		}
		checkHarmless(t, kept.GetSpans(), []string{"s3cret", "Passw0rd"})
		if all := logged + metricsAndUsage(t, s.calls()); strings.Contains(all, "s3cret") || strings.Contains(all, "Passw0rd") {
			t.Errorf("%s: got %s, want no such method", name, all)
		}
	}
}

// sendMethod sends a request over HTTP/2 with any text as its method, and waits for an answer or its end.
func sendMethod(t *testing.T, address, method, path, contentType string) {
	t.Helper()
	framer := newFramer(t, address, "\x00\x00\x00\x00\x00", [][2]string{
		{":method", method}, {":scheme", "http"}, {":authority", "localhost:8088"}, {":path", path}, {"content-type", contentType},
	})
	for {
		frame, err := framer.ReadFrame()
		if errors.Is(err, io.EOF) {
			return
		}
		if err != nil {
			t.Fatal(err)
		}
		switch frame.(type) {
		case *http2.MetaHeadersFrame, *http2.RSTStreamFrame:
			return
		}
	}
}
