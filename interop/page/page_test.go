package page_test

import (
	"context"
	"flag"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/chromedp"
)

var screenshots = flag.String("screenshots", "", "write screenshots of the page to this `DIR`")

// sight is how somebody looks at the page.
type sight struct {
	theme string
	width int64
}

func sights() []sight {
	return []sight{{"light", 1440}, {"dark", 1440}, {"light", 390}, {"dark", 390}}
}

func (s sight) String() string { return fmt.Sprintf("%s-%d", s.theme, s.width) }

// in makes the tab one of somebody who looks so.
func (s sight) in() chromedp.Action[chromedp.Void] {
	const height = 1480
	theme := func(ctx context.Context, _ *chromedp.Target) error {
		_, err := chromedp.Call(ctx, emulation.SetEmulatedMedia, emulation.SetEmulatedMediaParams{
			Features: []*emulation.MediaFeature{{Name: "prefers-color-scheme", Value: s.theme}},
		})
		return err
	}
	return chromedp.Steps(chromedp.EmulateViewport(s.width, height), chromedp.Func(theme))
}

// In both themes, on a telephone and on a large screen, the page fits, however many call, the
// browser has nothing to complain of, and axe neither.
func TestPageFits(t *testing.T) {
	for name, config := range map[string]string{
		"": busy(t), "done-": done(t), "0-callers-": "", "30-callers-": crowd(t, 30), "5000-callers-": crowd(t, 5000),
	} {
		program := start(t, config)
		if name == "" {
			for range 40 {
				program.call(t, "okhttp/4.12.0", owner)
			}
		}
		for _, look := range sights() {
			t.Run(name+look.String(), func(t *testing.T) { fits(t, program, look, name+look.String()) })
		}
	}
}

func fits(t *testing.T, program *program, look sight, name string) {
	t.Helper()
	browser := newTab(t)
	browser.do(t, look.in(), chromedp.Navigate(program.url("/")))
	browser.until(t, `document.getElementById("live").dataset.mood === "good"`)
	browser.until(t, `matchMedia("(prefers-color-scheme: `+look.theme+`)").matches`)
	browser.fits(t)
	browser.until(t, `document.querySelector("#notice").innerText === ""`) // a busy machine may read the ledger too slowly at first
	const telephone, tenScreens = 390, 10 * 844
	if height := run(t, browser, chromedp.Evaluate[int](`document.documentElement.scrollHeight`)); look.width == telephone && height > tenScreens {
		t.Errorf("the page is %d pixels high, want no more than ten screens", height)
	}
	if *screenshots != "" {
		const best = 100 // a PNG
		save(t, name, run(t, browser, chromedp.FullScreenshot(best)))
		save(t, name+"-top", run(t, browser, chromedp.CaptureScreenshot()))
	}
	browser.silent(t)
	if found := findings(t, browser); len(found) > 0 {
		t.Errorf("axe finds:\n%s", strings.Join(found, "\n"))
	}
	browser.silent(t)
}

// fits fails the test if the page is wider than what shows it.
func (b *tab) fits(t *testing.T) {
	t.Helper()
	if got := run(t, b, chromedp.Evaluate[int](`document.documentElement.scrollWidth - innerWidth`)); got > 0 {
		t.Errorf("the page is %d pixels too wide", got)
	}
}

// What clients call themselves neither runs nor makes the page wider than it is.
func TestHostileTextsFit(t *testing.T) {
	program := start(t, "")
	hostile := []string{strings.Repeat("W", 100), `<script>window.bad=1</script>`, `"><img src=x onerror=window.bad=1>`, "\u202egnihtemos", strings.Repeat("\ufdfd", 30)}
	for i, client := range hostile { // strangers' texts are not kept
		program.call(t, client, []string{owner, "pat-viewer-a", "pat-none-a", "pat-org-owner-both", "pat-iam-owner"}[i])
	}
	for _, look := range sights() {
		t.Run(look.String(), func(t *testing.T) {
			browser := newTab(t)
			for _, query := range []string{"", "?q=" + url.QueryEscape(hostile[1]), "?q=" + strings.Repeat("W", 300)} {
				browser.do(t, look.in(), chromedp.Navigate(program.url("/"+query)))
				browser.until(t, `document.getElementById("live").dataset.mood === "good"`)
				browser.fits(t)
			}
			if got := browser.text(t, "window.bad"); got != "undefined" {
				t.Error("a client's text runs")
			}
			browser.silent(t)
		})
	}
}

// save writes a screenshot. docs/page.png is light-1440-top.
func save(t *testing.T, name string, picture []byte) {
	t.Helper()
	if err := os.WriteFile(filepath.Join(*screenshots, name+".png"), picture, 0o600); err != nil {
		t.Fatal(err)
	}
}

// findings are what axe calls serious or critical, with everything open that can be.
func findings(t *testing.T, browser *tab) []string {
	t.Helper()
	const path = "../node_modules/axe-core/axe.min.js"
	axe, err := os.ReadFile(path)
	if err != nil {
		t.Fatalf("%v: npm ci in interop", err)
	}
	return run(t, browser, chromedp.Evaluate[[]string](string(axe)+`;
		for (const each of document.querySelectorAll("details")) each.open = true;
		axe.run({resultTypes: ["violations"]}).then((result) => result.violations
			.filter((each) => each.impact === "serious" || each.impact === "critical")
			.flatMap((each) => each.nodes.map((node) => each.id + ": " + node.html + ": " + node.failureSummary)))`,
		chromedp.EvalAwaitPromise))
}

// The tests above would see what is wrong: a script that stands in the page, an error, a
// request without an answer, and what axe looks for.
func TestBrowserComplains(t *testing.T) {
	program := start(t, "")
	browser := newTab(t)
	browser.do(t, chromedp.Navigate(program.url("/")))
	browser.until(t, `document.getElementById("live").dataset.mood === "good"`)
	browser.silent(t)
	for what, script := range map[string]string{
		"a script in the page": `document.body.append(Object.assign(document.createElement("script"), {text: "window.bad = 1"}))`,
		"a style in the page":  `document.body.setAttribute("style", "color: red")`,
		"a foreign picture":    `document.body.append(Object.assign(new Image(), {src: "http://localhost:1/none.png"}))`,
		"an exception":         `setTimeout(() => none())`,
		"no such file":         `fetch("/none")`,
		"a word of its own":    `console.log("a")`,
	} {
		browser.do(t, chromedp.Evaluate[chromedp.Void](script))
		for deadline := time.Now().Add(patience); len(browser.complained()) == 0; time.Sleep(10 * time.Millisecond) {
			if time.Now().After(deadline) {
				t.Fatalf("%s: no complaint", what)
			}
		}
	}
	if got := browser.text(t, "window.bad"); got != "undefined" {
		t.Error("a script in the page runs")
	}
	browser.do(t, chromedp.Evaluate[chromedp.Void](`document.documentElement.removeAttribute("lang")`))
	if len(findings(t, browser)) == 0 {
		t.Error("axe does not miss the language")
	}
}
