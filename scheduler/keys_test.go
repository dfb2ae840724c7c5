package scheduler_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/pgscheduler/scheduler/scheduler"
)

// reusedBy returns the task that a refusal says the key belongs to, whichever door it came from.
func reusedBy(err error) string {
	var reused *scheduler.KeyReusedError
	if errors.As(err, &reused) {
		return reused.Task.String()
	}
	var pg *pgconn.PgError
	if errors.As(err, &pg) && pg.Code == "23505" && pg.ConstraintName == "tasks_idempotency_key" {
		return pg.Detail
	}
	return fmt.Sprint("not refused: ", err)
}

// The same request through whichever door returns the task of the first; so it does when what was left out is given as its default,
// and when the payload or a time is spelled another way.
func TestTheSameRequestUnderOneKeyIsOneTask(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	for i, spellings := range [][]scheduler.NewTask{
		{{Kind: "k"}, {Kind: "k", Queue: "default", MaxAttempts: 10, Payload: json.RawMessage(" { } ")}},
		{{Kind: "k", Payload: json.RawMessage(`{"a":1,"b":[1.0,"\u00e9"]}`)}, {Kind: "k", Payload: json.RawMessage(`{"b": [1.0, "é"], "a": 1}`)}},
		{{Kind: "k", RunAt: aTime, ExpiresAt: aTime}, {Kind: "k", RunAt: aTime.UTC().Truncate(time.Microsecond), ExpiresAt: aTime.In(time.Local)}},
		{{Kind: "k", Queue: "q", Priority: 3, Delay: time.Hour, MaxAttempts: 4, Timeout: time.Second, UniqueKey: "u", Backoff: []time.Duration{1e9, 2e9}}},
	} {
		var first scheduler.TaskID
		for _, d := range doors {
			for _, task := range spellings {
				task.IdempotencyKey = fmt.Sprint("key ", i)
				id, err := d.submit(r, task)
				if first.IsZero() {
					first = id
				}
				if err != nil || id != first {
					t.Errorf("%+v by %s: %s, %v, want %s", task, d.name, id, err, first)
				}
			}
		}
	}
	if n := read[int](r, `select count(*) from scheduler.tasks`); n != 4 {
		t.Errorf("%d tasks", n)
	}
}

// One field differs: refused by every door, whichever door the first came through.
func TestAnotherRequestUnderTheKeyIsRefused(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	base := scheduler.NewTask{Kind: "k", Payload: map[string]int{"n": 1}, Delay: time.Hour}
	change := map[string]func(*scheduler.NewTask){
		"kind":         func(n *scheduler.NewTask) { n.Kind = "k2" },
		"payload":      func(n *scheduler.NewTask) { n.Payload = map[string]int{"n": 2} },
		"priority":     func(n *scheduler.NewTask) { n.Priority = 1 },
		"run_at":       func(n *scheduler.NewTask) { n.Delay, n.RunAt = 0, aTime },
		"delay_ms":     func(n *scheduler.NewTask) { n.Delay++; n.Delay = 2 * time.Hour },
		"max_attempts": func(n *scheduler.NewTask) { n.MaxAttempts = 9 },
		"timeout_ms":   func(n *scheduler.NewTask) { n.Timeout = time.Second },
		"expires_at":   func(n *scheduler.NewTask) { n.ExpiresAt = aTime },
		"unique_key":   func(n *scheduler.NewTask) { n.UniqueKey = "u" },
		"backoff_ms":   func(n *scheduler.NewTask) { n.Backoff = []time.Duration{1e9} },
	}
	for _, first := range doors {
		base.IdempotencyKey = "first by " + first.name
		id, err := first.submit(r, base)
		must(t, err)
		for field, edit := range change {
			for _, d := range doors {
				other := base
				edit(&other)
				if got := reusedBy(second(d.submit(r, other))); got != id.String() {
					t.Errorf("first by %s, %s differs by %s: %s, want %s", first.name, field, d.name, got, id)
				}
			}
		}
		other := base
		other.Queue = "other" // keys are a queue's own
		if elsewhere, err := first.submit(r, other); err != nil || elsewhere == id {
			t.Errorf("in another queue: %s, %v", elsewhere, err)
		}
	}
	if n := read[int](r, `select count(*) from scheduler.tasks`); n != 2*len(doors) {
		t.Errorf("%d tasks", n)
	}
}

func TestReplaysSaySo(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	task := scheduler.NewTask{Kind: "k", IdempotencyKey: "i"}
	first, err := r.client.Submit(r.ctx, task)
	must(t, err)
	if first.Replayed || first.Existing || first.State != scheduler.Ready {
		t.Errorf("first: %+v", first)
	}
	lease := r.lease(r.worker(), 1)[0].Lease
	must(t, r.client.Complete(r.ctx, lease, nil))
	again, err := r.client.Submit(r.ctx, task) // also after the task has ended
	must(t, err)
	if again.ID != first.ID || !again.Replayed || again.Existing || again.State != scheduler.Completed || !again.CreatedAt.Equal(first.CreatedAt) {
		t.Errorf("again: %+v", again)
	}
	must(t, r.client.Delete(r.ctx, first.ID))
	anew, err := r.client.Submit(r.ctx, task) // a key lasts as long as its row
	must(t, err)
	if anew.ID == first.ID || anew.Replayed {
		t.Errorf("after deletion: %+v", anew)
	}
}

func TestKeysWithinOneSubmitMany(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	list, err := r.client.SubmitMany(r.ctx, []scheduler.NewTask{
		{Kind: "k", IdempotencyKey: "i"}, {Kind: "k", IdempotencyKey: "i"}, {Kind: "k", UniqueKey: "u"}, {Kind: "k2", UniqueKey: "u"},
		{Kind: "k", Queue: "other", IdempotencyKey: "i"},
	})
	must(t, err)
	if list[1].ID != list[0].ID || list[0].Replayed == list[1].Replayed || list[3].ID != list[2].ID || list[2].Existing == list[3].Existing || list[4].ID == list[0].ID {
		t.Errorf("%+v", list)
	}
	before := read[int](r, `select count(*) from scheduler.tasks`)
	_, err = r.client.SubmitMany(r.ctx, []scheduler.NewTask{{Kind: "k"}, {Kind: "k"}, {Kind: "other", IdempotencyKey: "i"}})
	var reused *scheduler.KeyReusedError
	if !errors.As(err, &reused) || reused.At != 2 || reused.Task != list[0].ID || reused.Key != "i" {
		t.Errorf("got %v, %+v", err, reused)
	}
	if n := read[int](r, `select count(*) from scheduler.tasks`); n != before {
		t.Errorf("%d tasks were stored with a refused one", n-before)
	}
}

func TestFiftyConcurrentEqualSubmitsMakeOneTask(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.client = r.patient()
	clients := []*scheduler.Client{r.client, r.patient()}
	for round := range 5 {
		task := scheduler.NewTask{Kind: "k", Payload: round, IdempotencyKey: fmt.Sprint("round ", round)}
		ids := make([]scheduler.TaskID, 50)
		start := make(chan struct{})
		var all sync.WaitGroup
		var fresh atomic.Int32
		for i := range ids {
			all.Go(func() {
				<-start
				if i%5 == 4 { // the door that tells who was first
					s, err := clients[i%2].Submit(r.ctx, task)
					if err != nil {
						t.Error(err)
					}
					if ids[i] = s.ID; !s.Replayed {
						fresh.Add(1)
					}
					return
				}
				id, err := doors[i%len(doors)].submit(r, task)
				if err != nil {
					t.Errorf("%s: %v", doors[i%len(doors)].name, err)
				}
				ids[i] = id
			})
		}
		close(start)
		all.Wait()
		for _, id := range ids {
			if id != ids[0] {
				t.Fatalf("round %d: %s and %s", round, id, ids[0])
			}
		}
		if n := fresh.Load(); n > 1 {
			t.Errorf("round %d: %d were told that theirs is new", round, n)
		}
	}
	if n := read[int](r, `select count(*) from scheduler.tasks`); n != 5 {
		t.Errorf("%d tasks, want 5", n)
	}
}

func TestAThousandKeysTwentyTimesAtOnce(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	const keys, times = 1000, 20
	clients := []*scheduler.Client{r.patient(), r.patient(), r.patient()}
	var mu sync.Mutex
	seen := map[int]scheduler.TaskID{}
	var fresh int
	var all sync.WaitGroup
	for w := range times {
		all.Go(func() {
			for _, key := range rand.Perm(keys) {
				task := scheduler.NewTask{Kind: "k", Payload: key, IdempotencyKey: fmt.Sprint(key)}
				var s scheduler.Submitted
				var err error
				if w%4 == 3 {
					s.ID, err = r.viaSQL(r.db, task)
					s.Replayed = true // SQL does not tell
				} else {
					s, err = clients[w%3].Submit(r.ctx, task)
				}
				mu.Lock()
				if err != nil {
					t.Error(err)
				} else if seen[key].IsZero() {
					seen[key] = s.ID
				} else if seen[key] != s.ID {
					t.Errorf("key %d: %s and %s", key, seen[key], s.ID)
				}
				if !s.Replayed {
					fresh++
				}
				mu.Unlock()
			}
		})
	}
	all.Wait()
	if n := read[int](r, `select count(*) from scheduler.tasks`); n != keys || fresh > keys {
		t.Errorf("%d tasks for %d keys, %d told that theirs is new", n, keys, fresh)
	}
}

// Batches with overlapping keys in different orders wait for each other, and never in a circle.
func TestOverlappingBatchesDoNotDeadlock(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	clients := []*scheduler.Client{r.patient(), r.patient()}
	var all sync.WaitGroup
	for w := range 6 {
		all.Go(func() {
			for range 12 {
				var tasks []scheduler.NewTask
				for _, key := range rand.Perm(24) {
					tasks = append(tasks, scheduler.NewTask{Kind: "k", Queue: scheduler.Queue(fmt.Sprint("q", key%3)), IdempotencyKey: fmt.Sprint(key)})
				}
				if _, err := clients[w%2].SubmitMany(r.ctx, tasks); err != nil {
					t.Error(err)
				}
				r.exec(`delete from scheduler.tasks where id in (select id from scheduler.tasks order by random() limit 3 for update skip locked)`)
			}
		})
	}
	all.Wait()
}

// Whoever waits for the first submitter's transaction goes on when that rolls back: the key is free then.
func TestAKeyIsFreeAgainWhenItsFirstSubmitterRollsBack(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.client = r.patient()
	for _, d := range doors {
		for _, commit := range []bool{true, false} {
			task := scheduler.NewTask{Kind: "k", IdempotencyKey: fmt.Sprint(d.name, commit)}
			tx := r.begin()
			first, err := r.client.SubmitTx(r.ctx, tx, task)
			must(t, err)
			got := make(chan scheduler.TaskID)
			go func() { // ends with the submit, which the test receives
				id, err := d.submit(r, task)
				if err != nil {
					t.Errorf("%s: %v", d.name, err)
				}
				got <- id
			}()
			await(t, d.name+" waits for the key", func() bool {
				return read[bool](r, `select exists (select from pg_locks l join pg_stat_activity a using (pid) where not l.granted and a.datname = current_database())`)
			})
			if commit {
				must(t, tx.Commit(r.ctx))
			} else {
				must(t, tx.Rollback(r.ctx))
			}
			if id := <-got; commit != (id == first.ID) || id.IsZero() {
				t.Errorf("%s, first committed %v: %s and %s", d.name, commit, first.ID, id)
			}
			if n := read[int](r, `select count(*) from scheduler.tasks where idempotency_key = $1`, task.IdempotencyKey); n != 1 {
				t.Errorf("%s, first committed %v: %d tasks", d.name, commit, n)
			}
		}
	}
}

// A unique key is held by one task of a queue until that is final.
func TestUniqueKeyIsHeldUntilTheTaskEnds(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	worker := r.worker()
	for _, d := range doors {
		task := scheduler.NewTask{Kind: "k", UniqueKey: "u " + d.name}
		again := func(what string, holder scheduler.TaskID, fresh bool) scheduler.TaskID {
			t.Helper()
			other := task
			other.Payload = what // another request is no other key
			id, err := d.submit(r, other)
			if err != nil || fresh == (id == holder) {
				t.Errorf("%s, %s: %s, %v, holder %s", d.name, what, id, err, holder)
			}
			return id
		}
		holder, err := d.submit(r, task)
		must(t, err)
		again("ready", holder, false)
		lease := r.lease(worker, 1)[0].Lease
		again("running", holder, false)
		must(t, second(r.client.Snooze(r.ctx, lease, time.Hour, "")))
		again("scheduled", holder, false)
		must(t, second(r.client.Cancel(r.ctx, holder, "")))
		next := again("cancelled", holder, true)
		if _, err := r.client.Retry(r.ctx, holder); !errors.Is(err, scheduler.ErrKeyHeld) {
			t.Errorf("%s: retry while another holds the key: %v", d.name, err)
		}
		if _, err := r.db.Exec(r.ctx, `select scheduler.retry($1)`, holder); sqlState(err) != "23505" || !strings.Contains(err.Error(), "tasks_active_key") {
			t.Errorf("%s: retry by SQL while another holds the key: %v", d.name, err)
		}
		must(t, r.client.Complete(r.ctx, r.lease(worker, 1)[0].Lease, nil))
		third := again("completed", next, true)
		must(t, second(r.client.Fail(r.ctx, r.lease(worker, 1)[0].Lease, scheduler.Failure{Permanent: true})))
		must(t, second(r.client.Retry(r.ctx, holder))) // free again
		again("retried", third, true)
		must(t, second(r.client.Cancel(r.ctx, holder, "")))
	}
}

func TestExistingSaysSo(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	first, err := r.client.Submit(r.ctx, scheduler.NewTask{Kind: "k", UniqueKey: "u"})
	must(t, err)
	other, err := r.client.Submit(r.ctx, scheduler.NewTask{Kind: "other", UniqueKey: "u", IdempotencyKey: "i"})
	must(t, err)
	if first.Existing || !other.Existing || other.Replayed || other.ID != first.ID {
		t.Errorf("%+v, %+v", first, other)
	}
	if elsewhere, err := r.client.Submit(r.ctx, scheduler.NewTask{Kind: "k", Queue: "other", UniqueKey: "u"}); err != nil || elsewhere.Existing {
		t.Errorf("in another queue: %+v, %v", elsewhere, err)
	}
}

// The holder of a key can vanish between the insert that met it and the look at it; the submit then starts over, and answers.
func TestAKeyThatComesAndGoes(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.client = r.patient()
	ctx, stop := context.WithCancel(r.ctx)
	var vandals sync.WaitGroup // end with ctx
	for range 2 {
		vandals.Go(func() {
			for ctx.Err() == nil {
				_, _ = r.db.Exec(ctx, `update scheduler.tasks set state = 'cancelled' where unique_key = 'u' and state = 'ready'`)
			}
		})
	}
	var all sync.WaitGroup
	var mu sync.Mutex
	made := map[scheduler.TaskID]bool{}
	for w := range 8 {
		all.Go(func() {
			for range 150 {
				id, err := doors[w%len(doors)].submit(r, scheduler.NewTask{Kind: "k", UniqueKey: "u"})
				if err != nil {
					t.Errorf("%s: %v", doors[w%len(doors)].name, err)
				}
				mu.Lock()
				made[id] = true
				mu.Unlock()
			}
		})
	}
	all.Wait()
	stop()
	vandals.Wait()
	if n := read[int](r, `select count(*) from scheduler.tasks`); n != len(made) {
		t.Errorf("%d tasks are stored, %d were answered", n, len(made))
	}
}

// In a transaction of isolation repeatable read a key that was taken since it began is an error of PostgreSQL, never a wrong answer.
func TestKeysInRepeatableRead(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	tx, err := r.db.BeginTx(r.ctx, pgx.TxOptions{IsoLevel: pgx.RepeatableRead})
	must(t, err)
	defer func() { _ = tx.Rollback(r.ctx) }() // it has failed
	_, err = tx.Exec(r.ctx, `select 1 from scheduler.tasks`)
	must(t, err)
	r.submit(scheduler.NewTask{Kind: "k", IdempotencyKey: "i"})
	if _, err := r.client.SubmitTx(r.ctx, tx, scheduler.NewTask{Kind: "k", IdempotencyKey: "i"}); sqlState(err) != "40001" || !scheduler.Unavailable(err) {
		t.Errorf("got %v, want a serialization failure", err)
	}
}
