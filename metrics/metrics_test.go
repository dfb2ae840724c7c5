package metrics

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/prometheus/client_golang/prometheus/testutil"

	"github.com/pgscheduler/scheduler/internal/pgtest"
	"github.com/pgscheduler/scheduler/scheduler"
	"github.com/pgscheduler/scheduler/worker"
)

func TestMain(m *testing.M) { pgtest.Main(m) }

const patience = 30 * time.Second

var silent = slog.New(slog.DiscardHandler)

func open(t *testing.T, url string) *scheduler.Client {
	t.Helper()
	client, err := scheduler.Open(t.Context(), scheduler.Config{DatabaseURL: url, Logger: silent})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(client.Close)
	return client
}

// work runs a worker with the handlers until the test ends.
func work(t *testing.T, client *scheduler.Client, handlers map[string]func(context.Context) error) *worker.Worker {
	t.Helper()
	registry := worker.NewRegistry()
	for kind, handle := range handlers {
		worker.Handle(registry, kind, func(ctx context.Context, _ *worker.Task[struct{}]) (struct{}, error) { return struct{}{}, handle(ctx) })
	}
	w, err := worker.New(client, registry, worker.Config{Logger: silent})
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- w.Run(ctx) }()
	t.Cleanup(func() {
		stop()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
	return w
}

// scrape returns what the handler answers.
func scrape(t *testing.T, handler http.Handler) string {
	t.Helper()
	answer := httptest.NewRecorder()
	handler.ServeHTTP(answer, httptest.NewRequest("GET", "/metrics", nil))
	body, err := io.ReadAll(answer.Body)
	if answer.Code != 200 || err != nil {
		t.Fatalf("%d, %v: %s", answer.Code, err, body)
	}
	return string(body)
}

func submit(t *testing.T, client *scheduler.Client, task scheduler.NewTask) scheduler.TaskID {
	t.Helper()
	s, err := client.Submit(t.Context(), task)
	if err != nil {
		t.Fatal(err)
	}
	return s.ID
}

func await(t *testing.T, client *scheduler.Client, id scheduler.TaskID) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	if task, err := client.Wait(ctx, id); err != nil || !task.State.Done() {
		t.Fatalf("%s: %v", task.State, err)
	}
}

func TestWhatHappenedIsCounted(t *testing.T) {
	t.Parallel()
	client := open(t, pgtest.DB(t))
	w := work(t, client, map[string]func(context.Context) error{
		"ok":    func(context.Context) error { return nil },
		"bad":   func(context.Context) error { return errors.New("bad") },
		"never": func(context.Context) error { return worker.Permanent(errors.New("never")) },
	})
	for range 3 {
		await(t, client, submit(t, client, scheduler.NewTask{Kind: "ok"}))
	}
	await(t, client, submit(t, client, scheduler.NewTask{Kind: "bad", MaxAttempts: 2, Backoff: []time.Duration{time.Millisecond}}))
	await(t, client, submit(t, client, scheduler.NewTask{Kind: "never"}))
	submit(t, client, scheduler.NewTask{Kind: "nobody", Queue: "lonely"})
	submit(t, client, scheduler.NewTask{Kind: "ok", Queue: "lonely", Delay: time.Hour})
	if _, err := client.PauseQueue(t.Context(), "paused"); err != nil {
		t.Fatal(err)
	}
	for deadline := time.Now().Add(patience); ended(w) < 6 && time.Now().Before(deadline); { // an attempt is counted once its outcome is stored
		runtime.Gosched()
	}
	handler := New(Config{Client: client, Worker: w, Version: "1.2.3", Revision: "abc"})
	text := scrape(t, handler)
	for _, line := range []string{
		`scheduler_attempts_total{kind="ok",outcome="completed",queue="default"} 3`,
		`scheduler_attempts_total{kind="bad",outcome="retried",queue="default"} 1`,
		`scheduler_attempts_total{kind="bad",outcome="failed",queue="default"} 1`,
		`scheduler_attempts_total{kind="never",outcome="failed",queue="default"} 1`,
		`scheduler_attempts_total{kind="never",outcome="retried",queue="default"} 0`,
		`scheduler_task_run_seconds_count{kind="ok",queue="default"} 3`,
		`scheduler_task_wait_seconds_count{kind="ok",queue="default"} 3`,
		`scheduler_task_wait_seconds_bucket{kind="ok",queue="default",le="+Inf"} 3`,
		`scheduler_queue_tasks{queue="default",state="failed"} 2`,
		`scheduler_queue_tasks{queue="lonely",state="ready"} 1`,
		`scheduler_queue_tasks{queue="lonely",state="scheduled"} 1`,
		`scheduler_queue_workers{queue="lonely"} 0`,
		`scheduler_queue_workers{queue="default"} 1`,
		`scheduler_queue_paused{queue="paused"} 1`,
		`scheduler_survey_up 1`,
		`scheduler_survey_failures_total 0`,
		`scheduler_workers{state="live"} 1`,
		`scheduler_worker_slots 10`,
		`scheduler_slots 10`,
		`scheduler_leases_lost_total 0`,
		`scheduler_group_commit_calls_count{verb="submit"} 7`,
		`scheduler_group_commit_calls_sum{verb="complete"} 3`,
		`scheduler_pool_connections_limit{pool="hot"} 8`,
		fmt.Sprintf(`scheduler_build_info{goversion=%q,revision="abc",schema="%d",version="1.2.3"} 1`, runtime.Version(), scheduler.SchemaVersion),
	} {
		if !strings.Contains(text, "\n"+line+"\n") {
			t.Errorf("missing: %s", line)
		}
	}
	for _, name := range []string{"go_goroutines", "process_cpu_seconds_total", "scheduler_queue_oldest_ready_seconds"} {
		if !strings.Contains(text, "\n"+name) {
			t.Errorf("missing: %s", name)
		}
	}
	if t.Failed() {
		t.Log(text)
	}
}

// ended is how many attempts a worker has counted.
func ended(w *worker.Worker) (n uint64) {
	for _, l := range w.Counts().Lanes {
		for _, of := range l.Outcomes {
			n += of
		}
	}
	return n
}

// Names, units and help are as Prometheus wants them.
func TestLint(t *testing.T) {
	t.Parallel()
	client := open(t, pgtest.DB(t))
	w := work(t, client, map[string]func(context.Context) error{"ok": func(context.Context) error { return nil }})
	await(t, client, submit(t, client, scheduler.NewTask{Kind: "ok"}))
	problems, err := testutil.GatherAndLint(newRegistry(Config{Client: client, Worker: w}))
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range problems {
		if strings.HasPrefix(p.Metric, "scheduler_") {
			t.Errorf("%s: %s", p.Metric, p.Text)
		}
	}
}

// However many scrape, the database is asked once in a while.
func TestScrapesShareASurvey(t *testing.T) {
	t.Parallel()
	client := open(t, pgtest.DB(t))
	before := client.Counts().Pools["read"].Acquires
	handler := New(Config{Client: client})
	var scrapes sync.WaitGroup
	for range scrapesMost {
		scrapes.Go(func() { scrape(t, handler) })
	}
	scrapes.Wait()
	if n := client.Counts().Pools["read"].Acquires - before; n != 1 {
		t.Errorf("%d round trips", n)
	}
}

// A database that can't be asked is a metric. What the process knows by itself is shown all the same.
func TestSurveyThatFails(t *testing.T) {
	t.Parallel()
	url := pgtest.DB(t)
	client := open(t, url)
	conn, err := pgx.Connect(t.Context(), url)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(t.Context())
	if _, err := conn.Exec(t.Context(), "alter table scheduler.queues rename to gone"); err != nil {
		t.Fatal(err)
	}
	text := scrape(t, New(Config{Client: client, Logger: silent}))
	for _, line := range []string{"scheduler_survey_up 0", "scheduler_survey_failures_total 1", `scheduler_pool_connections_limit{pool="hot"} 8`} {
		if !strings.Contains(text, "\n"+line+"\n") {
			t.Errorf("missing: %s\n%s", line, text)
		}
	}
	if strings.Contains(text, "\nscheduler_queue_tasks{") || strings.Contains(text, "\nscheduler_workers{") {
		t.Errorf("old values are shown:\n%s", text)
	}
}

func TestLabelsAreBounded(t *testing.T) {
	t.Parallel()
	var l labels
	var lanes []worker.LaneCounts
	for i := range labelsMost + 5 {
		name := fmt.Sprintf("k%03d", i)
		if got := l.admit(name); got != name && i < labelsMost || got != labelOther && i >= labelsMost {
			t.Errorf("%s is %s", name, got)
		}
		wait := scheduler.NewDurations()
		wait.Observe(int64(time.Second))
		lanes = append(lanes, worker.LaneCounts{Queue: "default", Kind: name, Wait: wait.Read(), Run: wait.Read(),
			Outcomes: map[worker.Outcome]uint64{worker.Completed: 2}})
	}
	if l.admit("k000") != "k000" {
		t.Error("what was seen first is forgotten")
	}
	var a attempts
	merged := a.merge(lanes)
	if len(merged) != labelsMost+1 {
		t.Fatalf("%d lanes", len(merged))
	}
	other := merged[labelsMost]
	if other.Kind != labelOther || other.Outcomes[worker.Completed] != 10 || other.Wait.Sum != int64(5*time.Second) {
		t.Errorf("%+v", other)
	}
}

// Scraping makes a notification, so that how long these take is known of an idle process.
func TestNotificationsAreTimed(t *testing.T) {
	t.Parallel()
	client := open(t, pgtest.DB(t))
	ctx, stop := context.WithCancel(t.Context())
	heard := make(chan struct{}, 100)
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		_ = client.Listen(ctx, []string{scheduler.ChannelDue}, func(string, string) { heard <- struct{}{} }) // always nil
	}()
	defer func() { stop(); <-ended }()
	<-heard // connected
	if _, err := client.Survey(t.Context(), scheduler.CountCap); err != nil {
		t.Fatal(err)
	}
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for deadline := time.After(patience); ; {
		counts := client.Counts().NotifyLag.Counts
		if total(counts) == 1 {
			return
		}
		select {
		case <-deadline:
			t.Fatalf("%v", counts)
		case <-tick.C:
		}
	}
}

func total(counts []uint64) (sum uint64) {
	for _, n := range counts {
		sum += n
	}
	return sum
}
