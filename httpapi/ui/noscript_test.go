package ui_test

import (
	"fmt"
	"testing"

	"github.com/pgscheduler/scheduler/internal/browser"
	"github.com/pgscheduler/scheduler/scheduler"
)

// TestEachActionWithoutScript goes through every action in a browser whose JavaScript is switched off, at both servers in turn.
func TestEachActionWithoutScript(t *testing.T) {
	t.Parallel()
	r := newRig(t, token)
	r.maintain()
	r.exec(`insert into scheduler.workers (id, name, queues, kinds, slots, ttl_ms) values (gen_random_uuid(), 'web-7', '{default}', '{k}', 4, 3600000)`)
	task := r.submit(scheduler.NewTask{Kind: "some.kind", Queue: "mail", Delay: 3600 * 1e9, Payload: map[string]int{"a": 1}})
	tab := browser.Open(t, r.one+"/login")
	tab.NoScript()
	tab.Go(r.one + "/login?next=/tasks/" + task.String())
	done := func(says string) {
		t.Helper()
		tab.Await(fmt.Sprintf(`document.readyState === "complete" && document.querySelector("#said")?.textContent.includes(%q)`, says))
	}
	tab.Fill(`input[name=token]`, token)
	tab.Fill(`input[name=name]`, "Ada")
	tab.Click(`form.login button`)
	tab.Await(`location.pathname.startsWith("/tasks/") && document.querySelector("#live").textContent === ""`) // the module does not run

	// one task
	tab.Click(`.edit summary`)
	tab.Fill(`.edit [name=payload]`, `{"a": 2}`)
	tab.Click(`.edit button`)
	done("The task is edited")
	tab.Click(`button[value=run]`)
	done("1 task made ready")
	tab.Fill(`input[name=reason]`, "not needed")
	tab.Click(`button[value=cancel]`)
	done("1 task cancelled")
	tab.Click(`button[value=retry]`)
	done("1 task retried")
	tab.Click(`button[value=cancel]`)
	done("1 task cancelled")
	tab.Click(`button[value=delete]`)
	done("1 task deleted")
	if got := r.state(task); got != "" {
		t.Errorf("the task is %s", got)
	}

	tab.Go(r.two + "/tasks")
	tab.Click(`a.new`)
	tab.Await(`location.pathname === "/tasks/new" && document.querySelector("#kinds option").value === "k"`)
	tab.Fill(`input[name=kind]`, "by.hand")
	tab.Fill(`textarea`, `{"a": 3}`)
	tab.Click(`.form button`)
	done("is submitted")
	tab.Await(`location.pathname.startsWith("/tasks/0") && document.querySelector("#live-audit").textContent.includes("Ada: submit")`)
	tab.Click(`.actions a.button`)
	tab.Await(`document.querySelector("textarea")?.value.includes('"a": 3')`)
	tab.Fill(`textarea`, `{"a":`)
	tab.Click(`.form button`)
	tab.Await(`document.querySelector("h1").textContent.includes("breaks a rule")`)

	// several tasks: picked, and all that match
	for range 3 {
		r.submit(scheduler.NewTask{Kind: "mail.send", Queue: "mail"})
	}
	tab.Go(r.two + "/tasks?state=ready")
	tab.Fill(`input[name=kind]`, "mail.send")
	tab.Click(`.filters button`)
	tab.Await(`location.search.includes("kind=mail.send") && document.querySelectorAll("tbody tr").length === 3`)
	tab.Click(`tbody tr:first-child input[name=id]`)
	tab.Click(`#pick button[value=cancel]`)
	done("1 task cancelled")
	tab.Click(`.matching button[value=cancel]`)
	done("It began to cancel 2 tasks")
	await(t, "all are cancelled", func() bool {
		list, _, err := r.client.Tasks(t.Context(), scheduler.Filter{State: scheduler.Cancelled})
		return err == nil && len(list) == 3
	})
	tab.Go(r.one + "/tasks?state=cancelled")
	tab.Click(`.matching button[value=retry]`)
	done("It began to retry 3 tasks")
	r.exec(`insert into scheduler.tasks (kind, state, error_code, error, finished_at) select 'k', 'failed', 'error', 'it broke', now() from generate_series(1, 2)`)
	tab.Go(r.two + "/dead")
	tab.Click(`tr[data-group] a`)
	tab.Await(`location.search.includes("group=")`)
	tab.Go(r.two + "/dead")
	tab.Click(`tr[data-group] button[value=delete]`)
	done("It began to delete 2 tasks")

	// queues, schedules, workers
	tab.Go(r.one + "/queues")
	tab.Click(`tr[data-queue=mail] button`)
	done("Queue mail is paused")
	tab.Click(`tr[data-queue=mail] button`)
	done("Queue mail goes on")
	tab.Go(r.two + "/schedules")
	tab.Click(`.new summary`)
	for name, value := range map[string]string{"name": "nightly", "expression": "30 2 * * *", "kind": "k"} {
		tab.Fill(`.new [name=`+name+`]`, value)
	}
	tab.Click(`.new button`)
	done("Schedule nightly is stored")
	tab.Click(`tr[data-schedule=nightly] a.button`)
	tab.Fill(`#edit [name=expression]`, "0 4 * * 1")
	tab.Click(`#edit button`)
	done("Schedule nightly is stored")
	for _, step := range []struct{ button, says string }{{"trigger", "made task"}, {"pause", "is paused"}, {"resume", "fires again"}, {"delete", "is deleted"}} {
		tab.Click(`tr[data-schedule=nightly] button[value=` + step.button + `]`)
		done(step.says)
	}
	tab.Go(r.one + "/workers")
	for _, step := range []struct{ button, says string }{{"quiet", "takes nothing more"}, {"run", "works again"}, {"stop", "ends"}} {
		tab.Click(`tr[data-worker] button[value=` + step.button + `]`)
		done(step.says)
	}
	tab.Go(r.two + "/events")
	tab.Await(`document.body.textContent.includes("pause queue") && document.body.textContent.includes("by Ada")`)
	tab.Click(`.who button`)
	tab.Await(`location.pathname === "/login"`)
}

// TestBulkStops stops a bulk that goes on.
func TestBulkStops(t *testing.T) {
	t.Parallel()
	r := newRig(t, "") // nobody works on it
	r.exec(`insert into scheduler.tasks (kind, state, error_code, error, finished_at) select 'k', 'failed', 'error', 'it broke', now() from generate_series(1, 20)`)
	tab := browser.Open(t, r.one+"/tasks?state=failed")
	tab.Click(`.matching button[value=retry]`)
	said(tab, "It began to retry 20 tasks")
	tab.Go(r.two + "/dead")
	tab.Click(`.bulkrow button[value=stop]`)
	said(tab, "It stops")
	tab.Await(`document.querySelector(".bulkrow .state").textContent === "cancelled"`)
	if list, _, err := r.client.Tasks(t.Context(), scheduler.Filter{State: scheduler.Failed}); err != nil || len(list) != 20 {
		t.Errorf("%d are still dead letters, %v", len(list), err)
	}
}
