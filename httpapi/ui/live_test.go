package ui_test

import (
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/pgscheduler/scheduler/httpapi"
	"github.com/pgscheduler/scheduler/internal/browser"
	"github.com/pgscheduler/scheduler/internal/proc"
	"github.com/pgscheduler/scheduler/scheduler"
)

// TestServerStartsAgain: a page that is open while its server is away says so and goes on when it is back, without being loaded.
func TestServerStartsAgain(t *testing.T) {
	t.Parallel()
	r := newRig(t, "")
	handler, err := httpapi.New(r.client, httpapi.Config{Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	address := "127.0.0.1:" + proc.FreePort(t) // which nobody takes while it is away
	start := func() *http.Server {
		listener, err := net.Listen("tcp", address)
		if err != nil {
			t.Fatal(err)
		}
		server := &http.Server{Handler: handler, ReadHeaderTimeout: time.Minute}
		go func() { _ = server.Serve(listener) }() // ends with Close
		t.Cleanup(func() { _ = server.Close() })
		return server
	}
	server := start()
	id := r.submit(scheduler.NewTask{Kind: "nobody.runs"})
	tab := browser.Open(t, "http://"+address+"/tasks/"+id.String())
	live(tab)
	browser.Eval[bool](tab, `(window.same = true)`)
	_ = server.Close()
	tab.Await(`["reconnecting", "waiting for the server"].includes(document.querySelector("#live").textContent)`)
	if _, err := r.client.Cancel(t.Context(), id, "meanwhile"); err != nil {
		t.Fatal(err)
	}
	start()
	tab.Await(`document.querySelector(".taskhead .state").textContent === "cancelled" && document.querySelector(".why").textContent.includes("meanwhile") && window.same`)
	live(tab)
	tab.Await(`document.title.startsWith("cancelled · nobody.runs")`)
}

// TestNobodyLooks: a page in the background has no stream, of which a browser has few; it is as things are once it is looked at.
func TestNobodyLooks(t *testing.T) {
	t.Parallel()
	r := newRig(t, "")
	gate := r.work()
	id := r.submit(scheduler.NewTask{Kind: "demo.slow"})
	tab := browser.Open(t, r.one+"/tasks/"+id.String())
	tab.Await(`document.querySelector(".taskhead progress")?.value === 10`)
	live(tab)
	// One reading of the page is under way, and held up until nobody looks any more: it changes nothing then.
	browser.Eval[bool](tab, `(window.real = window.fetch, window.fetch = async (...request) => {
		const answer = await window.real(...request), text = await answer.text();
		await new Promise((go) => window.go = go);
		answer.text = async () => (setTimeout(() => window.read = true), text); // true once the page has it
		return answer;
	}, true)`)
	tab.Await(`window.go`)
	browser.Eval[bool](tab, `(Object.defineProperty(document, "hidden", { configurable: true, value: true }), document.dispatchEvent(new Event("visibilitychange")))`)
	tab.Await(`document.querySelector("#live").textContent === "paused"`)
	browser.Eval[bool](tab, `(window.fetch = window.real, window.go(), true)`)
	tab.Await(`window.read`)
	if live := browser.Eval[string](tab, `document.querySelector("#live").textContent`); live != "paused" {
		t.Errorf("it is %s", live)
	}
	await(t, "nobody follows", func() bool { return r.client.Counts().Watchers == 0 })
	gate.report <- struct{}{}
	await(t, "it reports", func() bool {
		task, err := r.client.Task(t.Context(), id)
		return err == nil && task.ProgressCurrent != nil && *task.ProgressCurrent == 60
	})
	if value := browser.Eval[int](tab, `document.querySelector(".taskhead progress").value`); value != 10 {
		t.Errorf("it went on to %d", value)
	}
	browser.Eval[bool](tab, `(Object.defineProperty(document, "hidden", { configurable: true, value: false }), document.dispatchEvent(new Event("visibilitychange")))`)
	tab.Await(`document.querySelector(".taskhead progress")?.value === 60 && document.querySelector("#log").textContent.includes("more than half")`)
	live(tab)
	gate.finish <- struct{}{}
	tab.Await(`document.querySelector(".taskhead .state").textContent === "completed"`)
}

// TestAnOldReadingChangesNothing: a page that was read before the stream told of the end does not take that back.
func TestAnOldReadingChangesNothing(t *testing.T) {
	t.Parallel()
	r := newRig(t, "")
	gate := r.work()
	id := r.submit(scheduler.NewTask{Kind: "demo.slow"})
	tab := browser.Open(t, r.one+"/tasks/"+id.String())
	tab.Await(`document.querySelector(".taskhead progress")?.value === 10`)
	live(tab)
	browser.Eval[bool](tab, `(window.real = window.fetch, window.fetch = async (...request) => {
		const answer = await window.real(...request), text = await answer.text();
		if (document.querySelector(".taskhead").dataset.state === "running") await new Promise((go) => window.go = go);
		answer.text = async () => (setTimeout(() => window.shown = document.querySelector(".taskhead").dataset.state), text); // what is shown once the page has it
		return answer;
	}, true)`)
	tab.Await(`window.go`)
	gate.report <- struct{}{}
	gate.finish <- struct{}{}
	tab.Await(`document.querySelector(".taskhead").dataset.state === "completed"`)
	browser.Eval[bool](tab, `(window.go(), true)`)
	tab.Await(`window.shown`)
	if shown := browser.Eval[string](tab, `window.shown`); shown != "completed" {
		t.Errorf("it is %s again", shown)
	}
	tab.Await(`document.querySelector("#live-result").textContent.includes("done")`)
}

// TestAStreamThatEndsTooEarly: a page whose task goes on all the same follows it again.
func TestAStreamThatEndsTooEarly(t *testing.T) {
	t.Parallel()
	r := newRig(t, "")
	handler, err := httpapi.New(r.client, httpapi.Config{Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	id := r.submit(scheduler.NewTask{Kind: "nobody.runs"})
	var streams atomic.Int32
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, q *http.Request) {
		if strings.HasSuffix(q.URL.Path, "/events") && streams.Add(1) == 1 { // of a server that does not know yet that it was retried
			w.Header().Set("Content-Type", "text/event-stream")
			_, _ = io.WriteString(w, "event: task\nid: 0\ndata: {\"id\":\""+id.String()+"\",\"state\":\"failed\",\"revision\":0}\n\nevent: end\nid: 0\ndata: {}\n\n")
			return
		}
		handler.ServeHTTP(w, q)
	}))
	t.Cleanup(server.Close)
	tab := browser.Open(t, server.URL+"/tasks/"+id.String())
	await(t, "it is followed again", func() bool { return streams.Load() > 1 })
	live(tab)
}

// TestClockOfTheServer: times are as the server sees them, whatever the browser's clock says.
func TestClockOfTheServer(t *testing.T) {
	t.Parallel()
	r := newRig(t, "")
	r.submit(scheduler.NewTask{Kind: "nobody.runs"})
	tab := browser.Open(t, r.one+"/tasks")
	// The clock jumps. From the next reading of the page on, and the first after the jump may have been under way before, that is made up for.
	browser.Eval[bool](tab, `(window.was = Date.now.bind(Date), Date.now = () => window.was() + 7200000, window.real = window.fetch, window.reads = 0,
		window.fetch = (...request) => window.real(...request).finally(() => window.reads++), true)`)
	tab.Await(`window.reads >= 2 && !document.querySelector("td.at time").textContent.startsWith("2 h")`)
}

// TestSessionEndsWhileOneTypes: what was typed is not lost; a page on which nothing was leads to the login.
func TestSessionEndsWhileOneTypes(t *testing.T) {
	t.Parallel()
	r := newRig(t, token)
	id := r.submit(scheduler.NewTask{Kind: "nobody.runs"})
	tab := browser.Open(t, r.one+"/tasks/"+id.String())
	tab.Fill(`input[name=token]`, token)
	tab.Click(`button.primary`)
	tab.Await(`document.querySelector("h1")?.textContent === "nobody.runs"`)
	tab.Await(`document.querySelector("[data-copy]")?.checkVisibility()`) // the module runs
	browser.Eval[bool](tab, `(() => { // it says so for a moment, unless the page is read again within it
		const button = document.querySelector("[data-copy]");
		new MutationObserver(() => { window.copied ||= button.textContent === "Copied"; }).observe(button, { childList: true });
		button.click();
		return true;
	})()`)
	tab.Await(`window.copied`)
	tab.Click(`.edit summary`)
	tab.Fill(`.edit [name=payload]`, `{"a": 2}`)
	browser.Eval[bool](tab, `(document.activeElement.blur(), fetch("/logout", { method: "POST" }), true)`)
	tab.Await(`document.querySelector("#said").textContent.includes("The session has ended") && document.querySelector("#live").textContent === "signed out"`)
	tab.Await(`document.querySelector(".edit [name=payload]").value === '{"a": 2}'`)
	tab.Go(r.one + "/queues")
	tab.Await(`location.pathname === "/login"`)
}
