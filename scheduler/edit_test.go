package scheduler_test

import (
	"errors"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/pgscheduler/scheduler/scheduler"
)

func ptr[T any](v T) *T { return &v }

func TestRunNow(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	id := r.submit(scheduler.NewTask{Kind: "k", Delay: time.Hour})
	if state, err := r.client.RunNow(r.ctx, id); err != nil || state != scheduler.Ready {
		t.Errorf("%s, %v", state, err)
	}
	if task := r.task(id); task.State != scheduler.Ready || task.RunAt.After(task.CreatedAt.Add(time.Minute)) || task.Revision != 2 {
		t.Errorf("%+v", task)
	}
	var state *scheduler.StateError
	if _, err := r.client.RunNow(r.ctx, id); !errors.As(err, &state) || state.State != scheduler.Ready {
		t.Errorf("again: %v", err)
	}
	if _, err := r.client.RunNow(r.ctx, scheduler.NewTaskID()); !errors.Is(err, scheduler.ErrNotFound) {
		t.Errorf("unknown: %v", err)
	}
}

func TestEditChangesWhatIsGiven(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	id := r.submit(scheduler.NewTask{Kind: "k", Payload: 1, Tags: []string{"old"}, Timeout: time.Minute, ExpiresAt: time.Now().Add(time.Hour)})
	before := r.task(id)
	must(t, r.client.Edit(r.ctx, id, scheduler.Edit{Priority: ptr(-3)}))
	want := before
	want.Priority, want.Revision = -3, 2
	if diff := cmp.Diff(want, r.task(id)); diff != "" {
		t.Errorf("priority alone:\n%s", diff)
	}
	due := time.Now().Add(time.Hour).UTC().Truncate(time.Microsecond)
	must(t, r.client.Edit(r.ctx, id, scheduler.Edit{Payload: map[string]int{"v": 2}, RunAt: &due, MaxAttempts: ptr(3), Timeout: ptr(time.Duration(0)),
		ExpiresAt: &time.Time{}, Backoff: &[]time.Duration{time.Second}, Tags: &[]string{"b", "a", "b"}, Revision: 2}))
	got := r.task(id)
	if string(got.Payload) != `{"v": 2}` || !got.RunAt.Equal(due) || got.State != scheduler.Scheduled || got.MaxAttempts != 3 || got.TimeoutMS != nil ||
		got.ExpiresAt != nil || !slices.Equal(got.BackoffMS, []int64{1000}) || !slices.Equal(got.Tags, []string{"a", "b"}) || got.Priority != -3 || got.Revision != 3 {
		t.Errorf("%+v", got)
	}
	if tags := column[string](r, `select tag from scheduler.task_tags order by 1`); !slices.Equal(tags, []string{"a", "b"}) {
		t.Errorf("tags: %v", tags)
	}
	must(t, r.client.Edit(r.ctx, id, scheduler.Edit{RunAt: &time.Time{}, Tags: &[]string{}}))
	if got := r.task(id); got.State != scheduler.Ready || got.Tags != nil {
		t.Errorf("%+v", got)
	}
}

func TestEditRefuses(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	id := r.submit(scheduler.NewTask{Kind: "k"})
	for field, edit := range map[string]scheduler.Edit{"edit": {}, "priority": {Priority: ptr(40000)}, "max_attempts": {MaxAttempts: ptr(0)},
		"tags": {Tags: &[]string{""}}, "timeout_ms": {Timeout: ptr(-time.Second)}} {
		if got := fieldOf(r.client.Edit(r.ctx, id, edit)); got != field {
			t.Errorf("%s: refused for %s", field, got)
		}
	}
	if err := r.client.Edit(r.ctx, id, scheduler.Edit{Priority: ptr(1), Revision: 7}); !errors.Is(err, scheduler.ErrRevision) {
		t.Errorf("another revision: %v", err)
	}
	if err := r.client.Edit(r.ctx, scheduler.NewTaskID(), scheduler.Edit{Priority: ptr(1)}); !errors.Is(err, scheduler.ErrNotFound) {
		t.Errorf("unknown: %v", err)
	}
	for _, state := range scheduler.States {
		id := read[scheduler.TaskID](r, `insert into scheduler.tasks (kind, state, worker_id) values ('k', $1::text::scheduler.task_state, gen_random_uuid()) returning id`, state)
		err := r.client.Edit(r.ctx, id, scheduler.Edit{Priority: ptr(1), RunAt: ptr(time.Now().Add(time.Hour))})
		var refused *scheduler.StateError
		if closed := state == scheduler.Running || state == scheduler.Completed; closed != errors.As(err, &refused) || !closed && err != nil {
			t.Errorf("%s: %v", state, err)
		}
		want := state
		if state == scheduler.Ready {
			want = scheduler.Scheduled
		}
		if got := r.task(id).State; got != want {
			t.Errorf("%s became %s", state, got)
		}
	}
}

// Each action that changes something leaves one row with who did it; one that changes nothing leaves none.
func TestAudit(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	ctx := scheduler.WithActor(r.ctx, "ann@shop")
	id := r.submit(scheduler.NewTask{Kind: "k", Delay: time.Hour})
	worker := scheduler.NewWorkerID()
	r.exec(`insert into scheduler.workers (id, name, queues, kinds, slots, ttl_ms) values ($1, 'w7', '{q}', '{k}', 1, 60000)`, worker)
	must(t, r.client.Edit(ctx, id, scheduler.Edit{Priority: ptr(1)}))
	must(t, second(r.client.RunNow(ctx, id)))
	must(t, second(r.client.Cancel(ctx, id, "no more")))
	must(t, second(r.client.Retry(ctx, id)))
	must(t, second(r.client.Cancel(r.ctx, id, "")))
	must(t, r.client.Delete(ctx, id))
	must(t, second(r.client.PauseQueue(ctx, "q")))
	must(t, second(r.client.ResumeQueue(ctx, "q")))
	must(t, second(r.client.ResumeQueue(ctx, "q"))) // changes nothing
	must(t, second(r.client.SetSchedule(ctx, scheduler.NewSchedule{Name: "s", Expression: "@yearly", Kind: "k"})))
	must(t, r.client.PauseSchedule(ctx, "s"))
	must(t, r.client.ResumeSchedule(ctx, "s"))
	must(t, second(r.client.TriggerSchedule(ctx, "s")))
	must(t, r.client.DeleteSchedule(ctx, "s"))
	must(t, r.client.Command(ctx, worker, scheduler.CommandQuiet))
	for _, err := range []error{r.client.Delete(ctx, id), second(r.client.Retry(ctx, id)), r.client.PauseSchedule(ctx, "s")} {
		if !errors.Is(err, scheduler.ErrNotFound) {
			t.Error(err)
		}
	}
	var got []string
	list, more, err := r.client.Audit(r.ctx, scheduler.AuditFilter{})
	must(t, err)
	for _, a := range list {
		got = append(got, a.Actor+" "+a.Verb+" "+a.Target+" "+string(a.Detail))
		if about := a.Verb == "cancel" || a.Verb == "retry" || a.Verb == "run" || a.Verb == "edit" || a.Verb == "delete"; about && (a.TaskID == nil || *a.TaskID != id) {
			t.Errorf("%s of task %v", a.Verb, a.TaskID)
		}
	}
	slices.Reverse(got)
	role := read[string](r, `select session_user::text`)
	want := []string{`ann@shop edit k {"fields": ["priority"]}`, `ann@shop run k {}`, `ann@shop cancel k {"reason": "no more", "requested": false}`, `ann@shop retry k {}`,
		role + ` cancel k {"requested": false}`, `ann@shop delete k {"queue": "default", "state": "cancelled"}`, `ann@shop pause_queue q {}`, `ann@shop resume_queue q {}`,
		`ann@shop set_schedule s {"kind": "k", "zone": "UTC", "queue": "default", "expression": "@yearly"}`, `ann@shop pause_schedule s {}`,
		`ann@shop resume_schedule s {}`, `ann@shop trigger_schedule s {}`, `ann@shop delete_schedule s {}`, `ann@shop quiet_worker w7 {"worker_id": "` + worker.String() + `"}`}
	if diff := cmp.Diff(want, got); diff != "" || more {
		t.Errorf("more %v\n%s", more, diff)
	}
	page, more, err := r.client.Audit(r.ctx, scheduler.AuditFilter{Task: id, Limit: 4})
	if err != nil || len(page) != 4 || !more || page[0].Verb != "delete" {
		t.Errorf("%d, more %v, %v", len(page), more, err)
	}
	page, more, err = r.client.Audit(r.ctx, scheduler.AuditFilter{Task: id, Before: page[3].ID})
	if err != nil || len(page) != 2 || more || page[1].Verb != "edit" {
		t.Errorf("%d, more %v, %v", len(page), more, err)
	}
}
