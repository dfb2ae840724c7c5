package scheduler_test

import (
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/pgscheduler/scheduler/scheduler"
)

// Every code that explain can give, in the order in which reasons come, with words that must stand in its sentence.
func TestExplain(t *testing.T) {
	t.Parallel()
	type reason struct{ code, word string }
	for name, c := range map[string]struct {
		prepare func(r *rig) scheduler.TaskID
		want    []reason
	}{
		"completed": {func(r *rig) scheduler.TaskID {
			lease := r.running(scheduler.NewTask{})
			must(r.t, r.client.Complete(r.ctx, lease, nil))
			return lease.Task
		}, []reason{{"completed", "ago"}}},
		"failed": {func(r *rig) scheduler.TaskID {
			lease := r.running(scheduler.NewTask{MaxAttempts: 1})
			must(r.t, second(r.client.Fail(r.ctx, lease, scheduler.Failure{Message: "no such file"})))
			return lease.Task
		}, []reason{{"failed", "It gave up after 1 failed attempt: error: no such file"}}},
		"worker lost": {func(r *rig) scheduler.TaskID {
			lease := r.running(scheduler.NewTask{})
			r.exec(`update scheduler.tasks set crashes = 2`)
			r.kill(lease.Worker)
			r.rescue()
			return lease.Task
		}, []reason{{"failed", "3 lost workers: worker_lost"}}},
		"cancelled": {func(r *rig) scheduler.TaskID {
			id := r.submit(scheduler.NewTask{})
			must(r.t, second(r.client.Cancel(r.ctx, id, "no longer wanted")))
			return id
		}, []reason{{"cancelled", "no longer wanted"}}},
		"running": {func(r *rig) scheduler.TaskID { return r.running(scheduler.NewTask{}).Task }, []reason{{"running", "attempt 1"}}},
		"cancel requested": {func(r *rig) scheduler.TaskID {
			lease := r.running(scheduler.NewTask{})
			must(r.t, second(r.client.Cancel(r.ctx, lease.Task, "")))
			return lease.Task
		}, []reason{{"cancel_requested", "ago"}, {"running", "attempt 1"}}},
		"worker stale": {func(r *rig) scheduler.TaskID {
			lease := r.running(scheduler.NewTask{})
			r.kill(lease.Worker)
			return lease.Task
		}, []reason{{"worker_stale", "was last heard of 2 h ago"}}},
		"worker gone": {func(r *rig) scheduler.TaskID {
			lease := r.running(scheduler.NewTask{})
			r.exec(`delete from scheduler.workers`)
			return lease.Task
		}, []reason{{"worker_stale", "is gone"}}},
		"expired": {func(r *rig) scheduler.TaskID {
			r.worker()
			return r.submit(scheduler.NewTask{ExpiresAt: time.Now().Add(-time.Minute)})
		}, []reason{{"expired", "passed 1 min"}}},
		"blocked": {func(r *rig) scheduler.TaskID {
			r.worker()
			return read[scheduler.TaskID](r, `insert into scheduler.tasks (kind, state) values ('k', 'blocked') returning id`)
		}, []reason{{"blocked", "other tasks"}}},
		"retry backoff": {func(r *rig) scheduler.TaskID {
			lease := r.running(scheduler.NewTask{Backoff: []time.Duration{time.Hour}})
			must(r.t, second(r.client.Fail(r.ctx, lease, scheduler.Failure{Code: "panic", Message: "boo"})))
			return lease.Task
		}, []reason{{"retry_backoff", "Attempt 1 failed (panic: boo); failure 1 of 10. The next attempt is due in 59 min."}}},
		"not due": {func(r *rig) scheduler.TaskID { r.worker(); return r.submit(scheduler.NewTask{Delay: time.Hour}) }, []reason{{"not_due", "in 59 min, at 20"}}},
		"promotion pending": {func(r *rig) scheduler.TaskID {
			r.worker()
			id := r.submit(scheduler.NewTask{Delay: time.Hour})
			r.exec(`update scheduler.tasks set run_at = now() - interval '1 s'`)
			return id
		}, []reason{{"promotion_pending", "not promoted"}}},
		"queue paused": {func(r *rig) scheduler.TaskID {
			r.worker()
			must(r.t, second(r.client.PauseQueue(r.ctx, scheduler.DefaultQueue)))
			r.exec(`update scheduler.queues set paused_at = paused_at - interval '2 h'`)
			return r.submit(scheduler.NewTask{})
		}, []reason{{"queue_paused", "default has been paused for 2 h, since 20"}}},
		"no worker for the queue": {func(r *rig) scheduler.TaskID { r.worker(); return r.submit(scheduler.NewTask{Queue: "lonely"}) },
			[]reason{{"no_worker_for_queue", "lonely"}}},
		"only a dead worker": {func(r *rig) scheduler.TaskID { r.kill(r.worker()); return r.submit(scheduler.NewTask{}) },
			[]reason{{"no_worker_for_queue", "default"}}},
		"no worker for the kind": {func(r *rig) scheduler.TaskID { r.worker(); return r.submit(scheduler.NewTask{Kind: "other"}) },
			[]reason{{"no_worker_for_kind", "can run kind other; they can run: k"}}},
		"workers quiet": {func(r *rig) scheduler.TaskID {
			must(r.t, r.client.Command(r.ctx, r.worker(), scheduler.CommandQuiet))
			must(r.t, r.client.Command(r.ctx, r.worker(), scheduler.CommandStop))
			return r.submit(scheduler.NewTask{})
		}, []reason{{"workers_quiet", "quiet or to stop"}}},
		"workers busy": {func(r *rig) scheduler.TaskID {
			must(r.t, second(r.client.Heartbeat(r.ctx, r.worker(), scheduler.Beat{Running: 10})))
			return r.submit(scheduler.NewTask{})
		}, []reason{{"workers_busy", "All 10 slots"}}},
		"one of two is free": {func(r *rig) scheduler.TaskID {
			must(r.t, second(r.client.Heartbeat(r.ctx, r.worker(), scheduler.Beat{Running: 10})))
			r.worker()
			return r.submit(scheduler.NewTask{})
		}, []reason{{"ready", "at any moment"}}},
		"several": {func(r *rig) scheduler.TaskID {
			must(r.t, second(r.client.PauseQueue(r.ctx, "q")))
			return r.submit(scheduler.NewTask{Queue: "q", Delay: time.Hour})
		}, []reason{{"not_due", ""}, {"queue_paused", ""}, {"no_worker_for_queue", ""}}},
		"endpoint nobody serves": {func(r *rig) scheduler.TaskID {
			r.endpoint(scheduler.NewEndpoint{})
			return r.submit(scheduler.NewTask{})
		}, []reason{{"endpoint_unserved", "Endpoint shop takes such tasks"}}},
		"endpoint paused": {func(r *rig) scheduler.TaskID {
			r.endpoint(scheduler.NewEndpoint{})
			r.turn(scheduler.Deliveries{Worker: r.worker()})
			must(r.t, r.client.PauseEndpoint(r.ctx, "shop"))
			r.exec(`update scheduler.endpoints set paused_at = paused_at - interval '2 h'`)
			return r.submit(scheduler.NewTask{})
		}, []reason{{"endpoint_paused", "Endpoint shop has been paused for 2 h, since 20"}}},
		"endpoint open": {func(r *rig) scheduler.TaskID {
			r.endpoint(scheduler.NewEndpoint{BreakerFailures: 1, BreakerPause: time.Hour})
			r.turn(scheduler.Deliveries{Worker: r.worker(), Generation: 1, Failures: 1, LastError: "503 Service Unavailable"})
			return r.submit(scheduler.NewTask{})
		}, []reason{{"endpoint_open", "1 time in a row (503 Service Unavailable); the next probe is due in 59 min"}}},
		"endpoint half open": {func(r *rig) scheduler.TaskID {
			r.endpoint(scheduler.NewEndpoint{BreakerFailures: 1})
			w := r.worker()
			r.turn(scheduler.Deliveries{Worker: w, Generation: 1, Failures: 1, LastError: "no"})
			must(r.t, r.client.ResumeEndpoint(r.ctx, "shop"))
			r.turn(scheduler.Deliveries{Worker: w, More: 1})
			return r.submit(scheduler.NewTask{})
		}, []reason{{"endpoint_open", "a probe is under way"}}},
		"endpoint busy": {func(r *rig) scheduler.TaskID {
			r.endpoint(scheduler.NewEndpoint{Concurrency: 2})
			r.turn(scheduler.Deliveries{Worker: r.worker(), More: 5})
			r.turn(scheduler.Deliveries{Worker: r.worker(), More: 5})
			return r.submit(scheduler.NewTask{})
		}, []reason{{"endpoint_busy", "all the 2 tasks in hand"}}},
		"endpoint open beside a worker": {func(r *rig) scheduler.TaskID {
			r.endpoint(scheduler.NewEndpoint{BreakerFailures: 1, BreakerPause: time.Hour})
			r.turn(scheduler.Deliveries{Worker: r.worker(), Generation: 1, Failures: 1, LastError: "no"})
			r.worker()
			return r.submit(scheduler.NewTask{})
		}, []reason{{"endpoint_open", "(no)"}, {"ready", "at any moment"}}},
		"endpoint that delivers": {func(r *rig) scheduler.TaskID {
			r.endpoint(scheduler.NewEndpoint{})
			r.turn(scheduler.Deliveries{Worker: r.worker()})
			return r.submit(scheduler.NewTask{})
		}, []reason{{"ready", "at any moment"}}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := newRig(t)
			got, err := r.client.Explain(r.ctx, c.prepare(r))
			must(t, err)
			if len(got) != len(c.want) {
				t.Fatalf("%+v", got)
			}
			for i, want := range c.want {
				if got[i].Code != want.code || !strings.Contains(got[i].Reason, want.word) || !strings.HasSuffix(got[i].Reason, ".") && want.code != "failed" && want.code != "cancelled" {
					t.Errorf("%+v, want %+v", got[i], want)
				}
			}
		})
	}
}

func TestExplainAnUnknownTask(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	for what, call := range map[string]func(scheduler.TaskID) error{
		"explain":  func(id scheduler.TaskID) error { return second(r.client.Explain(r.ctx, id)) },
		"attempts": func(id scheduler.TaskID) error { return second(r.client.Attempts(r.ctx, id)) },
		"logs":     func(id scheduler.TaskID) error { return second(r.client.Logs(r.ctx, id, 0, 10)) },
		"task":     func(id scheduler.TaskID) error { return second(r.client.Task(r.ctx, id)) },
		"wait":     func(id scheduler.TaskID) error { return second(r.client.Wait(r.ctx, id)) },
		"delete":   func(id scheduler.TaskID) error { return r.client.Delete(r.ctx, id) },
		"command": func(id scheduler.TaskID) error {
			return r.client.Command(r.ctx, scheduler.WorkerID(id), scheduler.CommandQuiet)
		},
	} {
		if err := call(scheduler.NewTaskID()); !errors.Is(err, scheduler.ErrNotFound) {
			t.Errorf("%s: %v", what, err)
		}
	}
	id := r.submit(scheduler.NewTask{})
	if list, err := r.client.Attempts(r.ctx, id); err != nil || list == nil || len(list) != 0 {
		t.Errorf("no attempts yet: %v, %v", list, err)
	}
}

// The view works out what people ask: how far, how long it waited, how long it ran.
func TestTaskOverview(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	done, runs := r.running(scheduler.NewTask{}), r.running(scheduler.NewTask{})
	waits := r.submit(scheduler.NewTask{Delay: time.Hour})
	_, _, err := r.client.Report(r.ctx, []scheduler.Report{{Lease: runs, Progress: scheduler.Progress{Current: 1, Total: 3, Message: "one"}}})
	must(t, err)
	must(t, r.client.Complete(r.ctx, done, nil))
	r.exec(`update scheduler.tasks set created_at = created_at - interval '10 min', started_at = started_at - interval '4 min', finished_at = finished_at - interval '1 min'`)
	type line struct {
		Percent        *float64
		Wait, Run, Age *float64
		Worker         *string
	}
	look := func(id scheduler.TaskID) (l line) {
		must(t, r.db.QueryRow(r.ctx, `select percent::float8, round(extract(epoch from wait) / 60)::float8, round(extract(epoch from run) / 60)::float8,
			round(extract(epoch from age) / 60)::float8, worker from scheduler.task_overview where id = $1`, id).Scan(&l.Percent, &l.Wait, &l.Run, &l.Age, &l.Worker))
		return l
	}
	if l := look(done.Task); l.Percent != nil || *l.Wait != 6 || *l.Run != 3 || *l.Age != 10 || l.Worker == nil {
		t.Errorf("done: %+v", l)
	}
	if l := look(runs.Task); *l.Percent != 33.3 || *l.Wait != 6 || *l.Run != 4 || *l.Age != 10 || *l.Worker != "w-"+runs.Worker.String()[:4] {
		t.Errorf("running: %+v", l)
	}
	if l := look(waits); l.Percent != nil || *l.Wait != 10 || l.Run != nil || l.Worker != nil {
		t.Errorf("waiting: %+v", l)
	}
	for progress, want := range map[[2]int64]float64{{5, 4}: 100, {-1, 4}: 0, {2, 4}: 50} {
		r.exec(`update scheduler.tasks set progress_current = $2, progress_total = $3 where id = $1`, runs.Task, progress[0], progress[1])
		if l := look(runs.Task); *l.Percent != want {
			t.Errorf("%v: %g %%, want %g", progress, *l.Percent, want)
		}
	}
}

// Pages of every list by state, and of all: newest first, each task once, as far as there are any.
func TestTasksByPages(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	worker := scheduler.NewWorkerID()
	want := map[scheduler.State][]scheduler.TaskID{}
	var all []scheduler.TaskID
	for range 25 {
		for _, state := range scheduler.States {
			id := read[scheduler.TaskID](r, `insert into scheduler.tasks (id, kind, queue, state, worker_id) values ($3, 'k', 'q', $1::text::scheduler.task_state, $2) returning id`,
				state, worker, scheduler.NewTaskID())
			want[state] = append(want[state], id)
			all = append(all, id)
		}
	}
	r.exec(`insert into scheduler.leases (worker_id, queue, task_ids) values ($1, 'q', $2), ($1, 'q', $3)`, worker, want[scheduler.Running], want[scheduler.Running][:5])
	r.submit(scheduler.NewTask{Kind: "other", Queue: "other"})
	want[""] = all
	for state, ids := range want {
		var got []scheduler.TaskID
		filter := scheduler.Filter{Queue: "q", Kind: "k", State: state, Limit: 10}
		for {
			page, next, err := r.client.Tasks(r.ctx, filter)
			must(t, err)
			for _, task := range page {
				got = append(got, task.ID)
				if state != "" && task.State != state {
					t.Errorf("%s among %s", task.State, state)
				}
			}
			if next.IsZero() {
				break
			}
			if len(page) != filter.Limit {
				t.Errorf("%s: %d on a page of %d, and there are more", state, len(page), filter.Limit)
			}
			filter.Before = next
		}
		slices.Reverse(got)
		if !slices.Equal(ids, got) {
			t.Errorf("%q: %d tasks, want %d", state, len(got), len(ids))
		}
	}
	for filter, n := range map[scheduler.Filter]int{{Kind: "other"}: 1, {Queue: "other"}: 1, {Queue: "other", Kind: "k"}: 0, {}: 50, {Limit: 500}: 176,
		{Queue: "q", State: scheduler.Running, Kind: "k", Limit: 25}: 25} {
		page, next, err := r.client.Tasks(r.ctx, filter)
		more := !next.IsZero()
		if err != nil || len(page) != n || more != (filter == scheduler.Filter{}) || page == nil {
			t.Errorf("%+v: %d tasks, more %v, %v", filter, len(page), more, err)
		}
	}
	for _, filter := range []scheduler.Filter{{Limit: -1}, {Limit: 501}, {State: "done"}, {State: "READY"}} {
		if _, _, err := r.client.Tasks(r.ctx, filter); !errors.Is(err, scheduler.ErrInvalid) {
			t.Errorf("%+v: %v", filter, err)
		}
	}
}

// Names that nothing can have find nothing; they are no error of the database.
func TestFiltersThatNothingCanMatch(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	for _, name := range []string{"a\x00b", "a\xffb", "two words", strings.Repeat("x", 100000)} {
		if page, _, err := r.client.Tasks(r.ctx, scheduler.Filter{Kind: name, Queue: scheduler.Queue(name)}); scheduler.Unavailable(err) || len(page) != 0 || err != nil && !errors.Is(err, scheduler.ErrInvalid) {
			t.Errorf("%.20q: %v", name, err)
		}
		for what, err := range map[string]error{
			"resume":   second(r.client.ResumeQueue(r.ctx, scheduler.Queue(name))),
			"pause":    second(r.client.PauseQueue(r.ctx, scheduler.Queue(name))),
			"schedule": second(r.client.Schedule(r.ctx, name)),
			"trigger":  second(r.client.TriggerSchedule(r.ctx, name)),
			"delete":   r.client.DeleteSchedule(r.ctx, name),
			"command":  r.client.Command(r.ctx, scheduler.NewWorkerID(), scheduler.Command(name)),
		} {
			if err == nil || !errors.Is(err, scheduler.ErrInvalid) && !errors.Is(err, scheduler.ErrNotFound) {
				t.Errorf("%s %.20q: %v", what, name, err)
			}
		}
	}
}

func TestQueuesAndTheirCounts(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	if list, err := r.client.Queues(r.ctx); err != nil || len(list) != 0 || list == nil {
		t.Errorf("nothing yet: %+v, %v", list, err)
	}
	r.worker("busy")
	must(t, second(r.client.PauseQueue(r.ctx, "set")))
	r.exec(`insert into scheduler.tasks (kind, queue, state, run_at, worker_id, finished_at)
		select 'k', q, s::scheduler.task_state, now() - interval '1 min', case when s = 'running' then gen_random_uuid() end, case when s in ('failed', 'completed', 'cancelled') then now() end
		from (values ('busy', 'ready', 12000), ('busy', 'scheduled', 10500), ('busy', 'failed', 11000), ('busy', 'completed', 50), ('busy', 'cancelled', 5),
			('calm', 'ready', 3), ('calm', 'scheduled', 4), ('calm', 'failed', 5), ('calm', 'running', 6), ('ended', 'completed', 9)) v(q, s, n), generate_series(1, n)`)
	r.exec(`insert into scheduler.leases (worker_id, queue, task_ids) select gen_random_uuid(), 'calm', array_agg(id) from scheduler.tasks where state = 'running'`)
	r.exec(`update scheduler.tasks set run_at = now() - interval '1 h' where id = (select id from scheduler.tasks where queue = 'calm' and state = 'ready' limit 1)`)
	list, err := r.client.Queues(r.ctx)
	must(t, err)
	var names []string
	got := map[scheduler.Queue]scheduler.QueueStatus{}
	for _, q := range list {
		names = append(names, string(q.Name))
		got[q.Name] = q
	}
	if !slices.Equal(names, []string{"busy", "calm", "default", "set"}) {
		t.Errorf("%v: want each that has tasks to do or failed, workers or settings", names)
	}
	if q := got["busy"]; q.Ready != scheduler.CountCap || q.Scheduled != scheduler.CountCap || q.Failed != scheduler.CountCap || q.Running != 0 || q.Workers != 1 || q.Slots != 10 || *q.OldestReadyMS < 60000 {
		t.Errorf("%+v", q)
	}
	if q := got["calm"]; q.Ready != 3 || q.Scheduled != 4 || q.Failed != 5 || q.Running != 6 || q.Workers != 0 || *q.OldestReadyMS < 3600000 || q.PausedAt != nil {
		t.Errorf("%+v", q)
	}
	if q := got["set"]; q.PausedAt == nil || q.OldestReadyMS != nil {
		t.Errorf("%+v", q)
	}
}

func TestWorkersAndTheirCommands(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	first := r.worker("b", "a")
	other, dead := r.worker(), r.worker()
	r.kill(dead)
	list, err := r.client.Workers(r.ctx)
	must(t, err)
	if len(list) != 3 || list[0].ID != first || list[1].ID != other || list[2].Live || !list[0].Live || !slices.Equal(list[0].Queues, []scheduler.Queue{"default", "b", "a"}) ||
		!slices.Equal(list[0].Kinds, []string{"k"}) || list[0].Slots != 10 || list[0].Command != scheduler.CommandRun || list[0].TTLMS != 3600000 || list[0].Host != "host" || list[0].PID != 1 {
		t.Errorf("%+v", list)
	}
	heard := func() scheduler.Command {
		orders, err := r.client.Heartbeat(r.ctx, first, scheduler.Beat{Running: 3})
		must(t, err)
		return orders.Command
	}
	for _, command := range []scheduler.Command{scheduler.CommandQuiet, scheduler.CommandRun, scheduler.CommandStop, scheduler.CommandStop} {
		must(t, r.client.Command(r.ctx, first, command))
		if got := heard(); got != command {
			t.Errorf("told %s, heard %s", command, got)
		}
	}
	if err := r.client.Command(r.ctx, first, scheduler.CommandRun); !errors.Is(err, scheduler.ErrNotFound) || heard() != scheduler.CommandStop {
		t.Errorf("told to run after stop: %v", err)
	}
	if list, _ := r.client.Workers(r.ctx); list[0].Running != 3 || list[1].Command != scheduler.CommandRun {
		t.Errorf("%+v", list[:2])
	}
}

func TestLogs(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	lease, other := r.running(scheduler.NewTask{}), r.running(scheduler.NewTask{})
	var lines []scheduler.Line
	for i := range 50 {
		lines = append(lines, scheduler.Line{Lease: lease, At: time.Now().Add(-time.Duration(50-i) * time.Second), Stream: []string{"log", "stdout", "stderr"}[i%3], Message: strings.Repeat("é", i) + "\x00"})
	}
	must(t, r.client.Log(r.ctx, lines))
	must(t, r.client.Log(r.ctx, []scheduler.Line{{Lease: lease, At: time.Now(), Stream: "log", Message: strings.Repeat("x", 1<<20)}}))
	must(t, second(r.client.Snooze(r.ctx, lease, 0, "")))
	var got []scheduler.LogLine
	for after := int64(0); ; after = got[len(got)-1].ID {
		page, err := r.client.Logs(r.ctx, lease.Task, after, 20)
		must(t, err)
		if len(page) == 0 {
			break
		}
		got = append(got, page...)
	}
	if len(got) != 51 {
		t.Fatalf("%d lines", len(got))
	}
	for i, line := range got[:50] {
		if line.Message != strings.Repeat("é", i)+"\uFFFD" || line.Stream != lines[i].Stream || line.Attempt != 1 || line.At.Sub(lines[i].At).Abs() > 10*time.Second {
			t.Errorf("line %d: %+v", i, line)
		}
	}
	if len(got[50].Message) > 8<<10 || !strings.HasSuffix(got[50].Message, "x…") {
		t.Errorf("a line of %d bytes", len(got[50].Message))
	}
	if list, err := r.client.Logs(r.ctx, other.Task, 0, 10); err != nil || len(list) != 0 {
		t.Errorf("another task: %v, %v", list, err)
	}
	for _, limit := range []int{0, -1, 1001} {
		if _, err := r.client.Logs(r.ctx, lease.Task, 0, limit); !errors.Is(err, scheduler.ErrInvalid) {
			t.Errorf("limit %d: %v", limit, err)
		}
	}
}
