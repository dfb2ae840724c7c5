package scheduler_test

import (
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/jackc/pgx/v5"

	"github.com/pgscheduler/scheduler/scheduler"
	"github.com/pgscheduler/scheduler/sql"
)

func (r *rig) fire(client *scheduler.Client) {
	r.t.Helper()
	must(r.t, client.FireOnce(r.ctx))
}

func (r *rig) set(s scheduler.NewSchedule) scheduler.Schedule {
	r.t.Helper()
	if s.Kind == "" {
		s.Kind = "k"
	}
	got, err := r.client.SetSchedule(r.ctx, s)
	must(r.t, err)
	return got
}

func (r *rig) schedule(name string) scheduler.Schedule {
	r.t.Helper()
	s, err := r.client.Schedule(r.ctx, name)
	must(r.t, err)
	return s
}

// ticks returns the ticks that made tasks, in order.
func (r *rig) ticks(name string) []time.Time {
	r.t.Helper()
	return column[time.Time](r, `select tick_at from scheduler.tasks where schedule = $1 order by tick_at`, name)
}

func TestSetSchedule(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	plain := r.set(scheduler.NewSchedule{Name: "plain", Expression: "0 3 * * *"})
	if plain.Zone != "UTC" || plain.Queue != scheduler.DefaultQueue || string(plain.Payload) != "{}" || plain.MaxAttempts != 10 || plain.PausedAt != nil ||
		plain.LastRunAt != nil || plain.Error != nil || plain.NextRunAt.UTC().Hour() != 3 || time.Until(*plain.NextRunAt) > 24*time.Hour {
		t.Errorf("%+v", plain)
	}
	full := scheduler.NewSchedule{Name: "a:b/c.d-e_1", Expression: "30 9 * * 1-5", Zone: "Europe/Paris", Kind: "mail", Payload: map[string]int{"n": 1}, Queue: "q",
		Priority: -3, MaxAttempts: 2, Timeout: time.Minute, Backoff: []time.Duration{time.Second, time.Minute}}
	before := read[time.Time](r, `select now()`)
	got := r.set(full)
	cron, err := scheduler.ParseCron(full.Expression, full.Zone)
	must(t, err)
	if got.Zone != full.Zone || got.Kind != "mail" || string(got.Payload) != `{"n": 1}` || got.Queue != "q" || got.Priority != -3 || got.MaxAttempts != 2 ||
		*got.TimeoutMS != 60000 || !cmp.Equal(got.BackoffMS, []int64{1000, 60000}) ||
		got.NextRunAt.Before(cron.Next(before)) || got.NextRunAt.After(cron.Next(got.CreatedAt)) {
		t.Errorf("%+v", got)
	}
	if stored := r.schedule(full.Name); !cmp.Equal(got, stored) {
		t.Errorf("answered and stored differ:\n%s", cmp.Diff(got, stored))
	}
	list, err := r.client.Schedules(r.ctx)
	if err != nil || len(list) != 2 || list[0].Name != full.Name || list[1].Name != "plain" {
		t.Errorf("%+v, %v", list, err)
	}
}

// A second set keeps what goes on: the pending tick while expression and zone stay, a pause, and when it last ran.
func TestSetScheduleAgain(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	s := scheduler.NewSchedule{Name: "s", Expression: "@every 1h"}
	r.set(s)
	r.exec(`update scheduler.schedules set next_run_at = now() + interval '5 min', last_run_at = now() - interval '55 min'`)
	pending := r.schedule("s")
	s.Payload = "other"
	if got := r.set(s); !got.NextRunAt.Equal(*pending.NextRunAt) || !got.LastRunAt.Equal(*pending.LastRunAt) || string(got.Payload) != `"other"` {
		t.Errorf("another payload: %+v", got)
	}
	must(t, r.client.PauseSchedule(r.ctx, "s"))
	s.Expression = "@every 2h"
	if got := r.set(s); got.PausedAt == nil || time.Until(*got.NextRunAt) < time.Hour {
		t.Errorf("another expression: %+v", got)
	}
	s.Zone = "Asia/Tokyo"
	r.exec(`update scheduler.schedules set next_run_at = now() + interval '5 min'`)
	if got := r.set(s); time.Until(*got.NextRunAt) < time.Hour {
		t.Errorf("another zone: %+v", got)
	}
}

func TestSetScheduleRefuses(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	good := scheduler.NewSchedule{Name: "s", Expression: "@hourly", Kind: "k"}
	for field, edit := range map[string]func(*scheduler.NewSchedule){
		"name":         func(s *scheduler.NewSchedule) { s.Name = "" },
		"kind":         func(s *scheduler.NewSchedule) { s.Kind = "no good" },
		"queue":        func(s *scheduler.NewSchedule) { s.Queue = "no good" },
		"payload":      func(s *scheduler.NewSchedule) { s.Payload = "\x00" },
		"priority":     func(s *scheduler.NewSchedule) { s.Priority = 1 << 20 },
		"max_attempts": func(s *scheduler.NewSchedule) { s.MaxAttempts = -1 },
		"timeout_ms":   func(s *scheduler.NewSchedule) { s.Timeout = -1 },
		"backoff_ms":   func(s *scheduler.NewSchedule) { s.Backoff = []time.Duration{-1} },
	} {
		s := good
		edit(&s)
		if got := fieldOf(second(r.client.SetSchedule(r.ctx, s))); got != field {
			t.Errorf("%s: refused for %s", field, got)
		}
	}
	for _, s := range []scheduler.NewSchedule{{Name: "s", Kind: "k", Expression: "61 * * * *"}, {Name: "s", Kind: "k", Expression: "@hourly", Zone: "Nowhere"}} {
		_, err := r.client.SetSchedule(r.ctx, s)
		var bad *scheduler.CronError
		if !errors.As(err, &bad) || !errors.Is(err, scheduler.ErrInvalid) {
			t.Errorf("%s in %s: %v", s.Expression, s.Zone, err)
		}
	}
	for verb, call := range map[string]func(name string) error{
		"read": func(n string) error { return second(r.client.Schedule(r.ctx, n)) }, "pause": func(n string) error { return r.client.PauseSchedule(r.ctx, n) },
		"resume": func(n string) error { return r.client.ResumeSchedule(r.ctx, n) }, "delete": func(n string) error { return r.client.DeleteSchedule(r.ctx, n) },
		"trigger": func(n string) error { return second(r.client.TriggerSchedule(r.ctx, n)) },
	} {
		if err := call("unknown"); !errors.Is(err, scheduler.ErrNotFound) {
			t.Errorf("%s an unknown one: %v", verb, err)
		}
	}
}

// The task of a tick is what its schedule says, and says which tick it stands for.
func TestFireMakesTheTask(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.set(scheduler.NewSchedule{Name: "s", Expression: "@every 1m", Kind: "mail", Payload: []int{1, 2}, Queue: "q", Priority: 4, MaxAttempts: 3,
		Timeout: time.Second, Backoff: []time.Duration{time.Minute}})
	r.exec(`update scheduler.schedules set next_run_at = now() - interval '10 s'`)
	tick := *r.schedule("s").NextRunAt
	conn, err := pgx.Connect(r.ctx, r.url)
	must(t, err)
	defer conn.Close(r.ctx)
	_, err = conn.Exec(r.ctx, "listen "+scheduler.ChannelReady)
	must(t, err)
	r.fire(r.client)
	task := r.task(read[scheduler.TaskID](r, `select id from scheduler.tasks`))
	if task.Kind != "mail" || task.Queue != "q" || task.State != scheduler.Ready || string(task.Payload) != "[1, 2]" || task.Priority != 4 || task.MaxAttempts != 3 ||
		*task.TimeoutMS != 1000 || !cmp.Equal(task.BackoffMS, []int64{60000}) || text(task.Schedule) != "s" || !task.TickAt.Equal(tick) || task.Attempt != 0 {
		t.Errorf("%+v", task)
	}
	if s := r.schedule("s"); !s.LastRunAt.Equal(tick) || !s.NextRunAt.Equal(tick.Truncate(time.Second).Add(time.Minute)) {
		t.Errorf("ticked at %s; last %s, next %s", tick, s.LastRunAt, s.NextRunAt)
	}
	if n, err := conn.WaitForNotification(r.ctx); err != nil || n.Payload != "q" {
		t.Errorf("%+v, %v", n, err)
	}
	r.fire(r.client)
	if n := len(r.ticks("s")); n != 1 {
		t.Errorf("%d tasks for one tick", n)
	}
	id, err := r.client.TriggerSchedule(r.ctx, "s")
	must(t, err)
	if by := r.task(id); by.TickAt != nil || text(by.Schedule) != "s" || by.Kind != "mail" || by.State != scheduler.Ready || *by.TimeoutMS != 1000 {
		t.Errorf("triggered: %+v", by)
	}
	must(t, r.client.DeleteSchedule(r.ctx, "s"))
	if n := read[int](r, `select (select count(*) from scheduler.schedule_ticks) * 100 + (select count(*) from scheduler.tasks)`); n != 2 {
		t.Errorf("deleted: %d ticks, %d of 2 tasks are left", n/100, n%100)
	}
}

// Eight processes, ten schedules that are 25 ticks behind: one task a tick.
func TestManyFireEachTickOnce(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	const schedules = 10
	for i := range schedules {
		r.set(scheduler.NewSchedule{Name: fmt.Sprint("s", i), Expression: "@every 1s"})
	}
	// Less than half of the minute after which only the newest tick fires: slow machines get further behind before they catch up.
	r.exec(`update scheduler.schedules set next_run_at = date_trunc('second', now()) - interval '24 s'`)
	from := *r.schedule("s0").NextRunAt
	var all sync.WaitGroup
	for range 8 {
		client := r.open(scheduler.Patient(scheduler.Config{MaxConns: 1}))
		all.Go(func() {
			for range 40 {
				if err := client.FireOnce(r.ctx); err != nil {
					t.Error(err)
				}
			}
		})
	}
	all.Wait()
	if n := read[int](r, `select count(*) - count(distinct (schedule, tick_at)) from scheduler.tasks`); n != 0 {
		t.Errorf("%d ticks fired twice", n)
	}
	for i := range schedules {
		ticks := r.ticks(fmt.Sprint("s", i))
		for n, tick := range ticks {
			if want := from.Add(time.Duration(n) * time.Second); !tick.Equal(want) {
				t.Fatalf("s%d: tick %d is %s, want %s", i, n, tick, want)
			}
		}
		if len(ticks) < 25 {
			t.Errorf("s%d: %d ticks", i, len(ticks))
		}
	}
}

// What one read is only what it tries to fire: once the row has changed it makes no task.
func TestFireIsGuardedByWhatWasRead(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	for what, change := range map[string]string{
		"expression": `update scheduler.schedules set expression = '@daily'`,
		"zone":       `update scheduler.schedules set zone = 'Asia/Tokyo'`,
		"tick":       `update scheduler.schedules set next_run_at = next_run_at + interval '1 s'`,
		"paused":     `update scheduler.schedules set paused_at = now()`,
		"deleted":    `delete from scheduler.schedules`,
		"fired":      `insert into scheduler.schedule_ticks (schedule, tick_at, queue, task_id) select name, next_run_at, queue, gen_random_uuid() from scheduler.schedules`,
		"":           `select 1`,
	} {
		r.exec(`delete from scheduler.schedules`)
		r.set(scheduler.NewSchedule{Name: "s", Expression: "@every 1h"})
		r.exec(`update scheduler.schedules set next_run_at = now() - interval '1 s'`)
		s := r.schedule("s")
		r.exec(change)
		rows, err := r.db.Query(r.ctx, sql.Fire, pgx.StrictNamedArgs{"name": s.Name, "expression": s.Expression, "zone": s.Zone, "due": s.NextRunAt,
			"tick_at": s.NextRunAt, "next_run_at": s.NextRunAt.Add(time.Hour)})
		must(t, err)
		rows.Close()
		must(t, rows.Err())
		if n := rows.CommandTag().RowsAffected(); (n == 1) != (what == "") {
			t.Errorf("%q changed: fired %d", what, n)
		}
		if what == "fired" && !r.schedule("s").NextRunAt.After(*s.NextRunAt) {
			t.Error("a tick that fired already must not be tried for ever")
		}
	}
}

func TestPausedScheduleDoesNotFire(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.set(scheduler.NewSchedule{Name: "s", Expression: "@every 1m"})
	r.exec(`update scheduler.schedules set next_run_at = now() - interval '1 s'`)
	must(t, r.client.PauseSchedule(r.ctx, "s"))
	since := r.schedule("s").PausedAt
	must(t, r.client.PauseSchedule(r.ctx, "s"))
	r.fire(r.client)
	if s := r.schedule("s"); len(r.ticks("s")) != 0 || s.PausedAt == nil || !s.PausedAt.Equal(*since) {
		t.Errorf("%d ticks, %+v", len(r.ticks("s")), s)
	}
	must(t, r.client.ResumeSchedule(r.ctx, "s"))
	r.fire(r.client)
	s := r.schedule("s")
	if wait := time.Until(*s.NextRunAt); len(r.ticks("s")) != 0 || s.PausedAt != nil || wait < 30*time.Second || wait > 2*time.Minute {
		t.Errorf("resumed: %d ticks were made up for, next in %s", len(r.ticks("s")), wait)
	}
	must(t, r.client.ResumeSchedule(r.ctx, "s")) // and again: nothing changes
	if again := r.schedule("s"); !again.NextRunAt.Equal(*s.NextRunAt) {
		t.Errorf("resumed again: next %s, was %s", again.NextRunAt, s.NextRunAt)
	}
}

// Rows that people write by hand: without a next tick they get one; what can't be read says why and is left alone; the others fire.
func TestSchedulesWrittenByHand(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.exec(`insert into scheduler.schedules (name, expression, zone, kind, next_run_at, queue) values
		('planned', '@every 1m', 'Europe/Paris', 'k', null, 'q'),
		('nonsense', 'every tuesday', 'UTC', 'k', null, 'q'),
		('nonsense due', '99 * * * *', 'UTC', 'k', now() - interval '1 h', 'q'),
		('nowhere', '@hourly', 'Mars/Olympus', 'k', now() - interval '1 h', 'q'),
		('unsayable', '@hourly', 'UTC', 'k', now() - interval '2 h', repeat('q', 9000)),
		('good', '@every 1h', 'UTC', 'k', now() - interval '1 s', 'q')`) // whose next tick is not just now, whenever that is
	for range 3 {
		r.fire(r.client)
	}
	if s := r.schedule("planned"); s.Error != nil || s.NextRunAt == nil || time.Until(*s.NextRunAt) < 30*time.Second {
		t.Errorf("%+v", s)
	}
	for _, name := range []string{"nonsense", "nonsense due", "nowhere", "unsayable"} {
		if s := r.schedule(name); s.Error == nil || s.LastRunAt != nil {
			t.Errorf("%s: %+v", name, s)
		}
	}
	if n := len(r.ticks("good")); n != 1 {
		t.Errorf("the good one fired %d times", n)
	}
	if n := read[int](r, `select count(*) from scheduler.tasks`); n != 1 {
		t.Errorf("%d tasks", n)
	}
	mended := r.set(scheduler.NewSchedule{Name: "nonsense", Expression: "@hourly"})
	if mended.Error != nil || mended.NextRunAt == nil {
		t.Errorf("mended: %+v", mended)
	}
	r.exec(`update scheduler.schedules set next_run_at = now() where name = 'nonsense'`)
	r.fire(r.client)
	if n := len(r.ticks("nonsense")); n != 1 {
		t.Errorf("mended, it fired %d times", n)
	}
}

// Mended in place by SQL, a schedule fires again without further ado.
func TestScheduleMendedByHand(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.exec(`insert into scheduler.schedules (name, expression, kind) values ('s', 'nonsense', 'k')`)
	r.fire(r.client)
	r.exec(`update scheduler.schedules set expression = '@every 1m', error = null where name = 's'`)
	r.fire(r.client)
	if s := r.schedule("s"); s.Error != nil || s.NextRunAt == nil {
		t.Errorf("%+v", s)
	}
}

// After a hiccup each tick that was missed fires; after a longer silence only the newest does.
func TestMissedTicks(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.set(scheduler.NewSchedule{Name: "hiccup", Expression: "@every 1s"})
	r.set(scheduler.NewSchedule{Name: "silence", Expression: "* * * * *"})
	r.exec(`update scheduler.schedules set next_run_at = date_trunc('second', now()) - interval '5 s' where name = 'hiccup'`)
	r.exec(`update scheduler.schedules set next_run_at = date_trunc('minute', now()) - interval '3 h' where name = 'silence'`)
	began := read[time.Time](r, `select now()`)
	for range 8 {
		r.fire(r.client)
	}
	ended := read[time.Time](r, `select now()`)
	if ticks := r.ticks("hiccup"); len(ticks) < 6 || !ticks[5].Equal(ticks[0].Add(5*time.Second)) {
		t.Errorf("after a hiccup: %v", ticks)
	}
	ticks := r.ticks("silence")
	if len(ticks) == 0 || len(ticks) > 2 || ticks[0].Before(began.Truncate(time.Minute)) || ticks[0].After(ended) {
		t.Errorf("after three hours, at %s: %v", began, ticks)
	}
	if next := *r.schedule("silence").NextRunAt; !next.After(began) {
		t.Errorf("next %s", next)
	}
}

// Two processes, one schedule of every second, a minute: 60 tasks, none twice, none left out, none before its time.
func TestTwoProcessesFireOneScheduleForAMinute(t *testing.T) {
	if testing.Short() {
		t.Skip("takes a minute")
	}
	t.Parallel()
	r := newRig(t)
	for range 2 {
		r.maintain(r.open(scheduler.Config{}))
	}
	first := *r.set(scheduler.NewSchedule{Name: "s", Expression: "* * * * * *"}).NextRunAt
	minute := time.NewTimer(time.Until(first.Add(59 * time.Second)))
	<-minute.C
	await(t, "the last tick", func() bool { return len(r.ticks("s")) >= 60 })
	r.exec(`update scheduler.schedules set paused_at = now()`)
	ticks, now := r.ticks("s"), read[time.Time](r, `select now()`)
	if ticks[len(ticks)-1].After(now) {
		t.Errorf("%d ticks, and the last, of %s, is not due", len(ticks), ticks[len(ticks)-1])
	}
	for i, tick := range ticks {
		if !tick.Equal(first.Add(time.Duration(i) * time.Second)) {
			t.Fatalf("tick %d is %s; the first was %s", i, tick, first)
		}
	}
}
