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
// it finds SCHEDULER_TASK_ID, SCHEDULER_QUEUE, SCHEDULER_KIND and SCHEDULER_ATTEMPT. HandleExec returns an error when the
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
	cmd := &exec.Cmd{Path: path, Args: argv, Env: childEnv(a), Stdin: strings.NewReader(string(a.task.Payload)), WaitDelay: killAfter}
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
	defer a.worker.children.remove(cmd.Process.Pid)
	pipes.closeChildEnds()
	var readers sync.WaitGroup // each ends at the end of its pipe
	readers.Go(func() { readLines(pipes.stdout, func(line string) { a.log("stdout", line) }) })
	readers.Go(func() { readLines(pipes.stderr, talk.stderr) })
	readers.Go(func() { readLines(pipes.control, talk.hear) })

	ended := make(chan error, 1)
	go func() { // ends with the process, which end waits for
		err := cmd.Wait()
		if errors.Is(err, exec.ErrWaitDelay) {
			err = nil // it succeeded without reading its payload, and left somebody behind who does not either
		}
		ended <- err
	}()
	err = end(ctx, cmd.Process.Pid, ended)
	killGroup(cmd.Process.Pid) // what it left behind would keep the pipes open
	drained := time.AfterFunc(killAfter, pipes.close)
	readers.Wait()
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
		return strings.HasPrefix(entry, "SCHEDULER_DATABASE_URL=") || strings.HasPrefix(entry, "SCHEDULER_TOKEN=")
	})
	return append(env, "SCHEDULER_FD=3", "SCHEDULER_TASK_ID="+a.task.Task.String(), "SCHEDULER_QUEUE="+string(a.task.Queue),
		"SCHEDULER_KIND="+a.task.Kind, fmt.Sprintf("SCHEDULER_ATTEMPT=%d", a.task.Attempt))
}

// pipes are what a child talks through.
type pipes struct {
	stdout, stderr, control *os.File
	childEnds               []*os.File
}

func newPipes(cmd *exec.Cmd) (*pipes, error) {
	p := &pipes{}
	for _, end := range []**os.File{&p.stdout, &p.stderr, &p.control} {
		r, w, err := os.Pipe()
		if err != nil {
			p.close()
			return nil, err
		}
		*end = r
		p.childEnds = append(p.childEnds, w)
	}
	cmd.Stdout, cmd.Stderr, cmd.ExtraFiles = p.childEnds[0], p.childEnds[1], []*os.File{p.childEnds[2]}
	return p, nil
}

func (p *pipes) closeChildEnds() {
	for _, f := range p.childEnds {
		_ = f.Close() // only closes our copy
	}
	p.childEnds = nil
}

// close may be called twice.
func (p *pipes) close() {
	for _, f := range append([]*os.File{p.stdout, p.stderr, p.control}, p.childEnds...) {
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
	case t.failure != nil && (err == nil || errors.As(err, &exit)):
		return nil, t.failure
	case err == nil && t.snooze != nil:
		return nil, t.snooze
	case err == nil:
		return t.result, nil
	case !errors.As(err, &exit):
		return nil, &codedError{code: "exec", message: err.Error()}
	}
	message := exit.Error()
	if t.last != "" {
		message += ": " + t.last
	}
	if exit.ExitCode() < 0 {
		return nil, &codedError{code: "signal", message: message}
	}
	failure := &codedError{code: fmt.Sprintf("exit_%d", exit.ExitCode()), message: message}
	if slices.Contains(permanentExits, exit.ExitCode()) {
		return nil, Permanent(failure)
	}
	return nil, failure
}

// children are the process groups that run, so that an aborting worker can kill them. Safe for concurrent use.
type children struct {
	mu   sync.Mutex
	pids map[int]bool
}

func (c *children) add(pid int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.pids == nil {
		c.pids = map[int]bool{}
	}
	c.pids[pid] = true
}

func (c *children) remove(pid int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	delete(c.pids, pid)
}

func (c *children) kill() {
	c.mu.Lock()
	defer c.mu.Unlock()
	for pid := range c.pids {
		killGroup(pid)
	}
}
