package scheduler_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/jackc/pgx/v5"

	"github.com/pgscheduler/scheduler/scheduler"
)

// followTopic follows a pattern until the test ends.
func (r *rig) followTopic(client *scheduler.Client, pattern string, after *scheduler.Position) *scheduler.Follower {
	r.t.Helper()
	ctx, cancel := context.WithTimeout(r.ctx, patience)
	defer cancel()
	f, err := client.Follow(ctx, pattern, after)
	must(r.t, err)
	r.t.Cleanup(f.Close)
	return f
}

// messages returns the next n messages.
func (r *rig) messages(f *scheduler.Follower, n int) (list []*scheduler.Message) {
	r.t.Helper()
	ctx, cancel := context.WithTimeout(r.ctx, patience)
	defer cancel()
	for len(list) < n {
		some, err := f.Next(ctx)
		must(r.t, err)
		list = append(list, some...)
	}
	if len(list) != n {
		r.t.Fatalf("%d messages, want %d", len(list), n)
	}
	return list
}

func (r *rig) publish(topic string, payload any) {
	r.t.Helper()
	_, err := r.client.Publish(r.ctx, scheduler.NewMessage{Topic: topic, Payload: payload})
	must(r.t, err)
}

func topicsOf(list []*scheduler.Message) string {
	var topics []string
	for _, m := range list {
		topics = append(topics, m.Topic)
	}
	return strings.Join(topics, " ")
}

func TestFollowersGetWhatTheirPatternMatches(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.publish("a.before", nil)
	other := r.open(scheduler.Config{})
	words, all := r.followTopic(other, "a.*", nil), r.followTopic(r.client, "#", nil)
	for _, topic := range []string{"a.x", "a.x.y", "b", "a.z"} {
		r.publish(topic, 1)
	}
	list := r.messages(words, 2)
	if got := topicsOf(list); got != "a.x a.z" || string(list[0].Payload) != "1" || list[0].ID == 0 || list[0].PublishedAt.IsZero() {
		t.Errorf("came %s, %+v", got, list[0])
	}
	everything := r.messages(all, 4)
	if got := topicsOf(everything); got != "a.x a.x.y b a.z" {
		t.Errorf("came %s", got)
	}
	for _, from := range []scheduler.Position{list[0].At, everything[0].At} { // the same in all processes
		if got := topicsOf(r.messages(r.followTopic(r.open(scheduler.Config{}), "#", &from), 3)); got != "a.x.y b a.z" {
			t.Errorf("after the first came %s", got)
		}
	}
	if got := topicsOf(r.messages(r.followTopic(other, "#", &scheduler.Position{}), 5)); got != "a.before a.x a.x.y b a.z" {
		t.Errorf("kept are %s", got)
	}
	end := all.Position()
	r.publish("c", nil)
	if got := topicsOf(r.messages(r.followTopic(r.open(scheduler.Config{}), "#", &end), 1)); got != "c" {
		t.Errorf("after the end came %s", got)
	}
}

// A transaction that published and stays open holds up nothing but its own messages, and these are not skipped when it commits.
func TestOpenTransactionsHoldUpNobody(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	f, other := r.followTopic(r.client, "#", nil), r.followTopic(r.open(scheduler.Config{}), "#", nil)
	tx, err := r.db.Begin(r.ctx)
	must(t, err)
	defer func() { _ = tx.Rollback(r.ctx) }()
	_, err = tx.Exec(r.ctx, `select scheduler.publish('late')`)
	must(t, err)
	idle, err := r.db.Begin(r.ctx)
	must(t, err)
	defer func() { _ = idle.Rollback(r.ctx) }()
	_, err = idle.Exec(r.ctx, `create table elsewhere ()`)
	must(t, err)
	for i := range 3 {
		r.publish(fmt.Sprint("soon", i), nil)
		r.messages(f, 1)
	}
	resume := f.Position()
	must(t, tx.Commit(r.ctx))
	for _, from := range []*scheduler.Follower{f, r.followTopic(r.open(scheduler.Config{}), "#", &resume)} {
		if got := topicsOf(r.messages(from, 1)); got != "late" {
			t.Errorf("at last came %s", got)
		}
	}
	if got := topicsOf(r.messages(other, 4)); got != "soon0 soon1 soon2 late" {
		t.Errorf("another got %s", got)
	}
}

// Publishers commit in any order and roll back; followers come and go, in two processes. All get the same messages in the same order,
// none twice, none left out.
func TestNoMessageIsSkippedUnderConcurrentPublishers(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	clients := []*scheduler.Client{r.client, r.open(scheduler.Config{}), r.open(scheduler.Config{PollOnly: true})}
	const publishers, each = 8, 60
	var mu sync.Mutex
	committed := map[int64]bool{}
	var writers, readers sync.WaitGroup
	for p := range publishers {
		writers.Go(func() {
			for i := range each {
				tx, err := r.db.Begin(r.ctx)
				if err != nil {
					t.Error(err)
					return
				}
				var ids []int64
				for range 1 + rand.IntN(3) {
					var id int64
					if err := tx.QueryRow(r.ctx, `select scheduler.publish($1) from pg_sleep($2)`, fmt.Sprintf("p%d.m%d", p, i), rand.Float64()/100).Scan(&id); err != nil {
						t.Error(err)
					}
					ids = append(ids, id)
				}
				if rand.IntN(5) == 0 {
					_ = tx.Rollback(r.ctx)
					continue
				}
				if err := tx.Commit(r.ctx); err != nil {
					t.Error(err)
					return
				}
				mu.Lock()
				for _, id := range ids {
					committed[id] = true
				}
				mu.Unlock()
			}
		})
	}
	var orders [6][]int64
	for n := range orders {
		f := r.followTopic(clients[n%len(clients)], "#", &scheduler.Position{})
		readers.Go(func() {
			seen := scheduler.Position{}
			ctx, cancel := context.WithTimeout(r.ctx, 2*patience)
			defer cancel()
			for {
				list, err := f.Next(ctx)
				if err != nil {
					t.Error(err)
					return
				}
				for _, m := range list {
					if m.Topic == "end" {
						return
					}
					orders[n] = append(orders[n], m.ID)
					seen = m.At
				}
				if n >= 3 && rand.IntN(4) == 0 { // comes back elsewhere
					f = r.followTopic(clients[rand.IntN(len(clients))], "#", &seen)
				}
			}
		})
	}
	writers.Wait()
	r.publish("end", nil) // which comes after all that is committed by now
	readers.Wait()
	want := len(committed)
	for n, order := range orders {
		if !slices.Equal(order, orders[0]) {
			t.Errorf("follower %d got %d messages in another order than the first, who got %d", n, len(order), len(orders[0]))
		}
		got := map[int64]bool{}
		for _, id := range order {
			if got[id] || !committed[id] {
				t.Errorf("follower %d got message %d twice, or though it was never committed", n, id)
			}
			got[id] = true
		}
		if len(got) != want {
			t.Errorf("follower %d got %d of %d messages", n, len(got), want)
		}
	}
	if slices.IsSorted(orders[0]) {
		t.Log("no message was overtaken: the test shows little")
	}
}

// Somebody who does not take what comes holds up nobody, and gets all of it later.
func TestSlowFollowerCatchesUp(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	slow, quick := r.followTopic(r.client, "#", nil), r.followTopic(r.client, "#", nil)
	const n = 1500 // more than waits for him, and more than is kept in memory
	for from := 0; from < n; from += 100 {
		r.exec(`select count(scheduler.publish('t' || i)) from generate_series($1::int, $1 + 99) i`, from)
		r.messages(quick, 100)
	}
	for i, m := range r.messages(slow, n) {
		if m.Topic != fmt.Sprint("t", i) {
			t.Fatalf("message %d is %s", i, m.Topic)
		}
	}
	r.publish("live", nil)
	if got := topicsOf(r.messages(slow, 1)); got != "live" {
		t.Errorf("then came %s", got)
	}
}

// What is older than the retention goes, with its ticks; one who was away for longer is told, and gets what there is.
func TestOldMessagesGoAndItIsTold(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	f := r.followTopic(r.client, "#", nil)
	begin := f.Position()
	r.publish("old", nil)
	old := r.messages(f, 1)[0].At
	quiet := f.Position()
	r.exec(`update scheduler.message_ticks set at = at - interval '2 hours'`)
	if n := r.prune(); n != 0 { // the last tick is what is to be gone on from; its messages can't be read any more
		t.Errorf("%d messages were pruned", n)
	}
	await(t, "the old message is gone", func() bool { r.prune(); return read[int](r, `select count(*) from scheduler.messages`) == 0 })
	if got := r.followTopic(r.open(scheduler.Config{}), "#", &quiet); got == nil {
		t.Fatal("nothing was missed, and yet")
	}
	r.publish("new", nil)
	r.messages(f, 1)
	for _, from := range []scheduler.Position{begin, old, {Tick: 1 << 40, Message: 1}} {
		g := r.followTopic(r.open(scheduler.Config{}), "#", &from)
		ctx, cancel := context.WithTimeout(r.ctx, patience)
		if list, err := g.Next(ctx); !errors.Is(err, scheduler.ErrCursorExpired) {
			t.Errorf("from %v came %v, %v", from, list, err)
		}
		cancel()
		if got := topicsOf(r.messages(g, 1)); got != "new" {
			t.Errorf("then came %s", got)
		}
	}
	if got := topicsOf(r.messages(r.followTopic(r.open(scheduler.Config{}), "#", &quiet), 1)); got != "new" {
		t.Errorf("after a silence came %s", got)
	}
}

// prune does what Maintain does now and then, and returns how many messages went.
func (r *rig) prune() int {
	r.t.Helper()
	before := read[int](r, `select count(*) from scheduler.messages`)
	must(r.t, r.client.PruneMessages(r.ctx))
	return before - read[int](r, `select count(*) from scheduler.messages`)
}

// Maintain orders and prunes without anybody who follows; keys stay for a day.
func TestMaintainPrunesMessages(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	_, err := r.client.Publish(r.ctx, scheduler.NewMessage{Topic: "a", IdempotencyKey: "k"})
	must(t, err)
	r.maintain(r.open(scheduler.Config{}))
	await(t, "the message has its place", func() bool { return read[int](r, `select max(n) from scheduler.message_ticks`) > 0 })
	r.exec(`update scheduler.message_ticks set at = at - interval '2 hours'`)
	r.exec(`update scheduler.message_keys set published_at = published_at - interval '23 hours'`)
	await(t, "the message is gone", func() bool { r.prune(); return read[int](r, `select count(*) from scheduler.messages`) == 0 })
	if n := read[int](r, `select count(*) from scheduler.message_keys`); n != 1 {
		t.Error("the key is gone")
	}
	r.exec(`update scheduler.message_keys set published_at = published_at - interval '2 hours'`)
	await(t, "the key is gone", func() bool { r.prune(); return read[int](r, `select count(*) from scheduler.message_keys`) == 0 })
}

// A dump that is restored in another cluster has snapshots of transactions that are yet to come there.
func TestTicksBeginAnewAfterARestore(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.publish("old", nil)
	r.exec(`insert into scheduler.message_ticks (n, snapshot) values (1, '900000000000:900000000000:')`)
	r.exec(`insert into scheduler.messages (topic, payload, xid) values ('ghost', '1', '900000000001')`)
	f := r.followTopic(r.client, "#", nil)
	r.publish("new", nil)
	if got := topicsOf(r.messages(f, 1)); got != "new" {
		t.Errorf("came %s", got)
	}
	ticks := read[int](r, `select max(n) from scheduler.message_ticks`)
	r.prune()
	if read[int](r, `select max(n) from scheduler.message_ticks`) != ticks {
		t.Error("ticks are made without messages")
	}
	if got := column[string](r, `select topic from scheduler.messages order by id`); slices.Contains(got, "ghost") {
		t.Errorf("there are still %v", got)
	}
}

// Connections that are cut, those that listen too, cost nobody a message.
func TestFollowersSurviveLostConnections(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	f := r.followTopic(r.open(scheduler.Config{}), "#", nil)
	for i := range 20 {
		if i%4 == 0 {
			r.exec(`select pg_terminate_backend(pid) from pg_stat_activity where datname = current_database() and application_name = 'scheduler'`)
		}
		r.exec(`select scheduler.publish('t' || $1::int)`, i)
		if i%3 == 0 {
			r.messages(f, min(i, 2)+1)
		}
	}
	r.messages(f, 1)
}

// What following costs is one round trip for all, and nothing when nothing is published; a closed client ends it.
func TestManyFollowersCostOneRead(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	var list []*scheduler.Follower
	for i := range 100 {
		list = append(list, r.followTopic(r.client, []string{"#", "a.*", "*.b"}[i%3], nil))
	}
	await(t, "publishes are heard of", r.client.HearsMessages) // else it looks twice a second
	before := r.client.Counts()
	if before.Followers != 100 {
		t.Errorf("%d followers", before.Followers)
	}
	r.publish("a.b", nil)
	for _, f := range list {
		r.messages(f, 1)
	}
	if reads := r.client.Counts().MessageReads - before.MessageReads; reads > uint64(len(list)/10) { // one, and a look of its own now and then
		t.Errorf("%d reads", reads)
	}
	for _, f := range list[1:] {
		f.Close()
		f.Close()
	}
	if n := r.client.Counts().Followers; n != 1 {
		t.Errorf("%d followers", n)
	}
	var waiting sync.WaitGroup
	waiting.Go(func() {
		if _, err := list[0].Next(r.ctx); err == nil || errors.Is(err, pgx.ErrNoRows) {
			t.Errorf("after the end came %v", err)
		}
	})
	r.client.Close()
	waiting.Wait()
	if _, err := r.client.Follow(r.ctx, "#", nil); err == nil {
		t.Error("a closed client follows")
	}
}

func TestPositions(t *testing.T) {
	t.Parallel()
	for _, text := range []string{"0", "12.345", "1.0", "9223372036854775807.9223372036854775807"} {
		if p, err := scheduler.ParsePosition(text); err != nil || p.String() != text {
			t.Errorf("%s is %v, %v", text, p, err)
		}
	}
	for _, text := range []string{"", "1", "-1.1", "1.-1", "1.2.3", "a.b", "9223372036854775808.1", ".", "1.", " 1.2"} {
		if p, err := scheduler.ParsePosition(text); !errors.Is(err, scheduler.ErrInvalid) {
			t.Errorf("%q is %v, %v", text, p, err)
		}
	}
}
