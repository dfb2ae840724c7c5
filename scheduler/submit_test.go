package scheduler_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/pgscheduler/scheduler/scheduler"
)

// submitSQL calls the function with what was asked for, as a user of SQL would: what is left out is left out.
const submitSQL = `select scheduler.submit(kind => @kind, payload => coalesce(@payload::jsonb, '{}'), queue => coalesce(@queue::text, 'default'),
	priority => coalesce(@priority::integer, 0), run_at => @run_at, delay_ms => @delay_ms, max_attempts => coalesce(@max_attempts::integer, 10),
	timeout_ms => @timeout_ms, expires_at => @expires_at, unique_key => @unique_key, idempotency_key => @idempotency_key, backoff_ms => @backoff_ms, tags => @tags)`

// viaSQL submits a task by scheduler.submit().
func (r *rig) viaSQL(db querier, task scheduler.NewTask) (scheduler.TaskID, error) {
	args := pgx.NamedArgs{"kind": task.Kind}
	set := func(name string, given bool, value any) {
		if given {
			args[name] = value
		}
	}
	if raw, ok := task.Payload.(json.RawMessage); ok {
		args["payload"] = string(raw)
	} else if task.Payload != nil {
		raw, err := json.Marshal(task.Payload)
		if err != nil {
			return scheduler.TaskID{}, err
		}
		args["payload"] = string(raw)
	}
	set("queue", task.Queue != "", task.Queue)
	set("priority", task.Priority != 0, task.Priority)
	set("run_at", !task.RunAt.IsZero(), task.RunAt)
	set("delay_ms", task.Delay != 0, task.Delay.Milliseconds())
	set("max_attempts", task.MaxAttempts != 0, task.MaxAttempts)
	set("timeout_ms", task.Timeout != 0, task.Timeout.Milliseconds())
	set("expires_at", !task.ExpiresAt.IsZero(), task.ExpiresAt)
	set("unique_key", task.UniqueKey != "", task.UniqueKey)
	set("idempotency_key", task.IdempotencyKey != "", task.IdempotencyKey)
	set("tags", task.Tags != nil, task.Tags)
	if task.Backoff != nil {
		list := []int64{}
		for _, d := range task.Backoff {
			list = append(list, d.Milliseconds())
		}
		args["backoff_ms"] = list
	}
	rows, err := db.Query(r.ctx, submitSQL, args)
	if err != nil {
		return scheduler.TaskID{}, err
	}
	return pgx.CollectExactlyOneRow(rows, pgx.RowTo[scheduler.TaskID])
}

// door is one way in.
type door struct {
	name   string
	submit func(r *rig, task scheduler.NewTask) (scheduler.TaskID, error)
}

// doors are all ways in, which must mean the same.
var doors = []door{
	{"Submit", func(r *rig, task scheduler.NewTask) (scheduler.TaskID, error) {
		s, err := r.client.Submit(r.ctx, task)
		return s.ID, err
	}},
	{"SubmitMany", func(r *rig, task scheduler.NewTask) (scheduler.TaskID, error) {
		list, err := r.client.SubmitMany(r.ctx, []scheduler.NewTask{task})
		if err != nil {
			return scheduler.TaskID{}, err
		}
		return list[0].ID, nil
	}},
	{"SubmitTx", func(r *rig, task scheduler.NewTask) (id scheduler.TaskID, err error) {
		err = r.tx(func(tx pgx.Tx) error {
			s, err := r.client.SubmitTx(r.ctx, tx, task)
			id = s.ID
			return err
		})
		return id, err
	}},
	{"SQL", func(r *rig, task scheduler.NewTask) (scheduler.TaskID, error) { return r.viaSQL(r.db, task) }},
}

var aTime = time.Date(2033, 5, 18, 3, 33, 20, 123456789, time.FixedZone("east", 2*3600))

func TestDoorsStoreTheSame(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	for _, c := range []struct {
		name string
		task scheduler.NewTask
	}{
		{"defaults", scheduler.NewTask{Kind: "k"}},
		{"payload of every type", scheduler.NewTask{Kind: "k", Payload: json.RawMessage(`{"b":[1,-2.50,true,null,"\u00e9\ud83d\ude00\\\"\n"],"a":{},"a":{"x":1e3}}`)}},
		{"payload null", scheduler.NewTask{Kind: "k", Payload: json.RawMessage("null")}},
		{"payload scalar", scheduler.NewTask{Kind: "k", Payload: "text"}},
		{"every field", scheduler.NewTask{Kind: "App\\Jobs\\Mail.send:v2/a-b", Queue: "mail.eu-1", Priority: -5, RunAt: aTime, MaxAttempts: 3,
			Timeout: 90 * time.Second, ExpiresAt: aTime.Add(time.Hour), Backoff: []time.Duration{0, time.Second, time.Hour}, Tags: []string{"null", "customer:42", "eu", "null", "A_.-:/@=+"}}},
		{"no tags", scheduler.NewTask{Kind: "k", Tags: []string{}}},
		{"lower bounds", scheduler.NewTask{Kind: "k", Priority: math.MinInt16, RunAt: time.Unix(0, 0), MaxAttempts: 1, Timeout: time.Millisecond,
			ExpiresAt: time.Unix(0, 0), Backoff: []time.Duration{0}}},
		{"upper bounds", scheduler.NewTask{Kind: strings.Repeat("k", 128), Queue: scheduler.Queue(strings.Repeat("q", 128)), Priority: math.MaxInt16,
			RunAt: time.Date(9999, 12, 31, 0, 0, 0, 0, time.UTC), MaxAttempts: 1000, Timeout: 31557600000 * time.Millisecond,
			ExpiresAt: time.Date(9999, 12, 31, 0, 0, 0, 0, time.UTC), Backoff: slices.Repeat([]time.Duration{31557600000 * time.Millisecond}, 100)}},
		{"due long ago", scheduler.NewTask{Kind: "k", RunAt: time.Date(1999, 1, 1, 0, 0, 0, 0, time.UTC)}},
	} {
		var first state
		for _, d := range doors {
			id, err := d.submit(r, c.task)
			if err != nil {
				t.Errorf("%s by %s: %v", c.name, d.name, err)
				continue
			}
			row := r.row(id)
			checkFresh(t, c.name+" by "+d.name, row)
			if first == nil {
				first = row
			}
			if diff := cmp.Diff(first, row); diff != "" {
				t.Errorf("%s: by %s it differs from by %s:\n%s", c.name, d.name, doors[0].name, diff)
			}
		}
	}
}

// checkFresh takes what must differ between two submits out of a row, once it has looked at it.
func checkFresh(t *testing.T, name string, row state) {
	t.Helper()
	if id := row["id"].(string); id[14] != '7' || !strings.ContainsRune("89ab", rune(id[19])) {
		t.Errorf("%s: id %s is not a UUID of version 7", name, id)
	}
	if row["run_at"] == row["created_at"] {
		row["run_at"] = "at once"
	}
	delete(row, "id")
	delete(row, "created_at")
}

func TestDefaultsAreAsDocumented(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	for _, d := range doors {
		id, err := d.submit(r, scheduler.NewTask{Kind: "k"})
		must(t, err)
		row := r.row(id)
		checkFresh(t, d.name, row)
		for name, value := range row {
			if value == nil {
				delete(row, name)
			}
		}
		want := state{"kind": "k", "queue": "default", "state": "ready", "ready": true, "waiting": false, "dead": false, "priority": 0.0, "attempt": 0.0,
			"failures": 0.0, "crashes": 0.0, "max_attempts": 10.0, "revision": 1.0, "payload": map[string]any{}, "run_at": "at once"}
		if diff := cmp.Diff(want, row); diff != "" {
			t.Errorf("%s:\n%s", d.name, diff)
		}
	}
}

func TestDelayAndRunAt(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	now := read[time.Time](r, `select now()`)
	for _, d := range doors {
		for _, c := range []struct {
			task  scheduler.NewTask
			state scheduler.State
			late  time.Duration // run_at after created_at; negative: absolute
		}{
			{scheduler.NewTask{Kind: "k", Delay: 90 * time.Second}, scheduler.Scheduled, 90 * time.Second},
			{scheduler.NewTask{Kind: "k", Delay: time.Millisecond}, scheduler.Scheduled, time.Millisecond},
			{scheduler.NewTask{Kind: "k", Delay: 3155760000 * time.Second}, scheduler.Scheduled, 3155760000 * time.Second},
			{scheduler.NewTask{Kind: "k", RunAt: now.Add(time.Hour)}, scheduler.Scheduled, -1},
			{scheduler.NewTask{Kind: "k", RunAt: now.Add(-time.Hour)}, scheduler.Ready, -1},
			{scheduler.NewTask{Kind: "k", RunAt: now}, scheduler.Ready, -1},
		} {
			id, err := d.submit(r, c.task)
			must(t, err)
			task := r.task(id)
			due := task.CreatedAt.Add(c.late)
			if c.late < 0 {
				due = c.task.RunAt
			}
			if task.State != c.state || !task.RunAt.Equal(due) {
				t.Errorf("%s, delay %s, run_at %s: %s, due %s, want %s", d.name, c.task.Delay, c.task.RunAt, task.State, task.RunAt, due)
			}
		}
	}
}

// bad is a request that every door must refuse, naming the same field.
var bad = []struct {
	field string
	task  scheduler.NewTask
}{
	{"kind", scheduler.NewTask{}},
	{"kind", scheduler.NewTask{Kind: "two words"}},
	{"kind", scheduler.NewTask{Kind: "-dash"}},
	{"kind", scheduler.NewTask{Kind: "line\n"}},
	{"kind", scheduler.NewTask{Kind: "émigré"}},
	{"kind", scheduler.NewTask{Kind: strings.Repeat("k", 129)}},
	{"kind", scheduler.NewTask{Kind: strings.Repeat("k", 10000)}},
	{"queue", scheduler.NewTask{Kind: "k", Queue: "a/b"}},
	{"queue", scheduler.NewTask{Kind: "k", Queue: ".dot"}},
	{"queue", scheduler.NewTask{Kind: "k", Queue: "q\n"}},
	{"queue", scheduler.NewTask{Kind: "k", Queue: scheduler.Queue(strings.Repeat("q", 129))}},
	{"payload", scheduler.NewTask{Kind: "k", Payload: strings.Repeat("x", scheduler.MaxPayload)}},
	{"priority", scheduler.NewTask{Kind: "k", Priority: 32768}},
	{"priority", scheduler.NewTask{Kind: "k", Priority: -32769}},
	{"run_at", scheduler.NewTask{Kind: "k", RunAt: time.Unix(-1, 0)}},
	{"run_at", scheduler.NewTask{Kind: "k", RunAt: time.Date(10000, 1, 1, 0, 0, 0, 0, time.UTC)}},
	{"delay_ms", scheduler.NewTask{Kind: "k", Delay: -time.Second}},
	{"delay_ms", scheduler.NewTask{Kind: "k", Delay: 3155760001 * time.Second}},
	{"delay_ms", scheduler.NewTask{Kind: "k", Delay: math.MaxInt64}},
	{"delay_ms", scheduler.NewTask{Kind: "k", Delay: time.Second, RunAt: aTime}},
	{"max_attempts", scheduler.NewTask{Kind: "k", MaxAttempts: -1}},
	{"max_attempts", scheduler.NewTask{Kind: "k", MaxAttempts: 1001}},
	{"timeout_ms", scheduler.NewTask{Kind: "k", Timeout: -time.Second}},
	{"timeout_ms", scheduler.NewTask{Kind: "k", Timeout: 31557600001 * time.Millisecond}},
	{"expires_at", scheduler.NewTask{Kind: "k", ExpiresAt: time.Date(10000, 1, 1, 0, 0, 0, 0, time.UTC)}},
	{"unique_key", scheduler.NewTask{Kind: "k", UniqueKey: strings.Repeat("u", 256)}},
	{"idempotency_key", scheduler.NewTask{Kind: "k", IdempotencyKey: strings.Repeat("ü", 128)}},
	{"backoff_ms", scheduler.NewTask{Kind: "k", Backoff: []time.Duration{-time.Second}}},
	{"backoff_ms", scheduler.NewTask{Kind: "k", Backoff: []time.Duration{31557600001 * time.Millisecond}}},
	{"backoff_ms", scheduler.NewTask{Kind: "k", Backoff: make([]time.Duration, 101)}},
	{"tags", scheduler.NewTask{Kind: "k", Tags: []string{""}}},
	{"tags", scheduler.NewTask{Kind: "k", Tags: []string{"fine", "two words"}}},
	{"tags", scheduler.NewTask{Kind: "k", Tags: []string{"émigré"}}},
	{"tags", scheduler.NewTask{Kind: "k", Tags: []string{"line\n"}}},
	{"tags", scheduler.NewTask{Kind: "k", Tags: []string{strings.Repeat("t", 65)}}},
	{"tags", scheduler.NewTask{Kind: "k", Tags: slices.Repeat([]string{"t"}, 17)}},
}

// fieldOf returns the field that a refusal names, whichever door it came from.
func fieldOf(err error) string {
	var invalid *scheduler.InvalidError
	if errors.As(err, &invalid) && errors.Is(err, scheduler.ErrInvalid) && len(invalid.Fields) == 1 {
		return invalid.Fields[0].Field
	}
	var pg *pgconn.PgError
	if errors.As(err, &pg) && pg.Code == "22023" {
		return pg.ColumnName
	}
	return fmt.Sprint("no field: ", err)
}

func TestDoorsRefuseTheSame(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	for _, c := range bad {
		for _, d := range doors {
			if got := fieldOf(second(d.submit(r, c.task))); got != c.field {
				t.Errorf("%s: %.100s by %s: refused for %s", c.field, fmt.Sprintf("%+v", c.task), d.name, got)
			}
		}
	}
	if n := read[int](r, `select count(*) from scheduler.tasks`); n != 0 {
		t.Errorf("%d tasks were stored", n)
	}
}

func second[A, B any](_ A, b B) B { return b }

// Requests that only SQL can make.
func TestSQLRefusesByField(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	for call, field := range map[string]string{
		`kind => null`:                                                 "kind",
		`kind => 'k', queue => null`:                                   "queue",
		`kind => 'k', queue => ''`:                                     "queue",
		`kind => 'k', payload => null`:                                 "payload",
		`kind => 'k', priority => null`:                                "priority",
		`kind => 'k', run_at => 'infinity', idempotency_key => 'i'`:    "run_at",
		`kind => 'k', run_at => '-infinity'`:                           "run_at",
		`kind => 'k', run_at => '4713-01-01 BC'`:                       "run_at",
		`kind => 'k', run_at => '294276-01-01'`:                        "run_at",
		`kind => 'k', delay_ms => 9223372036854775807`:                 "delay_ms",
		`kind => 'k', delay_ms => -9223372036854775808`:                "delay_ms",
		`kind => 'k', max_attempts => null`:                            "max_attempts",
		`kind => 'k', max_attempts => 0`:                               "max_attempts",
		`kind => 'k', timeout_ms => 0`:                                 "timeout_ms",
		`kind => 'k', expires_at => 'infinity'`:                        "expires_at",
		`kind => 'k', unique_key => ''`:                                "unique_key",
		`kind => 'k', idempotency_key => ''`:                           "idempotency_key",
		`kind => 'k', backoff_ms => '{}'`:                              "backoff_ms",
		`kind => 'k', backoff_ms => '{1,null}'`:                        "backoff_ms",
		`kind => 'k', backoff_ms => '{{1,2},{3,4}}'`:                   "backoff_ms",
		`kind => 'k', backoff_ms => '[5:6]={1,2}'`:                     "backoff_ms",
		`kind => 'k', backoff_ms => array_fill(1::bigint, array[101])`: "backoff_ms",
		`kind => 'k', tags => '{a,null}'`:                              "tags",
		`kind => 'k', payload => to_jsonb(repeat('x', 262144))`:        "payload",
	} {
		_, err := r.db.Exec(r.ctx, `select scheduler.submit(`+call+`)`)
		if got := fieldOf(err); got != field {
			t.Errorf("%s: refused for %s, want %s", call, got, field)
		}
	}
}

// Keys and texts that Go can hold and PostgreSQL can't.
func TestGoRefusesWhatCannotBeStored(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	for _, c := range []struct {
		field string
		task  scheduler.NewTask
	}{
		{"unique_key", scheduler.NewTask{Kind: "k", UniqueKey: "a\x00b"}},
		{"unique_key", scheduler.NewTask{Kind: "k", UniqueKey: "a\xffb"}},
		{"idempotency_key", scheduler.NewTask{Kind: "k", IdempotencyKey: "\x00"}},
		{"idempotency_key", scheduler.NewTask{Kind: "k", IdempotencyKey: "\xed\xa0\x80"}},
		{"payload", scheduler.NewTask{Kind: "k", Payload: json.RawMessage(`"\u0000"`)}},
		{"payload", scheduler.NewTask{Kind: "k", Payload: func() {}}},
		{"timeout_ms", scheduler.NewTask{Kind: "k", Timeout: time.Microsecond}},
	} {
		for _, d := range doors[:3] {
			if got := fieldOf(second(d.submit(r, c.task))); got != c.field {
				t.Errorf("%s: by %s refused for %s", c.field, d.name, got)
			}
		}
	}
}

func TestSubmitManyNamesTheTaskThatIsBad(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	_, err := r.client.SubmitMany(r.ctx, []scheduler.NewTask{{Kind: "k"}, {Kind: "no good", Priority: 99999}, {Kind: "k"}, {Kind: "k", MaxAttempts: -1}})
	var invalid *scheduler.InvalidError
	if !errors.As(err, &invalid) {
		t.Fatal(err)
	}
	var fields []string
	for _, f := range invalid.Fields {
		fields = append(fields, f.Field)
	}
	if diff := cmp.Diff([]string{"1.kind", "1.priority", "3.max_attempts"}, fields); diff != "" {
		t.Error(diff)
	}
	many := slices.Repeat([]scheduler.NewTask{{Kind: "no good"}}, 1000)
	if _, err := r.client.SubmitMany(r.ctx, many); !errors.As(err, &invalid) || len(invalid.Fields) > 20 {
		t.Errorf("1000 bad tasks: %d fields, %.60v", len(invalid.Fields), err)
	}
	if n := read[int](r, `select count(*) from scheduler.tasks`); n != 0 {
		t.Errorf("%d tasks were stored", n)
	}
}

func TestSubmitManyAnswersInOrder(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	if list, err := r.client.SubmitMany(r.ctx, nil); err != nil || len(list) != 0 {
		t.Errorf("no tasks: %v, %v", list, err)
	}
	tasks := make([]scheduler.NewTask, 500)
	for i := range tasks {
		tasks[i] = scheduler.NewTask{Kind: fmt.Sprint("k", i), Queue: scheduler.Queue(fmt.Sprint("q", i%7)), Payload: i}
		if i%3 == 0 {
			tasks[i].Delay = time.Hour
		}
		if i%5 == 0 {
			tasks[i].UniqueKey = fmt.Sprint(500 - i)
		}
	}
	list, err := r.client.SubmitMany(r.ctx, tasks)
	must(t, err)
	for i, s := range list {
		task := r.task(s.ID)
		if task.Kind != tasks[i].Kind || task.Queue != s.Queue || s.Queue != tasks[i].Queue || string(task.Payload) != fmt.Sprint(i) || task.State != s.State ||
			!task.RunAt.Equal(s.RunAt) || !task.CreatedAt.Equal(s.CreatedAt) || s.Replayed || s.Existing {
			t.Errorf("task %d: answered %+v, stored %s %s %s", i, s, task.Kind, task.Queue, task.State)
		}
	}
}

// What is submitted in a transaction that rolls back never existed; what is rolled back to a savepoint neither.
func TestRollbackLeavesNothing(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	undo := errors.New("undo")
	submits := map[string]func(tx pgx.Tx) error{
		"SubmitTx": func(tx pgx.Tx) error {
			return second(r.client.SubmitTx(r.ctx, tx, scheduler.NewTask{Kind: "k", IdempotencyKey: "i"}))
		},
		"SubmitManyTx": func(tx pgx.Tx) error {
			return second(r.client.SubmitManyTx(r.ctx, tx, []scheduler.NewTask{{Kind: "k"}, {Kind: "k", UniqueKey: "u"}}))
		},
		"SQL": func(tx pgx.Tx) error { return second(r.viaSQL(tx, scheduler.NewTask{Kind: "k", IdempotencyKey: "s"})) },
	}
	for name, submit := range submits {
		err := r.tx(func(tx pgx.Tx) error {
			if err := submit(tx); err != nil {
				return err
			}
			return undo
		})
		if !errors.Is(err, undo) {
			t.Errorf("%s: %v", name, err)
		}
		err = r.tx(func(tx pgx.Tx) error {
			inner := pgx.BeginFunc(r.ctx, tx, func(tx pgx.Tx) error { return errors.Join(submit(tx), undo) })
			if !errors.Is(inner, undo) {
				t.Errorf("%s in a savepoint: %v", name, inner)
			}
			return nil
		})
		must(t, err)
		if n := read[int](r, `select count(*) from scheduler.tasks`); n != 0 {
			t.Fatalf("%s left %d tasks", name, n)
		}
	}
	for name, submit := range submits {
		must(t, r.tx(submit))
		if n := r.exec(`delete from scheduler.tasks`); n == 0 {
			t.Errorf("%s: committed and not there", name)
		}
	}
}

// A refusal in Go reaches the caller before the database, so that the transaction goes on.
func TestARefusedSubmitLeavesTheTransactionUsable(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	must(t, r.tx(func(tx pgx.Tx) error {
		if _, err := r.client.SubmitTx(r.ctx, tx, scheduler.NewTask{Kind: "no good"}); !errors.Is(err, scheduler.ErrInvalid) {
			t.Errorf("got %v", err)
		}
		return second(r.client.SubmitTx(r.ctx, tx, scheduler.NewTask{Kind: "k"}))
	}))
	if n := read[int](r, `select count(*) from scheduler.tasks`); n != 1 {
		t.Errorf("%d tasks", n)
	}
}

// Ids sort by time of creation through every door, to the millisecond.
func TestIDsSortByTime(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	var ids []string
	for i := range 40 {
		id, err := doors[i%len(doors)].submit(r, scheduler.NewTask{Kind: "k"})
		must(t, err)
		ids = append(ids, id.String())
		r.exec(`select pg_sleep(0.002)`)
	}
	if !slices.IsSorted(ids) {
		t.Errorf("not in order: %v", ids)
	}
}

// Somebody who submits in Go hears of no hint; somebody in a transaction is heard when it commits, once a queue.
func TestHintsOfTransactionsComeWithTheCommit(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	conn, err := pgx.Connect(r.ctx, r.url)
	must(t, err)
	defer conn.Close(r.ctx)
	for _, channel := range []string{scheduler.ChannelReady, scheduler.ChannelDue} {
		_, err := conn.Exec(r.ctx, "listen "+channel)
		must(t, err)
	}
	must(t, r.tx(func(tx pgx.Tx) error {
		for range 3 {
			must(t, second(r.client.SubmitTx(r.ctx, tx, scheduler.NewTask{Kind: "k", Queue: "a"})))
			must(t, second(r.viaSQL(tx, scheduler.NewTask{Kind: "k", Queue: "b"})))
		}
		must(t, second(r.client.SubmitTx(r.ctx, tx, scheduler.NewTask{Kind: "k", Delay: time.Hour})))
		return second(r.client.SubmitTx(r.ctx, tx, scheduler.NewTask{Kind: "k", Delay: 2 * time.Second}))
	}))
	r.exec(`notify scheduler_ready, 'end'`)
	var heard []string
	for len(heard) == 0 || heard[len(heard)-1] != "scheduler_ready end" {
		n, err := conn.WaitForNotification(r.ctx)
		must(t, err)
		heard = append(heard, n.Channel+" "+n.Payload)
	}
	want := []string{"scheduler_ready a", "scheduler_ready b", "scheduler_due 2001", "scheduler_ready end"}
	if diff := cmp.Diff(want, heard); diff != "" {
		t.Error(diff)
	}
}

type querier interface {
	Query(ctx context.Context, sql string, args ...any) (pgx.Rows, error)
}
