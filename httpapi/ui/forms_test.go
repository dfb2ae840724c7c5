package ui_test

import (
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/pgscheduler/scheduler/internal/browser"
	"github.com/pgscheduler/scheduler/scheduler"
)

// TestRefusedFormKeepsWhatWasTyped: what is wrong stands in the form, which can be mended and sent again; and so when nobody answers.
func TestRefusedFormKeepsWhatWasTyped(t *testing.T) {
	t.Parallel()
	r := newRig(t, "")
	tab := browser.Open(t, r.one+"/tasks/new")
	live(tab)
	tab.Fill(`input[name=kind]`, "mail.send")
	tab.Fill(`textarea`, `{"to": "Ada <ada@example.org>"`)
	tab.Click(`.form .primary`)
	tab.Await(`document.querySelector(".form [role=alert]")?.textContent.includes("breaks a rule") && !document.querySelector(".form .primary").disabled`)
	tab.Click(`.form .primary`)
	tab.Await(`document.querySelectorAll(".form [role=alert]").length === 1 && !document.querySelector(".form .primary").disabled`)
	if kept := browser.Eval[string](tab, `location.pathname + document.querySelector("[name=kind]").value + document.querySelector("textarea").value`); kept != `/tasks/newmail.send{"to": "Ada <ada@example.org>"` {
		t.Errorf("kept: %s", kept)
	}
	browser.Eval[bool](tab, `(window.kept = window.fetch, window.fetch = () => Promise.reject(new Error("no network")), true)`)
	tab.Click(`.form .primary`)
	tab.Await(`document.querySelector(".form [role=alert]")?.textContent.includes("The server did not answer")`)
	browser.Eval[bool](tab, `(window.fetch = window.kept, true)`)
	tab.Fill(`textarea`, `{"to": "Ada <ada@example.org>"}`)
	tab.Click(`.form .primary`)
	said(tab, "is submitted")
	tab.Await(`location.pathname.startsWith("/tasks/0") && document.querySelector("h1").textContent === "mail.send"`)
}

// TestPagesCountRight: numbers are of what stands beside them.
func TestPagesCountRight(t *testing.T) {
	t.Parallel()
	r := newRig(t, "")
	worker := scheduler.NewWorkerID()
	r.exec(`insert into scheduler.workers (id, name, queues, kinds, slots, running, ttl_ms) values ($1, 'web-7', '{default}', '{k}', 900, 7, 3600000)`, worker)
	for range 7 {
		id := r.submit(scheduler.NewTask{Kind: "k"})
		r.exec(`update scheduler.tasks set state = 'running', worker_id = $2, attempt = 1, started_at = now() where id = $1`, id, worker)
	}
	r.exec(`insert into scheduler.leases (worker_id, queue, task_ids) select $1, 'default', array_agg(id) from scheduler.tasks`, worker)
	if a := r.get("/workers"); !strings.Contains(a.body, `and 2 more`) {
		t.Error("the worker has 7 tasks, of which 5 are shown")
	}

	// The counts of tabs are of all tasks: where something else is filtered they are left out.
	r.submit(scheduler.NewTask{Kind: "mail.send", Queue: "mail"})
	counts := func(query string) int {
		return strings.Count(r.get("/tasks"+query).body, `<span class="num dim">`) - strings.Count(r.get("/tasks"+query).body, `<span class="num dim"></span>`)
	}
	for query, shown := range map[string]bool{"": true, "?state=ready": true, "?queue=mail": false, "?state=ready&text=x": false} {
		if n := counts(query); (n > 0) != shown {
			t.Errorf("/tasks%s: %d tabs have counts", query, n)
		}
	}

	// What is done a minute is of the last minute, whatever the chart shows.
	r.exec(`insert into scheduler.stats (minute, queue, kind, completed, failed, dead, run_ms, wait_ms) select date_trunc('minute', now()) + n * interval '1 min', 'default', 'k', 41, 0, 0, 1, 1 from generate_series(-3, 0) n`)
	for _, span := range []string{"1h", "24h"} {
		if a := r.get("/?span=" + span); !strings.Contains(a.body, `<span class="label">Done per minute</span> <span class="figure">41</span>`) {
			t.Errorf("%s: not 41", span)
		}
	}
}

// TestTaskSaysAllOfItself: what was asked for at its submit is on its page.
func TestTaskSaysAllOfItself(t *testing.T) {
	t.Parallel()
	r := newRig(t, "")
	id := r.submit(scheduler.NewTask{Kind: "k", Backoff: []time.Duration{time.Second, time.Minute}, Timeout: time.Hour, TraceParent: "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
		UniqueKey: "u", Tags: []string{"user:9"}, Priority: -3})
	page := r.get("/tasks/" + id.String()).body
	for _, part := range []string{"1 s, 1 min", "<td>1 h</td>", "4bf92f3577b34da6a3ce929d0e0e4736", "<td>u</td>", `href="/tasks?tag=user%3a9"`, "<td>-3</td>"} {
		if !strings.Contains(page, part) {
			t.Errorf("no %s", part)
		}
	}
}

// TestEditThatCameTooLate is refused as what it is, without a script too.
func TestEditThatCameTooLate(t *testing.T) {
	t.Parallel()
	r := newRig(t, "")
	id := r.submit(scheduler.NewTask{Kind: "k"})
	form := url.Values{"id": {id.String()}, "revision": {"1"}, "priority": {"5"}, "max_attempts": {"10"}, "back": {"/tasks/" + id.String()}}
	r.exec(`update scheduler.tasks set revision = revision + 5 where id = $1`, id)
	if a := r.post("/tasks/edit", form); a.StatusCode != 412 || !strings.Contains(a.body, "Somebody changed the task meanwhile") || !strings.Contains(a.body, `<a href="/tasks/`+id.String()+`">Back</a>`) {
		t.Errorf("%d: %s", a.StatusCode, a.body)
	}
}
