package worker_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/pgscheduler/scheduler/scheduler"
	"github.com/pgscheduler/scheduler/worker"
)

type order struct {
	Customer string    `json:"customer"`
	Lines    []int     `json:"lines"`
	Due      time.Time `json:"due"`
}

func TestHandleDecodesArgsAndStoresTheResult(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	registry := worker.NewRegistry()
	sent := order{Customer: "Ünïcode \U0001F600 & <b>", Lines: []int{1, -2, 3}, Due: time.Date(2024, 2, 29, 1, 2, 3, 0, time.UTC)}
	infos := make(chan worker.Info, 1)
	worker.Handle(registry, "order", func(_ context.Context, task *worker.Task[order]) (map[string]any, error) {
		infos <- task.Info
		return map[string]any{"customer": task.Args.Customer, "sum": task.Args.Lines[0] + task.Args.Lines[1] + task.Args.Lines[2], "due": task.Args.Due}, nil
	})
	r.start(registry, worker.Config{})
	id := r.submit(scheduler.NewTask{Kind: "order", Payload: sent, Priority: -7, MaxAttempts: 4})
	task := r.final(id)
	if task.State != scheduler.Completed {
		t.Fatalf("state %s: %s", task.State, text(task.Error))
	}
	var result map[string]any
	if err := json.Unmarshal(task.Result, &result); err != nil {
		t.Fatal(err)
	}
	want := map[string]any{"customer": sent.Customer, "sum": 2.0, "due": "2024-02-29T01:02:03Z"}
	if diff := cmp.Diff(want, result); diff != "" {
		t.Error(diff)
	}
	info := <-infos
	if info.ID != id || info.Queue != scheduler.DefaultQueue || info.Kind != "order" || info.Attempt != 1 || info.MaxAttempts != 4 || info.Priority != -7 {
		t.Errorf("info %+v", info)
	}
	if attempts := r.attempts(id); len(attempts) != 1 || attempts[0].Outcome != "completed" {
		t.Errorf("attempts %+v, want the one that completed", attempts)
	}
}

// Every way to end an attempt, each on its first of three attempts with a backoff of an hour.
func TestOutcomes(t *testing.T) {
	t.Parallel()
	type want struct {
		state    scheduler.State
		failures int
		code     string // of the task
		message  string // part of the error
		outcome  string // of the attempt
		result   string
	}
	deep := strings.Repeat("[", 100) + strings.Repeat("]", 100)
	for _, c := range []struct {
		name    string
		payload string
		run     func() (any, error)
		want    want
	}{
		{"nil result", "{}", func() (any, error) { return nil, nil }, want{scheduler.Completed, 0, "", "", "completed", ""}},
		{"typed nil result", "{}", func() (any, error) { var p *order; return p, nil }, want{scheduler.Completed, 0, "", "", "completed", ""}},
		{"scalar", "{}", func() (any, error) { return 7, nil }, want{scheduler.Completed, 0, "", "", "completed", "7"}},
		{"false", "{}", func() (any, error) { return false, nil }, want{scheduler.Completed, 0, "", "", "completed", "false"}},
		{"empty string", "{}", func() (any, error) { return "", nil }, want{scheduler.Completed, 0, "", "", "completed", `""`}},
		{"raw JSON", "{}", func() (any, error) { return json.RawMessage(`{"a": [1]}`), nil }, want{scheduler.Completed, 0, "", "", "completed", `{"a": [1]}`}},
		{"invalid UTF-8", "{}", func() (any, error) { return "a\xffb", nil }, want{scheduler.Completed, 0, "", "", "completed", "\"a\uFFFDb\""}},
		{"error", "{}", func() (any, error) { return nil, errBoom }, want{scheduler.Scheduled, 1, "error", "boom", "failed", ""}},
		{"wrapped permanent", "{}", func() (any, error) { return nil, fmt.Errorf("outer: %w", worker.Permanent(errBoom)) },
			want{scheduler.Failed, 1, "error", "outer: boom", "failed", ""}},
		{"permanent nil", "{}", func() (any, error) { return 1, worker.Permanent(nil) }, want{scheduler.Completed, 0, "", "", "completed", "1"}},
		{"retry at once", "{}", func() (any, error) { return nil, worker.RetryAfter(time.Hour, errBoom) }, want{scheduler.Scheduled, 1, "error", "boom", "failed", ""}},
		{"retry without error", "{}", func() (any, error) { return nil, worker.RetryAfter(time.Hour, nil) },
			want{scheduler.Scheduled, 1, "error", "retry after 1h0m0s", "failed", ""}},
		{"snooze", "{}", func() (any, error) { return nil, worker.Snooze(time.Hour) }, want{scheduler.Scheduled, 0, "", "", "snoozed", ""}},
		{"wrapped snooze", "{}", func() (any, error) { return nil, fmt.Errorf("later: %w", worker.Snooze(time.Hour)) },
			want{scheduler.Scheduled, 0, "", "", "snoozed", ""}},
		{"snooze beyond any bound", "{}", func() (any, error) { return nil, worker.Snooze(1<<63 - 1) }, want{scheduler.Scheduled, 0, "", "", "snoozed", ""}},
		{"panic", "{}", func() (any, error) { panic("out of cheese") }, want{scheduler.Scheduled, 1, "panic", "panic: out of cheese", "failed", ""}},
		{"panic with an error", "{}", func() (any, error) { panic(errBoom) }, want{scheduler.Scheduled, 1, "panic", "panic: boom", "failed", ""}},
		{"nil map write", "{}", func() (any, error) { nilMap()[1] = 1; return nil, nil },
			want{scheduler.Scheduled, 1, "panic", "assignment to entry in nil map", "failed", ""}},
		{"goexit", "{}", func() (any, error) { runtime.Goexit(); return nil, nil }, want{scheduler.Scheduled, 1, "panic", "Goexit", "failed", ""}},
		{"error that panics", "{}", func() (any, error) { var e *brokenError; return nil, e },
			want{scheduler.Scheduled, 1, "panic", "nil pointer", "failed", ""}},
		{"bad payload", `{"lines": "seven"}`, func() (any, error) { return nil, nil },
			want{scheduler.Scheduled, 1, "bad_payload", "payload does not fit the handler", "failed", ""}},
		{"NUL in the result", "{}", func() (any, error) { return "a\x00b", nil }, want{scheduler.Failed, 1, "bad_result", `\u0000`, "failed", ""}},
		{"half a surrogate pair", "{}", func() (any, error) { return json.RawMessage(`"\ud83d"`), nil },
			want{scheduler.Failed, 1, "bad_result", "surrogate", "failed", ""}},
		{"result too large", "{}", func() (any, error) { return strings.Repeat("x", scheduler.MaxPayload), nil },
			want{scheduler.Failed, 1, "bad_result", "larger than", "failed", ""}},
		{"result too deep", "{}", func() (any, error) { return json.RawMessage(deep), nil }, want{scheduler.Failed, 1, "bad_result", "deeper", "failed", ""}},
		{"number out of range", "{}", func() (any, error) { return json.RawMessage("1e99999"), nil },
			want{scheduler.Failed, 1, "bad_result", "out of range", "failed", ""}},
		{"not JSON", "{}", func() (any, error) { return json.RawMessage("{"), nil }, want{scheduler.Failed, 1, "bad_result", "cannot be stored", "failed", ""}},
		{"cannot be marshalled", "{}", func() (any, error) { return make(chan int), nil },
			want{scheduler.Failed, 1, "bad_result", "unsupported type", "failed", ""}},
		{"marshalling panics", "{}", func() (any, error) { return panicsInJSON{}, nil }, want{scheduler.Scheduled, 1, "panic", "no JSON today", "failed", ""}},
		{"error with NUL and bad UTF-8", "{}", func() (any, error) { return nil, errors.New("a\x00b\xffc") },
			want{scheduler.Scheduled, 1, "error", "a\uFFFDb\uFFFDc", "failed", ""}},
		{"endless error", "{}", func() (any, error) { return nil, errors.New(strings.Repeat("e", 1<<20)) },
			want{scheduler.Scheduled, 1, "error", "eee…", "failed", ""}},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			r := newRig(t)
			registry := worker.NewRegistry()
			worker.Handle(registry, "k", func(context.Context, *worker.Task[order]) (any, error) { return c.run() })
			r.start(registry, worker.Config{})
			id := r.submit(scheduler.NewTask{Kind: "k", Payload: json.RawMessage(c.payload), MaxAttempts: 3, Backoff: []time.Duration{time.Hour}})
			r.reach(id, c.want.state)
			task := r.task(id)
			attempts := r.attempts(id)
			if len(attempts) != 1 {
				t.Fatalf("%d attempts: %+v", len(attempts), attempts)
			}
			got := want{task.State, task.Failures, text(task.ErrorCode), text(task.Error), attempts[0].Outcome, string(task.Result)}
			if strings.Contains(got.message, c.want.message) && (c.want.message != "" || got.message == "") {
				got.message = c.want.message
			}
			if got != c.want {
				t.Errorf("got %+v\nwant %+v", got, c.want)
			}
			if stack := text(attempts[0].Stack); c.want.code == "panic" != strings.Contains(stack, "goroutine ") {
				t.Errorf("stack of the attempt: %q", stack)
			}
		})
	}
}

type brokenError struct{ text string }

func (e *brokenError) Error() string { return e.text } // panics on nil, as a typed nil returned as an error does

type panicsInJSON struct{}

func (panicsInJSON) MarshalJSON() ([]byte, error) { panic("no JSON today") }

func TestRetriesUntilItGivesUpAndKeepsTheHistory(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	registry := worker.NewRegistry()
	worker.Handle(registry, "k", func(_ context.Context, task *worker.Task[none]) (none, error) {
		return none{}, fmt.Errorf("attempt %d after %d failures", task.Attempt, task.Failures)
	})
	r.start(registry, worker.Config{})
	id := r.submit(scheduler.NewTask{Kind: "k", MaxAttempts: 3, Backoff: []time.Duration{0, time.Millisecond}})
	task := r.final(id)
	if task.State != scheduler.Failed || task.Failures != 3 || task.Attempt != 3 || text(task.Error) != "attempt 3 after 2 failures" {
		t.Errorf("%s, %d failures, attempt %d, %q", task.State, task.Failures, task.Attempt, text(task.Error))
	}
	for i, a := range r.attempts(id) {
		if a.Attempt != i+1 || a.Outcome != "failed" || text(a.Error) != fmt.Sprintf("attempt %d after %d failures", i+1, i) || a.EndedAt == nil || text(a.Worker) == "" {
			t.Errorf("attempt %d: %+v", i+1, a)
		}
	}
}

func TestSnoozeBurnsNoFailure(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	registry := worker.NewRegistry()
	worker.Handle(registry, "k", func(_ context.Context, task *worker.Task[none]) (int, error) {
		if task.Attempt < 5 {
			return 0, worker.Snooze(time.Millisecond)
		}
		return task.Failures, nil
	})
	r.start(registry, worker.Config{})
	task := r.final(r.submit(scheduler.NewTask{Kind: "k", MaxAttempts: 1}))
	if task.State != scheduler.Completed || task.Attempt != 5 || string(task.Result) != "0" {
		t.Errorf("%s at attempt %d, failures %s", task.State, task.Attempt, task.Result)
	}
}

func TestRetryAfterReplacesTheBackoff(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	registry := worker.NewRegistry()
	worker.Handle(registry, "k", func(_ context.Context, task *worker.Task[none]) (none, error) {
		if task.Attempt == 1 {
			return none{}, worker.RetryAfter(0, errBoom)
		}
		return none{}, nil
	})
	r.start(registry, worker.Config{})
	task := r.final(r.submit(scheduler.NewTask{Kind: "k", Backoff: []time.Duration{24 * time.Hour}}))
	if task.State != scheduler.Completed || task.Attempt != 2 || task.Failures != 1 {
		t.Errorf("%s at attempt %d with %d failures", task.State, task.Attempt, task.Failures)
	}
}

func TestTimeoutCancelsWithItsCauseAndCountsAFailure(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	registry := worker.NewRegistry()
	causes := make(chan error, 1)
	worker.Handle(registry, "k", func(ctx context.Context, _ *worker.Task[none]) (none, error) {
		<-ctx.Done()
		causes <- context.Cause(ctx)
		return none{}, ctx.Err()
	})
	r.start(registry, worker.Config{})
	task := r.final(r.submit(scheduler.NewTask{Kind: "k", MaxAttempts: 1, Timeout: timeout}))
	if task.State != scheduler.Failed || text(task.ErrorCode) != "timeout" || !strings.HasPrefix(text(task.Error), "timed out after ") {
		t.Errorf("%s, %s, %s", task.State, text(task.ErrorCode), text(task.Error))
	}
	if cause := receive(t, causes, "the cause"); !errors.Is(cause, worker.ErrTimeout) {
		t.Errorf("cause %v", cause)
	}
}

func TestRegistryRefusesMistakes(t *testing.T) {
	t.Parallel()
	run := func(context.Context, *worker.Task[none]) (none, error) { return none{}, nil }
	for name, mistake := range map[string]func(*worker.Registry){
		"cannot be a kind": func(r *worker.Registry) { worker.Handle(r, "no spaces", run) },
		"two handlers":     func(r *worker.Registry) { worker.Handle(r, "k", run); worker.Handle(r, "k", run) },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			defer func() {
				if p := recover(); p == nil || !strings.Contains(fmt.Sprint(p), name) {
					t.Errorf("panic: %v", p)
				}
			}()
			mistake(worker.NewRegistry())
		})
	}
}

func TestNewNamesTheBadField(t *testing.T) {
	t.Parallel()
	registry := worker.NewRegistry()
	worker.Handle(registry, "k", func(context.Context, *worker.Task[none]) (none, error) { return none{}, nil })
	for field, config := range map[string]worker.Config{
		"Queues: \"no spaces\"":     {Queues: []worker.Share{{Queue: "no spaces"}}},
		"Queues: the weight":        {Queues: []worker.Share{{Queue: "a", Weight: 1001}}},
		"Queues: \"a\" is listed":   {Queues: []worker.Share{{Queue: "a"}, {Queue: "a"}}},
		"Concurrency":               {Concurrency: -1},
		"Config.Heartbeat":          {Heartbeat: time.Millisecond},
		"Config.TTL":                {Heartbeat: time.Second, TTL: 2 * time.Second},
		"Config.Poll":               {Poll: -time.Second},
		"Concurrency is not 1 to 1": {Concurrency: 10001},
	} {
		if _, err := worker.New(nil, registry, config); err == nil || !strings.Contains(err.Error(), field) {
			t.Errorf("%+v: error %v does not name %s", config, err, field)
		}
	}
	if _, err := worker.New(nil, worker.NewRegistry(), worker.Config{}); err == nil {
		t.Error("an empty registry was accepted")
	}
	shares := []worker.Share{{Queue: "a"}}
	if _, err := worker.New(nil, registry, worker.Config{Queues: shares}); err != nil || shares[0].Weight != 0 {
		t.Errorf("error %v, the caller's own list became %+v", err, shares)
	}
}

func nilMap() map[int]int { return nil }
