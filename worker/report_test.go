package worker_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/pgscheduler/scheduler/scheduler"
	"github.com/pgscheduler/scheduler/worker"
)

func TestReportIsCoalescedAndTheLastOneKept(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	registry := worker.NewRegistry()
	const calls = 100_000
	worker.Handle(registry, "k", func(_ context.Context, task *worker.Task[none]) (none, error) {
		for i := range calls {
			if err := task.Report(int64(i+1), calls, fmt.Sprintf("page %d", i+1)); err != nil {
				return none{}, err
			}
		}
		return none{}, nil
	})
	r.start(registry, worker.Config{})
	task := r.final(r.submit(scheduler.NewTask{Kind: "k"}))
	if number(task.ProgressCurrent) != calls || number(task.ProgressTotal) != calls || text(task.ProgressMessage) != fmt.Sprintf("page %d", calls) {
		t.Errorf("progress %d of %d: %q", number(task.ProgressCurrent), number(task.ProgressTotal), text(task.ProgressMessage))
	}
	// Submit, lease and complete make revision 3; one write a quarter of a second, one at once, one at the end.
	writes, most := task.Revision-3, 2+int64(task.FinishedAt.Sub(*task.StartedAt)/(250*time.Millisecond))
	if writes < 1 || writes > most {
		t.Errorf("%d reports were written by %d writes, want 1 to %d", calls, writes, most)
	}
}

func TestReportIsSeenWhileTheHandlerRuns(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	registry := worker.NewRegistry()
	release := make(chan none)
	worker.Handle(registry, "k", func(_ context.Context, task *worker.Task[none]) (none, error) {
		task.Log("first line")
		err := task.ReportData(scheduler.Progress{Current: 1, Total: 4, Message: "a\x00b\xff", Data: json.RawMessage(`{"file": "x"}`)})
		<-release
		return none{}, err
	})
	r.start(registry, worker.Config{})
	id := r.submit(scheduler.NewTask{Kind: "k"})
	await(t, "progress and the line", func() bool {
		return number(r.task(id).ProgressCurrent) == 1 && len(r.lines(id, "log")) == 1
	})
	task := r.task(id)
	if task.State != scheduler.Running || number(task.ProgressTotal) != 4 || text(task.ProgressMessage) != "a\uFFFDb\uFFFD" || string(task.ProgressData) != `{"file": "x"}` {
		t.Errorf("%s, total %d, message %q, data %s", task.State, number(task.ProgressTotal), text(task.ProgressMessage), task.ProgressData)
	}
	close(release)
	if task := r.final(id); task.State != scheduler.Completed {
		t.Errorf("%s: %s", task.State, text(task.Error))
	}
}

// Reports and lines that could not be written at first are written later, in order, while the handler still runs.
func TestReportOutlivesAnOutage(t *testing.T) {
	t.Parallel()
	r, p := newProxiedRig(t, scheduler.Config{})
	registry := worker.NewRegistry()
	release := make(chan none)
	worker.Handle(registry, "k", func(_ context.Context, task *worker.Task[none]) (none, error) {
		for i := range 3 {
			task.Log("%d", i)
		}
		err := task.Report(7, 9, "said once")
		<-release
		return none{}, err
	})
	lines := p.every(1, "log", breakOff)
	r.start(registry, worker.Config{})
	id := r.submit(scheduler.NewTask{Kind: "k"})
	await(t, "two vain tries to write lines", func() bool { return lines() >= 2 })
	reports := p.every(1, "report", breakOff)
	await(t, "two vain tries to report", func() bool { return reports() >= 2 })
	p.decide(nil)
	await(t, "the report", func() bool { return number(r.task(id).ProgressCurrent) == 7 })
	if diff := cmp.Diff([]string{"0", "1", "2"}, r.lines(id, "log")); diff != "" {
		t.Error(diff)
	}
	close(release)
	if task := r.final(id); task.State != scheduler.Completed {
		t.Errorf("%s: %s", task.State, text(task.Error))
	}
}

func TestReportRefusesDataThatCannotBeStored(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	registry := worker.NewRegistry()
	worker.Handle(registry, "k", func(_ context.Context, task *worker.Task[none]) ([]string, error) {
		var errs []string
		for _, data := range []string{`{`, `"\u0000"`, `"\ud800"`, `"` + strings.Repeat("x", scheduler.MaxPayload) + `"`, `[1]`} {
			errs = append(errs, fmt.Sprint(task.ReportData(scheduler.Progress{Current: 5, Data: json.RawMessage(data)}) != nil))
		}
		return errs, nil
	})
	r.start(registry, worker.Config{})
	task := r.final(r.submit(scheduler.NewTask{Kind: "k"}))
	if string(task.Result) != `["true", "true", "true", "true", "false"]` || string(task.ProgressData) != "[1]" {
		t.Errorf("refused: %s; stored: %s", task.Result, task.ProgressData)
	}
}

func TestReportAndLogOfAFailedAttemptAreKept(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	registry := worker.NewRegistry()
	worker.Handle(registry, "k", func(_ context.Context, task *worker.Task[none]) (none, error) {
		task.Log("attempt %d", task.Attempt)
		err := task.Report(int64(task.Attempt), 0, "")
		if task.Attempt < 3 {
			panic("again")
		}
		return none{}, err
	})
	r.start(registry, worker.Config{})
	id := r.submit(scheduler.NewTask{Kind: "k", Backoff: []time.Duration{0}})
	if task := r.final(id); number(task.ProgressCurrent) != 3 || task.ProgressTotal != nil {
		t.Errorf("progress %d of %v", number(task.ProgressCurrent), task.ProgressTotal)
	}
	if diff := cmp.Diff([]string{"attempt 1", "attempt 2", "attempt 3"}, r.lines(id, "log")); diff != "" {
		t.Error(diff)
	}
}

// More lines than the buffer holds, the statement takes, and an attempt may write.
func TestLogKeepsOrderAndItsLimit(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	registry := worker.NewRegistry()
	worker.Handle(registry, "k", func(_ context.Context, task *worker.Task[none]) (none, error) {
		for i := range 12_000 {
			task.Log("%d", i)
		}
		return none{}, nil
	})
	worker.Handle(registry, "odd", func(_ context.Context, task *worker.Task[none]) (none, error) {
		task.Log("NUL \x00, bad UTF-8 \xc3\x28, %s", strings.Repeat("é", 8<<10))
		task.Log("")
		task.Log("two\nlines")
		return none{}, nil
	})
	r.start(registry, worker.Config{})
	many, odd := r.submit(scheduler.NewTask{Kind: "k"}), r.submit(scheduler.NewTask{Kind: "odd"})
	r.final(many)
	lines := r.lines(many, "log")
	if len(lines) != 10_001 || !strings.Contains(lines[10_000], "further lines of this attempt are dropped") {
		t.Fatalf("%d lines, the last: %q", len(lines), lines[len(lines)-1])
	}
	for i, line := range lines[:10_000] {
		if line != fmt.Sprint(i) {
			t.Fatalf("line %d is %q", i, line)
		}
	}
	r.final(odd)
	lines = r.lines(odd, "log")
	if len(lines) != 3 || len(lines[0]) > 8<<10 || !strings.HasPrefix(lines[0], "NUL \uFFFD, bad UTF-8 \uFFFD(, éé") || !strings.HasSuffix(lines[0], "…") || lines[2] != "two\nlines" {
		t.Errorf("%q", lines)
	}
}

func TestReportFromManyGoroutines(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	registry := worker.NewRegistry()
	worker.Handle(registry, "k", func(_ context.Context, task *worker.Task[none]) (none, error) {
		done := make(chan error)
		for g := range 8 {
			go func() {
				for i := range 500 {
					task.Log("%d %d", g, i)
					if err := task.Report(int64(i), 500, ""); err != nil {
						done <- err
						return
					}
				}
				done <- nil
			}()
		}
		var errs error
		for range 8 {
			errs = errors.Join(errs, <-done)
		}
		return none{}, errs
	})
	r.start(registry, worker.Config{Concurrency: 20})
	var ids []scheduler.TaskID
	for range 20 {
		ids = append(ids, r.submit(scheduler.NewTask{Kind: "k"}))
	}
	for _, id := range ids {
		if task := r.final(id); task.State != scheduler.Completed || number(task.ProgressCurrent) != 499 {
			t.Errorf("%s at %d: %s", task.State, number(task.ProgressCurrent), text(task.Error))
		}
		if n := len(r.lines(id, "log")); n != 4000 {
			t.Errorf("%d lines, want 4000", n)
		}
	}
}

// A handler that holds the lock of its own task's row, as ReportTx does, keeps nobody else's progress waiting.
func TestReportTxHoldsUpNobody(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	registry := worker.NewRegistry()
	locked, release := make(chan none), make(chan none)
	worker.Handle(registry, "tx", func(ctx context.Context, task *worker.Task[none]) (none, error) {
		if err := task.Report(1, 10, "before"); err != nil {
			return none{}, err
		}
		tx, err := r.db.Begin(ctx)
		if err != nil {
			return none{}, err
		}
		defer tx.Rollback(context.WithoutCancel(ctx))
		if err := task.ReportTx(ctx, tx, 5, 10, "inside"); err != nil {
			return none{}, err
		}
		close(locked)
		for i := 0; ; i++ { // reports of the same task meet the lock all the time
			if err := task.Report(6, 10, "beside"); err != nil {
				return none{}, err
			}
			select {
			case <-release:
				return none{}, tx.Commit(ctx)
			default:
			}
		}
	})
	worker.Handle(registry, "other", func(_ context.Context, task *worker.Task[none]) (none, error) {
		<-locked
		for i := range 2000 {
			task.Log("%d", i)
			if err := task.Report(int64(i+1), 2000, ""); err != nil {
				return none{}, err
			}
		}
		return none{}, nil
	})
	r.start(registry, worker.Config{})
	holder := r.submit(scheduler.NewTask{Kind: "tx"})
	var others []scheduler.TaskID
	for range 5 {
		others = append(others, r.submit(scheduler.NewTask{Kind: "other"}))
	}
	for _, id := range others {
		if task := r.final(id); task.State != scheduler.Completed || number(task.ProgressCurrent) != 2000 {
			t.Errorf("%s at %d", task.State, number(task.ProgressCurrent))
		}
	}
	if task := r.task(holder); task.State != scheduler.Running {
		t.Fatalf("the holder is %s: %s", task.State, text(task.Error))
	}
	close(release)
	if task := r.final(holder); task.State != scheduler.Completed || text(task.ProgressMessage) != "beside" {
		t.Errorf("%s: %s; progress %q", task.State, text(task.Error), text(task.ProgressMessage))
	}
}

// Who waits for a task marks its row; the last report of an attempt that ends just then is not lost for that.
func TestTheLastReportWaitsForItsRow(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	registry := worker.NewRegistry()
	begun, locked := make(chan none), make(chan none)
	worker.Handle(registry, "k", func(_ context.Context, task *worker.Task[none]) (none, error) {
		close(begun)
		<-locked
		return none{}, task.Report(7, 7, "all")
	})
	r.start(registry, worker.Config{})
	id := r.submit(scheduler.NewTask{Kind: "k"})
	<-begun
	tx, err := r.db.Begin(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := tx.Exec(t.Context(), `update scheduler.tasks set watched_until = now() where id = $1`, id); err != nil {
		t.Fatal(err)
	}
	close(locked)
	await(t, "it waits for the row", func() bool {
		var waits bool
		err := r.db.QueryRow(t.Context(), `select exists (select from pg_stat_activity where datname = current_database() and wait_event_type = 'Lock')`).Scan(&waits)
		return err == nil && waits
	})
	if err := tx.Commit(t.Context()); err != nil {
		t.Fatal(err)
	}
	if task := r.final(id); task.State != scheduler.Completed || text(task.ProgressMessage) != "all" {
		t.Errorf("%s: %s; progress %q", task.State, text(task.Error), text(task.ProgressMessage))
	}
}

// Progress never goes back: not by ReportTx while older progress is on its way, not by CompleteTx.
func TestReportNeverGoesBack(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	registry := worker.NewRegistry()
	worker.Handle(registry, "k", func(ctx context.Context, task *worker.Task[none]) (none, error) {
		for i := range 10 {
			if err := task.Report(int64(2*i+1), 21, ""); err != nil {
				return none{}, err
			}
			tx, err := r.db.Begin(ctx)
			if err != nil {
				return none{}, err
			}
			defer tx.Rollback(context.WithoutCancel(ctx))
			if err := task.ReportTx(ctx, tx, int64(2*i+2), 21, ""); err != nil {
				return none{}, err
			}
			if err := tx.Commit(ctx); err != nil {
				return none{}, err
			}
		}
		if err := task.Report(21, 21, "last"); err != nil {
			return none{}, err
		}
		tx, err := r.db.Begin(ctx)
		if err != nil {
			return none{}, err
		}
		defer tx.Rollback(context.WithoutCancel(ctx))
		if err := task.CompleteTx(ctx, tx, nil); err != nil {
			return none{}, err
		}
		return none{}, tx.Commit(ctx)
	})
	r.exec(`create table seen (task_id uuid, current bigint, at bigint generated always as identity);
		create function note() returns trigger language plpgsql as $$ begin
			insert into seen (task_id, current) values (new.id, new.progress_current); return null; end $$;
		create trigger note after update of progress_current on scheduler.tasks for each row execute function note()`)
	r.start(registry, worker.Config{Concurrency: 20})
	var ids []scheduler.TaskID
	for range 100 {
		ids = append(ids, r.submit(scheduler.NewTask{Kind: "k"}))
	}
	for _, id := range ids {
		if task := r.final(id); task.State != scheduler.Completed || number(task.ProgressCurrent) != 21 {
			t.Errorf("%s at %d: %s", task.State, number(task.ProgressCurrent), text(task.Error))
		}
	}
	back := read[int](r, `select count(*) from (select current < lag(current) over (partition by task_id order by at) as back from seen) s where back`)
	if back != 0 {
		t.Errorf("progress went back %d times", back)
	}
}
