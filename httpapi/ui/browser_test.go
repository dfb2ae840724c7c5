package ui_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/pgscheduler/scheduler/internal/browser"
	"github.com/pgscheduler/scheduler/scheduler"
)

// said waits until the page says what was done.
func said(tab *browser.Tab, part string) {
	tab.Await(fmt.Sprintf(`document.readyState === "complete" && document.querySelector("#said")?.textContent.includes(%q)`, part))
}

// live waits until the page hears what happens, and keys.
func live(tab *browser.Tab) { tab.Await(`document.querySelector("#live")?.textContent === "live"`) }

// TestLoginInBrowser signs in at one server and goes on at it; the other knows the session too.
func TestLoginInBrowser(t *testing.T) {
	t.Parallel()
	r := newRig(t, token)
	tab := browser.Open(t, r.one+"/queues")
	tab.Fill(`input[name=token]`, "wrong")
	tab.Click(`form.login button`)
	tab.Await(`document.querySelector("[role=alert]")`)
	tab.Fill(`input[name=token]`, token)
	tab.Fill(`input[name=name]`, "Ada")
	tab.Click(`form.login button`)
	tab.Await(`location.pathname === "/queues" && document.querySelector(".who button").textContent.includes("Ada")`)
	tab.Go(r.two + "/workers")
	tab.Await(`location.pathname === "/workers"`)
	tab.Click(`.who button`)
	tab.Await(`location.pathname === "/login"`)
}

// TestOverviewInBrowser: the sentence, the tiles and the bars follow what happens, without a click.
func TestOverviewInBrowser(t *testing.T) {
	t.Parallel()
	r := newRig(t, "")
	tab := browser.Open(t, r.two)
	tab.Await(`document.querySelector(".health").textContent.includes("All is well")`)
	gate := r.work()
	id := r.submit(scheduler.NewTask{Kind: "demo.slow"})
	row := fmt.Sprintf(`document.querySelector('tr[data-task-id="%s"]')`, id)
	tab.Await(row + `?.querySelector("progress")?.value === 10`)
	gate.report <- struct{}{}
	tab.Await(row + `?.querySelector("progress")?.value === 60 && ` + row + `.textContent.includes("more than half")`)
	gate.finish <- struct{}{}
	tab.Await(`document.querySelector("#live-running").textContent.includes("Nothing runs")`)
	r.submit(scheduler.NewTask{Kind: "demo.fail"})
	tab.Await(`document.querySelector("#live-dead").textContent.includes("the printer is on fire")`)
}

// TestTaskInBrowser follows one task from submit to end at both servers: bar, log, attempts, state; then retries and deletes it.
func TestTaskInBrowser(t *testing.T) {
	t.Parallel()
	r := newRig(t, "")
	id := r.submit(scheduler.NewTask{Kind: "demo.slow", Delay: time.Hour})
	one, two := browser.Open(t, r.one+"/tasks/"+id.String()), browser.Open(t, r.two+"/tasks/"+id.String())
	one.Await(`document.querySelector(".why").textContent.includes("It is due in")`)
	gate := r.work()
	one.Click(`button[value=run]`)
	said(one, "1 task made ready")
	for _, tab := range []*browser.Tab{one, two} {
		tab.Await(`document.querySelector(".taskhead progress")?.value === 10 && document.querySelector("#log").textContent.includes("began")`)
	}
	gate.report <- struct{}{}
	for _, tab := range []*browser.Tab{one, two} {
		tab.Await(`document.querySelector(".taskhead progress")?.value === 60 && document.querySelector("#log").textContent.includes("more than half")`)
	}
	gate.finish <- struct{}{}
	for _, tab := range []*browser.Tab{one, two} {
		tab.Await(`document.querySelector(".taskhead .state").textContent === "completed" && document.querySelector("#live-result").textContent.includes("done")`)
		tab.Await(`document.querySelectorAll("#log li").length === 3 && document.querySelectorAll(".lanes li.completed").length === 1`)
	}
	one.Click(`button[value=delete]`)
	one.Await(`location.pathname === "/tasks" && document.querySelector("#said").textContent.includes("1 task deleted")`)
	two.Await(`document.querySelector("#live").textContent === "gone"`)
	if got := r.state(id); got != "" {
		t.Errorf("the task is still there, %s", got)
	}
}

// TestCancelInBrowser cancels by the key c, with a reason, and retries by r.
func TestCancelInBrowser(t *testing.T) {
	t.Parallel()
	r := newRig(t, "")
	id := r.submit(scheduler.NewTask{Kind: "nobody.runs"})
	tab := browser.Open(t, r.one+"/tasks/"+id.String())
	tab.Fill(`input[name=reason]`, "not needed any more")
	live(tab)
	// At once: what is typed into a field that has not the focus goes when the page is read again.
	browser.Eval[bool](tab, `(document.activeElement.blur(), document.body.dispatchEvent(new KeyboardEvent("keydown", { key: "c", bubbles: true })))`)
	said(tab, "1 task cancelled")
	tab.Await(`document.querySelector(".why").textContent.includes("not needed any more")`)
	tab.Await(`document.querySelector("#live-audit").textContent.includes("dashboard: cancel")`)
	live(tab)
	tab.Keys("r")
	said(tab, "1 task retried")
	if got := r.state(id); got != scheduler.Ready {
		t.Errorf("it is %s", got)
	}
}

// TestEditInBrowser: what is edited is stored, and one who edits what somebody else has changed meanwhile is told.
func TestEditInBrowser(t *testing.T) {
	t.Parallel()
	r := newRig(t, "")
	id := r.submit(scheduler.NewTask{Kind: "nobody.runs", Payload: map[string]int{"a": 1}, Tags: []string{"old"}})
	one, two := browser.Open(t, r.one+"/tasks/"+id.String()), browser.Open(t, r.two+"/tasks/"+id.String())
	one.Click(`.edit summary`)
	one.Fill(`.edit [name=payload]`, `{"a": 2}`)
	one.Fill(`.edit [name=priority]`, "-5")
	one.Fill(`.edit [name=tags]`, "new, newer")
	one.Click(`.edit button`)
	said(one, "The task is edited")
	task, err := r.client.Task(t.Context(), id)
	if err != nil || string(task.Payload) != `{"a": 2}` || task.Priority != -5 || len(task.Tags) != 2 || task.MaxAttempts != 10 {
		t.Errorf("%+v, %v", task, err)
	}
	two.Click(`.edit summary`)
	two.Fill(`.edit [name=max_attempts]`, "3")
	two.Click(`.edit button`)
	two.Await(`document.querySelector(".edit [role=alert]")?.textContent.includes("Somebody changed the task meanwhile")`)
	one.Click(`.edit summary`)
	one.Fill(`.edit [name=payload]`, `{"a":`)
	one.Click(`.edit button`)
	one.Await(`document.querySelector(".edit [role=alert]")?.textContent.includes("breaks a rule") && document.querySelector(".edit [name=payload]").value === '{"a":'`)
}

// TestTasksInBrowser filters, selects by mouse and keys, and does something with what is selected; rows that change by somebody
// else do so before one's eyes, and what is selected stays.
func TestTasksInBrowser(t *testing.T) {
	t.Parallel()
	r := newRig(t, "")
	var ids []scheduler.TaskID
	for range 3 {
		ids = append(ids, r.submit(scheduler.NewTask{Kind: "mail.send", Queue: "mail"}))
	}
	r.submit(scheduler.NewTask{Kind: "other"})
	tab := browser.Open(t, r.two+"/tasks")
	live(tab)
	tab.Keys("/")
	tab.Await(`document.activeElement.name === "kind"`)
	tab.Fill(`input[name=kind]`, "mail.send")
	tab.Keys("\r")
	tab.Await(`location.search === "?kind=mail.send" && document.querySelectorAll("tbody tr").length === 3`)
	row := func(id scheduler.TaskID) string {
		return fmt.Sprintf(`document.querySelector('tr[data-task-id="%s"]')`, id)
	}

	live(tab)
	tab.Keys("jjkx") // the newest is first
	tab.Await(row(ids[2]) + `.querySelector("input").checked && document.querySelector(".chosen").textContent === "1 selected:"`)
	if _, err := r.client.Cancel(t.Context(), ids[0], ""); err != nil {
		t.Fatal(err)
	}
	tab.Await(row(ids[0]) + `.querySelector(".state").textContent === "cancelled" && ` + row(ids[2]) + `.querySelector("input").checked`)
	tab.Keys("c")
	said(tab, "1 task cancelled")

	tab.Click(`input.all`)
	tab.Click(`button[value=retry]`)
	said(tab, "2 tasks retried. 1 not:")
	tab.Click(`input.all`)
	tab.Click(`button[value=cancel]`)
	said(tab, "3 tasks cancelled")
	tab.Click(`input.all`)
	tab.Click(`button[value=delete]`)
	said(tab, "3 tasks deleted")
	tab.Await(`document.body.textContent.includes("No task fits the filter")`)
}

func TestDeadLettersInBrowser(t *testing.T) {
	t.Parallel()
	r := newRig(t, "")
	r.work()
	id := r.submit(scheduler.NewTask{Kind: "demo.fail"})
	await(t, "it fails", func() bool { return r.state(id) == scheduler.Failed })
	tab := browser.Open(t, r.one+"/dead")
	tab.Await(`document.querySelector("tbody .note").textContent === "error: the printer is on fire"`)
	tab.Click(`tbody input[name=id]`)
	tab.Click(`#pick button[value=retry]`)
	said(tab, "1 task retried")
	await(t, "it fails again", func() bool { return r.state(id) == scheduler.Failed })
	tab.Go(r.two + "/dead")
	live(tab)
	tab.Keys("jr") // the first row is that of the group
	said(tab, "It began to retry 1 task")
	await(t, "it fails a third time", func() bool { task, err := r.client.Task(t.Context(), id); return err == nil && task.Attempt == 3 })
}

// TestBulksInBrowser retries a group of dead letters, and cancels all that match a filter: more than a page holds.
func TestBulksInBrowser(t *testing.T) {
	t.Parallel()
	r := newRig(t, "")
	r.maintain()
	r.exec(`insert into scheduler.tasks (kind, state, error_code, error, finished_at) select 'mail.send', 'failed', 'error', 'host ' || n || ' did not answer', now() from generate_series(1, 120) n`)
	r.exec(`insert into scheduler.tasks (kind, state, error_code, error, finished_at) values ('other', 'failed', 'panic', 'nil map', now())`)
	tab := browser.Open(t, r.one+"/dead")
	tab.Await(`document.querySelectorAll("tr[data-group]").length === 2`)
	tab.Click(`tr[data-group]:first-child button[value=retry]`)
	said(tab, "It began to retry 120 tasks")
	tab.Await(`document.querySelectorAll("tr[data-group]").length === 1 && document.querySelector(".bulkrow").textContent.includes("120 done")`)
	tab.Go(r.two + "/tasks?state=ready&kind=mail.send")
	tab.Click(`.matching button[value=cancel]`)
	said(tab, "It began to cancel 120 tasks")
	tab.Await(`document.body.textContent.includes("No task fits the filter")`)
	await(t, "all are cancelled", func() bool {
		list, _, err := r.client.Tasks(t.Context(), scheduler.Filter{State: scheduler.Cancelled, Limit: 200})
		return err == nil && len(list) == 120
	})
}

func TestQueuesInBrowser(t *testing.T) {
	t.Parallel()
	r := newRig(t, "")
	r.submit(scheduler.NewTask{Kind: "k", Queue: "mail"})
	one, two := browser.Open(t, r.one+"/queues"), browser.Open(t, r.two+"/queues")
	one.Click(`tr[data-queue=mail] button`)
	said(one, "Queue mail is paused")
	two.Await(`document.querySelector("tr[data-queue=mail]").textContent.includes("paused")`) // by itself
	two.Click(`tr[data-queue=mail] button`)
	said(two, "Queue mail goes on")
}

func TestSchedulesInBrowser(t *testing.T) {
	t.Parallel()
	r := newRig(t, "")
	tab := browser.Open(t, r.one+"/schedules")
	tab.Click(`.new summary`)
	for name, value := range map[string]string{"name": "nightly", "expression": "30 2 * * *", "zone": "Europe/Berlin", "kind": "report.generate", "payload": `{"all": true}`} {
		tab.Fill(`.new [name=`+name+`]`, value)
	}
	tab.Click(`.new button`)
	said(tab, "Schedule nightly is stored. It fires next at")
	tab.Await(`document.querySelector("tr[data-schedule=nightly]").textContent.includes("every day at 02:30")`)
	tab.Click(`tr[data-schedule=nightly] button[value=trigger]`)
	said(tab, "Schedule nightly made task")
	tab.Click(`tr[data-schedule=nightly] button[value=pause]`)
	said(tab, "is paused")
	tab.Click(`tr[data-schedule=nightly] button[value=resume]`)
	said(tab, "fires again")
	tab.Click(`tr[data-schedule=nightly] a.button`)
	tab.Fill(`#edit [name=expression]`, "0 4 * * 1")
	tab.Click(`#edit button`)
	said(tab, "is stored")
	if s, err := r.client.Schedule(t.Context(), "nightly"); err != nil || s.Expression != "0 4 * * 1" || string(s.Payload) != `{"all": true}` {
		t.Errorf("%+v, %v", s, err)
	}
	tab.Click(`tr[data-schedule=nightly] a.button`)
	tab.Fill(`#edit [name=expression]`, "not cron")
	tab.Click(`#edit button`)
	tab.Await(`document.querySelector("#edit [role=alert]")?.textContent.includes("cron expression")`)
	tab.Go(r.one + "/schedules")
	tab.Click(`tr[data-schedule=nightly] button[value=delete]`)
	said(tab, "is deleted")
}

func TestWorkersInBrowser(t *testing.T) {
	t.Parallel()
	r := newRig(t, "")
	r.work()
	r.submit(scheduler.NewTask{Kind: "demo.slow"})
	tab := browser.Open(t, r.two+"/workers")
	tab.Await(`document.querySelector("tr[data-worker]")?.textContent.includes("web-7")`)
	tab.Await(`document.querySelector("td.runs progress")?.value === 10`)
	for _, step := range []struct{ button, said string }{{"quiet", "takes nothing more"}, {"run", "works again"}, {"stop", "ends"}} {
		tab.Click(`tr[data-worker] button[value=` + step.button + `]`)
		said(tab, step.said)
	}
}

func TestEventsAndSettingsInBrowser(t *testing.T) {
	t.Parallel()
	r := newRig(t, "")
	tab := browser.Open(t, r.one+"/events")
	id := r.submit(scheduler.NewTask{Kind: "mail.send"})
	tab.Await(fmt.Sprintf(`document.querySelector('a[href="/tasks/%s"]')?.closest("tr").textContent.includes("submitted")`, id)) // by itself
	tab.Keys("?")
	tab.Await(`document.querySelector("#keys").open`)
	tab.Click(`#keys button`)
	tab.Await(`!document.querySelector("#keys").open`)
	// At once: the second key counts only for a moment.
	browser.Eval[bool](tab, `["g", "o"].every((key) => document.body.dispatchEvent(new KeyboardEvent("keydown", { key, bubbles: true })))`)
	tab.Await(`location.pathname === "/"`)
	tab.Go(r.one + "/settings")
	tab.Await(`document.body.textContent.includes("as this program needs") && document.querySelector(".checks").textContent.includes("round trip in")`)
}
