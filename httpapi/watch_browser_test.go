package httpapi

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/pgscheduler/scheduler/internal/browser"
	"github.com/pgscheduler/scheduler/scheduler"
)

// eval returns what an expression is in the page, as text.
func eval(b *browser.Tab, expression string) string {
	return browser.Eval[string](b, "String("+expression+")")
}

// until waits for an expression to be what is wanted, as text.
func until(b *browser.Tab, expression, want string) {
	b.Await(fmt.Sprintf("String(%s) === `%s`", expression, want))
}

// worked is a task that a test works on.
type worked struct {
	*rig
	lease scheduler.Lease
	link  string
}

// work has a task leased.
func (r *rig) work() worked {
	r.t.Helper()
	queue := scheduler.Queue("q-" + scheduler.NewTaskID().String())
	worker := scheduler.WorkerInfo{ID: scheduler.NewWorkerID(), Queues: []scheduler.Queue{queue}, Kinds: []string{"k"}, Slots: 4, TTL: time.Hour}
	if err := r.client.Register(r.t.Context(), worker); err != nil {
		r.t.Fatal(err)
	}
	task := r.submit(`{"kind":"k","watch":true,"max_attempts":1,"queue":"` + string(queue) + `"}`)
	return worked{r, r.lease(worker.ID, queue, "k"), task.Links.Watch}
}

func (w worked) report(current, total int64, message string) {
	w.t.Helper()
	w.rig.report(scheduler.Report{Lease: w.lease, Progress: scheduler.Progress{Current: current, Total: total, Message: message}})
}

// report is stored when it returns. A task whose row is just being marked as watched is passed by, and reported on again.
func (r *rig) report(report scheduler.Report) {
	r.t.Helper()
	await(r.t, "the report is stored", func() bool {
		lost, locked, err := r.client.Report(r.t.Context(), []scheduler.Report{report})
		if err != nil || len(lost) > 0 {
			r.t.Fatalf("lost %v, %v", lost, err)
		}
		return len(locked) == 0
	})
}

func (w worked) complete() {
	w.t.Helper()
	if err := w.client.Complete(w.t.Context(), w.lease, nil); err != nil {
		w.t.Fatal(err)
	}
}

func (w worked) fail() {
	w.t.Helper()
	if _, err := w.client.Fail(w.t.Context(), w.lease, scheduler.Failure{Code: "timeout", Message: "hush"}); err != nil {
		w.t.Fatal(err)
	}
}

const (
	shownText  = `document.querySelector('task-progress .text')?.textContent`
	shownState = `document.querySelector('task-progress [role=status]')?.textContent`
	shownValue = `document.querySelector('task-progress progress').getAttribute('value')`
)

// TestWatchPageInABrowser: the page is live, shows text as text, and breaks none of its own rules.
func TestWatchPageInABrowser(t *testing.T) {
	t.Parallel()
	r := newRig(t, Config{})
	w := r.work()
	b := browser.Open(t, r.url+w.link)
	until(b, shownState, "Running")
	if got := eval(b, shownValue); got != "null" {
		t.Errorf("before the first report the bar is at %s", got)
	}
	eval(b, `window.sameDocument = 1`)
	w.report(1, 4, "page 1 of 4")
	until(b, shownText, "25% · page 1 of 4")
	until(b, shownValue, "25")
	evil := `</span><img src=x onerror="window.evil=1"><script>window.evil=1</script>`
	w.report(2, 4, evil)
	until(b, shownText, "50% · "+evil)
	w.complete()
	until(b, shownState, "Done")
	until(b, shownText, "100% · "+evil)
	if got := eval(b, `window.evil + ' ' + window.sameDocument + ' ' + document.querySelectorAll('img').length`); got != "undefined 1 0" {
		t.Errorf("the page has become %s", got)
	}
	b.Go(r.url + w.link) // done when it is opened
	until(b, shownText, "100% · "+evil)
	until(b, `[getComputedStyle(document.querySelector('main')).borderTopWidth, document.scripts.length]`, "1px,0")
}

// TestWatchPageWithLines: a link that shows the log shows it as it comes, and again to who comes when all is done.
func TestWatchPageWithLines(t *testing.T) {
	t.Parallel()
	r := newRig(t, Config{})
	w := r.work()
	link := r.server.keys.first.Mint(w.lease.Task, time.Now().Add(time.Hour), ShowLines)
	const shownLines = `document.querySelector('task-progress pre').textContent`
	write := func(messages ...string) {
		t.Helper()
		var lines []scheduler.Line
		for _, message := range messages {
			lines = append(lines, scheduler.Line{Lease: w.lease, At: time.Now(), Stream: "stdout", Message: message})
		}
		if err := w.client.Log(t.Context(), lines); err != nil {
			t.Fatal(err)
		}
	}
	write("one")
	b := browser.Open(t, r.url+"/watch/"+link)
	until(b, shownLines, "one\n")
	evil := `<img src=x onerror="window.evil=1">`
	write("two", evil)
	until(b, shownLines, "one\ntwo\n"+evil+"\n")
	write("three")
	w.complete()
	until(b, shownState, "Done")
	until(b, shownLines, "one\ntwo\n"+evil+"\nthree\n")
	b.Go(r.url + "/watch/" + link)
	until(b, shownLines, "one\ntwo\n"+evil+"\nthree\n")
	if got := eval(b, `window.evil + ' ' + document.querySelectorAll('img').length`); got != "undefined 0" {
		t.Errorf("the page has become %s", got)
	}
	b.Go(r.url + w.link) // which shows none
	until(b, shownState, "Done")
	until(b, `document.querySelector('pre')`, "null")
}

// TestWatchPageWhileItsServerStarts: a server that refuses streams for a while, as one does whose database is away, costs no line, and
// shows none twice.
func TestWatchPageWhileItsServerStarts(t *testing.T) {
	t.Parallel()
	r := newRig(t, Config{})
	api, err := url.Parse(r.url)
	if err != nil {
		t.Fatal(err)
	}
	forward := httputil.NewSingleHostReverseProxy(api)
	forward.FlushInterval = -1
	forward.ErrorHandler = func(http.ResponseWriter, *http.Request, error) { panic(http.ErrAbortHandler) } // the stream that is cut
	cut, end := context.WithCancel(t.Context())
	defer end()
	var began, again atomic.Bool
	proxy := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, q *http.Request) {
		if strings.HasSuffix(q.URL.Path, "/events") {
			was := cut.Err() != nil
			if !began.Swap(true) || was && !again.Swap(true) { // again: the browser's own try after the cut
				w.WriteHeader(http.StatusServiceUnavailable)
				return
			}
			if !was {
				q = q.WithContext(cut)
			}
		}
		forward.ServeHTTP(w, q)
	}))
	t.Cleanup(proxy.Close)
	w := r.work()
	link := r.server.keys.first.Mint(w.lease.Task, time.Now().Add(time.Hour), ShowLines)
	const shownLines = `document.querySelector('task-progress pre').textContent`
	write := func(message string) {
		t.Helper()
		if err := w.client.Log(t.Context(), []scheduler.Line{{Lease: w.lease, At: time.Now(), Stream: "stdout", Message: message}}); err != nil {
			t.Fatal(err)
		}
	}
	write("one")
	b := browser.Open(t, proxy.URL+"/watch/"+link)
	until(b, shownLines, "one\n")
	end()
	write("two")
	until(b, shownLines, "one\ntwo\n")
	w.complete()
	until(b, shownState, "Done")
	until(b, shownLines, "one\ntwo\n")
}

// TestWatchPageWithoutScripts: the page loads itself again.
func TestWatchPageWithoutScripts(t *testing.T) {
	t.Parallel()
	r := newRig(t, Config{})
	w := r.work()
	b := browser.Open(t, "about:blank")
	b.NoScript()
	b.Go(r.url + w.link)
	until(b, shownState, "Running")
	w.report(3, 4, "page 3 of 4")
	until(b, shownText, "75% · page 3 of 4")
	w.complete()
	until(b, shownState, "Done")
}

// elsewhere serves a page of another origin.
func elsewhere(t *testing.T, body string) string {
	t.Helper()
	page := `<!doctype html><meta charset=utf-8><title>shop</title><link rel=icon href="data:,">` + body
	web := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/html; charset=utf-8")
		_, _ = fmt.Fprint(w, page)
	}))
	t.Cleanup(web.Close)
	return strings.Replace(web.URL, "127.0.0.1", "localhost", 1) // another site, not only another port
}

const listening = `<script>
	window.heard = [];
	for (const name of ['done', 'failed', 'gone']) document.addEventListener(name, (e) => window.heard.push(name + ' ' + (e.detail?.state ?? '') + ' ' + e.target.id));
</script>`

// TestWatchElement: <task-progress> on a page of another site, several at once, with another src, and where streams do not work.
func TestWatchElement(t *testing.T) {
	t.Parallel()
	r := newRig(t, Config{})
	api, err := url.Parse(r.url)
	if err != nil {
		t.Fatal(err)
	}
	forward := httputil.NewSingleHostReverseProxy(api)
	proxy := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, q *http.Request) {
		if strings.HasSuffix(q.URL.Path, "/events") {
			w.Header().Set("Access-Control-Allow-Origin", "*")
			w.WriteHeader(http.StatusBadGateway)
			return
		}
		forward.ServeHTTP(w, q)
	}))
	t.Cleanup(proxy.Close)
	done, failed, polled, moved := r.work(), r.work(), r.work(), r.work()
	element := func(id, src string) string {
		return `<task-progress id="` + id + `" label="Export" src="` + src + `"></task-progress>`
	}
	b := browser.Open(t, elsewhere(t, listening+element("done", r.url+done.link)+element("failed", r.url+failed.link)+element("polled", proxy.URL+polled.link)+
		element("expired", r.url+"/watch/x")+element("moved", r.url+done.link)+element("idle", "")+`<script type="module" src="`+r.url+`/watch.js"></script>`))
	text := func(id, part string) string {
		return `document.querySelector('#` + id + ` ` + part + `').textContent`
	}
	until(b, text("done", "[role=status]"), "Running")
	until(b, text("expired", ".text"), "This link shows nothing (any more).")
	eval(b, `document.querySelector('#moved').setAttribute('src', '`+r.url+moved.link+`')`)
	for i, w := range []worked{done, failed, polled, moved} {
		w.report(int64(i), 10, "step")
	}
	until(b, text("done", ".text"), "0% · step")
	until(b, text("failed", ".text"), "10% · step")
	until(b, text("polled", ".text"), "20% · step")
	until(b, text("moved", ".text"), "30% · step")
	done.complete()
	failed.fail()
	polled.complete()
	until(b, `window.heard.toSorted().join(', ')`, "done completed done, done completed polled, failed failed failed, gone  expired")
	until(b, text("failed", ".text"), "10% · It took too long.")
	until(b, text("moved", ".text"), "30% · step")
	if got := eval(b, `(p => [p.getAttribute('role'), p.getAttribute('aria-label'), p.max, p.value])(document.querySelector('#done progress'))`); got != ",Export,100,100" {
		t.Errorf("the bar is %s", got)
	}
	eval(b, `document.querySelector('#moved').remove()`)
	moved.complete()
	if strings.Contains(r.log.String(), "panic") {
		t.Error(r.log.String())
	}
}

// TestWatchPageInAFrame: a page of another site may show it.
func TestWatchPageInAFrame(t *testing.T) {
	t.Parallel()
	r := newRig(t, Config{})
	w := r.work()
	browser.Open(t, elsewhere(t, `<iframe src="`+r.url+w.link+`"></iframe>`))
	w.complete()
	const ended = `route="GET /watch/{token}/events" status=200` // its script runs, and has seen the end
	await(t, ended, func() bool { return strings.Contains(r.log.String(), ended) })
}
