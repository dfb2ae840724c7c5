//go:build unix

package worker_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/pgscheduler/scheduler/scheduler"
	"github.com/pgscheduler/scheduler/worker"
)

func TestHandleCommandRefuses(t *testing.T) {
	t.Parallel()
	script := func(text string) []string { return []string{"sh", "-c", text} }
	for _, c := range []struct {
		name    string
		command worker.Command
		want    string
	}{
		{"nothing", worker.Command{}, "Command.Argv is empty"},
		{"no such command", worker.Command{Argv: []string{"no-such-command-anywhere"}}, "not found"},
		{"too many", worker.Command{Argv: script(""), Procs: 1001}, "Command.Procs"},
		{"negative tasks", worker.Command{Argv: script(""), MaxTasks: -1}, "Command.MaxTasks"},
		{"negative time", worker.Command{Argv: script(""), MaxTime: -1}, "Command.MaxTime"},
		{"negative memory", worker.Command{Argv: script(""), MaxMemory: -1}, "Command.MaxMemory"},
		{"negative patience", worker.Command{Argv: script(""), ReadyWithin: -1}, "Command.ReadyWithin"},
		{"exits", worker.Command{Argv: childCommand(childArgs{Exit: true})}, "it ended before it was ready: exit status 7: no way"},
		{"exits 0", worker.Command{Argv: script("echo 'PHP Fatal error' >&2")}, "it ended before it was ready: exit status 0: PHP Fatal error"},
		{"silent", worker.Command{Argv: childCommand(childArgs{Silent: true}), ReadyWithin: 300 * time.Millisecond}, "it was not ready within 300ms"},
		{"another version", worker.Command{Argv: childCommand(childArgs{V: 2})}, "it speaks version 2"},
		{"no kinds", worker.Command{Argv: script(`echo '{"op":"ready","v":1}' >&3; cat`)}, "it serves 0 kinds"},
		{"bad kind", worker.Command{Argv: childCommand(childArgs{Kinds: []string{"-"}})}, `"-" cannot be a kind`},
		{"bad slots", worker.Command{Argv: childCommand(childArgs{Slots: 1001})}, "it has 1001 slots"},
		{"all slots", worker.Command{Argv: childCommand(childArgs{Slots: 1000}), Procs: 11}, "11 processes with 1000 slots each"},
		{"bad frame", worker.Command{Argv: script(`echo '{"op":"ready","v":"1"}' >&3; cat`)}, "its ready frame makes no sense"},
		{"garbage", worker.Command{Argv: script(`echo hello >&3; cat`)}, `no frame on descriptor 3: "hello"`},
		{"no descriptor", worker.Command{Argv: script(`exec 3>&-; exec cat`)}, "it closed descriptor 3"},
		{"kind taken", worker.Command{Argv: childCommand(childArgs{Kinds: []string{"a", "taken"}})}, `kind "taken" has a handler already`},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			registry := worker.NewRegistry()
			worker.Handle(registry, "taken", func(context.Context, *worker.Task[none]) (none, error) { return none{}, nil })
			l := &logs{}
			c.command.Logger = l.logger()
			_, err := worker.HandleCommand(t.Context(), registry, c.command)
			if err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("%v\nwant %q", err, c.want)
			}
			if kinds := registry.Kinds(); len(kinds) != 1 {
				t.Errorf("kinds %q are left", kinds)
			}
		})
	}
}

func TestHandleCommandEndsWithItsContext(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithCancelCause(t.Context())
	enough := errors.New("enough")
	file := filepath.Join(t.TempDir(), "pid")
	go func() { // ends with the file
		for {
			if pid, err := os.ReadFile(file); err == nil && strings.HasSuffix(string(pid), "\n") {
				cancel(enough)
				return
			}
			if pause(t.Context(), 5*time.Millisecond) != nil {
				return
			}
		}
	}()
	_, err := worker.HandleCommand(ctx, worker.NewRegistry(), worker.Command{Argv: []string{"sh", "-c", `echo $$ >"$0"; exec sleep 1000`, file}})
	if !errors.Is(err, enough) {
		t.Errorf("%v", err)
	}
	if pid, _ := os.ReadFile(file); !dead(t, string(pid)) {
		t.Errorf("child %s lives", pid)
	}
}

// A process that comes back as another one is not given tasks; it is tried again and again.
func TestChildThatComesBackDifferent(t *testing.T) {
	t.Parallel()
	for other, c := range map[string]struct {
		within time.Duration
		want   string
	}{
		"other":  {0, "it serves k, other, and this worker registered with k"},
		"exit":   {0, "it ended before it was ready: exit status 7"},
		"silent": {5 * time.Second, "it was not ready within 5s"}, // in which the first, which is not, must be
	} {
		t.Run(other, func(t *testing.T) {
			t.Parallel()
			r := newRig(t)
			file := filepath.Join(t.TempDir(), "while")
			r.startChildren(worker.Command{ReadyWithin: c.within}, childArgs{While: file, Else: other}, worker.Config{})
			if err := os.WriteFile(file, nil, 0o600); err != nil {
				t.Fatal(err)
			}
			r.ends(do("kill"), scheduler.Scheduled)
			await(t, "two more starts", func() bool { return strings.Count(r.logs.String(), c.want) >= 2 })
			id := r.submit(do("pid"))
			if err := os.Remove(file); err != nil { // it is itself again
				t.Fatal(err)
			}
			if task := r.final(id); task.State != scheduler.Completed || task.Attempt != 1 {
				t.Errorf("%s at attempt %d: %s", task.State, task.Attempt, text(task.Error))
			}
		})
	}
}

// At shutdown children finish what they run, and end.
func TestChildrenDrain(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	x := r.startChildren(worker.Command{Procs: 2}, childArgs{}, worker.Config{})
	file := filepath.Join(t.TempDir(), "go")
	id := r.submit(do("until file", "file", file))
	await(t, "the child's line", func() bool { return len(r.lines(id, "stdout")) == 1 })
	x.cancel()
	await(t, "the other child's end", func() bool { return len(childrenOf(t, r)) == 1 })
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := x.wait(); err != nil {
		t.Error(err)
	}
	if task := r.task(id); task.State != scheduler.Completed || string(task.Result) != `"there"` {
		t.Errorf("%s: %s", task.State, text(task.Error))
	}
	if strings.Contains(r.logs.String(), `level=WARN msg="child `) {
		t.Error("something was wrong with them")
	}
}

// childrenOf lists the children, by the log, that are not dead.
func childrenOf(t *testing.T, r *rig) (alive []string) {
	t.Helper()
	for line := range strings.Lines(r.logs.String()) {
		if _, rest, ready := strings.Cut(line, `msg="child ready"`); ready {
			_, rest, _ = strings.Cut(rest, "pid=")
			if pid, _, _ := strings.Cut(rest, " "); !dead(t, pid) {
				alive = append(alive, pid)
			}
		}
	}
	return alive
}

// When the drain timeout is over, or Abort is called, tasks are handed back and no child is left.
func TestChildrenAreHandedBackAtShutdown(t *testing.T) {
	t.Parallel()
	for name, end := range map[string]func(*running) error{
		"drain timeout": func(x *running) error { return x.stop() },
		"abort":         func(x *running) error { x.Abort(); return x.wait() },
		"second signal": func(x *running) error { x.cancel(); x.Abort(); return x.wait() },
	} {
		for _, what := range []string{"wait", "hang"} {
			t.Run(name+", "+what, func(t *testing.T) {
				t.Parallel()
				r := newRig(t)
				x := r.startChildren(worker.Impatient(worker.Command{Procs: 2}, time.Second), childArgs{Stubborn: true}, worker.Config{DrainTimeout: -1})
				new := do(what)
				new.MaxAttempts = 1
				id := r.submit(new)
				await(t, "the child's line", func() bool { return len(r.lines(id, "stdout")) == 1 })
				await(t, "two children", func() bool { return len(childrenOf(t, r)) == 2 })
				_ = end(x)
				if alive := childrenOf(t, r); len(alive) > 0 {
					t.Errorf("children %q outlived Run", alive)
				}
				if task, attempts := r.task(id), r.attempts(id); task.State != scheduler.Ready || task.Failures != 0 || len(attempts) != 1 || attempts[0].Outcome != "released" {
					t.Errorf("%s with %d failures, attempts %+v", task.State, task.Failures, attempts)
				}
			})
		}
	}
}

// An idle child that does not end when it is told to is made to.
func TestChildThatDoesNotDrain(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	x := r.startChildren(worker.Impatient(worker.Command{}, time.Second), childArgs{Stubborn: true}, worker.Config{})
	r.pidOfChild()
	if err := x.stop(); err != nil {
		t.Error(err)
	}
	if alive := childrenOf(t, r); len(alive) > 0 {
		t.Errorf("child %q is left", alive)
	}
}

func TestChildrenEndWhenTheWorkerCannotStart(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	registry := worker.NewRegistry()
	r.handleChildren(registry, worker.Command{}, childArgs{Stubborn: true})
	r.works.Close()
	config := worker.Config{Logger: r.logs.logger()}
	w, err := worker.New(r.works, registry, config)
	if err != nil {
		t.Fatal(err)
	}
	if err := w.Run(t.Context()); err == nil {
		t.Error("it ran")
	}
	if alive := childrenOf(t, r); len(alive) > 0 {
		t.Errorf("child %q is left", alive)
	}
}

// A child that reads nothing gets its tasks' timeouts all the same.
func TestChildThatIsDeaf(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.startChildren(worker.Impatient(worker.Command{}, time.Second), childArgs{Deaf: true}, worker.Config{})
	id := r.submit(scheduler.NewTask{Kind: "k", Payload: strings.Repeat("p", 200_000), MaxAttempts: 1, Timeout: timeout})
	if task := r.final(id); text(task.ErrorCode) != "timeout" || !strings.Contains(text(task.Error), "did not answer cancel") {
		t.Errorf("%s: %s", text(task.ErrorCode), text(task.Error))
	}
}

// A child is told that the lease is lost, and serves the next attempt.
func TestChildIsToldThatTheLeaseIsLost(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.startChildren(worker.Command{}, childArgs{}, worker.Config{Heartbeat: 100 * time.Millisecond, TTL: patience})
	id := r.submit(do("wait"))
	await(t, "the child's line", func() bool { return len(r.lines(id, "stdout")) == 1 })
	r.exec(`delete from scheduler.workers`)
	await(t, "a second attempt", func() bool { return r.task(id).Attempt >= 2 })
	await(t, "its line", func() bool { return len(r.lines(id, "stdout")) >= 2 })
	if pids := r.lines(id, "stdout"); pids[0] != pids[1] {
		t.Errorf("children %q", pids)
	}
}

func TestChildrenLeakNoDescriptors(t *testing.T) { // not parallel: it counts the descriptors of the process
	count := descriptors(t)
	r := newRig(t)
	const tasks = 20
	crew := func() {
		registry := worker.NewRegistry()
		children := r.handleChildren(registry, worker.Command{MaxTasks: 1}, childArgs{})
		x := r.start(registry, worker.Config{})
		served := func() int {
			for range tasks {
				r.pidOfChild()
			}
			return count()
		}
		if first, second := served(), served(); second-first >= tasks { // which child comes or goes just then makes a few
			t.Errorf("%d descriptors after %d children, %d after as many again", first, tasks, second)
		}
		if err := x.stop(); err != nil {
			t.Error(err)
		}
		children.Close()
	}
	crew()
	before := count() // at rest: no child is left
	crew()
	await(t, fmt.Sprintf("%d descriptors", before), func() bool { return count() <= before })
}

// The memory of children counts to their worker's.
func TestChildrensMemoryIsCounted(t *testing.T) {
	t.Parallel()
	if _, err := os.Stat("/proc/self/statm"); err != nil {
		t.Skip("no /proc/self/statm here")
	}
	r := newRig(t)
	r.startChildren(worker.Command{Procs: 2}, childArgs{}, worker.Config{Heartbeat: 500 * time.Millisecond, TTL: patience})
	r.final(r.submit(do("eat", "n", 300)))
	await(t, "300 MB", func() bool {
		return read[int64](r, `select coalesce(max(memory_bytes), 0) from scheduler.workers`) > 300<<20
	})
}

// A checkpoint is answered once it is stored, however often the connection breaks.
func TestChildSavesCheckpointsOverABadConnection(t *testing.T) {
	t.Parallel()
	for name, f := range map[string]fate{"lost": breakOff, "answer lost": loseAnswer} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r, p := newProxiedRig(t, scheduler.Config{})
			r.startChildren(worker.Command{}, childArgs{}, worker.Config{})
			met := p.doom("checkpoint", 3, f)
			task := r.final(r.submit(do("checkpoint", "frame", `{"step":3}`)))
			if string(task.Result) != `{"found": {"step": 3}, "answer": "saved "}` || task.Attempt != 2 || met() != 3 {
				t.Errorf("%s %s at attempt %d, %d broken: %s", task.State, task.Result, task.Attempt, met(), text(task.Error))
			}
		})
	}
}

// A child is told to end its task at once, though the database does not answer what it wants stored.
func TestChildIsCancelledWhileItsCheckpointIsStored(t *testing.T) {
	t.Parallel()
	r, p := newProxiedRig(t, scheduler.Config{})
	r.startChildren(worker.Impatient(worker.Command{}, patience/3), childArgs{}, worker.Config{Heartbeat: 200 * time.Millisecond, TTL: patience})
	p.doom("checkpoint", 1, late)
	id := r.submit(do("checkpoint, then wait"))
	await(t, "the child's line", func() bool { return len(r.lines(id, "stdout")) == 1 })
	await(t, "the checkpoint", func() bool { return p.waiting() == 1 })
	if _, err := r.client.Cancel(t.Context(), id, "enough"); err != nil {
		t.Fatal(err)
	}
	await(t, "the child to be told", func() bool { return len(r.lines(id, "log")) == 1 })
	p.deliver()
	if task := r.final(id); task.State != scheduler.Cancelled || read[int](r, `select checkpoint::integer from scheduler.tasks where id = $1`, id) != 1 {
		t.Errorf("%s: %s", task.State, text(task.Error))
	}
	if diff := cmp.Diff([]string{"told: cancelled", "saved "}, r.lines(id, "log")); diff != "" { // not told once the checkpoint was given up
		t.Error(diff)
	}
}

// A child that goes on with a task whose lease was lost is not given the task again, and again, meanwhile.
func TestChildHasOneAttemptOfATaskAtATime(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.startChildren(worker.Impatient(worker.Command{}, patience), childArgs{Slots: 3}, worker.Config{Heartbeat: 100 * time.Millisecond, TTL: patience})
	file := filepath.Join(t.TempDir(), "go")
	id := r.submit(do("until file", "file", file)) // it is deaf
	await(t, "the child's line", func() bool { return len(r.lines(id, "stdout")) == 1 })
	r.exec(`delete from scheduler.workers`)
	await(t, "a second attempt", func() bool { return r.task(id).Attempt >= 2 })
	r.pidOfChild() // other tasks go on
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if task := r.final(id); task.State != scheduler.Completed || task.Attempt != 2 || task.Failures != 0 {
		t.Errorf("%s at attempt %d with %d failures: %s", task.State, task.Attempt, task.Failures, text(task.Error))
	}
}

// A child that was told to end, and does once it has said how its task ended, has not crashed, though the worker is not done with that.
func TestChildThatEndsBeforeItsTaskIsSettled(t *testing.T) {
	t.Parallel()
	r, p := newProxiedRig(t, scheduler.Config{})
	r.startChildren(worker.Command{MaxTime: 100 * time.Millisecond}, childArgs{}, worker.Config{})
	p.doom("checkpoint", 1, late)
	id := r.submit(do("checkpoints unread", "n", 1))
	await(t, "the checkpoint", func() bool { return p.waiting() == 1 })
	children := func() int { return strings.Count(r.logs.String(), "child ready") }
	its := children()
	await(t, "the next child", func() bool { return children() > its })
	p.deliver()
	if task := r.final(id); task.State != scheduler.Completed {
		t.Errorf("%s: %s", task.State, text(task.Error))
	}
	if strings.Contains(r.logs.String(), "child ended") {
		t.Error("the log has it ended by itself")
	}
}

// A child that could not be replaced, since there was no other, is once there is one, though no task comes.
func TestChildIsReplacedOnceThereIsAnother(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	file := filepath.Join(t.TempDir(), "while")
	r.startChildren(worker.Command{Procs: 2, MaxTasks: 1}, childArgs{While: file, Else: "exit"}, worker.Config{})
	await(t, "both", func() bool { return len(childrenOf(t, r)) == 2 })
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	r.ends(do("kill"), scheduler.Scheduled)
	await(t, "the end of one", func() bool { return strings.Contains(r.logs.String(), "child ended") })
	r.pidOfChild() // which wears the other
	if strings.Contains(r.logs.String(), "child is replaced") {
		t.Fatal("the only one is replaced")
	}
	if err := os.Remove(file); err != nil {
		t.Fatal(err)
	}
	await(t, "its turn", func() bool { return strings.Contains(r.logs.String(), "child is replaced") })
}

// Children that are killed, replaced and restarted all the time lose nothing, and no task fails for another.
func TestChildrenUnderStress(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.startChildren(worker.Command{Procs: 3, MaxTasks: 7}, childArgs{Slots: 2}, worker.Config{})
	var ids, dying []scheduler.TaskID
	for i := range 150 {
		switch {
		case i%10 == 3:
			new := do("kill first")
			new.Backoff = []time.Duration{0}
			dying = append(dying, r.submit(new))
		default:
			new := do("print", "n", 2)
			new.Backoff = []time.Duration{0}
			ids = append(ids, r.submit(new))
		}
	}
	for _, id := range dying {
		if task := r.final(id); task.State != scheduler.Completed || task.Attempt < 2 {
			t.Errorf("%s at attempt %d: %s", task.State, task.Attempt, text(task.Error))
		}
	}
	for _, id := range ids { // some were in a child that another one killed
		if task := r.final(id); task.State != scheduler.Completed {
			t.Errorf("%s at attempt %d with %d failures: %s", task.State, task.Attempt, task.Failures, text(task.Error))
		}
	}
	if strings.Contains(r.logs.String(), "level=ERROR") {
		t.Error("something was wrong")
	}
}
