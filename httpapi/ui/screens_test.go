package ui_test

import (
	"github.com/pgscheduler/scheduler/scheduler"
)

// paths are all pages but that of a task.
var paths = []string{"/", "/tasks", "/dead", "/queues", "/schedules", "/topics", "/endpoints", "/workers", "/events", "/settings"}

// scene fills a database with something of everything, and returns a task with a history.
func (r *rig) scene() scheduler.TaskID {
	r.t.Helper()
	ctx := r.t.Context()
	r.exec(`insert into scheduler.workers (id, name, host, pid, version, language, memory_bytes, queues, kinds, slots, running, ttl_ms, started_at)
		select gen_random_uuid(), 'web-' || n, 'web-' || n || '.internal', 4000 + n, '0.4.0', case n when 1 then 'go' when 2 then 'php 8.2' else '' end, case when n < 3 then 41000000 * n end, '{default,mail}', '{mail.send,report.generate,image.resize}', 10, 3 * n, 3600000, now() - interval '3 h'
		from generate_series(1, 3) n`)
	r.exec(`insert into scheduler.tasks (id, kind, queue, state, attempt, failures, worker_id, created_at, started_at, finished_at, error_code, error, payload)
		select (lpad(to_hex((extract(epoch from now() - n * interval '40 s') * 1000)::bigint), 12, '0') || '7' || substr(md5(n::text), 1, 3) || '8' || substr(md5(n::text), 4, 15))::uuid, k.kind, k.queue, (case when n % 19 = 0 then 'failed' when n % 23 = 0 then 'cancelled' else 'completed' end)::scheduler.task_state, 1 + n % 3, n % 3, w.id,
			now() - n * interval '40 s', now() - n * interval '40 s' + interval '2 s', now() - n * interval '40 s' + interval '9 s',
			case when n % 19 = 0 then 'error' when n % 23 = 0 then 'cancelled' end, case when n % 19 = 0 then 'smtp: 421 mail.example.org: too many connections' when n % 23 = 0 then 'cancelled by Ada' end,
			jsonb_build_object('to', 'user' || n || '@example.org', 'template', 'invoice')
		from generate_series(1, 300) n, lateral (select case n % 3 when 0 then 'mail.send' when 1 then 'report.generate' else 'image.resize' end as kind, case n % 3 when 0 then 'mail' else 'default' end as queue) k,
			lateral (select id from scheduler.workers order by name offset n % 3 limit 1) w`)
	r.exec(`with made as (insert into scheduler.tasks (kind, queue, state, attempt, worker_id, created_at, started_at, progress_current, progress_total, progress_message, progress_at)
		select case n % 2 when 0 then 'report.generate' else 'image.resize' end, 'default', 'running', 1, w.id, now() - n * interval '11 s', now() - n * interval '10 s', n * 13, case when n = 4 then null else 100 end,
			'page ' || n * 13 || ' of 100', now() from generate_series(1, 6) n, lateral (select id from scheduler.workers order by name offset n % 3 limit 1) w returning id, queue, worker_id)
		insert into scheduler.leases (worker_id, queue, task_ids) select worker_id, queue, array_agg(id) from made group by 1, 2`)
	r.exec(`insert into scheduler.tasks (kind, queue, created_at, run_at) select 'pdf.render', 'pdf', now() - n * interval '1 min', now() - n * interval '1 min' from generate_series(1, 14) n`)
	r.exec(`insert into scheduler.stats (minute, queue, kind, completed, failed, dead, cancelled, crashed, run_ms, wait_ms)
		select date_trunc('minute', now()) - n * interval '1 min', q, 'k', (40 + 30 * sin(n / 9.0) + n * 7 % 11)::integer, case when n % 17 < 3 then n % 9 else 0 end, case when n % 29 = 0 then 2 else 0 end, 0, 0, 1, 1
		from generate_series(0, 1500) n, unnest('{default,mail}'::text[]) q`)
	r.exec(`insert into scheduler.queues (name, paused_at) values ('newsletter', now() - interval '20 min')`)
	for _, s := range []scheduler.NewSubscription{{Name: "mailer", Pattern: "order.*", Kind: "mail.send", Queue: "mail"}, {Name: "audit-log", Pattern: "#", Kind: "log.append", Priority: 5},
		{Name: "eu-invoices", Pattern: "order.#.eu", Kind: "report.generate", MaxAttempts: 3}} {
		if _, err := r.client.SetSubscription(ctx, s); err != nil {
			r.t.Fatal(err)
		}
	}
	r.exec(`insert into scheduler.messages (topic, payload, published_at, tasks) select (array['order.created', 'order.paid.eu', 'user.signed_up'])[1 + n % 3],
		jsonb_build_object('order', 1000 + n, 'total', n * 37 % 500), now() - n * interval '7 s', 1 + n % 2 from generate_series(1, 12) n`)
	for _, s := range []scheduler.NewSchedule{
		{Name: "nightly-report", Expression: "30 2 * * *", Zone: "Europe/Berlin", Kind: "report.generate"},
		{Name: "digest", Expression: "0 8 * * 1-5", Zone: "America/New_York", Kind: "mail.send", Queue: "mail"},
		{Name: "cleanup", Expression: "*/15 * * * *", Kind: "image.resize"},
		{Name: "probe", Expression: "@every 30s", Kind: "probe.run"},
	} {
		if _, err := r.client.SetSchedule(ctx, s); err != nil {
			r.t.Fatal(err)
		}
	}
	r.exec(`insert into scheduler.schedule_ticks (schedule, tick_at, queue, task_id) select 'cleanup', now() - s.n * interval '15 min', 'default', s.id
		from (select row_number() over (order by id desc) as n, id from scheduler.tasks where state in ('completed', 'failed') limit 12) s`)
	if err := r.client.PauseSchedule(ctx, "probe"); err != nil {
		r.t.Fatal(err)
	}
	r.endpoints()
	return r.history()
}

// history is a task that failed twice, lost a worker, and waits to be tried again.
func (r *rig) history() scheduler.TaskID {
	r.t.Helper()
	id := r.submit(scheduler.NewTask{Kind: "report.generate", Payload: map[string]any{"report_id": 42, "format": "pdf", "recipients": []string{"ada@example.org"}}, Tags: []string{"user:9", "report"}})
	r.exec(`update scheduler.tasks set state = 'scheduled', attempt = 3, failures = 2, crashes = 1, created_at = now() - interval '5 min', run_at = now() + interval '90 s',
		error_code = 'error', error = 'render page 7: font "Inter" not found', started_at = now() - interval '70 s', revision = 9 where id = $1`, id)
	r.exec(`insert into scheduler.attempts (task_id, attempt, queue, kind, outcome, worker_id, worker, started_at, ended_at, error_code, error, stack) values
		($1, 1, 'default', 'report.generate', 'failed', gen_random_uuid(), 'web-1', now() - interval '290 s', now() - interval '250 s', 'panic', 'index out of range [7] with length 7', E'goroutine 41 [running]:\nmain.render(0xc000112000)\n\t/app/render.go:88 +0x1a4\nmain.main()\n\t/app/main.go:21 +0x5c'),
		($1, 2, 'default', 'report.generate', 'crashed', gen_random_uuid(), 'web-2', now() - interval '200 s', now() - interval '150 s', 'worker_lost', 'the worker was lost', null),
		($1, 3, 'default', 'report.generate', 'failed', gen_random_uuid(), 'web-1', now() - interval '70 s', now() - interval '20 s', 'error', 'render page 7: font "Inter" not found', null)`, id)
	r.exec(`insert into scheduler.task_logs (task_id, queue, attempt, at, stream, message) select $1, 'default', 1 + n / 10, now() - (300 - 8 * n) * interval '1 s',
		case when n % 9 = 0 then 'stderr' else 'log' end, 'rendering page ' || n || ' of 30' from generate_series(1, 29) n`, id)
	return id
}
