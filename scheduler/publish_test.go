package scheduler_test

import (
	"crypto/rand"
	"encoding/json"
	"errors"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgconn"

	"github.com/pgscheduler/scheduler/scheduler"
)

// subscribe makes a subscription of that name, pattern and queue, whose tasks are of kind k.
func (r *rig) subscribe(name, pattern, queue string) {
	r.t.Helper()
	_, err := r.client.SetSubscription(r.ctx, scheduler.NewSubscription{Name: name, Pattern: pattern, Kind: "k", Queue: scheduler.Queue(queue)})
	must(r.t, err)
}

func TestPublishMakesATaskForEachSubscription(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	_, err := r.client.SetSubscription(r.ctx, scheduler.NewSubscription{Name: "mail", Pattern: "order.*", Kind: "send", Queue: "mail", Priority: 3, MaxAttempts: 2,
		Timeout: time.Second, Backoff: []time.Duration{time.Second, time.Minute}})
	must(t, err)
	r.subscribe("log", "#", "log")
	r.subscribe("users", "user.#", "users")
	p, err := r.client.Publish(r.ctx, scheduler.NewMessage{Topic: "order.created", Payload: json.RawMessage(`{"id": 7}`),
		TraceParent: "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"})
	must(t, err)
	if len(p.Tasks) != 2 || p.Tasks[0].Subscription != "log" || p.Tasks[1].Subscription != "mail" || p.ID == 0 || p.PublishedAt.IsZero() || p.Replayed {
		t.Fatalf("published %+v", p)
	}
	task, err := r.client.Task(r.ctx, p.Tasks[1].ID)
	must(t, err)
	if task.Kind != "send" || task.Queue != "mail" || task.Priority != 3 || task.MaxAttempts != 2 || *task.TimeoutMS != 1000 || !slices.Equal(task.BackoffMS, []int64{1000, 60000}) ||
		string(task.Payload) != `{"id": 7}` || *task.Topic != "order.created" || *task.MessageID != p.ID || task.State != scheduler.Ready {
		t.Errorf("its task is %+v", task)
	}
	worker := r.worker()
	leased, err := r.client.Lease(r.ctx, worker, []string{"send"}, []scheduler.Ask{{Queue: "mail", Limit: 1}})
	must(t, err)
	if len(leased) != 1 || leased[0].Topic != "order.created" || leased[0].MessageID != p.ID || leased[0].TraceParent == "" {
		t.Errorf("leased %+v", leased)
	}
	plain := r.submit(scheduler.NewTask{})
	if task, err := r.client.Task(r.ctx, plain); err != nil || task.Topic != nil || task.MessageID != nil {
		t.Errorf("a submitted task has topic %v, message %v, %v", task.Topic, task.MessageID, err)
	}
	p, err = r.client.Publish(r.ctx, scheduler.NewMessage{Topic: "x.y"})
	must(t, err)
	must(t, r.client.DeleteSubscription(r.ctx, "log"))
	if p, err = r.client.Publish(r.ctx, scheduler.NewMessage{Topic: "x.y"}); err != nil || len(p.Tasks) != 0 || p.Tasks == nil {
		t.Errorf("published to nobody: %+v, %v", p, err)
	}
	if n := r.client.Counts(); n.Published != 3 || n.PublishMade != 3 {
		t.Errorf("counted %d messages, %d tasks", n.Published, n.PublishMade)
	}
}

func TestPublishUnderAKeyOnce(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.subscribe("all", "#", "all")
	client := r.patient() // the others wait for the first
	message := scheduler.NewMessage{Topic: "a.b", Payload: map[string]any{"n": 1}, IdempotencyKey: "schlüssel"}
	var mu sync.Mutex
	var fresh []scheduler.Published
	ids := map[int64]bool{}
	var all sync.WaitGroup
	for range 16 {
		all.Go(func() {
			p, err := client.Publish(r.ctx, message)
			mu.Lock()
			defer mu.Unlock()
			if err != nil || len(p.Tasks) != 1 {
				t.Errorf("%+v, %v", p, err)
				return
			}
			ids[p.ID] = true
			if !p.Replayed {
				fresh = append(fresh, p)
			}
		})
	}
	all.Wait()
	if len(fresh) != 1 || len(ids) != 1 {
		t.Fatalf("%d were fresh, of %d messages", len(fresh), len(ids))
	}
	r.exec(`delete from scheduler.messages`) // which does not end the key
	must(t, r.client.DeleteSubscription(r.ctx, "all"))
	p, err := r.client.Publish(r.ctx, message)
	must(t, err)
	if !p.Replayed || p.ID != fresh[0].ID || p.Tasks[0] != fresh[0].Tasks[0] || !p.PublishedAt.Equal(fresh[0].PublishedAt) {
		t.Errorf("again came %+v, first %+v", p, fresh[0])
	}
	if id := read[int64](r, `select scheduler.publish('a.b', '{"n":1}', 'schlüssel')`); id != p.ID {
		t.Errorf("SQL got message %d, Go %d", id, p.ID)
	}
}

func TestPublishUnderAKeyOfAnotherRequest(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	first, err := r.client.Publish(r.ctx, scheduler.NewMessage{Topic: "a", IdempotencyKey: "k"})
	must(t, err)
	if id := read[int64](r, `select scheduler.publish('a', '{}', 'k')`); id != first.ID {
		t.Errorf("SQL got message %d, Go %d", id, first.ID)
	}
	_, err = r.client.Publish(r.ctx, scheduler.NewMessage{Topic: "a", Payload: 1, IdempotencyKey: "k"})
	var reused *scheduler.KeyReusedError
	if !errors.As(err, &reused) || reused.Message != first.ID || !strings.Contains(err.Error(), "message") {
		t.Errorf("another payload: %v", err)
	}
	if p, err := r.client.Publish(r.ctx, scheduler.NewMessage{Topic: "b", Payload: 1, IdempotencyKey: "k"}); err != nil || p.Replayed {
		t.Errorf("another topic: %+v, %v", p, err)
	}
	if n := read[int](r, `select count(*) from scheduler.messages`); n != 2 {
		t.Errorf("%d messages", n)
	}
}

func TestPublishRefuses(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	deep := strings.Repeat("[", 65) + strings.Repeat("]", 65)
	for field, m := range map[string]scheduler.NewMessage{
		"topic":           {Topic: "a.*"},
		"payload":         {Topic: "a", Payload: json.RawMessage(`"` + strings.Repeat("x", scheduler.MaxPayload) + `"`)},
		"idempotency_key": {Topic: "a", IdempotencyKey: strings.Repeat("x", 256)},
		"trace_parent":    {Topic: "a", TraceParent: "x"},
	} {
		_, err := r.client.Publish(r.ctx, m)
		var invalid *scheduler.InvalidError
		if !errors.As(err, &invalid) || invalid.Fields[0].Field != field {
			t.Errorf("%s: %v", field, err)
		}
	}
	for field, call := range map[string]string{
		"topic": `'a..b'`, "payload": `'a', null`, "idempotency_key": `'a', '{}', ''`,
	} {
		_, err := r.db.Exec(r.ctx, `select scheduler.publish(`+call+`)`)
		if pg := pgError(err); pg == nil || pg.Code != "22023" || pg.ColumnName != field {
			t.Errorf("SQL, %s: %v", field, err)
		}
	}
	if _, err := r.db.Exec(r.ctx, `select scheduler.publish('a', $1)`, deep); pgError(err) == nil || pgError(err).ColumnName != "payload" {
		t.Errorf("SQL, too deep: %v", err)
	}
	for field, s := range map[string]scheduler.NewSubscription{
		"name": {Name: "ä", Pattern: "a", Kind: "k"}, "pattern": {Name: "a", Pattern: "a#", Kind: "k"}, "kind": {Name: "a", Pattern: "a"},
		"queue": {Name: "a", Pattern: "a", Kind: "k", Queue: "ä"}, "max_attempts": {Name: "a", Pattern: "a", Kind: "k", MaxAttempts: -1},
	} {
		_, err := r.client.SetSubscription(r.ctx, s)
		var invalid *scheduler.InvalidError
		if !errors.As(err, &invalid) || len(invalid.Fields) != 1 || invalid.Fields[0].Field != field {
			t.Errorf("subscription, %s: %v", field, err)
		}
	}
	r.exec(`insert into scheduler.subscriptions (name, pattern, kind) select 's' || n, '#', 'k' from generate_series(1, 10001) n`)
	if _, err := r.client.Publish(r.ctx, scheduler.NewMessage{Topic: "a"}); !errors.Is(err, scheduler.ErrInvalid) {
		t.Errorf("to 10001 subscriptions: %v", err)
	}
	r.exec(`delete from scheduler.subscriptions where name = 's1'`)
	if p, err := r.client.Publish(r.ctx, scheduler.NewMessage{Topic: "a"}); err != nil || len(p.Tasks) != 10000 {
		t.Errorf("to 10000 subscriptions: %d tasks, %v", len(p.Tasks), err)
	}
	if n := read[int](r, `select count(*) from scheduler.tasks`); n != 10000 {
		t.Errorf("%d tasks", n)
	}
}

// What is published in a transaction that is rolled back never was; in one that commits it is all there at once.
func TestPublishWithinATransaction(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.subscribe("all", "#", "all")
	for _, commit := range []bool{false, true} {
		tx, err := r.db.Begin(r.ctx)
		must(t, err)
		_, err = r.client.PublishTx(r.ctx, tx, scheduler.NewMessage{Topic: "a", IdempotencyKey: "k"})
		must(t, err)
		_, err = tx.Exec(r.ctx, `select scheduler.publish('b', '{"x": 1}')`)
		must(t, err)
		if n := read[int](r, `select (select count(*) from scheduler.messages) + (select count(*) from scheduler.tasks)`); n != 0 {
			t.Errorf("%d rows are seen before the commit", n)
		}
		if !commit {
			must(t, tx.Rollback(r.ctx))
			continue
		}
		must(t, tx.Commit(r.ctx))
	}
	if got := column[string](r, `select m.topic || ' ' || t.queue from scheduler.messages m join scheduler.tasks t on t.message_id = m.id order by m.id`); !slices.Equal(got, []string{"a all", "b all"}) {
		t.Errorf("there are %v", got)
	}
}

// A subscription that is deleted or made while messages are published gets a task of a message or does not; no message gets lost, and
// none names a task that is not there.
func TestSubscriptionsComeAndGoWhilePublishing(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.subscribe("stays", "#", "stays")
	done := make(chan struct{})
	var all sync.WaitGroup
	all.Go(func() {
		for {
			select {
			case <-done:
				return
			default:
			}
			r.subscribe("goes", "a.*", "goes")
			if err := r.client.DeleteSubscription(r.ctx, "goes"); err != nil {
				t.Error(err)
			}
		}
	})
	var publishers sync.WaitGroup
	for range 4 {
		publishers.Go(func() {
			for range 50 {
				p, err := r.client.Publish(r.ctx, scheduler.NewMessage{Topic: "a.b"})
				if err != nil || len(p.Tasks) == 0 || p.Tasks[len(p.Tasks)-1].Subscription != "stays" {
					t.Errorf("%+v, %v", p, err)
					return
				}
				for _, task := range p.Tasks {
					if _, err := r.client.Task(r.ctx, task.ID); err != nil {
						t.Errorf("task of %s: %v", task.Subscription, err)
					}
				}
			}
		})
	}
	publishers.Wait()
	close(done)
	all.Wait()
	if n := read[int](r, `select count(*) from scheduler.tasks where queue = 'stays'`); n != 200 {
		t.Errorf("%d tasks of 200 messages", n)
	}
	if n := read[int](r, `select count(*) from scheduler.messages m where m.tasks <> (select count(*) from scheduler.tasks t where t.message_id = m.id)`); n != 0 {
		t.Errorf("%d messages with another number of tasks than they say", n)
	}
	if n := read[int](r, `select count(*) from scheduler.audit where verb in ('set_subscription', 'delete_subscription')`); n < 3 {
		t.Errorf("%d audit rows", n)
	}
}

func TestSubscriptionsByPageAndTopic(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	for _, name := range []string{"c", "a", "b"} {
		r.subscribe(name, name+".#", "default")
	}
	names := func(f scheduler.SubscriptionFilter) (list []string) {
		t.Helper()
		page, err := r.client.Subscriptions(r.ctx, f)
		must(t, err)
		for _, s := range page {
			list = append(list, s.Name)
		}
		return list
	}
	for want, f := range map[string]scheduler.SubscriptionFilter{"a b c": {}, "a b": {Limit: 2}, "c": {After: "b"}, "b": {Topic: "b.x"}, "": {Topic: "d"}} {
		if got := strings.Join(names(f), " "); got != want {
			t.Errorf("%+v: %q, want %q", f, got, want)
		}
	}
	if _, err := r.client.Subscription(r.ctx, "d"); !errors.Is(err, scheduler.ErrNotFound) {
		t.Errorf("unknown: %v", err)
	}
	if err := r.client.DeleteSubscription(r.ctx, "d"); !errors.Is(err, scheduler.ErrNotFound) {
		t.Errorf("delete unknown: %v", err)
	}
}

// pgError is the error of the database in err, or nil.
func pgError(err error) *pgconn.PgError {
	var pg *pgconn.PgError
	if errors.As(err, &pg) {
		return pg
	}
	return nil
}

// A role that may publish needs what the guide grants it, and can do nothing else.
func TestRoleThatPublishes(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.subscribe("all", "#", "all")
	text, err := os.ReadFile("../docs/guides/topics.md")
	must(t, err)
	_, grants, _ := strings.Cut(string(text), "```sql\ngrant")
	grants, _, _ = strings.Cut(grants, "```")
	role := "publisher_" + strings.ToLower(rand.Text()) // roles belong to the whole server
	conn, err := r.db.Acquire(r.ctx)
	must(t, err)
	defer conn.Release()
	run := func(text string) error {
		_, err := conn.Conn().PgConn().Exec(r.ctx, text).ReadAll()
		return err
	}
	must(t, run("create role "+role))
	defer func() { must(t, run("reset role; drop owned by "+role+"; drop role "+role)) }()
	must(t, run(strings.ReplaceAll("grant"+grants, " shop;", " "+role+";")))
	must(t, run("set role "+role))
	must(t, run("select scheduler.publish('a.b', '1', 'k'); select scheduler.publish('a.b', '1', 'k')"))
	if run("delete from scheduler.messages") == nil || run("insert into scheduler.subscriptions (name, pattern, kind) values ('x', '#', 'k')") == nil {
		t.Error("it may do more")
	}
	if n := read[int](r, `select count(*) from scheduler.tasks`); n != 1 {
		t.Errorf("%d tasks", n)
	}
}
