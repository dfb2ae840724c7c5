package scheduler_test

import (
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/pgscheduler/scheduler/scheduler"
	"github.com/pgscheduler/scheduler/sql"
)

type promotion struct {
	Queue  *string
	Tasks  int64
	NextMS *int64
}

func (r *rig) promoteRows(limit int) []promotion {
	r.t.Helper()
	rows, err := r.db.Query(r.ctx, sql.Promote, limit)
	must(r.t, err)
	list, err := pgx.CollectRows(rows, pgx.RowToStructByName[promotion])
	must(r.t, err)
	return list
}

// What is due becomes ready, the most overdue first; the answer says how many in each queue, and when the next is due.
func TestPromote(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	if rows := r.promoteRows(10); len(rows) != 1 || rows[0].Queue != nil || rows[0].NextMS != nil {
		t.Errorf("nothing waits: %+v", rows)
	}
	due := r.submitN(5, scheduler.NewTask{Queue: "a", Delay: time.Hour})
	due = append(due, r.submitN(2, scheduler.NewTask{Queue: "b", Delay: time.Hour})...)
	later := r.submit(scheduler.NewTask{Queue: "b", Delay: 90 * time.Second})
	for i, id := range due {
		r.exec(`update scheduler.tasks set run_at = now() - $2 * interval '1 s' where id = $1`, id, 10-i)
	}
	first := r.promoteRows(3)
	if states := column[string](r, `select state::text from scheduler.tasks where id = any ($1) order by run_at`, due); !slices.Equal(states,
		[]string{"ready", "ready", "ready", "scheduled", "scheduled", "scheduled", "scheduled"}) {
		t.Errorf("promoted 3: %v", states)
	}
	if len(first) != 2 || *first[0].Queue != "a" || first[0].Tasks != 3 {
		t.Errorf("answered %+v", first)
	}
	got := map[string]int64{}
	for _, row := range r.promoteRows(1000) {
		if row.Queue != nil {
			got[*row.Queue] = row.Tasks
		} else if row.NextMS == nil || *row.NextMS < 60000 || *row.NextMS > 90000 {
			t.Errorf("the next is due in %v ms, want a little under 90000", row.NextMS)
		}
	}
	if got["a"] != 2 || got["b"] != 2 || len(got) != 2 {
		t.Errorf("promoted %v", got)
	}
	if task := r.task(later); task.State != scheduler.Scheduled || task.Revision != 1 {
		t.Errorf("not due, and %s", task.State)
	}
	if task := r.task(due[0]); task.Revision != 2 || task.Attempt != 0 {
		t.Errorf("promoted: %+v", task)
	}
}

// Several processes promote side by side: each task once, none forgotten, and nobody waits for a locked one.
func TestPromoteTogether(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	ids := r.submitN(5000, scheduler.NewTask{Delay: time.Hour})
	r.exec(`update scheduler.tasks set run_at = now() - random() * interval '1 h'`)
	tx := r.begin()
	_, err := tx.Exec(r.ctx, `select from scheduler.tasks where id = $1 for no key update`, ids[0])
	must(t, err)
	var all sync.WaitGroup
	for range 4 {
		client := r.open(scheduler.Patient(scheduler.Config{MaxConns: 1}))
		all.Go(func() {
			for range 6 {
				if err := client.PromoteOnce(r.ctx); err != nil {
					t.Error(err)
				}
			}
		})
	}
	all.Wait()
	if n := read[int](r, `select count(*) from scheduler.tasks where state = 'ready' and revision = 2`); n != 4999 {
		t.Errorf("%d of 4999 were promoted once", n)
	}
	must(t, tx.Rollback(r.ctx))
	must(t, r.client.PromoteOnce(r.ctx))
	if state := r.state(ids[0]); state != scheduler.Ready {
		t.Errorf("the one that was locked is %s", state)
	}
}

// What was not started in time is cancelled and says why; what runs, or ended, is left alone; a retry clears the end.
func TestExpire(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	past := time.Now().Add(-time.Minute)
	running := r.running(scheduler.NewTask{})
	completed := r.running(scheduler.NewTask{})
	must(t, r.client.Complete(r.ctx, completed, nil))
	r.exec(`update scheduler.tasks set expires_at = $1`, past)
	ready := r.submit(scheduler.NewTask{ExpiresAt: past})
	waiting := r.submit(scheduler.NewTask{ExpiresAt: past, Delay: time.Hour})
	later := r.submit(scheduler.NewTask{ExpiresAt: time.Now().Add(time.Hour)})
	must(t, r.client.PromoteOnce(r.ctx))
	for _, id := range []scheduler.TaskID{ready, waiting} {
		task := r.task(id)
		if task.State != scheduler.Cancelled || text(task.ErrorCode) != "expired" || !strings.HasPrefix(text(task.Error), "not started by 2") || !strings.HasSuffix(text(task.Error), " UTC") || task.FinishedAt == nil || task.Revision != 2 {
			t.Errorf("%+v", task)
		}
	}
	for id, want := range map[scheduler.TaskID]scheduler.State{running.Task: scheduler.Running, completed.Task: scheduler.Completed, later: scheduler.Ready} {
		if state := r.state(id); state != want {
			t.Errorf("%s, want %s", state, want)
		}
	}
	must(t, second(r.client.Retry(r.ctx, ready)))
	must(t, r.client.PromoteOnce(r.ctx))
	if task := r.task(ready); task.State != scheduler.Ready || task.ExpiresAt != nil {
		t.Errorf("retried: %+v", task)
	}
	if got := r.lease(r.worker(), 10); len(got) != 2 {
		t.Errorf("leased %d of 2", len(got))
	}
}

// Maintain does all of it by itself, and more than one batch of each at once.
func TestMaintainDoesWhatIsDue(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.submitN(2500, scheduler.NewTask{Delay: 50 * time.Millisecond})
	r.submitN(2500, scheduler.NewTask{ExpiresAt: time.Now().Add(-time.Second)})
	lease := r.running(scheduler.NewTask{Priority: -1})
	r.kill(lease.Worker)
	must(t, second(r.client.SetSchedule(r.ctx, scheduler.NewSchedule{Name: "s", Expression: "@every 1s", Kind: "scheduled"})))
	r.maintain(r.client)
	await(t, "all is done", func() bool {
		return read[bool](r, `select count(*) filter (where state = 'ready' and kind = 'k') = 2501 and count(*) filter (where error_code = 'expired') = 2500
			and count(*) filter (where kind = 'scheduled') >= 2 from scheduler.tasks`)
	})
}

// What is due soon makes Maintain look earlier than its poll, whoever submitted it.
func TestMaintainIsWokenForWhatIsDueSoon(t *testing.T) {
	t.Parallel()
	for name, ear := range map[string]bool{"submitted here": false, "submitted elsewhere": true} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := newRig(t)
			client := r.open(scheduler.Config{Poll: time.Minute})
			r.maintain(client)
			if ear { // as workers and servers do
				r.listenTo(client, []string{scheduler.ChannelDue}, func(string, string) {})
				await(t, "it listens", client.Hearing)
			}
			await(t, "Maintain sleeps", func() bool {
				return read[bool](r, `select exists (select from pg_stat_activity where datname = current_database() and state = 'idle' and query like '-- expire%')`)
			})
			by := client
			if ear {
				by = r.client
			}
			task, err := by.Submit(r.ctx, scheduler.NewTask{Kind: "k", Delay: 200 * time.Millisecond})
			must(t, err)
			await(t, "promoted", func() bool { return r.state(task.ID) == scheduler.Ready })
		})
	}
}

// A schedule that somebody has locked holds up nothing else that is due.
func TestLockedScheduleHoldsUpNoPromotion(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.set(scheduler.NewSchedule{Name: "s", Expression: "@every 1m"})
	r.exec(`update scheduler.schedules set next_run_at = now() - interval '1 s'`)
	tx := r.begin()
	_, err := tx.Exec(r.ctx, `select from scheduler.schedules for update`)
	must(t, err)
	client := r.patient()
	r.maintain(client)
	await(t, "it waits for the schedule", r.someoneWaits)
	task, err := client.Submit(r.ctx, scheduler.NewTask{Kind: "k", Delay: 10 * time.Millisecond})
	must(t, err)
	await(t, "promoted", func() bool { return r.state(task.ID) == scheduler.Ready })
	if !r.someoneWaits() {
		t.Error("the task was promoted after the schedule, not beside it")
	}
}

// A dead worker's tasks are given back when its time is over, not at the next look after that.
func TestRescueComesWhenTheTimeIsOver(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.running(scheduler.NewTask{})
	worker := r.worker()
	r.exec(`update scheduler.workers set ttl_ms = 3600000`)
	for silent, want := range map[string]int{"3597 s": 3001, "3602 s": -1999} {
		must(t, r.tx(func(tx pgx.Tx) error { // within which the time stands still
			_, err := tx.Exec(r.ctx, `update scheduler.workers set seen_at = now() - $2::interval where id = $1`, worker, silent)
			must(t, err)
			var ms int
			must(t, tx.QueryRow(r.ctx, sql.RescueNext).Scan(&ms))
			if ms != want {
				t.Errorf("silent for %s of an hour: it is dead in %d ms, want %d", silent, ms, want)
			}
			return nil
		}))
	}
}
