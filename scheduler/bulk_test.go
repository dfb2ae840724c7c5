package scheduler_test

import (
	"context"
	"errors"
	"slices"
	"testing"

	"github.com/jackc/pgx/v5"

	"github.com/pgscheduler/scheduler/scheduler"
)

// ended waits for the end of a bulk.
func (r *rig) ended(id scheduler.BulkID) (b scheduler.Bulk) {
	r.t.Helper()
	await(r.t, "the bulk ends", func() bool {
		var err error
		b, err = r.client.Bulk(r.ctx, id)
		must(r.t, err)
		return b.State != "running"
	})
	return b
}

func TestBulkRetry(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	ctx := scheduler.WithActor(r.ctx, "ann@shop")
	r.exec(`insert into scheduler.tasks (kind, queue, state, error_code, error, finished_at, failures)
		select 'k', 'q', 'failed', 'error', 'no ' || i, now(), 3 from generate_series(1, 2500) i`)
	r.exec(`insert into scheduler.tasks (kind, queue, state, error, finished_at) values ('k', 'other', 'failed', 'no', now()), ('other', 'q', 'failed', 'no', now())`)
	held := r.submit(scheduler.NewTask{Kind: "x", Queue: "q", UniqueKey: "held"})
	r.exec(`insert into scheduler.tasks (kind, queue, state, unique_key) values ('k', 'q', 'failed', 'held'), ('k', 'q', 'failed', 'twice'), ('k', 'q', 'failed', 'twice')`)
	b, err := r.client.BeginBulk(ctx, "retry", scheduler.Filter{Queue: "q", Kind: "k", State: scheduler.Failed}, "")
	must(t, err)
	if b.Total == nil || *b.Total != 2503 || b.State != "running" || b.Actor != "ann@shop" {
		t.Errorf("%+v", b)
	}
	r.exec(`insert into scheduler.tasks (id, kind, queue, state) values (overlay(scheduler.uuidv7()::text placing 'f' from 1 for 1)::uuid, 'k', 'q', 'failed')`) // made much later
	r.maintain(r.client)
	b = r.ended(b.ID)
	if b.State != "done" || b.Done != 2501 || b.Skipped != 2 || b.FinishedAt == nil {
		t.Errorf("%+v", b)
	}
	if n := read[int](r, `select count(*) from scheduler.tasks where state = 'ready' and failures = 0 and id <> $1`, held); n != 2501 {
		t.Errorf("%d are ready", n)
	}
	if n := read[int](r, `select count(*) from scheduler.audit where verb = 'retry' and actor = 'ann@shop' and detail = jsonb_build_object('bulk', $1::uuid)`, b.ID); n != 2501 {
		t.Errorf("%d audit rows", n)
	}
	if n := read[int](r, `select count(*) from scheduler.audit where verb = 'bulk_retry' and target = $1::uuid::text and detail->>'kind' = 'k'`, b.ID); n != 1 {
		t.Errorf("%d audit rows of the bulk", n)
	}
}

// What is done chunk by chunk by several processes is done once, whoever of them stops.
func TestBulkGoesOnElsewhere(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.exec(`insert into scheduler.tasks (kind, state) select 'k', 'ready' from generate_series(1, 3500) i`)
	r.exec(`insert into scheduler.task_logs (task_id, queue, attempt, message) select id, queue, 1, 'line' from scheduler.tasks`)
	b, err := r.client.BeginBulk(r.ctx, "cancel", scheduler.Filter{Kind: "k"}, "not wanted")
	must(t, err)
	stopped, cancel := context.WithCancel(r.ctx)
	cancel()
	if err := r.client.DoBulk(stopped, b.ID); !errors.Is(err, context.Canceled) {
		t.Errorf("stopped: %v", err)
	}
	tx, err := r.db.Begin(r.ctx) // another process has it
	must(t, err)
	must(t, second(tx.Exec(r.ctx, `select from scheduler.bulk for update`)))
	must(t, r.client.DoBulk(r.ctx, b.ID))
	must(t, tx.Rollback(r.ctx))
	if n := read[int](r, `select count(*) from scheduler.tasks where state = 'cancelled'`); n != 0 {
		t.Errorf("%d cancelled by one that did not have it", n)
	}
	for range 3 {
		r.maintain(r.open(scheduler.Config{}))
	}
	if b = r.ended(b.ID); b.Done != 3500 || b.Skipped != 0 {
		t.Errorf("%+v", b)
	}
	if n := read[int](r, `select count(*) from scheduler.tasks where state = 'cancelled' and error = 'not wanted' and revision = 2`); n != 3500 {
		t.Errorf("%d cancelled once", n)
	}
	b, err = r.client.BeginBulk(r.ctx, "delete", scheduler.Filter{}, "")
	must(t, err)
	if b = r.ended(b.ID); b.Done != 3500 {
		t.Errorf("%+v", b)
	}
	if n := read[int](r, `select (select count(*) from scheduler.tasks) + (select count(*) from scheduler.task_logs)`); n != 0 {
		t.Errorf("%d rows are left", n)
	}
}

func TestBulkCancelledAndSkipping(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	id, other := r.submit(scheduler.NewTask{Kind: "k", Tags: []string{"t"}}), r.submit(scheduler.NewTask{Kind: "k"})
	b, err := r.client.BeginBulk(r.ctx, "cancel", scheduler.Filter{Tag: "t"}, "")
	must(t, err)
	must(t, r.client.CancelBulk(r.ctx, b.ID))
	must(t, r.client.DoBulk(r.ctx, b.ID))
	if err := r.client.CancelBulk(r.ctx, b.ID); !errors.Is(err, scheduler.ErrNotFound) {
		t.Errorf("again: %v", err)
	}
	if b = r.ended(b.ID); b.State != "cancelled" || b.Done != 0 || r.task(id).State != scheduler.Ready {
		t.Errorf("%+v", b)
	}
	must(t, r.tx(func(tx pgx.Tx) error { // somebody works on it
		must(t, second(tx.Exec(r.ctx, `select from scheduler.tasks where id = $1 for update`, id)))
		b, err = r.client.BeginBulk(r.ctx, "cancel", scheduler.Filter{Kind: "k"}, "")
		must(t, err)
		return r.client.DoBulk(r.ctx, b.ID)
	}))
	if b = r.ended(b.ID); b.Done != 1 || b.Skipped != 1 || r.task(id).State != scheduler.Ready || r.task(other).State != scheduler.Cancelled {
		t.Errorf("%+v", b)
	}
	list, err := r.client.Bulks(r.ctx, 1)
	if err != nil || len(list) != 1 || list[0].ID != b.ID {
		t.Errorf("%v, %v", list, err)
	}
	for field, begin := range map[string]func() error{
		"verb": func() error { return second(r.client.BeginBulk(r.ctx, "run", scheduler.Filter{}, "")) },
		"state": func() error {
			return second(r.client.BeginBulk(r.ctx, "retry", scheduler.Filter{State: scheduler.Ready}, ""))
		},
		"filter": func() error { return second(r.client.BeginBulk(r.ctx, "retry", scheduler.Filter{Limit: 5}, "")) },
	} {
		if got := fieldOf(begin()); got != field {
			t.Errorf("%s: refused for %s", field, got)
		}
	}
}

func TestDeadGroups(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	fail := func(kind, code, text string) scheduler.TaskID {
		id := scheduler.NewTaskID() // the database's own ids of one millisecond are in no order
		r.exec(`insert into scheduler.tasks (id, kind, state, error_code, error, finished_at) values ($1, $2, 'failed', $3, $4, now())`, id, kind, code, text)
		return id
	}
	alike := [][]string{
		{`dial tcp 10.0.0.7:5432: connection refused after 3.5s`, `dial tcp 10.0.12.9:6432: connection refused after 17s`},
		{`no user "ann" in /srv/app/users.json`, `no user "bob the 2nd" in /tmp/x/y.json`},
		{`task 01a1fbc0-c975-7f37-a6be-a8f3e8777fbf: panic at 0xc000123abc`, `task 01a1fbc0-c975-7f37-a6be-000000000000: panic at 0xdeadbeef`},
		{`can't open 'a.txt'`, `can't open  'b.txt'`},
		{`GET https://example.org/a?b=1: 503`, `GET http://other.example/c: 502`},
		{`commit 8f3e8777fbfa91 is gone`, `commit 0000000000aa is gone`},
	}
	want := map[string]int{}
	for _, group := range alike {
		for _, text := range group {
			fail("k", "error", text)
		}
		want[group[0]] = 2
	}
	fail("k", "timeout", alike[0][0])
	newest := fail("other", "error", alike[0][1])
	groups, err := r.client.DeadGroups(r.ctx, "", "")
	must(t, err)
	if len(groups) != len(alike)+1 {
		t.Errorf("%d groups", len(groups))
	}
	for _, g := range groups {
		if g.LookedAt != 14 {
			t.Errorf("looked at %d", g.LookedAt)
		}
		t.Logf("%d × %s: %s", g.Tasks, g.ErrorCode, g.Shape)
	}
	first := groups[0]
	if first.Tasks != 3 || first.Sample != newest || *first.Error != alike[0][1] || first.Shape != "dial tcp <n>: connection refused after <n>s" || !slices.Equal(first.Kinds, []string{"k", "other"}) {
		t.Errorf("%+v", first)
	}
	if got, _ := r.listed(scheduler.Filter{ErrorGroup: first.ErrorGroup}); len(got) != 3 || got[0] != newest {
		t.Errorf("listed %v", got)
	}
	b, err := r.client.BeginBulk(r.ctx, "retry", scheduler.Filter{ErrorGroup: first.ErrorGroup}, "")
	must(t, err)
	must(t, r.client.DoBulk(r.ctx, b.ID))
	if b = r.ended(b.ID); b.Done != 3 {
		t.Errorf("%+v", b)
	}
	if groups, err := r.client.DeadGroups(r.ctx, "default", "k"); err != nil || len(groups) != len(alike) {
		t.Errorf("%d groups, %v", len(groups), err)
	}
}

// What the database refuses to do to many at once is done to few, and what it refuses to do to one is skipped.
func TestBulkOfWhatIsRefused(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.exec(`insert into scheduler.tasks (kind, state, finished_at) select case when i in (7, 1500) then 'precious' else 'k' end, 'completed', now()
		from generate_series(1, 2500) i`)
	r.exec(`create function keep() returns trigger language plpgsql as $$ begin
		if tg_level = 'STATEMENT' then
			if (select count(*) from gone) > 300 then raise 'too slow' using errcode = 'query_canceled'; end if;
		elsif old.kind = 'precious' then
			raise 'the books need it' using errcode = 'foreign_key_violation';
		end if;
		return old; end $$`)
	r.exec(`create trigger keep before delete on scheduler.tasks for each row execute function keep()`)
	r.exec(`create trigger slow after delete on scheduler.tasks referencing old table as gone for each statement execute function keep()`)
	b, err := r.client.BeginBulk(r.ctx, "delete", scheduler.Filter{}, "")
	must(t, err)
	must(t, r.client.DoBulk(r.ctx, b.ID))
	if b = r.ended(b.ID); b.State != "done" || b.Done != 2498 || b.Skipped != 2 {
		t.Errorf("%+v", b)
	}
	if left := read[[]string](r, `select array_agg(kind) from scheduler.tasks`); !slices.Equal(left, []string{"precious", "precious"}) {
		t.Errorf("left: %v", left)
	}
}

// A bulk that can't go on does not keep others from going on.
func TestBulkThatIsStuck(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.submit(scheduler.NewTask{Kind: "stuck", Queue: "a"})
	r.submit(scheduler.NewTask{Kind: "k", Queue: "b"})
	stuck, err := r.client.BeginBulk(r.ctx, "cancel", scheduler.Filter{Queue: "a", Text: "u"}, "")
	must(t, err)
	other, err := r.client.BeginBulk(r.ctx, "cancel", scheduler.Filter{Queue: "b"}, "")
	must(t, err)
	r.exec(`update scheduler.bulk set filter = jsonb_set(filter, '{state}', '"none"') where id = $1`, stuck.ID) // as one of another version
	r.maintain(r.client)
	if other = r.ended(other.ID); other.Done != 1 {
		t.Errorf("%+v", other)
	}
}

// However many tasks there are that nothing is to be done to, a bulk looks at a bounded number at a time.
func TestBulkOfFewAmongMany(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.exec(`insert into scheduler.tasks (kind, state, finished_at) select 'k', case when i in (10, 11000, 24000) then 'cancelled' else 'completed' end::scheduler.task_state, now()
		from generate_series(1, 25000) i`)
	b, err := r.client.BeginBulk(r.ctx, "retry", scheduler.Filter{}, "")
	must(t, err)
	if b.Total != nil {
		t.Errorf("%d counted: it looked at all", *b.Total)
	}
	must(t, r.client.DoBulk(r.ctx, b.ID))
	if b = r.ended(b.ID); b.Done != 3 || b.Skipped != 0 {
		t.Errorf("%+v", b)
	}
}

// What is too slow to count in time is begun all the same.
func TestBulkThatIsNotCounted(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	id := r.submit(scheduler.NewTask{Kind: "k"})
	var b scheduler.Bulk
	must(t, r.tx(func(tx pgx.Tx) (err error) {
		must(t, second(tx.Exec(r.ctx, `lock table scheduler.tasks`)))
		b, err = r.client.BeginBulk(r.ctx, "cancel", scheduler.Filter{Text: "k"}, "")
		return err
	}))
	if b.Total != nil || b.State != "running" {
		t.Errorf("%+v", b)
	}
	must(t, r.client.DoBulk(r.ctx, b.ID))
	if b = r.ended(b.ID); b.Done != 1 || r.task(id).State != scheduler.Cancelled {
		t.Errorf("%+v", b)
	}
}
