package scheduler_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/pgscheduler/scheduler/scheduler"
)

// follow returns a Watcher that follows the tasks, and ends with the test.
func (r *rig) follow(client *scheduler.Client, from scheduler.WatchFrom, ids ...scheduler.TaskID) *scheduler.Watcher {
	w := client.Watcher()
	r.t.Cleanup(w.Close)
	for _, id := range ids {
		w.Add(id, from)
	}
	return w
}

// next returns what comes next, in time.
func (r *rig) next(w *scheduler.Watcher) (scheduler.TaskID, scheduler.Change) {
	r.t.Helper()
	ctx, cancel := context.WithTimeout(r.ctx, patience)
	defer cancel()
	id, change, err := w.Next(ctx)
	must(r.t, err)
	return id, change
}

// told awaits that changes of the task are told.
func (r *rig) told(id scheduler.TaskID) {
	r.t.Helper()
	await(r.t, "the task is marked, and somebody listens", func() bool {
		return read[bool](r, `select watched_until > now() and exists (select from pg_stat_activity where datname = current_database()
			and query like 'listen %"scheduler_watch"%') from scheduler.tasks where id = $1`, id)
	})
}

// One who follows a task sees it as it is, then each state it comes to, in order, then that it is gone; revisions only grow.
func TestFollowATaskThroughItsLife(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	id := r.submit(scheduler.NewTask{})
	w := r.follow(r.open(scheduler.Config{}), scheduler.WatchFrom{}, id)
	if got, c := r.next(w); got != id || c.Snapshot == nil || c.Snapshot != c.Latest || c.Snapshot.Task.State != scheduler.Ready {
		t.Fatalf("first came %v %+v", got, c)
	}
	r.told(id)
	last := int64(1)
	expect := func(what string, ok func(scheduler.Task) bool) {
		t.Helper()
		for {
			_, c := r.next(w)
			if c.Snapshot == nil || c.Snapshot.Task.Revision <= last {
				t.Fatalf("%s: came %+v after revision %d", what, c, last)
			}
			last = c.Snapshot.Task.Revision
			if ok(c.Snapshot.Task) {
				return
			}
		}
	}
	lease := r.lease(r.worker(), 1)[0].Lease
	expect("leased", func(t scheduler.Task) bool { return t.State == scheduler.Running })
	for n := range int64(3) {
		await(t, "the report is stored", func() bool { // not while the row is being marked
			_, locked, err := r.client.Report(r.ctx, []scheduler.Report{{Lease: lease, Progress: scheduler.Progress{Current: n, Total: 3}}})
			must(t, err)
			return len(locked) == 0
		})
		expect("reported", func(t scheduler.Task) bool { return *t.ProgressCurrent == n })
	}
	must(t, r.client.Complete(r.ctx, lease, []byte(`7`)))
	expect("completed", func(t scheduler.Task) bool { return t.State == scheduler.Completed && string(t.Result) == "7" })
	must(t, r.client.Delete(r.ctx, id))
	ctx, cancel := context.WithTimeout(r.ctx, patience)
	defer cancel()
	if got, _, err := w.Next(ctx); got != id || !errors.Is(err, scheduler.ErrNotFound) {
		t.Errorf("deleted: %v, %v", got, err)
	}
}

// Who knows the task as it is gets nothing but that; who knows no such task learns that.
func TestFollowFromWhatIsKnown(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	id := r.submit(scheduler.NewTask{})
	w := r.follow(r.client, scheduler.WatchFrom{Revision: 1}, id)
	if _, c := r.next(w); c.Snapshot != nil || len(c.Lines) > 0 || c.Latest.Task.ID != id {
		t.Errorf("came %+v", c)
	}
	must(t, second(r.client.Cancel(r.ctx, id, "")))
	if _, c := r.next(w); c.Snapshot == nil || c.Snapshot.Task.State != scheduler.Cancelled {
		t.Errorf("came %+v", c)
	}
	unknown := r.follow(r.client, scheduler.WatchFrom{}, scheduler.NewTaskID())
	if _, _, err := unknown.Next(r.ctx); !errors.Is(err, scheduler.ErrNotFound) {
		t.Errorf("unknown: %v", err)
	}
}

// Lines come in order, each once, to those who follow from the beginning and to those who come back; of more than are kept the newest
// come, and it is said.
func TestFollowLines(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	lease := r.running(scheduler.NewTask{})
	log := func(from, to int) {
		var lines []scheduler.Line
		for n := from; n <= to; n++ {
			lines = append(lines, scheduler.Line{Lease: lease, At: time.Now(), Stream: "log", Message: fmt.Sprint(n)})
		}
		must(t, r.client.Log(r.ctx, lines))
	}
	gather := func(w *scheduler.Watcher, n int) (messages []string, missed bool, last int64) {
		t.Helper()
		for len(messages) < n {
			_, c := r.next(w)
			missed = missed || c.Missed
			for _, l := range c.Lines {
				messages, last = append(messages, l.Message), l.ID
			}
		}
		return messages, missed, last
	}
	log(1, 3)
	w := r.follow(r.open(scheduler.Config{}), scheduler.WatchFrom{}, lease.Task)
	if got, missed, _ := gather(w, 3); !slices.Equal(got, []string{"1", "2", "3"}) || missed {
		t.Fatalf("%v, missed %v", got, missed)
	}
	r.told(lease.Task)
	log(4, 5)
	got, missed, last := gather(w, 2)
	if !slices.Equal(got, []string{"4", "5"}) || missed {
		t.Fatalf("%v, missed %v", got, missed)
	}
	log(6, 9)
	if got, missed, _ := gather(r.follow(r.client, scheduler.WatchFrom{Line: last}, lease.Task), 4); !slices.Equal(got, []string{"6", "7", "8", "9"}) || missed {
		t.Errorf("who comes back gets %v, missed %v", got, missed)
	}
	log(10, 1009)
	fresh, missed, _ := gather(r.follow(r.open(scheduler.Config{}), scheduler.WatchFrom{}, lease.Task), 200)
	if fresh[0] != "810" || fresh[199] != "1009" || !missed {
		t.Errorf("of many came %s to %s, missed %v", fresh[0], fresh[len(fresh)-1], missed)
	}
}

// Nothing is told of a task that nobody follows, and it is not marked.
func TestNobodyFollowsNothingIsTold(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	conn, err := pgx.Connect(r.ctx, r.url)
	must(t, err)
	defer conn.Close(r.ctx)
	_, err = conn.Exec(r.ctx, "listen "+scheduler.ChannelWatch)
	must(t, err)
	followed := r.submit(scheduler.NewTask{})
	w := r.follow(r.client, scheduler.WatchFrom{}, followed)
	r.next(w)
	r.told(followed)
	lease := r.running(scheduler.NewTask{Priority: -1})
	_, _, err = r.client.Report(r.ctx, []scheduler.Report{{Lease: lease, Progress: scheduler.Progress{Current: 1}}})
	must(t, err)
	must(t, r.client.Log(r.ctx, []scheduler.Line{{Lease: lease, At: time.Now(), Stream: "log", Message: "x"}}))
	must(t, r.client.Complete(r.ctx, lease, nil))
	must(t, second(r.client.Cancel(r.ctx, followed, "")))
	ctx, cancel := context.WithTimeout(r.ctx, patience)
	defer cancel()
	n, err := conn.WaitForNotification(ctx) // the cancel's, which was last
	must(t, err)
	if n.Payload != followed.String() {
		t.Errorf("told %q", n.Payload)
	}
	if read[bool](r, `select watched_until is not null from scheduler.tasks where id = $1`, lease.Task) {
		t.Error("marked, though nobody follows")
	}
}

// A task whose row somebody has locked for long is followed all the same, and marked once the lock is gone.
func TestFollowALockedTask(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	lease := r.running(scheduler.NewTask{})
	tx := r.begin()
	must(t, r.client.ReportTx(r.ctx, tx, scheduler.Report{Lease: lease, Progress: scheduler.Progress{Current: 1}}))
	w := r.follow(r.client, scheduler.WatchFrom{}, lease.Task)
	if _, c := r.next(w); c.Snapshot.Task.ProgressCurrent != nil {
		t.Errorf("came %+v", c.Snapshot.Task)
	}
	must(t, tx.Commit(r.ctx))
	if _, c := r.next(w); c.Snapshot == nil || *c.Snapshot.Task.ProgressCurrent != 1 {
		t.Errorf("came %+v", c)
	}
	r.told(lease.Task)
}

// When notifications do not arrive, changes are found all the same.
func TestFollowWithoutNotifications(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	id := r.submit(scheduler.NewTask{})
	w := r.follow(r.open(scheduler.Config{PollOnly: true}), scheduler.WatchFrom{}, id)
	r.next(w)
	must(t, second(r.client.Cancel(r.ctx, id, "")))
	if _, c := r.next(w); c.Snapshot == nil || c.Snapshot.Task.State != scheduler.Cancelled {
		t.Errorf("came %+v", c)
	}
}

// Who has seen more of a task than this client knows, from another one, is not shown what was before; but a revision that there never
// was, or is no more since a backup was restored, holds nobody up.
func TestFollowFromWhatIsKnownElsewhere(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	behind := r.open(scheduler.Config{PollOnly: true}) // up to half a second
	for range 5 {
		id := r.submit(scheduler.NewTask{})
		r.next(r.follow(behind, scheduler.WatchFrom{}, id))
		must(t, second(r.client.Cancel(r.ctx, id, "")))
		if _, c := r.next(r.follow(behind, scheduler.WatchFrom{Revision: 2}, id)); c.Snapshot != nil || c.Latest.Task.Revision != 2 {
			t.Errorf("came %+v", c)
		}
		if _, c := r.next(r.follow(behind, scheduler.WatchFrom{Revision: 7}, id)); c.Snapshot == nil || c.Snapshot.Task.Revision != 2 {
			t.Errorf("came %+v", c)
		}
	}
	r.next(r.follow(behind, scheduler.WatchFrom{Revision: 7}, r.submit(scheduler.NewTask{})))
}

// So it is with who waits, also with one who has no time to wait.
func TestWaitFromWhatIsKnownElsewhere(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	behind := r.open(scheduler.Config{PollOnly: true}) // up to half a second
	hurried, over := context.WithCancel(r.ctx)
	over()
	for range 5 {
		id := r.submit(scheduler.NewTask{})
		r.next(r.follow(behind, scheduler.WatchFrom{}, id))
		must(t, second(r.client.Cancel(r.ctx, id, "")))
		for _, ctx := range []context.Context{hurried, r.ctx} {
			for _, seen := range []int64{2, 7} {
				if task, err := behind.WaitUntil(ctx, id, seen, func(t scheduler.Task) bool { return t.State.Done() }); err != nil || task.Revision != 2 {
					t.Errorf("seen %d: %v, revision %d", seen, err, task.Revision)
				}
			}
		}
	}
}

// Who begins to follow a task that was done when it was last read here is not told so any more after it was retried, however long nobody
// told of that: he would look no further.
func TestFollowATaskThatWasRetried(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	client := r.open(scheduler.Config{})
	done := func(t scheduler.Task) bool { return t.State.Done() }
	for range 5 {
		id := r.submit(scheduler.NewTask{})
		must(t, second(r.client.Cancel(r.ctx, id, ""))) // before anybody follows: it is not marked, and its retry not told
		if _, c := r.next(r.follow(client, scheduler.WatchFrom{}, id)); c.Snapshot.Task.State != scheduler.Cancelled {
			t.Fatalf("came %+v", c)
		}
		must(t, second(r.client.Retry(r.ctx, id)))
		for _, from := range []scheduler.WatchFrom{{}, {Revision: 2}, {NoLines: true}} {
			w := client.Watcher()
			w.Add(id, from)
			if _, c := r.next(w); c.Latest.Task.State != scheduler.Ready {
				t.Errorf("from %+v came %s", from, c.Latest.Task.State)
			}
			w.Close()
		}
		waited := make(chan scheduler.Task)
		go func() { // received below
			task, err := client.WaitUntil(r.ctx, id, 0, done)
			if err != nil {
				t.Error(err)
			}
			waited <- task
		}()
		must(t, second(r.client.Cancel(r.ctx, id, "")))
		if task := <-waited; task.Revision != 4 {
			t.Errorf("who waits got revision %d", task.Revision)
		}
	}
}

// The end of a task comes together with its last lines, or after them, however many are read with it at once: nobody looks for more then.
func TestFollowTheLastLines(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	lease := r.running(scheduler.NewTask{})
	w := r.follow(r.open(scheduler.Config{}), scheduler.WatchFrom{}, lease.Task)
	r.next(w)
	must(t, r.tx(func(tx pgx.Tx) error {
		if _, err := tx.Exec(r.ctx, `insert into scheduler.task_logs (task_id, queue, attempt, stream, message)
			select $1, 'default', 1, 'log', n::text from generate_series(1, 1000) n`, lease.Task); err != nil {
			return err
		}
		return r.client.CompleteTx(r.ctx, tx, lease, nil)
	}))
	r.endsWith(w, "1000")
}

// endsWith holds that a follower is told of the end of its task not before its last line.
func (r *rig) endsWith(w *scheduler.Watcher, want string) {
	r.t.Helper()
	last := ""
	for end := false; !end; {
		_, c := r.next(w)
		for _, line := range c.Lines {
			last = line.Message
		}
		end = c.Latest.Task.State.Done()
	}
	if last != want {
		r.t.Errorf("at the end the last line is %q, want %q", last, want)
	}
}

// The same when the task had been done before, and whoever begins to follow it comes after it was retried, and done again.
func TestFollowTheLastLinesAfterARetry(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	client := r.open(scheduler.Config{})
	worker, id := r.worker(), r.submit(scheduler.NewTask{})
	must(t, second(r.client.Cancel(r.ctx, id, "")))
	r.next(r.follow(client, scheduler.WatchFrom{}, id)) // by which it is kept as it was then
	must(t, second(r.client.Retry(r.ctx, id)))
	var leased []scheduler.LeasedTask
	await(t, "it is leased", func() bool { leased = r.lease(worker, 1); return len(leased) == 1 }) // it may just be being marked
	r.exec(`insert into scheduler.task_logs (task_id, queue, attempt, stream, message)
		select $1, 'default', 1, 'log', n::text from generate_series(1, 1000) n`, id)
	must(t, r.client.Complete(r.ctx, leased[0].Lease, nil))
	r.endsWith(r.follow(client, scheduler.WatchFrom{}, id), "1000")
}

// A lease that finds a task locked since it is just being marked as watched passes it by; the task is announced once more then.
func TestMarkingATaskHidesItFromNobody(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	heard := r.listen(r.open(scheduler.Config{}))
	await(t, "it is connected", func() bool { return heard.count(connected) > 0 })
	const ready = scheduler.ChannelReady + " default"
	worker, id := r.worker(), r.submit(scheduler.NewTask{})
	await(t, "the submit is announced", func() bool { return heard.count(ready) == 1 })
	r.exec(`create function gate() returns trigger language plpgsql as $$ begin perform pg_advisory_xact_lock(1); return new; end $$`)
	r.exec(`create trigger gate before update of watched_until on scheduler.tasks for each row execute function gate()`)
	tx := r.begin()
	must(t, second(tx.Exec(r.ctx, `select pg_advisory_xact_lock(1)`)))
	r.follow(r.patient(), scheduler.WatchFrom{}, id)
	await(t, "it is being marked", func() bool {
		return read[bool](r, `select exists (select from pg_locks where locktype = 'advisory' and not granted)`)
	})
	if got := r.lease(worker, 1); len(got) != 0 {
		t.Fatalf("leased %+v", got)
	}
	must(t, tx.Commit(r.ctx))
	await(t, "it is announced once more", func() bool { return heard.count(ready) > 1 })
	if got := r.lease(worker, 1); len(got) != 1 {
		t.Error("it is not to be had")
	}
}

// Lines change no revision: those of which nobody was told are found when the connection stands again, and without one as well.
func TestFollowLinesThatNobodyTold(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	for _, config := range []scheduler.Config{{}, {PollOnly: true}} {
		id := r.submit(scheduler.NewTask{})
		w := r.follow(r.open(config), scheduler.WatchFrom{}, id)
		r.next(w)
		if !config.PollOnly {
			r.told(id)
		}
		r.exec(`insert into scheduler.task_logs (task_id, queue, attempt, stream, message) values ($1, 'default', 1, 'log', 'x')`, id)
		if !config.PollOnly {
			r.exec(`select pg_terminate_backend(pid) from pg_stat_activity where datname = current_database() and query like 'listen %"scheduler_watch"%'`)
		}
		for {
			if _, c := r.next(w); len(c.Lines) == 1 && c.Lines[0].Message == "x" {
				break
			}
		}
		w.Close()
	}
}

// Many follow few tasks: each sees the end of each, and the database is asked no more than for one.
func TestManyFollowFew(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	ids := r.submitN(5, scheduler.NewTask{})
	client := r.open(scheduler.Config{})
	const many = 1000
	var seen, all sync.WaitGroup
	seen.Add(many)
	for range many {
		all.Go(func() {
			w := client.Watcher()
			defer w.Close()
			sees := sync.OnceFunc(seen.Done)
			defer sees()
			for _, id := range ids {
				w.Add(id, scheduler.WatchFrom{})
			}
			ended, read := map[scheduler.TaskID]bool{}, 0
			for len(ended) < len(ids) {
				ctx, cancel := context.WithTimeout(r.ctx, patience)
				id, c, err := w.Next(ctx)
				cancel()
				if err != nil {
					t.Error(err)
					return
				}
				if read++; read == len(ids) {
					sees()
				}
				ended[id] = c.Latest.Task.State.Done()
				if !ended[id] {
					delete(ended, id)
				}
			}
		})
	}
	seen.Wait()
	for _, id := range ids {
		r.told(id)
	}
	before := client.WatchReads()
	for _, id := range ids {
		must(t, second(r.client.Cancel(r.ctx, id, "")))
	}
	all.Wait()
	if n := client.WatchReads() - before; n < 1 || n > 2*len(ids) {
		t.Errorf("%d reads for %d who follow %d tasks", n, many, len(ids))
	}
}

// Close ends those who wait.
func TestCloseEndsFollowing(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	id := r.submit(scheduler.NewTask{})
	client := r.open(scheduler.Config{})
	w := r.follow(client, scheduler.WatchFrom{}, id)
	r.next(w)
	ended := make(chan error)
	go func() { _, _, err := w.Next(r.ctx); ended <- err }() // received below
	client.Close()
	if err := <-ended; err == nil {
		t.Error("no error")
	}
}
