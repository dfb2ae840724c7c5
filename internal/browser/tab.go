package browser

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/cdproto/network"
	"github.com/chromedp/cdproto/page"
	"github.com/chromedp/chromedp"
)

// within bounds every wait; nothing takes so long unless it never happens.
const within = 2 * time.Minute

var errMissing = errors.New("there is no Chromium on this machine: apt-get install chromium, or put chromium, google-chrome or chrome into PATH")

// process starts the browser of this test process, which ends with it.
var process = sync.OnceValues(func() (context.Context, error) {
	program := ""
	for _, name := range []string{"chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome", "headless-shell"} {
		if path, err := exec.LookPath(name); err == nil {
			program = path
			break
		}
	}
	if program == "" {
		return nil, errMissing
	}
	options := []chromedp.ExecAllocatorOption{chromedp.ExecPath(program), chromedp.Headless, chromedp.NoFirstRun, chromedp.NoDefaultBrowserCheck,
		chromedp.DisableGPU, chromedp.WSURLReadTimeout(within), chromedp.Flag("disable-dev-shm-usage", true), chromedp.Flag("hide-scrollbars", true)}
	if os.Geteuid() == 0 {
		options = append(options, chromedp.NoSandbox) // root has none; the pages are our own
	}
	allocator, _ := chromedp.NewExecAllocator(context.Background(), options...)
	browser, cancel := chromedp.NewContext(allocator)
	closing = cancel
	return browser, chromedp.Do(browser) // starts it
})

var closing func()

// Stop ends the browser, if one was started. A package with tests in a browser calls it at the end of its TestMain.
func Stop() {
	if closing != nil {
		closing()
	}
}

// Tab is a tab with cookies of its own. Only the test's goroutine may use it.
type Tab struct {
	t   testing.TB
	ctx context.Context
}

// Open opens a page in a new tab, which is closed when the test ends.
func Open(t testing.TB, url string) *Tab {
	t.Helper()
	browser, err := process()
	if errors.Is(err, errMissing) && os.Getenv("CI") != "true" {
		t.Skip(err)
	}
	if err != nil {
		t.Fatalf("browser: %v", err)
	}
	ctx, cancel := chromedp.NewContext(browser, chromedp.WithNewBrowserContext())
	tab := &Tab{t: t, ctx: ctx}
	tab.do(chromedp.Func(func(context.Context, *chromedp.Target) error { return nil })) // makes the tab, which lives as long as ctx
	tab.hear(cancel)
	tab.sayYes()
	tab.Go(url)
	return tab
}

// hear fails the test for each error that a page writes to the console: what its policy forbids, and what nothing catches. That a
// server answers with an error is none. It ends with the tab.
func (b *Tab) hear(cancel context.CancelFunc) {
	messages, heard := chromedp.Console(b.ctx), make(chan struct{})
	go func() { // ends with the tab; the cleanup waits
		defer close(heard)
		for m, err := range messages {
			if err != nil {
				return
			}
			if (m.IsException() || m.Type == "error") && m.Source != "network" {
				b.t.Errorf("browser: the console says %s (%s)", m, m.URL)
			}
		}
	}()
	b.t.Cleanup(func() { cancel(); <-heard })
}

// sayYes answers each question of the page with yes.
func (b *Tab) sayYes() {
	err := chromedp.Listen(b.ctx, func(event any) {
		if _, ok := event.(*page.EventJavascriptDialogOpening); !ok {
			return
		}
		go func() { // ends with the answer, or the tab; the listener may not wait for it
			_, _ = chromedp.Call(b.ctx, page.HandleJavaScriptDialog, page.HandleJavaScriptDialogParams{Accept: true})
		}()
	})
	if err != nil {
		b.t.Fatalf("browser: %v", err)
	}
}

func (b *Tab) do(steps ...chromedp.Action[chromedp.Void]) {
	b.t.Helper()
	if err := chromedp.Do(b.ctx, steps...); err != nil {
		b.t.Fatalf("browser: %v", err)
	}
}

// bounded does steps that the page may keep waiting for.
func (b *Tab) bounded(what string, steps ...chromedp.Action[chromedp.Void]) {
	b.t.Helper()
	ctx, cancel := context.WithTimeout(b.ctx, within)
	defer cancel()
	if err := chromedp.Do(ctx, steps...); err != nil {
		b.t.Fatalf("browser: %s: %v; the page is\n%s", what, err, b.text())
	}
}

// Go opens a page and waits until it is loaded.
func (b *Tab) Go(url string) {
	b.t.Helper()
	b.bounded("open "+url, chromedp.Navigate(url))
}

// Click clicks what a CSS selector finds, once it can be seen. A live page may replace that before it is clicked: then what has
// come in its place is.
func (b *Tab) Click(css string) {
	b.t.Helper()
	ctx, cancel := context.WithTimeout(b.ctx, within)
	defer cancel()
	err := chromedp.Do(ctx, chromedp.Click(chromedp.CSS(css)))
	for err != nil && ctx.Err() == nil && replaced(err) {
		err = chromedp.Do(ctx, chromedp.Click(chromedp.CSS(css)))
	}
	if err != nil {
		b.t.Fatalf("browser: click %s: %v; the page is\n%s", css, err, b.text())
	}
}

// replaced reports whether an element went while it was being looked at, which is before it is clicked.
func replaced(err error) bool {
	for _, text := range []string{"Could not find node", "No node with given id", "Node is detached", "does not have a layout object", "Could not compute box model"} {
		if strings.Contains(err.Error(), text) {
			return true
		}
	}
	return false
}

// Fill puts text into a field in the place of what is there.
func (b *Tab) Fill(css, text string) {
	b.t.Helper()
	b.bounded("fill "+css, chromedp.SetValue(chromedp.CSS(css), text))
}

// Keys presses keys.
func (b *Tab) Keys(keys string) {
	b.t.Helper()
	b.bounded("press "+keys, chromedp.KeyEvent(keys))
}

// Eval returns what an expression of JavaScript is worth.
func Eval[T any](b *Tab, expression string) T {
	b.t.Helper()
	ctx, cancel := context.WithTimeout(b.ctx, within)
	defer cancel()
	value, err := chromedp.Run(ctx, chromedp.Evaluate[T](expression))
	if err != nil {
		b.t.Fatalf("browser: %s: %v", expression, err)
	}
	return value
}

// Await waits until an expression of JavaScript is true. A page that is being left has none.
func (b *Tab) Await(expression string) {
	b.t.Helper()
	ctx, cancel := context.WithTimeout(b.ctx, within)
	defer cancel()
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for {
		holds, err := chromedp.Run(ctx, chromedp.Evaluate[bool]("!!("+expression+")"))
		if err == nil && holds {
			return
		}
		select {
		case <-ctx.Done():
			b.t.Fatalf("browser: it never came true (%v): %s; the page is\n%s", err, expression, b.text())
		case <-tick.C:
		}
	}
}

func (b *Tab) text() string {
	ctx, cancel := context.WithTimeout(b.ctx, 5*time.Second)
	defer cancel()
	text, err := chromedp.Run(ctx, chromedp.Evaluate[string]("location.href + '\\n' + document.body.innerText"))
	if err != nil {
		return fmt.Sprint(err)
	}
	return text
}

// Block keeps the tab from loading what a pattern of Chromium's matches, such as *://*:*/events.
func (b *Tab) Block(pattern string) {
	b.t.Helper()
	b.do(chromedp.Func(func(ctx context.Context, t *chromedp.Target) error {
		if _, err := chromedp.Call(ctx, network.Enable, network.EnableParams{}); err != nil {
			return err
		}
		_, err := chromedp.Call(ctx, network.SetBlockedURLs, network.SetBlockedURLsParams{URLPatterns: []*network.BlockPattern{{URLPattern: pattern, Block: true}}})
		return err
	}))
}

// Look sets how wide the page is seen, in pixels, and whether in the dark.
func (b *Tab) Look(width int, dark bool) {
	b.t.Helper()
	scheme := "light"
	if dark {
		scheme = "dark"
	}
	b.do(chromedp.EmulateViewport(int64(width), 800))
	b.media("prefers-color-scheme", scheme)
}

// NoScript has the pages that are opened from now on go without JavaScript. Await and Eval still work.
func (b *Tab) NoScript() {
	b.t.Helper()
	b.do(chromedp.Func(func(ctx context.Context, t *chromedp.Target) error {
		_, err := chromedp.Call(ctx, emulation.SetScriptExecutionDisabled, emulation.SetScriptExecutionDisabledParams{Value: true})
		return err
	}))
}

// Still has the browser ask pages for less motion.
func (b *Tab) Still() {
	b.t.Helper()
	b.media("prefers-reduced-motion", "reduce")
}

// media sets what a page is told of its reader.
func (b *Tab) media(feature, value string) {
	b.t.Helper()
	b.do(chromedp.Func(func(ctx context.Context, t *chromedp.Target) error {
		_, err := chromedp.Call(ctx, emulation.SetEmulatedMedia, emulation.SetEmulatedMediaParams{Features: []*emulation.MediaFeature{{Name: feature, Value: value}}})
		return err
	}))
}

// Picture writes the whole page as PNG.
func (b *Tab) Picture(file string) {
	b.t.Helper()
	png, err := chromedp.Run(b.ctx, chromedp.FullScreenshot(100))
	if err != nil {
		b.t.Fatalf("browser: picture: %v", err)
	}
	if err := os.WriteFile(file, png, 0o644); err != nil {
		b.t.Fatal(err)
	}
}
