package scheduler_test

import (
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/pgscheduler/scheduler/scheduler"
)

// outcome ends an attempt by one of three verbs, with a number in what it stores.
func outcome(r *rig, client *scheduler.Client, verb int, lease scheduler.Lease, number int) (err error) {
	switch verb % 3 {
	case 0:
		err = client.Complete(r.ctx, lease, fmt.Append(nil, number))
	case 1:
		_, err = client.Fail(r.ctx, lease, scheduler.Failure{Message: fmt.Sprint(number)})
	default:
		_, err = client.Snooze(r.ctx, lease, time.Hour, fmt.Sprint(number))
	}
	return err
}

// A row that somebody has locked and a lease that is lost fail their own call and no other.
func TestOneBadOutcomeFailsAlone(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.submitN(90, scheduler.NewTask{Backoff: []time.Duration{time.Hour}})
	leased := r.lease(r.worker(), 90)
	tx := r.begin()
	for i := range 3 {
		_, err := tx.Exec(r.ctx, `select from scheduler.tasks where id = $1 for update`, leased[i].Task)
		must(t, err)
	}
	errs := make([]error, len(leased))
	var all sync.WaitGroup
	for i, task := range leased {
		all.Go(func() {
			lease := task.Lease
			if i/3 == 1 {
				lease.Attempt--
			}
			errs[i] = outcome(r, r.client, i, lease, i)
		})
	}
	all.Wait()
	for i, err := range errs {
		state, want := r.state(leased[i].Task), []scheduler.State{scheduler.Completed, scheduler.Scheduled, scheduler.Scheduled}[i%3]
		ok := err == nil
		switch i / 3 {
		case 0:
			ok, want = scheduler.Unavailable(err), scheduler.Running
		case 1:
			ok, want = errors.Is(err, scheduler.ErrLeaseLost), scheduler.Running
		}
		if !ok || state != want {
			t.Errorf("outcome %d: %v, and the task is %s", i, err, state)
		}
	}
	must(t, tx.Rollback(r.ctx))
	for i := range 6 {
		must(t, outcome(r, r.client, i, leased[i].Lease, i))
	}
}

// Rows that change while a statement waits for them are ended as they are then: cancelled when that was asked for meanwhile,
// passed over when the lease was lost meanwhile.
func TestOutcomesSeeWhatChangedMeanwhile(t *testing.T) {
	t.Parallel()
	for verb, name := range []string{"complete", "fail", "snooze"} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := newRig(t)
			r.submitN(9, scheduler.NewTask{MaxAttempts: 2, Backoff: []time.Duration{time.Hour}})
			leased, client := r.lease(r.worker(), 9), r.patient()
			tx := r.begin()
			for i, change := range []string{`cancel_requested_at = now()`, `progress_current = 7`, `worker_id = gen_random_uuid()`, `failures = 1`} {
				_, err := tx.Exec(r.ctx, `update scheduler.tasks set `+change+` where id = $1`, leased[i].Task)
				must(t, err)
			}
			errs := make([]error, len(leased))
			var all sync.WaitGroup
			for i, task := range leased {
				all.Go(func() { errs[i] = outcome(r, client, verb, task.Lease, i) })
			}
			await(t, "one waits", func() bool { return r.someoneWaits() })
			must(t, tx.Commit(r.ctx))
			all.Wait()
			usual := []scheduler.State{scheduler.Completed, scheduler.Scheduled, scheduler.Scheduled}[verb]
			for i, err := range errs {
				task, want := r.task(leased[i].Task), usual
				switch {
				case i == 0 && name != "complete":
					want = scheduler.Cancelled
				case i == 2:
					want = scheduler.Running
				case i == 3 && name == "fail":
					want = scheduler.Failed
				}
				if task.State != want || (i == 2) != errors.Is(err, scheduler.ErrLeaseLost) || i != 2 && err != nil || i == 1 && *task.ProgressCurrent != 7 {
					t.Errorf("task %d: %v, and it is %s", i, err, task.State)
				}
				if i == 2 {
					continue
				}
				stored := string(task.Result)
				if name != "complete" {
					stored = text(r.attempts(task.ID)[0].Error)
				}
				if stored != fmt.Sprint(i) {
					t.Errorf("task %d stored %s", i, stored)
				}
			}
		})
	}
}

// awaitFlight returns when the i-th call, from 0, is under way and waits for a lock, if it goes alone: the first two do.
func (r *rig) awaitFlight(i int) {
	r.t.Helper()
	if i < 2 {
		await(r.t, "a call is under way", func() bool {
			return i < read[int](r, `select count(distinct pid) from pg_locks l join pg_stat_activity a using (pid) where not granted and a.datname = current_database()`)
		})
	}
}

// More than fit in a group: a statement each thousand, and everybody's answer is about the own task.
func TestFullGroups(t *testing.T) {
	t.Parallel()
	for verb, name := range []string{"complete", "fail", "snooze", "submit"} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := newRig(t)
			const n = 2300
			client := r.patient()
			var leased []scheduler.LeasedTask
			if name != "submit" {
				r.submitN(n, scheduler.NewTask{})
				leased = r.lease(r.worker(), n)
			}
			tx := r.begin()
			_, err := tx.Exec(r.ctx, `lock table scheduler.tasks`)
			must(t, err)
			var all sync.WaitGroup
			for i := range n {
				all.Go(func() {
					var err error
					if name == "submit" {
						_, err = client.Submit(r.ctx, scheduler.NewTask{Kind: "k", Payload: i})
					} else {
						err = outcome(r, client, verb, leased[i].Lease, i)
					}
					if err != nil {
						t.Errorf("call %d: %v", i, err)
					}
				})
				r.awaitFlight(i)
			}
			await(t, "all others wait", func() bool { return client.Grouped() == n-2 })
			must(t, tx.Rollback(r.ctx))
			all.Wait()
			switch name {
			case "submit":
				if got := read[int](r, `select count(distinct payload) from scheduler.tasks`); got != n {
					t.Errorf("%d tasks", got)
				}
				return
			case "complete":
				r.exec(`insert into scheduler.attempts (task_id, attempt, queue, kind, outcome, worker_id, started_at, error)
					select id, attempt, queue, kind, 'released', worker_id, started_at, result::text from scheduler.tasks`)
			}
			var ids []scheduler.TaskID
			for _, task := range leased {
				ids = append(ids, task.Task)
			}
			if got := read[int](r, `select count(*) from unnest($1::uuid[]) with ordinality d(id, n) join scheduler.attempts a on a.task_id = d.id and a.error = (n - 1)::text`, ids); got != n {
				t.Errorf("%d tasks have the own outcome", got)
			}
		})
	}
}

// Close waits for the outcomes that wait for others, too.
func TestCloseWaitsForOutcomes(t *testing.T) {
	t.Parallel()
	for verb, name := range []string{"complete", "fail", "snooze"} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := newRig(t)
			client := r.patient()
			r.submitN(3, scheduler.NewTask{})
			leased := r.lease(r.worker(), 3)
			tx := r.begin()
			_, err := tx.Exec(r.ctx, `select from scheduler.tasks where kind = 'k' for update`)
			must(t, err)
			var all sync.WaitGroup
			for i, task := range leased {
				all.Go(func() {
					if err := outcome(r, client, verb, task.Lease, i); err != nil {
						t.Errorf("outcome %d: %v", i, err)
					}
				})
				r.awaitFlight(i)
			}
			await(t, "one waits for the two under way", func() bool { return client.Grouped() == 1 })
			all.Go(client.Close)
			await(t, "closing", func() bool { return second(client.Submit(r.ctx, scheduler.NewTask{Kind: "other"})) != nil })
			must(t, tx.Rollback(r.ctx))
			all.Wait()
		})
	}
}
