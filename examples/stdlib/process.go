package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
	"sync"
	"syscall"
	"time"
)

// stopLimit is how long a child may take to end.
const stopLimit = 20 * time.Second

// process is a child that runs in the background.
type process struct {
	name  string
	cmd   *exec.Cmd
	stdin io.Closer // its end tells the child that this process is gone
	said  *tail
	ended chan struct{} // closed when it has ended; err is set then
	err   error
	gone  bool // killed on purpose
}

// start runs a program in a process group of its own, so that Ctrl-C reaches only this process, which then ends the others in
// order. What it writes to standard error is kept for an error message; stdout nil: also what it writes there.
func start(name string, cmd *exec.Cmd, stdout io.Writer) (*process, error) {
	p := &process{name: name, cmd: cmd, said: &tail{}, ended: make(chan struct{})}
	cmd.Stderr, cmd.Stdout = p.said, stdout
	if stdout == nil {
		cmd.Stdout = p.said
	}
	stdin, err := cmd.StdinPipe()
	if err != nil {
		return nil, err
	}
	p.stdin = stdin
	ownGroup(cmd)
	if err := cmd.Start(); err != nil {
		return nil, fmt.Errorf("start %s: %w", name, err)
	}
	go func() { // ends with the child, which stop or kill sees to
		p.err = cmd.Wait()
		close(p.ended)
	}()
	return p, nil
}

func (p *process) pid() int { return p.cmd.Process.Pid }

func (p *process) hasEnded() bool {
	select {
	case <-p.ended:
		return true
	default:
		return false
	}
}

// unexpected is closed when the child has ended though nobody killed it.
func (p *process) unexpected() <-chan struct{} {
	if p.gone {
		return nil
	}
	return p.ended
}

// trouble is an error about the child, with the end of what it said.
func (p *process) trouble(format string, args ...any) error {
	text := p.name + " " + fmt.Sprintf(format, args...)
	if said := p.said.String(); said != "" {
		text += "; it said:\n" + said
	}
	return errors.New(text)
}

// death is the error of a child that has ended unexpectedly.
func (p *process) death() error {
	if p.err == nil {
		return p.trouble("ended unexpectedly")
	}
	return p.trouble("ended unexpectedly: %v", p.err)
}

// stop asks the child to end and waits until it has; by force after a while. strict: it must end well.
func (p *process) stop(strict bool) error {
	_ = p.cmd.Process.Signal(syscall.SIGTERM) // it may have ended already
	select {
	case <-p.ended:
	case <-time.After(stopLimit):
		p.kill()
		return p.trouble("did not end within %s of SIGTERM and was killed", stopLimit)
	}
	if strict && p.err != nil {
		return p.trouble("was told to end: %v", p.err)
	}
	return nil
}

// kill ends the child with SIGKILL.
func (p *process) kill() {
	p.gone = true
	_ = p.cmd.Process.Kill() // it may have ended already
	<-p.ended
}

// tail keeps the end of what is written to it. Safe for concurrent use.
type tail struct {
	mu   sync.Mutex
	text []byte
}

const tailSize = 4 << 10 // bytes

func (t *tail) Write(p []byte) (int, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.text = append(t.text, p...)
	t.text = t.text[max(0, len(t.text)-tailSize):]
	return len(p), nil
}

func (t *tail) String() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	return strings.TrimSpace(string(t.text))
}

// lineWriter hands on the first line that is written to it and drops the rest.
type lineWriter struct {
	line chan string // of capacity 1
	text []byte
	done bool
}

func (w *lineWriter) Write(p []byte) (int, error) {
	if w.done {
		return len(p), nil
	}
	w.text = append(w.text, p...)
	if line, _, found := strings.Cut(string(w.text), "\n"); found {
		w.line <- line
		w.done = true
	}
	return len(p), nil
}

// output runs a program to its end and returns what it wrote to standard output, without the final newline.
func output(ctx context.Context, program string, args ...string) (string, error) {
	out, err := exec.CommandContext(ctx, program, args...).Output()
	var exit *exec.ExitError
	if errors.As(err, &exit) {
		return "", fmt.Errorf("%s %s: %w\n%s", program, strings.Join(args, " "), err, strings.TrimSpace(string(exit.Stderr)))
	}
	if err != nil {
		return "", fmt.Errorf("%s: %w", program, err)
	}
	return strings.TrimSpace(string(out)), nil
}

// environ is the environment without what would point the children to a database of somebody else, and with entry.
func environ(entry ...string) []string {
	var env []string
	for _, e := range os.Environ() {
		name, _, _ := strings.Cut(e, "=")
		if name != "DATABASE_URL" && !strings.HasPrefix(name, "SCHEDULER_") && !strings.HasPrefix(name, "PG") || strings.HasPrefix(name, "SCHEDULER_PG_") {
			env = append(env, e)
		}
	}
	return append(env, entry...)
}
