package scheduler_test

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/pgscheduler/scheduler/scheduler"
)

// ear is somebody who listens.
type ear struct {
	mu    sync.Mutex
	heard []string
}

func (e *ear) on(channel, payload string) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.heard = append(e.heard, channel+" "+payload)
}

func (e *ear) count(what string) (n int) {
	e.mu.Lock()
	defer e.mu.Unlock()
	for _, h := range e.heard {
		if h == what {
			n++
		}
	}
	return n
}

// listen lets a client listen until the test ends.
func (r *rig) listen(client *scheduler.Client) *ear {
	e := &ear{}
	r.listenTo(client, []string{scheduler.ChannelReady, scheduler.ChannelControl}, e.on)
	return e
}

func (r *rig) listenTo(client *scheduler.Client, channels []string, on func(channel, payload string)) {
	ctx, cancel := context.WithCancel(context.WithoutCancel(r.ctx))
	var done sync.WaitGroup
	done.Go(func() { // ends with ctx; the cleanup waits
		if err := client.Listen(ctx, channels, on); err != nil {
			r.t.Errorf("Listen returned %v", err)
		}
	})
	r.t.Cleanup(func() { cancel(); done.Wait() })
}

const connected = " " // what Listen says after each connect, and each loss

// listener returns the process id of the connection that listens, of several the newest: one that was cut may take a moment to go. 0: none.
func (r *rig) listener() int {
	r.t.Helper()
	return read[int](r, `select coalesce((select pid from pg_stat_activity where datname = current_database() and application_name = 'scheduler'
		and query like 'listen %' order by backend_start desc limit 1), 0)`)
}

// The connection is cut off: it is made anew, whoever listens is told to look at everything, and hears what comes then.
func TestListenSurvivesItsConnection(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	e := r.listen(r.patient())
	await(t, "listening", func() bool { return e.count(connected) == 1 })
	for cut := 1; cut <= 3; cut++ {
		payload := fmt.Sprint("queue", cut)
		r.exec(`select pg_notify('scheduler_ready', $1)`, payload)
		r.exec(`select pg_notify('scheduler_due', 'not listened to')`)
		await(t, "a notification", func() bool { return e.count("scheduler_ready "+payload) == 1 })
		pid := r.listener()
		if n := read[bool](r, `select pg_terminate_backend($1)`, pid); !n {
			t.Fatalf("there is no connection %d to cut", pid)
		}
		await(t, "listening again", func() bool { return e.count(connected) == 2*cut+1 })
	}
	r.exec(`notify scheduler_control, '*'`)
	await(t, "a notification on the other channel", func() bool { return e.count("scheduler_control *") == 1 })
	if e.count("scheduler_due not listened to") != 0 {
		t.Error("heard a channel that was not asked for")
	}
	log := r.logs.String()
	if lost, back := strings.Count(log, "listen: connection lost"), strings.Count(log, "listen: connection is back"); lost != 3 || back != 3 {
		t.Errorf("logged %d times that it was lost, %d times that it is back, want 3 and 3", lost, back)
	}
}

// A silent connection is tried now and then, stays the same, and still hears.
func TestListenStaysThroughSilence(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	e := r.listen(r.open(scheduler.Pinging(scheduler.Patient(scheduler.Config{}), 300*time.Millisecond)))
	await(t, "listening", func() bool { return e.count(connected) == 1 })
	pid := r.listener()
	for range 2 {
		began := read[time.Time](r, `select query_start from pg_stat_activity where pid = $1`, pid)
		await(t, "a try", func() bool {
			return read[bool](r, `select query_start > $2 and query like 'listen %' from pg_stat_activity where pid = $1`, pid, began)
		})
	}
	r.exec(`notify scheduler_ready, 'q'`)
	await(t, "a notification", func() bool { return e.count("scheduler_ready q") == 1 })
	if e.count(connected) != 1 {
		t.Errorf("connected %d times", e.count(connected))
	}
}

func TestPollOnlyNeverListens(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	client := r.open(scheduler.Config{PollOnly: true})
	ctx, cancel := context.WithCancel(r.ctx)
	returned := make(chan error)
	e := &ear{}
	go func() { returned <- client.Listen(ctx, []string{scheduler.ChannelReady}, e.on) }() // received below
	await(t, "it hears of its own submit", func() bool {
		must(t, second(client.Submit(r.ctx, scheduler.NewTask{Kind: "k"})))
		return e.count("scheduler_ready default") > 0
	})
	r.exec(`notify scheduler_ready, 'q'`)
	must(t, second(client.Submit(r.ctx, scheduler.NewTask{Kind: "k"})))
	if r.listener() != 0 {
		t.Error("it listens")
	}
	cancel()
	if err := <-returned; err != nil || e.count("scheduler_ready q") != 0 {
		t.Errorf("returned %v, heard %v", err, e.heard)
	}
}

// Many submits make few notifications, and the last one is followed by one.
func TestSubmitsAreHintedAtTogether(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	conn, err := pgx.Connect(r.ctx, r.url)
	must(t, err)
	defer conn.Close(r.ctx)
	_, err = conn.Exec(r.ctx, "listen "+scheduler.ChannelReady)
	must(t, err)
	began := time.Now()
	for range 300 {
		r.submit(scheduler.NewTask{})
	}
	took := time.Since(began)
	r.submit(scheduler.NewTask{Queue: "last"})
	heard := 0
	for {
		n, err := conn.WaitForNotification(r.ctx)
		must(t, err)
		heard++
		if n.Payload == "last" {
			break
		}
	}
	if most := int(took/(4*time.Millisecond)) + 4; heard > most {
		t.Errorf("%d notifications for 300 submits in %s, want at most %d", heard, took, most)
	}
}
