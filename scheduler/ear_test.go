package scheduler_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/pgscheduler/scheduler/scheduler"
)

// listening returns what each connection that listens said last.
func (r *rig) listening() []string {
	r.t.Helper()
	return column[string](r, `select query from pg_stat_activity where datname = current_database() and query like 'listen %' order by 1`)
}

// awaitListening awaits that there is one connection that listens, to just these channels.
func (r *rig) awaitListening(want string) {
	r.t.Helper()
	await(r.t, "one connection: "+want, func() bool {
		got := r.listening()
		return len(got) == 1 && got[0] == want || len(got) == 0 && want == ""
	})
}

// All who listen by a client share a connection, which listens to what they want and ends with the last of them. Another client has
// one of its own.
func TestAllListenByOneConnection(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	client := r.patient()
	r.followTopic(client, "#", nil)
	r.awaitListening(`listen "scheduler_message"`)
	w := r.follow(client, scheduler.WatchFrom{}, r.submit(scheduler.NewTask{}))
	r.next(w)
	r.awaitListening(`listen "scheduler_message"; listen "scheduler_watch"`)
	first := r.listener()
	ctx, leave := context.WithCancel(r.ctx)
	var polls sync.WaitGroup
	polls.Go(func() { _, _ = client.Poll(ctx, poll(scheduler.NewWorkerID(), time.Minute)) }) // ends with ctx
	const all = `listen "scheduler_control"; listen "scheduler_message"; listen "scheduler_ready"; listen "scheduler_watch"`
	r.awaitListening(all)
	if r.listener() != first {
		t.Error("the connection was made anew")
	}
	e, ended := &ear{}, make(chan error)
	go func() { ended <- client.Listen(r.ctx, []string{scheduler.ChannelWatch}, e.on) }() // received below
	await(t, "who comes late is told at once", func() bool { return e.count(connected) == 1 })

	other := r.patient()
	hers := r.listen(other)
	await(t, "two clients, two connections", func() bool { return len(r.listening()) == 2 && hers.count(connected) == 1 })
	leave()
	polls.Wait()
	client.Close()
	if err := <-ended; err == nil {
		t.Error("Listen outlives its client")
	}
	if err := client.Listen(r.ctx, []string{scheduler.ChannelWatch}, e.on); err == nil {
		t.Error("a closed client listens")
	}
	r.awaitListening(`listen "scheduler_control"; listen "scheduler_ready"`)
	r.exec(`notify scheduler_ready, 'q'`)
	await(t, "the other client still hears", func() bool { return hers.count("scheduler_ready q") == 1 })
	if hers.count(connected) != 1 {
		t.Error("the other client was disturbed")
	}
}

// The connection that listens is cut again and again, while messages are published, tasks report and end, and polls wait: followers get
// every message in order, watchers see every end, polls get every task.
func TestNothingIsMissedWhenTheConnectionIsCut(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.client = r.patient() // whoever watches locks tasks for a moment
	client := r.open(scheduler.Config{})
	const cuts, each, followers, workers = 12, 20, 5, 3
	var watched []scheduler.Lease
	for range each {
		watched = append(watched, r.running(scheduler.NewTask{Queue: "watched"}))
	}

	ctx, stop := context.WithTimeout(r.ctx, 4*patience)
	defer stop()
	var readers sync.WaitGroup
	for range followers {
		f := r.followTopic(client, "t.*", nil)
		readers.Go(func() { // ends after the last message
			for n := 0; n < cuts*each; {
				list, err := f.Next(ctx)
				if err != nil {
					t.Errorf("after message %d came %v", n, err)
					return
				}
				for _, m := range list {
					if want := fmt.Sprint("t.", n); m.Topic != want {
						t.Errorf("came %s, want %s", m.Topic, want)
						return
					}
					n++
				}
			}
		})
		w := client.Watcher()
		t.Cleanup(w.Close)
		for _, lease := range watched {
			w.Add(lease.Task, scheduler.WatchFrom{})
		}
		readers.Go(func() { // ends when all tasks have
			seen, done := map[scheduler.TaskID]int64{}, 0
			for done < len(watched) {
				id, change, err := w.Next(ctx)
				if err != nil {
					t.Errorf("%d of %d tasks ended, then came %v", done, len(watched), err)
					return
				}
				if s := change.Snapshot; s != nil {
					if s.Task.Revision <= seen[id] {
						t.Errorf("revision %d after %d", s.Task.Revision, seen[id])
					}
					seen[id] = s.Task.Revision
					if s.Task.State.Done() {
						done++
					}
				}
			}
		})
	}
	var mu sync.Mutex
	leased := map[scheduler.TaskID]bool{}
	polls, full := context.WithCancel(ctx)
	defer full()
	for range workers {
		readers.Go(func() { // ends when all tasks are leased
			p := poll(scheduler.NewWorkerID(), time.Minute)
			p.Worker.Queues, p.Max = []scheduler.Queue{"polled"}, 3
			for polls.Err() == nil {
				got, err := client.Poll(polls, p)
				if err != nil && polls.Err() == nil {
					t.Errorf("poll: %v", err)
					return
				}
				mu.Lock()
				for _, task := range got.Tasks {
					leased[task.Task] = true
				}
				if len(leased) == cuts*each {
					full()
				}
				mu.Unlock()
			}
		})
	}

	last := 0
	for cut := range cuts {
		await(t, "another connection", func() bool { pid := r.listener(); ok := pid != 0 && pid != last; last = pid; return ok })
		at := rand.IntN(each)
		for i := range each {
			r.publish(fmt.Sprint("t.", cut*each+i), nil)
			_, _, err := r.client.Report(ctx, []scheduler.Report{{Lease: watched[i], Progress: scheduler.Progress{Current: int64(cut)}}})
			must(t, err)
			r.submit(scheduler.NewTask{Queue: "polled"})
			if i == at {
				r.exec(`select pg_terminate_backend($1)`, last)
			}
		}
	}
	r.exec(`select pg_terminate_backend($1)`, r.listener())
	for _, lease := range watched {
		must(t, r.client.Complete(ctx, lease, nil))
	}
	readers.Wait()
	if len(leased) != cuts*each {
		t.Errorf("%d of %d tasks were leased", len(leased), cuts*each)
	}
}

// Those who come and go at once, before or while the connection is made, leave nothing behind, and disturb nobody who stays.
func TestListenIsCancelledWhileItBegins(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	for _, stays := range []bool{false, true} {
		client := r.patient()
		e := &ear{}
		if stays {
			e = r.listen(client)
		}
		var all sync.WaitGroup
		for range 8 {
			all.Go(func() {
				for range 20 {
					ctx, cancel := context.WithTimeout(r.ctx, time.Duration(rand.Int64N(int64(20*time.Millisecond))))
					var left sync.Mutex
					if err := client.Listen(ctx, []string{scheduler.ChannelDue, scheduler.ChannelWatch}, func(string, string) {
						if !left.TryLock() {
							t.Error("told after it had left")
							return
						}
						left.Unlock()
					}); err != nil {
						t.Error(err)
					}
					left.Lock()
					cancel()
				}
			})
		}
		all.Wait()
		if !stays {
			r.awaitListening("")
			continue
		}
		await(t, "it is connected", func() bool { return e.count(connected) == 1 })
		r.exec(`notify scheduler_ready, 'q'`)
		await(t, "who stayed hears", func() bool { return e.count("scheduler_ready q") == 1 })
		if e.count(connected) != 1 || len(r.listening()) != 1 {
			t.Errorf("connected %d times; there are %q", e.count(connected), r.listening())
		}
	}
}

// Close ends a connection wherever it is: standing, lost a moment ago, being made anew, refused.
func TestCloseWhileTheConnectionIsMadeAnew(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	config, err := pgx.ParseConfig(r.url)
	must(t, err)
	name := pgx.Identifier{config.Database}.Sanitize()
	config.Database = "postgres"
	admin, err := pgx.ConnectConfig(r.ctx, config)
	must(t, err)
	defer admin.Close(r.ctx)
	refuse := func(yes bool) {
		t.Helper()
		must(t, second(admin.Exec(r.ctx, fmt.Sprintf("alter database %s allow_connections %t", name, !yes))))
	}
	for n := range 12 {
		client := r.patient()
		e, ended := &ear{}, make(chan error)
		go func() { ended <- client.Listen(r.ctx, []string{scheduler.ChannelReady}, e.on) }() // received below
		await(t, "it listens", func() bool { return e.count(connected) == 1 })
		pid := r.listener()
		refuse(n%3 == 0)
		must(t, second(admin.Exec(r.ctx, `select pg_terminate_backend($1)`, pid)))
		if n%3 != 2 {
			await(t, "it is lost", func() bool { return e.count(connected) > 1 })
		}
		client.Close()
		if err := <-ended; err == nil {
			t.Error("Listen outlives its client")
		}
		refuse(false)
		r.awaitListening("")
	}
}

// Tasks that change all the time put nothing off: others are looked after as well, and their changes are told for as long as somebody watches.
func TestABusyTaskStarvesNoOther(t *testing.T) {
	if testing.Short() {
		t.Skip("may take 20 seconds")
	}
	t.Parallel()
	r := newRig(t)
	busy, other := r.running(scheduler.NewTask{}), r.submit(scheduler.NewTask{Queue: "q"})
	w := r.follow(r.open(scheduler.Config{}), scheduler.WatchFrom{NoLines: true}, busy.Task, other)
	r.next(w)
	r.told(other)
	r.exec(`update scheduler.tasks set watched_until = now() - interval '1 s' where id = $1`, other) // as if it had been watched for long
	must(t, second(r.client.Cancel(r.ctx, other, "")))
	limit := time.Now().Add(2 * patience) // it is looked for every 20 s
	for n := int64(0); time.Now().Before(limit); n++ {
		_, _, err := r.client.Report(r.ctx, []scheduler.Report{{Lease: busy, Progress: scheduler.Progress{Current: n}}})
		must(t, err)
		for {
			id, c := r.next(w)
			if id == other && c.Latest.Task.State == scheduler.Cancelled {
				return
			}
			if id == busy.Task && c.Latest.Task.ProgressCurrent != nil && *c.Latest.Task.ProgressCurrent == n {
				break
			}
		}
	}
	t.Error("the other's end was not seen")
}
