// Package page_test looks at the migration page of the real program in a real Chromium, that
// of Debian's package chromium.
package page_test

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/chromedp/cdproto/log"
	"github.com/chromedp/cdproto/runtime"
	"github.com/chromedp/chromedp"
	"github.com/chromedp/chromedp/kb"

	"zitadel-v1-adapter/internal/wiretest"
)

// binary is the path of the program.
var binary string

func TestMain(m *testing.M) { os.Exit(wiretest.RunWithProgram(m, &binary, "../..")) }

const (
	// patience is how long anything may take: machines are slow at times.
	patience = 2 * time.Minute
	// user is one whose password owner may set.
	user, owner = "400850336480234534", "pat-org-owner-a"
)

// program is a running adapter before an embedded ZITADEL.
type program struct {
	address, admin string
	command        *exec.Cmd
	exited         chan struct{}
	log            *wiretest.Buffer
}

// start runs the program with a configuration, "" is none, until the test ends.
func start(t *testing.T, config string) *program {
	t.Helper()
	fixture := wiretest.Fixture(t)
	fixture.InstanceHosts = []string{"localhost"}
	_, port, _ := net.SplitHostPort(wiretest.Listen(t, wiretest.NewZITADEL(t, fixture)))
	p := &program{address: wiretest.FreeAddress(t), admin: wiretest.FreeAddress(t), log: new(wiretest.Buffer), exited: make(chan struct{})}
	p.command = exec.Command(binary, "serve", "--config", wiretest.WriteFile(t, t.TempDir(), "config.yaml", []byte(config)),
		"--upstream-url", "http://localhost:"+port, "--listen", p.address, "--admin-listen", p.admin)
	p.command.Stderr = p.log
	if err := p.command.Start(); err != nil {
		t.Fatal(err)
	}
	go func() { defer close(p.exited); _ = p.command.Wait() }()
	t.Cleanup(func() {
		p.stop(t)
		if t.Failed() {
			t.Logf("the adapter's log:\n%s", p.log)
		}
	})
	for deadline := time.Now().Add(patience); ; time.Sleep(10 * time.Millisecond) {
		response, err := http.Get(p.url("/readyz"))
		if err == nil {
			_ = response.Body.Close()
			return p
		}
		if time.Now().After(deadline) {
			t.Fatalf("not ready: %v", err)
		}
	}
}

// stop ends the program, which must take no longer than patience and end well.
func (p *program) stop(t *testing.T) {
	t.Helper()
	_ = p.command.Process.Signal(syscall.SIGTERM)
	select {
	case <-p.exited:
	case <-time.After(patience):
		_ = p.command.Process.Kill()
		<-p.exited
		t.Error("still running long after SIGTERM")
	}
	if code := p.command.ProcessState.ExitCode(); code != 0 {
		t.Errorf("got exit code %d, want 0", code)
	}
}

func (p *program) url(path string) string { return "http://" + p.admin + path }

// call makes a v1 call as a client that has a name.
func (p *program) call(t *testing.T, client, token string) {
	t.Helper()
	request, err := http.NewRequestWithContext(t.Context(), http.MethodPost,
		"http://"+p.address+"/management/v1/users/"+user+"/password/_initialize", strings.NewReader(`{"password":"Sup3rPassw0rd!"}`))
	if err != nil {
		t.Fatal(err)
	}
	request.Header.Set("Authorization", "Bearer "+token)
	request.Header.Set("User-Agent", client)
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	_ = response.Body.Close()
}

// tab is one in a browser, and what it complains of.
type tab struct {
	ctx context.Context

	mu         sync.Mutex
	complaints []string
}

// newTab starts a browser until the test ends.
func newTab(t *testing.T) *tab {
	t.Helper()
	options := append(chromedp.DefaultExecAllocatorOptions[:], chromedp.Env("LANG=en_US.UTF-8"))
	if os.Getuid() == 0 { // whom the sandbox refuses
		options = append(options, chromedp.NoSandbox)
	}
	allocator, cancel := chromedp.NewExecAllocator(context.Background(), options...)
	t.Cleanup(cancel)
	made := new(tab)
	made.ctx, cancel = chromedp.NewContext(allocator, chromedp.WithListener(made.listen))
	t.Cleanup(cancel)
	if err := chromedp.Do(made.ctx); err != nil {
		t.Fatalf("Chromium does not start: %v: apt-get install --no-install-recommends chromium", err)
	}
	return made
}

// listen keeps what goes to the console: errors of scripts and of the network, and what the
// content security policy stopped.
func (b *tab) listen(event any) {
	var text string
	switch event := event.(type) {
	case *log.EventEntryAdded:
		text = fmt.Sprint(event.Entry.Source, " ", event.Entry.Level, ": ", event.Entry.Text, " ", event.Entry.URL)
	case *runtime.EventConsoleAPICalled:
		text = "console: " + event.Type.String()
	case *runtime.EventExceptionThrown:
		text = "exception: " + event.ExceptionDetails.Text
	default:
		return
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	b.complaints = append(b.complaints, text)
}

// complained are the complaints so far, which are forgotten.
func (b *tab) complained() []string {
	b.mu.Lock()
	defer b.mu.Unlock()
	complaints := b.complaints
	b.complaints = nil
	return complaints
}

// silent fails the test if the tab has complained.
func (b *tab) silent(t *testing.T) {
	t.Helper()
	for _, complaint := range b.complained() {
		t.Errorf("the browser complains: %s", complaint)
	}
}

// do runs actions one after the other.
func (b *tab) do(t *testing.T, actions ...chromedp.Action[chromedp.Void]) {
	t.Helper()
	ctx, cancel := context.WithTimeout(b.ctx, patience)
	defer cancel()
	if err := chromedp.Do(ctx, actions...); err != nil {
		t.Fatal(err)
	}
}

// run runs an action, and is what it gives.
func run[T any](t *testing.T, b *tab, action chromedp.Action[T]) T {
	t.Helper()
	ctx, cancel := context.WithTimeout(b.ctx, patience)
	defer cancel()
	result, err := chromedp.Run(ctx, action)
	if err != nil {
		t.Fatal(err)
	}
	return result
}

// until waits until an expression of JavaScript is true.
func (b *tab) until(t *testing.T, expression string) {
	t.Helper()
	for deadline := time.Now().Add(patience); ; time.Sleep(50 * time.Millisecond) {
		if run(t, b, chromedp.Evaluate[bool]("Boolean("+expression+")")) {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("never true: %s\nthe page:\n%s", expression, b.text(t, "document.body.innerText"))
		}
	}
}

// press is Enter on the element of a selector.
func press(selector string) chromedp.Action[chromedp.Void] {
	return chromedp.Steps(chromedp.Focus(chromedp.CSS(selector)), chromedp.KeyEvent(kb.Enter))
}

// text is what an expression of JavaScript says.
func (b *tab) text(t *testing.T, expression string) string {
	t.Helper()
	return run(t, b, chromedp.Evaluate[string]("String("+expression+")"))
}
