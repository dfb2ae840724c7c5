package ui_test

import (
	"context"
	"encoding/json"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"

	"github.com/pgscheduler/scheduler/internal/browser"
	"github.com/pgscheduler/scheduler/scheduler"
)

// Names as long and as strange as they may be, and an error that says a lot.
const (
	longKind  = "billing.invoices.reconcile.quarterly_statements.of_all_customers.including_archived_ones.v2"
	wordKind  = `Acme\Billing\Jobs\RenderQuarterlyStatementOfAccountsReceivable`
	longError = `pq: could not serialize access due to concurrent update: statement "update accounts set balance = balance - $1 where id = $2 and balance >= $1 returning balance" at https://db-7.eu-central.example.org:5432/billing?sslmode=verify-full&application_name=reconcile-worker-1234567890123456789012345678901234567890123456789012345678901234567890`
)

// states puts tasks in every state into the database, and returns their ids by what they show.
func (r *rig) states() map[string]scheduler.TaskID {
	r.t.Helper()
	worker := scheduler.NewWorkerID()
	r.exec(`insert into scheduler.workers (id, name, host, pid, version, queues, kinds, slots, running, ttl_ms) values ($1, 'web-7', 'web-7.internal', 41, '0.4.0', '{default}', '{report.generate}', 4, 4, 3600000)`, worker)
	ids := map[string]scheduler.TaskID{}
	put := func(name, kind, set string, args ...any) {
		id := r.submit(scheduler.NewTask{Kind: kind, Payload: map[string]any{"report_id": 42}})
		r.exec(`update scheduler.tasks set state = 'running', worker_id = $2, attempt = 1, created_at = now() - interval '100 s', started_at = now() - interval '90 s' where id = $1`, id, worker)
		r.exec(`update scheduler.tasks set `+set+` where id = $1`, append([]any{id}, args...)...)
		ids[name] = id
	}
	ids["ready"] = r.submit(scheduler.NewTask{Kind: "report.generate", Payload: map[string]any{"report_id": 42}})
	ids["blocked"] = scheduler.NewTaskID()
	r.exec(`insert into scheduler.tasks (id, kind, state) values ($1, 'report.publish', 'blocked')`, ids["blocked"])
	ids["scheduled"] = r.submit(scheduler.NewTask{Kind: wordKind, Delay: 26 * 3600 * 1e9})
	ids["retry"] = r.history()
	put("running", "report.generate", `progress_current = 37, progress_total = 100, progress_message = 'page 37 of 100', progress_at = now()`)
	put("indeterminate", longKind, `progress_current = 1234, progress_message = $2, progress_at = now()`, strings.Repeat("reconciling 株式会社 ", 20))
	put("cancelling", "image.resize", `cancel_requested_at = now() - interval '20 s'`)
	put("completed", "report.generate", `state = 'completed', finished_at = now(), result = '{"url": "https://example.org/reports/42.pdf", "pages": 100}', progress_current = 100, progress_total = 100`)
	put("failed", longKind, `state = 'failed', failures = 10, attempt = 10, error_code = 'error', error = $2, finished_at = now()`, longError)
	r.exec(`insert into scheduler.attempts (task_id, attempt, queue, kind, outcome, worker_id, worker, started_at, ended_at, error_code, error, stack)
		select $1, n, 'default', $2, 'failed', $3, 'web-7', now() - (11 - n) * interval '9 s', now() - (11 - n) * interval '9 s' + interval '4 s', 'error', $4, repeat(E'goroutine 41 [running]:\nmain.render(0xc000112000)\n\t/app/render.go:88 +0x1a4\n', 8)
		from generate_series(1, 10) n`, ids["failed"], longKind, worker, longError)
	put("cancelled", wordKind, `state = 'cancelled', error_code = 'cancelled', error = 'the customer called: « обратно » 取消 إلغاء 🧾', finished_at = now()`)
	r.exec(`insert into scheduler.audit (actor, verb, task_id, target, detail) values ('Ada', 'cancel', $1, $2, '{"reason": "the customer called"}')`, ids["cancelled"], wordKind)
	r.exec(`insert into scheduler.leases (worker_id, queue, task_ids) select $1, 'default', array_agg(id) from scheduler.tasks where state = 'running'`, worker)
	return ids
}

// unwell breaks what can break: a paused queue, kinds and queues without workers, a silent worker, schedules that do not fire, a burst
// of failures, and people at work on it.
func (r *rig) unwell() {
	r.t.Helper()
	r.exec(`insert into scheduler.workers (id, name, host, pid, version, queues, kinds, slots, running, command, ttl_ms, seen_at) values
		(gen_random_uuid(), 'web-1', 'web-1', 41, '0.4.0', '{default,mail}', '{mail.send}', 4, 4, 'run', 3600000, now()),
		(gen_random_uuid(), 'web-2', 'ip-10-0-12-212.eu-central-1.compute.internal', 123456, '0.4.0-rc.1+2026-11-21', '{default,mail,newsletter,reports-quarterly}', array['mail.send', $1, $2], 4, 1, 'quiet', 3600000, now()),
		(gen_random_uuid(), 'web-3', 'web-3', 43, '0.4.0', '{default}', '{mail.send}', 4, 2, 'run', 15000, now() - interval '40 s')`, longKind, wordKind)
	r.exec(`insert into scheduler.queues (name, paused_at) values ('newsletter', now() - interval '20 min')`)
	r.exec(`insert into scheduler.tasks (kind, queue, created_at, run_at) select q.kind, q.queue, now() - n * q.step, now() - n * q.step
		from (values ('newsletter.send', 'newsletter', interval '2 s', 12000), ('video.encode', 'default', interval '30 s', 12), ('pdf.render', 'a-queue-with-a-rather-long-name-that-nobody-takes-from', interval '1 min', 14)) q(kind, queue, step, count), generate_series(1, q.count) n`)
	r.exec(`insert into scheduler.stats (minute, queue, kind, completed, failed, dead, run_ms, wait_ms)
		select date_trunc('minute', now()) - n * interval '1 min', 'mail', 'mail.send', 40, case when n < 12 then 18 else 0 end, case when n < 12 then 2 else 0 end, 1, 1 from generate_series(0, 50) n`)
	r.exec(`insert into scheduler.tasks (kind, queue, state, attempt, failures, started_at, error_code, error, finished_at) select 'mail.send', 'mail', 'failed', 10, 10, now() - interval '30 s', 'error', e.text, now() - n * interval '40 s'
		from generate_series(1, 24) n, lateral (select case when n % 5 = 0 then $1 else 'smtp: 421 mail-' || n || '.example.org: too many connections' end as text) e`, longError)
	r.exec(`insert into scheduler.schedules (name, expression, zone, kind, next_run_at, error) values
		('broken', '61 * * * *', 'UTC', 'probe.run', null, 'minute 61 is out of range 0 to 59'), ('late', '*/5 * * * *', 'UTC', 'probe.run', now() - interval '25 min', null)`)
	r.exec(`insert into scheduler.bulk (id, verb, filter, total, done, skipped, actor, state, finished_at) values
		(scheduler.uuidv7(), 'retry', '{"state": "failed", "error_group": "5f1e0c9a"}', 12000, 4200, 3, 'Ada', 'running', null),
		(scheduler.uuidv7(), 'cancel', '{"state": "ready", "queue": "newsletter"}', null, 900, 0, 'Grace', 'running', null),
		(scheduler.uuidv7(), 'delete', '{"state": "cancelled"}', 31, 31, 0, 'Ada', 'done', now())`)
}

// watch returns the watch page of a task.
func (r *rig) watch(id scheduler.TaskID) string {
	r.t.Helper()
	response, err := http.Post(r.one+"/v1/tasks/"+id.String()+"/watch", "application/json", nil)
	if err != nil {
		r.t.Fatal(err)
	}
	defer response.Body.Close()
	var link struct{ URL string }
	if err := json.NewDecoder(response.Body).Decode(&link); err != nil || link.URL == "" {
		r.t.Fatal(response.Status, err)
	}
	return r.one + link.URL
}

// away makes the database refuse everybody, until the test ends.
func (r *rig) away() {
	r.t.Helper()
	config, err := pgx.ParseConfig(r.db)
	if err != nil {
		r.t.Fatal(err)
	}
	name := config.Database
	config.Database = "postgres"
	conn, err := pgx.ConnectConfig(r.t.Context(), config)
	if err != nil {
		r.t.Fatal(err)
	}
	allow := func(allowed string) {
		if _, err := conn.Exec(context.WithoutCancel(r.t.Context()), `alter database `+pgx.Identifier{name}.Sanitize()+` allow_connections `+allowed); err != nil {
			r.t.Fatal(err)
		}
	}
	allow("false")
	if _, err := conn.Exec(r.t.Context(), `select pg_terminate_backend(pid, 120000) from pg_stat_activity where datname = $1`, name); err != nil {
		r.t.Fatal(err)
	}
	r.t.Cleanup(func() { allow("true"); _ = conn.Close(context.Background()) })
}

// looks are how pictures are taken.
var looks = map[string]struct {
	width int
	dark  bool
}{"light": {1280, false}, "dark": {1280, true}, "phone": {375, false}, "phone-dark": {375, true}, "wide": {1920, false}}

// TestPictures writes pictures of all pages, in all states, into the folder that SCREENSHOTS names, for people to look at.
func TestPictures(t *testing.T) {
	t.Parallel()
	folder := os.Getenv("SCREENSHOTS")
	if folder == "" {
		t.Skip("SCREENSHOTS names no folder")
	}
	if err := os.MkdirAll(folder, 0o755); err != nil {
		t.Fatal(err)
	}
	busy, sick, all, empty, guest, lost := newRig(t, ""), newRig(t, ""), newRig(t, ""), newRig(t, ""), newRig(t, token), newRig(t, "")
	pages := map[string]string{"login": guest.one + "/login", "tasks-failed": busy.one + "/tasks?state=failed&queue=mail", "tasks-none": busy.one + "/tasks?kind=nothing.such",
		"missing-task": busy.one + "/tasks/" + scheduler.NewTaskID().String(), "missing-page": busy.one + "/tasks/x/y", "bad-filter": busy.one + "/tasks?since=yesterday",
		"schedules-edit": busy.one + "/schedules?edit=digest", "topics-edit": busy.one + "/topics?edit=mailer", "endpoints-edit": busy.one + "/endpoints?edit=shop", "new-task": busy.one + "/tasks/new", "database-away": lost.one + "/", "watch-gone": all.one + "/watch/nonsense",
		"sick-matching": sick.one + "/tasks?state=failed&kind=mail.send"}
	busy.scene()
	sick.unwell()
	for name, id := range all.states() {
		pages["task-"+name] = all.one + "/tasks/" + id.String()
		pages["watch-"+name] = all.watch(id)
	}
	lost.away()
	for _, path := range paths {
		name := strings.TrimPrefix(path, "/")
		if name == "" {
			name = "overview"
		}
		pages["page-"+name], pages["sick-"+name], pages["empty-"+name] = busy.one+path, sick.one+path, empty.one+path
	}
	pages["states"] = all.one + "/tasks"
	tab := browser.Open(t, busy.one)
	only := os.Getenv("ONLY")
	for name, url := range pages {
		for look, how := range looks {
			if !strings.Contains(name+"-"+look, only) {
				continue
			}
			tab.Look(how.width, how.dark)
			tab.Go(url)
			tab.Picture(filepath.Join(folder, name+"-"+look+".png"))
			if wide := browser.Eval[int](tab, "document.documentElement.scrollWidth"); wide > how.width {
				t.Errorf("%s is %d pixels wide at %d", name, wide, how.width)
			}
		}
	}
}
