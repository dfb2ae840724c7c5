package worker

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"slices"
	"strings"
	"sync"
	"time"
)

// killAfter is how long a child process may take to end after SIGTERM.
const killAfter = 5 * time.Second

// Exit codes of sysexits.h (4.3BSD) that say that trying again is of no use: usage, data, input, configuration.
var permanentExits = []int{64, 65, 66, 78}

// HandleExec registers a command as the handler of a kind: one process per task, argv as given, never through a shell. The
// process gets the payload on stdin, its lines on stdout and stderr become the task's log, and on file descriptor 3 (its
// number is in SCHEDULER_FD) it may write JSON lines: progress, log, result, error, snooze (docs/exec.md). Exit 0 completes
// the task; 64, 65, 66 and 78 fail it for good; 75 and all others are retried. It leads a process group of its own, which
// gets SIGTERM, and SIGKILL 5 s later, when the task is cancelled, times out or loses its lease; what is left of the group
// when the process ends is killed. Besides the worker's environment, without SCHEDULER_DATABASE_URL and SCHEDULER_TOKEN,
// it finds SCHEDULER_TASK_ID, SCHEDULER_QUEUE, SCHEDULER_KIND and SCHEDULER_ATTEMPT, TRACEPARENT if the task has one, and
// SCHEDULER_TOPIC and SCHEDULER_MESSAGE_ID if it was published. HandleExec returns an error when the
// command can't be found; it panics as Handle does.
func HandleExec(r *Registry, kind string, argv []string) error {
	if len(argv) == 0 {
		return fmt.Errorf("kind %q: no command", kind)
	}
	path, err := exec.LookPath(argv[0])
	if err != nil {
		return fmt.Errorf("kind %q: %w", kind, err)
	}
	r.add(kind, func(ctx context.Context, a *attempt) (json.RawMessage, error) {
		// A child dies with the thread that started it (PR_SET_PDEATHSIG), so the thread must last as long as the child.
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		return runChild(ctx, a, path, argv)
	})
	return nil
}

func runChild(ctx context.Context, a *attempt, path string, argv []string) (json.RawMessage, error) {
	if ctx.Err() != nil {
		return nil, context.Cause(ctx)
	}
	cmd := &exec.Cmd{Path: path, Args: argv, Env: childEnv(a)}
	ownGroup(cmd)
	pipes, err := newPipes(cmd)
	if err != nil {
		return nil, &codedError{code: "exec", message: err.Error()}
	}
	defer pipes.close()
	talk := &childTalk{attempt: a}
	if err := cmd.Start(); err != nil {
		return nil, &codedError{code: "exec", message: err.Error()}
	}
	a.worker.children.add(cmd.Process.Pid)
	pipes.closeChildEnds()
	var talking sync.WaitGroup // each ends at the end of its pipe
	talking.Go(func() { readLines(pipes.stdout, func(line string) { a.log("stdout", line) }) })
	talking.Go(func() { readLines(pipes.stderr, talk.stderr) })
	talking.Go(func() { readLines(pipes.control, talk.hear) })
	talking.Go(func() { pipes.say(a.task.Payload) })

	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }() // ends with the process, which end waits for
	err = end(ctx, cmd.Process.Pid, ended)
	killGroup(cmd.Process.Pid) // what it left behind would keep the pipes open
	a.worker.children.remove(cmd.Process.Pid)
	_ = pipes.stdin.Close() // nobody reads the rest
	drained := time.AfterFunc(killAfter, pipes.close)
	talking.Wait()
	drained.Stop()
	return talk.outcome(err)
}

// end waits for the process, and ends it when ctx does.
func end(ctx context.Context, pid int, ended <-chan error) error {
	select {
	case err := <-ended:
		return err
	case <-ctx.Done():
	}
	terminateGroup(pid)
	patience := time.NewTimer(killAfter)
	defer patience.Stop()
	select {
	case err := <-ended:
		return err
	case <-patience.C:
	}
	killGroup(pid)
	return <-ended
}

func childEnv(a *attempt) []string {
	env := slices.DeleteFunc(os.Environ(), func(entry string) bool {
		return strings.HasPrefix(entry, "SCHEDULER_DATABASE_URL=") || strings.HasPrefix(entry, "SCHEDULER_TOKEN=") ||
			strings.HasPrefix(entry, "TRACEPARENT=") || strings.HasPrefix(entry, "TRACESTATE=") || // the worker's own
			strings.HasPrefix(entry, "SCHEDULER_TOPIC=") || strings.HasPrefix(entry, "SCHEDULER_MESSAGE_ID=")
	})
	if a.task.TraceParent != "" {
		env = append(env, "TRACEPARENT="+a.task.TraceParent)
	}
	if a.task.Topic != "" {
		env = append(env, "SCHEDULER_TOPIC="+a.task.Topic, fmt.Sprintf("SCHEDULER_MESSAGE_ID=%d", a.task.MessageID))
	}
	return append(env, "SCHEDULER_FD=3", "SCHEDULER_TASK_ID="+a.task.Task.String(), "SCHEDULER_QUEUE="+string(a.task.Queue),
		"SCHEDULER_KIND="+a.task.Kind, fmt.Sprintf("SCHEDULER_ATTEMPT=%d", a.task.Attempt))
}

// pipes are what a child talks through. They are files of our own, so that cmd.Wait returns when the child ends, whoever
// else has them open.
type pipes struct {
	stdin, stdout, stderr, control *os.File
	childEnds                      []*os.File
}

func newPipes(cmd *exec.Cmd) (*pipes, error) {
	p := &pipes{}
	for _, ours := range []**os.File{&p.stdin, &p.stdout, &p.stderr, &p.control} {
		r, w, err := os.Pipe()
		if err != nil {
			p.close()
			return nil, err
		}
		if ours == &p.stdin {
			r, w = w, r
		}
		*ours = r
		p.childEnds = append(p.childEnds, w)
	}
	cmd.Stdin, cmd.Stdout, cmd.Stderr, cmd.ExtraFiles = p.childEnds[0], p.childEnds[1], p.childEnds[2], p.childEnds[3:]
	return p, nil
}

// say writes the payload to stdin. A child need not read it.
func (p *pipes) say(payload []byte) {
	_, _ = p.stdin.Write(payload)
	_ = p.stdin.Close()
}

func (p *pipes) closeChildEnds() {
	for _, f := range p.childEnds {
		_ = f.Close() // only closes our copy
	}
	p.childEnds = nil
}

// close may be called twice.
func (p *pipes) close() {
	for _, f := range append([]*os.File{p.stdin, p.stdout, p.stderr, p.control}, p.childEnds...) {
		if f != nil {
			_ = f.Close()
		}
	}
}

// outcome turns how the process ended, and what it said, into the attempt's.
func (t *childTalk) outcome(err error) (json.RawMessage, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	var exit *exec.ExitError
	switch {
	case err == nil && t.failure != nil:
		return nil, t.failure
	case err == nil && t.snooze != nil:
		return nil, t.snooze
	case err == nil:
		return t.result, nil
	case !errors.As(err, &exit):
		return nil, &codedError{code: "exec", message: err.Error()}
	}
	failure := t.failure
	if failure == nil {
		failure = t.exited(exit)
	}
	if slices.Contains(permanentExits, exit.ExitCode()) {
		failure = Permanent(failure)
	}
	return nil, failure
}

// exited is the failure of a process that said nothing of it by itself. t.mu is held.
func (t *childTalk) exited(exit *exec.ExitError) error {
	failure := &codedError{code: fmt.Sprintf("exit_%d", exit.ExitCode()), message: exit.Error()}
	if exit.ExitCode() < 0 {
		failure.code = "signal"
	}
	if t.attempt.ctx.Err() != nil {
		failure.code = "error" // it was told to end: the reason for that is the code
	}
	if t.last != "" {
		failure.message += ": " + t.last
	}
	return failure
}

// children are the process groups that run, so that a worker that ends can kill them. Safe for concurrent use.
type children struct {
	mu     sync.Mutex
	pids   map[int]bool
	killed bool
}

// add enters a group; one that comes after kill is killed.
func (c *children) add(pid int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.pids == nil {
		c.pids = map[int]bool{}
	}
	c.pids[pid] = true
	if c.killed {
		killGroup(pid)
	}
}

func (c *children) remove(pid int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	delete(c.pids, pid)
}

func (c *children) kill() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.killed = true
	for pid := range c.pids {
		killGroup(pid)
	}
}
