//go:build unix

package worker_test

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/pgscheduler/scheduler/scheduler"
	"github.com/pgscheduler/scheduler/worker"
)

// startChildren runs a worker with children that are this binary.
func (r *rig) startChildren(command worker.Command, args childArgs, config worker.Config) *running {
	r.t.Helper()
	registry := worker.NewRegistry()
	r.handleChildren(registry, command, args)
	return r.start(registry, config)
}

func (r *rig) handleChildren(registry *worker.Registry, command worker.Command, args childArgs) *worker.Children {
	r.t.Helper()
	command.Argv, command.Logger = childCommand(args), r.logs.logger()
	children, err := worker.HandleCommand(r.t.Context(), registry, command)
	if err != nil {
		r.t.Fatal(err)
	}
	r.t.Cleanup(children.Close)
	return children
}

// do is a task that has a child do something.
func do(what string, fields ...any) scheduler.NewTask {
	payload := map[string]any{"do": what}
	for i := 0; i < len(fields); i += 2 {
		payload[fields[i].(string)] = fields[i+1]
	}
	return scheduler.NewTask{Kind: "k", Payload: payload, Backoff: []time.Duration{time.Hour}}
}

func frames(list ...string) scheduler.NewTask { return do("frames", "frames", list) }

// What a child can say and do, how the attempt ends, what the worker logs, and that the next task is served all the same.
func TestChildOutcomes(t *testing.T) {
	t.Parallel()
	type want struct {
		state    scheduler.State
		failures int
		code     string
		message  string
		result   string
	}
	crash := func(why string) want {
		return want{scheduler.Scheduled, 1, "worker_crashed", "the child process ended: " + why, ""}
	}
	const id = `"id":"$id"`
	for _, c := range []struct {
		name   string
		task   scheduler.NewTask
		want   want
		logged string // a part of the log; "": the child was not replaced
	}{
		{"echo", do("echo", "a", "ž\u2028🐎"), want{scheduler.Completed, 0, "", "", `{"a": "ž` + "\u2028" + `🐎", "do": "echo"}`}, ""},
		{"null result", frames(`{"op":"result",` + id + `,"result":null}`), want{scheduler.Completed, 0, "", "", ""}, ""},
		{"no result", frames(`{"op":"result",` + id + `}`), want{scheduler.Completed, 0, "", "", ""}, ""},
		{"bad result", frames(`{"op":"result",` + id + `,"result":"\u0000"}`), want{scheduler.Failed, 1, "bad_result", "result cannot be stored: \\u0000 cannot be stored", ""}, ""},
		{"error", frames(`{"op":"error",` + id + `,"message":"no page","code":"not_found","stack":"at 1"}`), want{scheduler.Scheduled, 1, "not_found", "no page", ""}, ""},
		{"error without a word", frames(`{"op":"error",` + id + `}`), want{scheduler.Scheduled, 1, "error", "the command reported an error without a message", ""}, ""},
		{"permanent", frames(`{"op":"error",` + id + `,"message":"never","permanent":true}`), want{scheduler.Failed, 1, "error", "never", ""}, ""},
		{"not retryable", frames(`{"op":"error",` + id + `,"message":"never","retryable":false}`), want{scheduler.Failed, 1, "error", "never", ""}, ""},
		{"retryable", frames(`{"op":"error",` + id + `,"message":"later","retryable":true,"retry_after_ms":3600000}`), want{scheduler.Scheduled, 1, "error", "later", ""}, ""},
		{"snooze", frames(`{"op":"snooze",` + id + `,"delay_ms":3600000,"reason":"not yet"}`), want{scheduler.Scheduled, 0, "", "", ""}, ""},
		{"makes no sense", frames(`{"op":"error",` + id + `,"message":5}`), want{scheduler.Scheduled, 1, "bad_frame", "the child's error makes no sense: json: cannot unmarshal number into Go struct field message.message of type string", ""}, ""},
		{"odd frames before", frames(`{"op":"progress",`+id+`,"current":"x"}`, `{"op":"dance",`+id+`}`, `{"op":"log","id":"x"}`, ``, `{"op":"ready"}`, `{"op":"result",`+id+`,"result":1}`),
			want{scheduler.Completed, 0, "", "", "1"}, ""},
		{"exit 3", do("exit", "n", 3), crash("exit status 3: the reason"), `err="exit status 3: the reason"`},
		{"exit 0", do("exit", "n", 0), crash("exit status 0: the reason"), "it is started again"},
		{"killed", do("kill"), crash("signal: killed"), "it is started again"},
		{"garbage", frames("PHP Warning: no", `{"op":"result",`+id+`}`), crash(`it wrote what is no frame on descriptor 3: "PHP Warning: no"`), "no frame"},
		{"array", frames("[1]"), crash(`it wrote what is no frame on descriptor 3: "[1]"`), "no frame"},
		{"20 MiB", do("long"), crash("it wrote a line of more than 16 MiB on descriptor 3"), "16 MiB"},
		{"closes descriptor 3", do("close fd"), crash("it closed descriptor 3"), "closed descriptor 3"},
		{"leaves a grandchild", do("grandchild"), crash("exit status 0"), "it is started again"},
		{"two results", frames(`{"op":"result",`+id+`,"result":1}`, `{"op":"result",`+id+`,"result":2}`), want{scheduler.Completed, 0, "", "", "1"}, "child is replaced"},
		{"result of another", frames(`{"op":"result","id":"x","result":1}`, `{"op":"result",`+id+`,"result":2}`), want{scheduler.Completed, 0, "", "", "2"}, `reason="it says how a task ended that it does not have"`},
		{"floods", do("flood", "n", 12000), want{scheduler.Completed, 0, "", "", "12000"}, ""},
		{"checkpoints and reads no answers", do("checkpoints unread", "n", 50), want{scheduler.Completed, 0, "", "", ""}, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			r := newRig(t)
			r.startChildren(worker.Command{}, childArgs{}, worker.Config{})
			before := r.pidOfChild()
			task := r.task(r.ends(c.task, c.want.state))
			got := want{task.State, task.Failures, text(task.ErrorCode), text(task.Error), string(task.Result)}
			if got != c.want {
				t.Errorf("got  %+v\nwant %+v", got, c.want)
			}
			await(t, "the log to say "+c.logged, func() bool { return strings.Contains(r.logs.String(), c.logged) }) // from then on it gets no task
			if same := r.pidOfChild() == before; same != (c.logged == "") {
				t.Errorf("the same child serves: %t", same)
			}
		})
	}
}

// A child that reads no more fails the task that it did not get.
func TestChildThatClosesItsStdin(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	registry := worker.NewRegistry()
	children, err := worker.HandleCommand(t.Context(), registry, worker.Command{Logger: r.logs.logger(), Argv: []string{"sh", "-c", `
		echo '{"op":"ready","v":1,"kinds":["k"]}' >&3
		read -r line
		exec <&-
		echo '{"op":"result","id":"'$(echo "$line" | sed 's/.*"task":{"id":"\([^"]*\)".*/\1/')'"}' >&3
		exec sleep 1000`}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(children.Close)
	r.start(registry, worker.Config{})
	r.ends(do("any"), scheduler.Completed)
	task := r.task(r.ends(do("any"), scheduler.Scheduled))
	if text(task.ErrorCode) != "worker_crashed" || !strings.Contains(text(task.Error), "it closed its standard input") {
		t.Errorf("%s: %s", text(task.ErrorCode), text(task.Error))
	}
	r.ends(do("any"), scheduler.Completed)
}

// ends submits a task and waits for its state.
func (r *rig) ends(task scheduler.NewTask, state scheduler.State) scheduler.TaskID {
	r.t.Helper()
	id := r.submit(task)
	await(r.t, "task "+string(state), func() bool {
		task := r.task(id)
		return task.State == state && (task.Attempt > 0)
	})
	return id
}

// pidOfChild asks the child that serves next.
func (r *rig) pidOfChild() string {
	r.t.Helper()
	task := r.final(r.submit(do("pid")))
	if task.State != scheduler.Completed {
		r.t.Fatalf("%s: %s", task.State, text(task.Error))
	}
	return string(task.Result)
}

func TestChildGetsTheWholeTask(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.startChildren(worker.Command{}, childArgs{}, worker.Config{})
	id := r.submit(do("task"))
	var got map[string]any
	if err := json.Unmarshal(r.final(id).Result, &got); err != nil {
		t.Fatal(err)
	}
	want := map[string]any{"id": id.String(), "kind": "k", "payload": map[string]any{"do": "task"}, "attempt": 1., "checkpoint": nil}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	for _, w := range read[[]string](r, `select array_agg(language) from scheduler.workers`) {
		if w != "test 1.0" {
			t.Errorf("language %q", w)
		}
	}
}

// What a child prints belongs to its task, all of it, if there is only one.
func TestChildPrints(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.startChildren(worker.Command{}, childArgs{}, worker.Config{})
	for range 20 {
		id := r.submit(do("print", "n", 40))
		r.final(id)
		var out, errs []string
		for i := range 40 {
			out, errs = append(out, fmt.Sprint("out ", i)), append(errs, fmt.Sprint("err ", i))
		}
		if diff := cmp.Diff(append(out, "no newline"), r.lines(id, "stdout")); diff != "" {
			t.Error(diff)
		}
		if diff := cmp.Diff(errs, r.lines(id, "stderr")); diff != "" {
			t.Error(diff)
		}
	}
}

// A child that says that it ends is given nothing more: its last words cost no other task an attempt.
func TestChildThatSaysThatItEnds(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.startChildren(worker.Command{}, childArgs{}, worker.Config{})
	for range 5 {
		ends, next := r.submit(do("end", "n", 3)), r.submit(do("echo"))
		if task := r.final(ends); task.State != scheduler.Failed || text(task.ErrorCode) != "fatal" {
			t.Errorf("%s: %s %s", task.State, text(task.ErrorCode), text(task.Error))
		}
		if task := r.final(next); task.State != scheduler.Completed || task.Attempt != 1 {
			t.Errorf("the next one: %s at attempt %d: %s", task.State, task.Attempt, text(task.Error))
		}
	}
}

func TestChildFloodIsCut(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.startChildren(worker.Command{}, childArgs{}, worker.Config{})
	id := r.submit(do("flood", "n", 12_000))
	task := r.final(id)
	if task.State != scheduler.Completed || number(task.ProgressCurrent) != 12_000 {
		t.Errorf("%s, progress %d: %s", task.State, number(task.ProgressCurrent), text(task.Error))
	}
	if lines := len(r.lines(id, "log")) + len(r.lines(id, "stdout")); lines != 10_001 {
		t.Errorf("%d lines", lines)
	}
	if said := strings.Count(r.logs.String(), "child says"); said > 1000 {
		t.Errorf("%d lines of the worker's log", said)
	}
}

// A child that is told to end its task, and how that ends.
func TestChildIsCancelled(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		do      string
		timeout time.Duration // 0: cancel it
		state   scheduler.State
		code    string
		message string
	}{
		{"wait", 0, scheduler.Cancelled, "cancelled", "enough"},
		{"wait", timeout, scheduler.Failed, "timeout", "told: timeout"},
		{"wait, then succeed", timeout, scheduler.Completed, "", ""},
		{"hang", timeout, scheduler.Failed, "timeout", "it did not answer cancel (timeout) within 1s: signal: killed"},
		{"hang", 0, scheduler.Cancelled, "cancelled", "enough"},
	} {
		t.Run(fmt.Sprint(c.do, c.timeout), func(t *testing.T) {
			t.Parallel()
			r := newRig(t)
			var command worker.Command
			var args childArgs
			if c.do == "hang" {
				command, args.Stubborn = worker.Impatient(command, time.Second), true // from the start: SIGTERM may come before the task has begun
			}
			r.startChildren(command, args, worker.Config{Heartbeat: 200 * time.Millisecond, TTL: patience})
			new := do(c.do)
			new.Timeout, new.MaxAttempts = c.timeout, 1
			id := r.submit(new)
			await(t, "the child's line", func() bool { return len(r.lines(id, "stdout")) == 1 })
			if c.timeout == 0 {
				if _, err := r.client.Cancel(t.Context(), id, "enough"); err != nil {
					t.Fatal(err)
				}
			}
			task := r.final(id)
			if task.State != c.state || text(task.ErrorCode) != c.code || !strings.Contains(text(task.Error), c.message) {
				t.Errorf("%s, %s: %s", task.State, text(task.ErrorCode), text(task.Error))
			}
			r.pidOfChild() // the next is served
			if c.do == "hang" {
				if pid := r.lines(id, "stdout")[0]; !dead(t, pid) {
					t.Errorf("child %s lives", pid)
				}
			}
		})
	}
}

// A child that is ended because of one of its tasks takes the others with it, which is not their failure.
func TestChildEndsForAnotherTask(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.startChildren(worker.Impatient(worker.Command{}, time.Second), childArgs{Slots: 2}, worker.Config{})
	file := filepath.Join(t.TempDir(), "go")
	innocent := r.submit(do("until file", "file", file))
	await(t, "it runs", func() bool { return r.task(innocent).State == scheduler.Running })
	hang := do("hang")
	hang.Timeout, hang.MaxAttempts = timeout, 1
	if task := r.final(r.submit(hang)); text(task.ErrorCode) != "timeout" {
		t.Errorf("%s: %s", text(task.ErrorCode), text(task.Error))
	}
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	task := r.final(innocent)
	if task.State != scheduler.Completed || task.Failures != 0 || task.Attempt != 2 {
		t.Errorf("%s at attempt %d with %d failures: %s", task.State, task.Attempt, task.Failures, text(task.Error))
	}
}

func TestChildSavesCheckpoints(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.startChildren(worker.Command{}, childArgs{}, worker.Config{})
	for _, c := range []struct {
		task scheduler.NewTask
		want string
	}{
		{do("checkpoint", "frame", `{"step":3}`), `{"found": {"step": 3}, "answer": "saved "}`},
		{do("checkpoint", "frame", `null`), `{"found": null, "answer": "saved "}`},
		{do("checkpoint", "frame", `"\u0000"`), `{"found": null, "answer": "saved checkpoint: \\u0000 cannot be stored"}`},
	} {
		task := r.final(r.submit(c.task))
		if task.State != scheduler.Completed || string(task.Result) != c.want {
			t.Errorf("%s %s: %s", task.State, task.Result, text(task.Error))
		}
	}
	die := do("checkpoint and die", "n", 30)
	die.Backoff = []time.Duration{0}
	if task := r.final(r.submit(die)); string(task.Result) != "30" || task.Attempt != 2 || text(task.ErrorCode) != "" && text(task.ErrorCode) != "worker_crashed" {
		t.Errorf("%s %s at attempt %d", task.State, task.Result, task.Attempt)
	}
}

// Tasks run at once on all slots of all children, and none waits for a busy one.
func TestChildrenRunAsManyAsTheyHaveSlots(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	x := r.startChildren(worker.Command{Procs: 3}, childArgs{Slots: 2}, worker.Config{Concurrency: 1})
	file := filepath.Join(t.TempDir(), "go")
	var ids []scheduler.TaskID
	for range 8 {
		ids = append(ids, r.submit(do("until file", "file", file)))
	}
	states := func() (n map[scheduler.State]int) {
		n = map[scheduler.State]int{}
		for _, id := range ids {
			n[r.task(id).State]++
		}
		return n
	}
	await(t, "six to run", func() bool { return states()[scheduler.Running] == 6 })
	if n := states(); n[scheduler.Ready] != 2 {
		t.Errorf("%v", n)
	}
	if slots := x.Counts().Slots; slots != 6 {
		t.Errorf("%d slots", slots)
	}
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for _, id := range ids {
		r.final(id)
	}
}

// Children, commands for one task and handlers in Go, in one worker: busy slots of one hold up none of another.
func TestChildrenBesideOtherHandlers(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	registry := worker.NewRegistry()
	r.handleChildren(registry, worker.Command{}, childArgs{})
	r.handleChildren(registry, worker.Command{Procs: 2}, childArgs{Kinds: []string{"l"}})
	if err := worker.HandleExec(registry, "exec", []string{"sh", "-c", `echo '{"op":"result","result":"exec"}' >&3`}); err != nil {
		t.Fatal(err)
	}
	worker.Handle(registry, "go", func(context.Context, *worker.Task[any]) (string, error) { return "go", nil })
	r.start(registry, worker.Config{Concurrency: 2})
	file := filepath.Join(t.TempDir(), "go")
	var busy []scheduler.TaskID
	for range 5 {
		busy = append(busy, r.submit(do("until file", "file", file)))
	}
	for i := range 12 {
		kind := []string{"l", "exec", "go"}[i%3]
		task := do("echo")
		task.Kind = kind
		want := map[string]string{"l": `{"do": "echo"}`, "exec": `"exec"`, "go": `"go"`}[kind]
		if got := r.final(r.submit(task)); string(got.Result) != want {
			t.Errorf("%s: %s: %s", kind, got.Result, text(got.Error))
		}
	}
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for _, id := range busy {
		if task := r.final(id); task.Attempt != 1 {
			t.Errorf("attempt %d", task.Attempt)
		}
	}
}

// Processes are replaced after so many tasks, so much time, so much memory.
func TestChildrenAreReplaced(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name    string
		command worker.Command
		task    scheduler.NewTask
		reason  string
	}{
		{"tasks", worker.Command{MaxTasks: 3}, do("pid"), "it has served 3 tasks"},
		{"tasks of two", worker.Command{MaxTasks: 2, Procs: 2}, do("pid"), `it has served \d tasks`},
		{"time", worker.Command{MaxTime: 300 * time.Millisecond}, do("pid"), "it has run for 300ms"},
		{"memory", worker.Command{MaxMemory: 100 << 20}, do("eat", "n", 40), `it holds 1\d\d MiB`},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			r := newRig(t)
			r.startChildren(c.command, childArgs{}, worker.Config{})
			pids := map[string]bool{}
			for len(pids) < 4 {
				task := r.final(r.submit(c.task))
				if task.State != scheduler.Completed || task.Failures != 0 || task.Attempt != 1 && c.command.MaxTime == 0 { // its time may be over before it has the task
					t.Fatalf("%s at attempt %d: %s", task.State, task.Attempt, text(task.Error))
				}
				pids[string(task.Result)] = true
			}
			if !regexp.MustCompile(c.reason).MatchString(r.logs.String()) || strings.Contains(r.logs.String(), "child ended") {
				t.Error("the log does not say so, or says more")
			}
		})
	}
}
