package page_test

import (
	"context"
	"fmt"
	"os/exec"
	"slices"
	"strings"
	"testing"

	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/chromedp"

	"zitadel-v1-adapter/internal/wiretest"
)

// names is an expression: the callers as the table has them, by name where that is known.
const names = `[...document.querySelectorAll("#callers tbody th")].map((each) => each.innerText.split("\n")[0]).join(" ")`

// After another call the page shows it, without being loaded again, and leaves alone what its
// reader is doing. However little time an answer may take, the stream of events goes on.
func TestPageUpdatesItself(t *testing.T) {
	program := start(t, "limits: {writeTimeout: 100ms}\n")
	browser := newTab(t)
	browser.do(t, chromedp.Navigate(program.url("/")))
	browser.until(t, `document.getElementById("live").dataset.mood === "good"`)
	browser.until(t, `document.body.innerText.includes("Nobody. There is no one left to write to.")`)
	browser.do(t, chromedp.Evaluate[chromedp.Void](`window.same = true; document.querySelector("#settings-all").open = true`),
		chromedp.Focus(chromedp.CSS("#q")))
	program.call(t, "first-client/1.0", owner)
	browser.until(t, `document.querySelector("#callers").innerText.includes("first-client/1.0")`)
	browser.until(t, `document.querySelector("#verdict").innerText.includes("Not yet: 1 caller still calls v1")`)
	browser.until(t, `document.querySelector("#present").innerText.includes("p99")`)
	program.call(t, "second-client/1.0", "pat-viewer-a")
	browser.until(t, `document.querySelector("#callers").innerText.includes("second-client/1.0")`)
	browser.until(t, `document.querySelector("#outcomes").innerText.includes("refused")`)
	for what, expression := range map[string]string{
		"it was not loaded again": `window.same === true`, "what was open is open": `document.querySelector("#settings-all").open`,
		"the focus is where it was": `document.activeElement.id === "q"`, "it is live": `document.getElementById("live").dataset.mood === "good"`,
	} {
		if browser.text(t, expression) != "true" {
			t.Errorf("not so: %s", what)
		}
	}
	browser.silent(t)
}

// A click on a head sorts, and typing searches, without a load; the address says both, so
// that it can be passed on.
func TestSortAndSearch(t *testing.T) {
	program := start(t, busy(t))
	browser := newTab(t)
	browser.do(t, chromedp.Navigate(program.url("/")), chromedp.Evaluate[chromedp.Void](`window.same = true`))
	browser.until(t, `document.querySelector("#sort-calls").parentElement.getAttribute("aria-sort") === "descending"`)
	first := browser.text(t, names)
	browser.do(t, chromedp.Click(chromedp.CSS("#sort-caller")))
	browser.until(t, `document.querySelector("#sort-caller").parentElement.getAttribute("aria-sort") === "ascending"`)
	sorted := strings.Fields(browser.text(t, names))
	if !slices.IsSorted(sorted) || len(sorted) != len(strings.Fields(first)) {
		t.Errorf("got %v, want it sorted", sorted)
	}
	browser.until(t, `document.activeElement.id === "sort-caller"`)
	browser.do(t, press("#sort-caller"))
	browser.until(t, `document.querySelector("#sort-caller").parentElement.getAttribute("aria-sort") === "descending"`)
	slices.Reverse(sorted)
	if got := strings.Fields(browser.text(t, names)); !slices.Equal(got, sorted) {
		t.Errorf("got %v, want %v", got, sorted)
	}
	browser.do(t, chromedp.SendKeys(chromedp.CSS("#q"), "OKHTTP"))
	browser.until(t, names+` === "billing@acme.example"`)
	if got := browser.text(t, `location.search`); got != "?q=OKHTTP&sort=-caller" {
		t.Errorf("got address %s", got)
	}
	browser.do(t, chromedp.Click(chromedp.CSS("#all")))
	browser.until(t, names+` === "`+strings.Join(sorted, " ")+`"`)
	if got := browser.text(t, `document.querySelector("#q").value`); got != "" {
		t.Errorf("the field says %q", got)
	}
	if browser.text(t, `window.same`) != "true" {
		t.Error("the page was loaded again")
	}
	browser.silent(t)
}

// Without JavaScript nothing is missing but that the page updates itself.
func TestWithoutJavaScript(t *testing.T) {
	program := start(t, busy(t))
	browser := newTab(t)
	browser.do(t, chromedp.Func(func(ctx context.Context, _ *chromedp.Target) error {
		_, err := chromedp.Call(ctx, emulation.SetScriptExecutionDisabled, emulation.SetScriptExecutionDisabledParams{Value: true})
		return err
	}), chromedp.Navigate(program.url("/")))
	if got := browser.text(t, `document.getElementById("live").dataset.mood`); got != "undefined" {
		t.Fatalf("scripts run: the page says it is %s", got)
	}
	for _, section := range []string{"verdict", "curve", "callers", "outcomes", "present", "end", "settings"} {
		if browser.text(t, `document.querySelector("#`+section+` h2").innerText`) == "" {
			t.Errorf("nothing in %s", section)
		}
	}
	all := browser.text(t, names)
	browser.do(t, press("#sort-calls"))
	browser.until(t, `location.search === "?sort=calls" && document.readyState === "complete"`)
	turned := strings.Fields(all)
	slices.Reverse(turned)
	if got := strings.Fields(browser.text(t, names)); !slices.Equal(got, turned) {
		t.Errorf("got %v, want %v", got, turned)
	}
	browser.do(t, chromedp.SendKeys(chromedp.CSS("#q"), "okhttp"), press("#search button"))
	browser.until(t, `location.search === "?q=okhttp&sort=calls" && document.readyState === "complete"`)
	if got := browser.text(t, names); got != "billing@acme.example" {
		t.Errorf("got %s", got)
	}
	browser.do(t, press("#curve-table summary"))
	browser.until(t, `document.querySelector("#curve-table").open`)
	browser.silent(t)
}

// An open page does not hold up the end of the adapter, says that it has gone, and is live
// again when there is another one.
func TestPageOutlivesTheAdapter(t *testing.T) {
	program := start(t, "server: {shutdownTimeout: 24h}\n")
	browser := newTab(t)
	browser.do(t, chromedp.Navigate(program.url("/")))
	browser.until(t, `document.getElementById("live").dataset.mood === "good"`)
	before := browser.text(t, `document.documentElement.dataset.state`)
	program.stop(t)
	browser.until(t, `document.getElementById("live").dataset.mood === "bad"`)
	again := exec.Command(binary, "demo", "--listen", wiretest.FreeAddress(t), "--admin-listen", program.admin)
	if err := again.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = again.Process.Kill()
		_ = again.Wait()
	})
	browser.until(t, `document.getElementById("live").dataset.mood === "good"`)
	browser.until(t, fmt.Sprintf("document.documentElement.dataset.state !== %q", before))
	browser.complained() // of the time in between
}

// With a token file, a browser that has logged in by any name, and the token as password, has the page,
// what belongs to it, and news.
func TestBrowserLogsIn(t *testing.T) {
	token := wiretest.WriteFile(t, t.TempDir(), "token", []byte("s3cret\n"))
	program := start(t, fmt.Sprintf("admin: {tokenFile: %q}\n", token))
	browser := newTab(t)
	browser.do(t, chromedp.Navigate("http://anybody:s3cret@"+program.admin+"/")) // as if typed into the browser's dialogue,
	browser.do(t, chromedp.Navigate("http://"+program.admin+"/"))                // after which the address has no password
	browser.until(t, `document.getElementById("live").dataset.mood === "good"`)
	program.call(t, "first-client/1.0", owner)
	browser.until(t, `document.querySelector("#callers").innerText.includes("first-client/1.0")`)
	browser.silent(t)
}
