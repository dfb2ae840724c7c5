package worker

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os/exec"
	"runtime"
	"slices"
	"time"
)

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
	p, err := startProcess(path, argv, taskEnv(a), &a.worker.groups)
	if err != nil {
		return nil, &codedError{code: "exec", message: err.Error()}
	}
	talk := &childTalk{attempt: a}
	p.talking.Go(func() { readLines(p.stdout, func(line string) { a.log("stdout", line) }) })
	p.talking.Go(func() { readLines(p.stderr, talk.stderr) })
	p.talking.Go(func() { readLines(p.control, talk.hear) })
	p.talking.Go(func() { p.say(a.task.Payload) })
	err = end(ctx, p)
	p.bury()
	return talk.outcome(err)
}

// say writes the payload to stdin. A child need not read it.
func (p *process) say(payload []byte) {
	_, _ = p.stdin.Write(payload)
	_ = p.stdin.Close()
}

// end waits for the process, and ends it when ctx does.
func end(ctx context.Context, p *process) error {
	select {
	case err := <-p.ended:
		return err
	case <-ctx.Done():
	}
	terminateGroup(p.pid)
	patience := time.NewTimer(killAfter)
	defer patience.Stop()
	select {
	case err := <-p.ended:
		return err
	case <-patience.C:
	}
	killGroup(p.pid)
	return <-p.ended
}

func taskEnv(a *attempt) []string {
	env := childEnv()
	if a.task.TraceParent != "" {
		env = append(env, "TRACEPARENT="+a.task.TraceParent)
	}
	if a.task.Topic != "" {
		env = append(env, "SCHEDULER_TOPIC="+a.task.Topic, fmt.Sprintf("SCHEDULER_MESSAGE_ID=%d", a.task.MessageID))
	}
	return append(env, "SCHEDULER_TASK_ID="+a.task.Task.String(), "SCHEDULER_QUEUE="+string(a.task.Queue),
		"SCHEDULER_KIND="+a.task.Kind, fmt.Sprintf("SCHEDULER_ATTEMPT=%d", a.task.Attempt))
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
