package scheduler_test

import (
	"errors"
	"testing"

	"github.com/jackc/pgx/v5/pgconn"

	"github.com/pgscheduler/scheduler/scheduler"
)

// allowed reports whether Edges lets a task go from one state to another. A row may be rewritten in any state.
func allowed(from, to scheduler.State) bool {
	for _, edge := range scheduler.Edges {
		if edge.From == from && edge.To == to {
			return true
		}
	}
	return from == to
}

// All 49 pairs, against the function and against the trigger that uses it.
func TestEveryChangeOfStateIsAsEdgesSay(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	worker := scheduler.NewWorkerID()
	for _, from := range scheduler.States {
		for _, to := range scheduler.States {
			want := allowed(from, to)
			if got := read[bool](r, `select scheduler.may_become($1::text::scheduler.task_state, $2::text::scheduler.task_state)`, from, to); got != want {
				t.Errorf("scheduler.may_become(%s, %s) is %v, Edges say %v", from, to, got, want)
			}
			id := read[scheduler.TaskID](r, `insert into scheduler.tasks (kind, state, worker_id) values ('k', $1::text::scheduler.task_state, $2) returning id`, from, worker)
			_, err := r.db.Exec(r.ctx, `update scheduler.tasks set state = $2::text::scheduler.task_state where id = $1`, id, to)
			var pg *pgconn.PgError
			refused := errors.As(err, &pg) && pg.Code == "23514" && pg.ConstraintName == "tasks_transition" && pg.TableName == "tasks"
			if want && err != nil || !want && !refused {
				t.Errorf("from %s to %s: error %v, allowed %v", from, to, err, want)
			}
			end := from
			if want {
				end = to
			}
			if got := r.state(id); got != end {
				t.Errorf("from %s to %s left the task %s", from, to, got)
			}
		}
	}
}

func TestRunningNeedsAWorker(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	id := r.submit(scheduler.NewTask{})
	_, err := r.db.Exec(r.ctx, `update scheduler.tasks set state = 'running' where id = $1`, id)
	if sqlState(err) != "23514" {
		t.Errorf("a running task without a worker: %v", err)
	}
}

// A change by several hands is refused as a whole.
func TestARefusedChangeChangesNothing(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	ids := r.submitN(3, scheduler.NewTask{})
	r.exec(`update scheduler.tasks set state = 'cancelled' where id = $1`, ids[1])
	_, err := r.db.Exec(r.ctx, `update scheduler.tasks set state = 'running', worker_id = gen_random_uuid()`)
	if sqlState(err) != "23514" {
		t.Fatalf("cancelled to running: %v", err)
	}
	if n := read[int](r, `select count(*) from scheduler.tasks where state = 'ready' and worker_id is null`); n != 2 {
		t.Errorf("%d of 2 ready tasks are as before", n)
	}
}

func TestStateDoneAndValid(t *testing.T) {
	t.Parallel()
	done := map[scheduler.State]bool{scheduler.Completed: true, scheduler.Failed: true, scheduler.Cancelled: true}
	for _, s := range scheduler.States {
		if s.Done() != done[s] || !s.Valid() {
			t.Errorf("%s: done %v, valid %v", s, s.Done(), s.Valid())
		}
		for _, edge := range scheduler.Edges {
			if edge.From == s && s.Done() && edge.Verb != "retry" {
				t.Errorf("%s leaves a final state by %s", s, edge.Verb)
			}
		}
	}
	for _, s := range []scheduler.State{"", "READY", "done"} {
		if s.Done() || s.Valid() {
			t.Errorf("%q: done %v, valid %v", s, s.Done(), s.Valid())
		}
	}
}
