package ui_test

import (
	"log/slog"
	"net"
	"net/http"
	"testing"
	"time"

	"github.com/pgscheduler/scheduler/httpapi"
	"github.com/pgscheduler/scheduler/internal/browser"
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
	start := func(address string) *http.Server {
		listener, err := net.Listen("tcp", address)
		if err != nil {
			t.Fatal(err)
		}
		server := &http.Server{Handler: handler, Addr: listener.Addr().String(), ReadHeaderTimeout: time.Minute}
		go func() { _ = server.Serve(listener) }() // ends with Close
		t.Cleanup(func() { _ = server.Close() })
		return server
	}
	server := start("127.0.0.1:0")
	id := r.submit(scheduler.NewTask{Kind: "nobody.runs"})
	tab := browser.Open(t, "http://"+server.Addr+"/tasks/"+id.String())
	live(tab)
	browser.Eval[bool](tab, `(window.same = true)`)
	_ = server.Close()
	tab.Await(`["reconnecting", "waiting for the server"].includes(document.querySelector("#live").textContent)`)
	if _, err := r.client.Cancel(t.Context(), id, "meanwhile"); err != nil {
		t.Fatal(err)
	}
	start(server.Addr)
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
	browser.Eval[bool](tab, `(Object.defineProperty(document, "hidden", { configurable: true, value: true }), document.dispatchEvent(new Event("visibilitychange")))`)
	tab.Await(`document.querySelector("#live").textContent === "paused"`)
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

// TestClockOfTheServer: times are as the server sees them, whatever the browser's clock says.
func TestClockOfTheServer(t *testing.T) {
	t.Parallel()
	r := newRig(t, "")
	r.submit(scheduler.NewTask{Kind: "nobody.runs"})
	tab := browser.Open(t, r.one+"/tasks")
	browser.Eval[bool](tab, `(window.was = Date.now.bind(Date), Date.now = () => window.was() + 7200000, true)`)
	tab.Await(`document.querySelector("td.at time").textContent.startsWith("2 h")`)
	tab.Await(`!document.querySelector("td.at time").textContent.startsWith("2 h")`)
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
	tab.Click(`[data-copy]`)
	tab.Await(`document.querySelector("[data-copy]").textContent === "Copied"`)
	tab.Click(`.edit summary`)
	tab.Fill(`.edit [name=payload]`, `{"a": 2}`)
	browser.Eval[bool](tab, `(document.activeElement.blur(), fetch("/logout", { method: "POST" }), true)`)
	tab.Await(`document.querySelector("#said").textContent.includes("The session has ended") && document.querySelector("#live").textContent === "signed out"`)
	tab.Await(`document.querySelector(".edit [name=payload]").value === '{"a": 2}'`)
	tab.Go(r.one + "/queues")
	tab.Await(`location.pathname === "/login"`)
}
