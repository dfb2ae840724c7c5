package scheduler_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/pgscheduler/scheduler/scheduler"
)

// mix is what many callers ask for at once, and how each was answered.
type mix struct {
	*rig
	clients []*scheduler.Client
	held    []*heldTask
	asks    []*ask
}

// heldTask is a task that a worker runs.
type heldTask struct {
	scheduler.LeasedTask
	before      scheduler.Task
	older       *scheduler.Lease // of an attempt that has ended; nil: there was none
	cancelAsked bool
	backoff     time.Duration
	lastAttempt bool // the next failure is the last
}

// ask is one call. What it stores holds its number.
type ask struct {
	number int
	verb   string
	ends   string // when its context ends: never, before or during the call

	tasks  []scheduler.NewTask // submit, many
	shared int                 // which of the tasks has a key that others use too; -1: none
	poison bool                // the database refuses it

	on         *heldTask // complete, fail, snooze
	lease      scheduler.Lease
	stale      bool
	permanent  bool
	retryAfter *time.Duration
	delay      time.Duration

	submitted []scheduler.Submitted
	state     scheduler.State
	err       error
}

func (a *ask) String() string {
	return fmt.Sprintf("%s %d (context ends: %s, shared %d, poison %v, stale %v)", a.verb, a.number, a.ends, a.shared, a.poison, a.stale)
}

// Whatever arrives together, in groups of one, of few and of many: each caller's answer is what the database says afterwards.
func TestAnswersAgreeWithTheDatabase(t *testing.T) {
	t.Parallel()
	for _, most := range []int{1, 3, 0} {
		t.Run(fmt.Sprint("groups of ", most), func(t *testing.T) {
			t.Parallel()
			r := newRig(t)
			r.exec(`alter table scheduler.tasks add constraint poison check (not payload ? 'poison')`)
			asked := 0
			rapid.Check(t, func(rt *rapid.T) {
				r.exec(`truncate scheduler.tasks, scheduler.attempts, scheduler.workers, scheduler.leases, scheduler.cancellations`)
				m := &mix{rig: r}
				for range 2 {
					client := r.open(scheduler.Patient(scheduler.Config{MaxConns: 4})) // they wait for each other's keys and tasks
					client.LimitGroups(most)
					m.clients = append(m.clients, client)
				}
				m.holdSome(rt)
				for i := range rapid.IntRange(1, 60).Draw(rt, "asks") {
					m.asks = append(m.asks, m.draw(rt, i+1))
				}
				m.askAll()
				for _, client := range m.clients {
					client.Close() // when it returns, what nobody waited for is done as well
				}
				m.checkSubmits(rt)
				m.checkHeld(rt)
				asked += len(m.asks)
			})
			t.Logf("%d calls", asked)
		})
	}
}

// holdSome has workers lease tasks of all sorts.
func (m *mix) holdSome(rt *rapid.T) {
	queues := []scheduler.Queue{scheduler.DefaultQueue, "q"}
	workers := []scheduler.WorkerID{m.worker("q"), m.worker("q")}
	byID := map[scheduler.TaskID]*heldTask{}
	for range rapid.IntRange(0, 12).Draw(rt, "held") {
		h := &heldTask{backoff: rapid.SampledFrom([]time.Duration{0, time.Hour}).Draw(rt, "backoff"), lastAttempt: rapid.Bool().Draw(rt, "last"),
			cancelAsked: rapid.IntRange(0, 3).Draw(rt, "cancel") == 0}
		task := scheduler.NewTask{Queue: rapid.SampledFrom(queues).Draw(rt, "queue"), Backoff: []time.Duration{h.backoff}, MaxAttempts: 3}
		if h.lastAttempt {
			task.MaxAttempts = 1
		}
		byID[m.submit(task)] = h
		m.held = append(m.held, h)
	}
	take := func(worker scheduler.WorkerID, most int) {
		for _, queue := range queues {
			for _, task := range m.leaseFrom(worker, queue, most) {
				byID[task.Task].LeasedTask = task
			}
		}
	}
	take(workers[0], 3)
	take(workers[1], 12)
	for _, h := range m.held {
		if rapid.IntRange(0, 3).Draw(rt, "again") == 0 {
			older := h.Lease
			h.older = &older
			must(rt, second(m.client.Snooze(m.ctx, older, 0, "before")))
		}
	}
	take(workers[1], 2)
	take(workers[0], 12)
	for _, h := range m.held {
		if h.cancelAsked {
			must(rt, second(m.client.Cancel(m.ctx, h.Task, "")))
		}
		h.before = m.task(h.Task)
	}
}

func (m *mix) draw(rt *rapid.T, number int) *ask {
	a := &ask{number: number, shared: -1, ends: rapid.SampledFrom([]string{"never", "never", "never", "before", "during"}).Draw(rt, "ends")}
	verbs := []string{"submit", "submit", "submit", "many"}
	if len(m.held) > 0 {
		verbs = append(verbs, "complete", "complete", "fail", "fail", "snooze", "snooze")
	}
	a.verb = rapid.SampledFrom(verbs).Draw(rt, "verb")
	switch a.verb {
	case "submit":
		m.drawTask(rt, a, true)
	case "many":
		n := rapid.IntRange(1, 12).Draw(rt, "tasks")
		at := rapid.IntRange(0, 2*n).Draw(rt, "shared")
		for i := range n {
			m.drawTask(rt, a, i == at)
		}
	default:
		a.on = rapid.SampledFrom(m.held).Draw(rt, "task")
		a.lease = a.on.Lease
		switch rapid.IntRange(0, 7).Draw(rt, "lease") {
		case 0:
			a.stale = true
			a.lease.Worker = scheduler.NewWorkerID()
		case 1:
			a.stale = true
			a.lease.Queue += "2"
		case 2:
			if a.on.older != nil {
				a.stale = true
				a.lease = *a.on.older
			}
		case 3:
			a.poison = a.verb == "complete"
		}
		a.permanent = rapid.IntRange(0, 3).Draw(rt, "permanent") == 0
		if after := rapid.SampledFrom([]time.Duration{-1, 0, time.Minute}).Draw(rt, "retry after"); after >= 0 {
			a.retryAfter = &after
		}
		a.delay = rapid.SampledFrom([]time.Duration{0, time.Hour}).Draw(rt, "delay")
	}
	return a
}

// drawTask adds a task to submit, which may have a key in common with others.
func (m *mix) drawTask(rt *rapid.T, a *ask, mayShare bool) {
	i := len(a.tasks)
	payload := map[string]any{"ask": a.number, "at": i}
	task := scheduler.NewTask{Kind: "new", Queue: rapid.SampledFrom([]scheduler.Queue{"", "q"}).Draw(rt, "queue"), Payload: payload}
	sort := rapid.IntRange(0, 9).Draw(rt, "sort")
	switch {
	case sort == 0:
		a.poison = true
		payload["poison"] = true
	case sort == 1:
		task.IdempotencyKey = fmt.Sprintf("own %d %d", a.number, i)
	case sort == 2:
		task.UniqueKey = fmt.Sprintf("own %d %d", a.number, i)
	case sort <= 5 && mayShare:
		task.IdempotencyKey = rapid.SampledFrom([]string{"a", "b"}).Draw(rt, "key")
		task.Queue, task.Payload = "", map[string]any{"variant": rapid.IntRange(0, 1).Draw(rt, "variant")}
		a.shared = i
	case sort <= 7 && mayShare:
		task.UniqueKey = rapid.SampledFrom([]string{"a", "b"}).Draw(rt, "key")
		task.Queue = ""
		a.shared = i
	case sort == 8:
		task.Priority = 1
	}
	a.tasks = append(a.tasks, task)
}

// askAll has everybody ask at once.
func (m *mix) askAll() {
	start := make(chan struct{})
	var all sync.WaitGroup
	for i, a := range m.asks {
		ctx, cancel := context.WithCancel(m.ctx)
		defer cancel()
		switch a.ends {
		case "before":
			cancel()
		case "during":
			all.Go(func() { <-start; cancel() })
		}
		all.Go(func() { <-start; a.call(ctx, m.clients[i%len(m.clients)]) })
	}
	close(start)
	all.Wait()
}

func (a *ask) call(ctx context.Context, client *scheduler.Client) {
	switch a.verb {
	case "submit":
		var s scheduler.Submitted
		s, a.err = client.Submit(ctx, a.tasks[0])
		a.submitted = []scheduler.Submitted{s}
	case "many":
		a.submitted, a.err = client.SubmitMany(ctx, a.tasks)
	case "complete":
		result := json.RawMessage(fmt.Sprint(a.number))
		if a.poison {
			result = json.RawMessage(`{"n":`)
		}
		a.err = client.Complete(ctx, a.lease, result)
	case "fail":
		a.state, a.err = client.Fail(ctx, a.lease, scheduler.Failure{Message: fmt.Sprint(a.number), Stack: "at " + fmt.Sprint(a.number), Permanent: a.permanent, RetryAfter: a.retryAfter})
	case "snooze":
		a.state, a.err = client.Snooze(ctx, a.lease, a.delay, fmt.Sprint(a.number))
	}
}

// gaveUp reports whether nobody knows what became of it.
func (a *ask) gaveUp() bool { return a.ends != "never" && errors.Is(a.err, context.Canceled) }

// checkSubmits holds what is stored against what the submits were answered.
func (m *mix) checkSubmits(rt *rapid.T) {
	rows := map[scheduler.TaskID]scheduler.Task{}
	owned := map[string]scheduler.TaskID{} // by number and place
	holder := map[string]scheduler.Task{}  // of a shared key
	page := scheduler.Filter{Kind: "new", Limit: 500}
	for more := true; more; {
		var list []scheduler.Task
		var err error
		list, page.Before, err = m.client.Tasks(m.ctx, page)
		must(rt, err)
		more = !page.Before.IsZero()
		for _, row := range list {
			rows[row.ID] = row
			for _, key := range []string{"i" + text(row.IdempotencyKey), "u" + text(row.UniqueKey)} {
				if len(key) == 2 {
					holder[key] = row
				}
			}
			var p struct{ Ask, At int }
			must(rt, json.Unmarshal(row.Payload, &p))
			if p.Ask > 0 {
				owned[fmt.Sprint(p.Ask, " ", p.At)] = row.ID
			}
		}
	}
	made := map[scheduler.TaskID]int{} // how many were told that they made the task
	for _, a := range m.asks {
		if len(a.tasks) > 0 {
			a.checkSubmit(rt, rows, owned, holder, made)
		}
	}
	for id, n := range made {
		if n > 1 {
			rt.Fatalf("%d calls were told that they made %s", n, id)
		}
	}
}

func sharedKey(task scheduler.NewTask) string {
	if task.IdempotencyKey != "" {
		return "i" + task.IdempotencyKey
	}
	return "u" + task.UniqueKey
}

func (a *ask) checkSubmit(rt *rapid.T, rows map[scheduler.TaskID]scheduler.Task, owned map[string]scheduler.TaskID, holder map[string]scheduler.Task, made map[scheduler.TaskID]int) {
	own, stored := 0, 0
	for i := range a.tasks {
		if i == a.shared {
			continue
		}
		own++
		if _, ok := owned[fmt.Sprint(a.number, " ", i)]; ok {
			stored++
		}
	}
	var reused *scheduler.KeyReusedError
	switch {
	case a.gaveUp():
		if stored != 0 && stored != own || a.poison && stored > 0 {
			rt.Fatalf("%s: %d of %d stored", a, stored, own)
		}
		return
	case a.shared >= 0 && errors.As(a.err, &reused):
		task := a.tasks[a.shared]
		row, ok := holder[sharedKey(task)]
		if stored > 0 || reused.At != a.shared || !ok || reused.Task != row.ID || sameVariant(row, task) || task.IdempotencyKey == "" {
			rt.Fatalf("%s: %v, at %d; %d stored, the key is held by %+v", a, a.err, reused.At, stored, row)
		}
		return
	case a.poison:
		if !scheduler.Refused(a.err) || stored > 0 {
			rt.Fatalf("%s: %v, %d stored", a, a.err, stored)
		}
		return
	case a.err != nil || stored != own || len(a.submitted) != len(a.tasks):
		rt.Fatalf("%s: %v, %d of %d stored, %d answers", a, a.err, stored, own, len(a.submitted))
	}
	for i, s := range a.submitted {
		row := rows[s.ID]
		if i != a.shared {
			if s.ID != owned[fmt.Sprint(a.number, " ", i)] || s.Replayed || s.Existing || s.State != row.State || s.Queue != row.Queue || !s.RunAt.Equal(row.RunAt) {
				rt.Fatalf("%s: task %d is %+v, answered %+v", a, i, row, s)
			}
			continue
		}
		task := a.tasks[i]
		held := holder[sharedKey(task)]
		if s.ID != held.ID || task.IdempotencyKey != "" && !sameVariant(held, task) || s.Replayed && task.IdempotencyKey == "" || s.Existing && task.UniqueKey == "" {
			rt.Fatalf("%s: task %d answered %+v, the key is held by %+v", a, i, s, held)
		}
		if !s.Replayed && !s.Existing {
			made[s.ID]++
		}
	}
}

// sameVariant reports whether a task that holds an idempotency key was asked for by the same request.
func sameVariant(row scheduler.Task, task scheduler.NewTask) bool {
	payload, ok := task.Payload.(map[string]any)
	return ok && string(row.Payload) == fmt.Sprintf(`{"variant": %v}`, payload["variant"])
}

// checkHeld holds how the attempts ended against what the callers were answered.
func (m *mix) checkHeld(rt *rapid.T) {
	for _, h := range m.held {
		now := m.task(h.Task)
		winner := m.winner(rt, h, now)
		for _, a := range m.asks {
			switch {
			case a.on != h || a.gaveUp():
			case a.poison:
				if !scheduler.Refused(a.err) {
					rt.Fatalf("%s: %v", a, a.err)
				}
			case a != winner && !errors.Is(a.err, scheduler.ErrLeaseLost), a == winner && a.err != nil, a == winner && a.verb != "complete" && a.state != now.State:
				rt.Fatalf("%s: %v, answered %s, and the task is %s by %v", a, a.err, a.state, now.State, winner)
			case a != winner && !a.stale && winner == nil:
				rt.Fatalf("%s: %v, and nobody ended the attempt", a, a.err)
			}
		}
		checkEnd(rt, h, now, winner)
	}
}

// winner returns whose call the database says ended the attempt, nil if none did.
func (m *mix) winner(rt *rapid.T, h *heldTask, now scheduler.Task) *ask {
	number := string(now.Result)
	for _, attempt := range m.attempts(h.Task) {
		switch {
		case attempt.Attempt != h.Attempt || attempt.Outcome == "completed" || attempt.Outcome == "running":
		case attempt.Worker == nil || *attempt.Worker != "w-"+h.Worker.String()[:4]:
			rt.Fatalf("the history names %v", attempt.Worker)
		default:
			number = text(attempt.Error)
			if attempt.Stack != nil && *attempt.Stack != "at "+number {
				rt.Fatalf("call %s has the stack %s", number, *attempt.Stack)
			}
		}
	}
	if number == "" {
		return nil
	}
	for _, a := range m.asks {
		if fmt.Sprint(a.number) == number {
			if a.on != h || a.stale || a.poison {
				rt.Fatalf("%s ended an attempt of %s", a, h.Task)
			}
			return a
		}
	}
	rt.Fatalf("nobody asked for %q", number)
	return nil
}

// checkEnd compares what a task became with what its winner asked for.
func checkEnd(rt *rapid.T, h *heldTask, now scheduler.Task, winner *ask) {
	if winner == nil {
		if now.State != scheduler.Running || now.Revision != h.before.Revision {
			rt.Fatalf("nobody ended %+v", now)
		}
		return
	}
	want, failures, again := scheduler.Completed, h.before.Failures, winner.delay
	if winner.verb == "fail" {
		failures++
		if again = h.backoff; winner.retryAfter != nil {
			again = *winner.retryAfter
		}
	}
	switch {
	case winner.verb == "complete":
	case h.cancelAsked:
		want = scheduler.Cancelled
	case winner.verb == "fail" && (winner.permanent || h.lastAttempt):
		want = scheduler.Failed
	case again == 0:
		want = scheduler.Ready
	default:
		want = scheduler.Scheduled
	}
	if now.State != want || now.Failures != failures || now.Revision != h.before.Revision+1 {
		rt.Fatalf("%s made the task %s with %d failures at revision %d, want %s with %d at %d", winner, now.State, now.Failures, now.Revision, want, failures, h.before.Revision+1)
	}
}
