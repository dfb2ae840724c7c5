package worker

import (
	"os"
	"os/exec"
	"slices"
	"strings"
	"sync"
	"time"
)

// killAfter is how long a child process may take to end once it was asked to, before the next stronger means.
const killAfter = 5 * time.Second

// process is a child process that leads a group of its own, with the pipes through which it talks.
type process struct {
	*pipes
	pid     int
	groups  *groups
	ended   chan error     // gets what Wait returned
	talking sync.WaitGroup // those who read and write the pipes; each ends at the end of its pipe
}

// startProcess starts a command. The process dies with the thread that started it (PR_SET_PDEATHSIG), so the caller locks
// itself to its thread until the process has ended. It calls bury after that.
func startProcess(path string, argv, env []string, g *groups) (*process, error) {
	cmd := &exec.Cmd{Path: path, Args: argv, Env: env}
	ownGroup(cmd)
	pipes, err := newPipes(cmd)
	if err != nil {
		return nil, err
	}
	if err := cmd.Start(); err != nil {
		pipes.close()
		return nil, err
	}
	p := &process{pipes: pipes, pid: cmd.Process.Pid, groups: g, ended: make(chan error, 1)}
	g.add(p.pid)
	pipes.closeChildEnds()
	go func() { p.ended <- cmd.Wait() }() // ends with the process, for which the caller waits
	return p, nil
}

// bury clears away what an ended process has left: its group, which would keep the pipes open, and the pipes, once all that
// it said is read.
func (p *process) bury() {
	killGroup(p.pid)
	p.groups.remove(p.pid)
	_ = p.stdin.Close() // nobody reads the rest
	drained := time.AfterFunc(killAfter, p.cutOff)
	p.talking.Wait()
	drained.Stop()
	p.close()
}

// cutOff ends the reading of pipes that somebody else has open, once what is in them by now is read: the process may have said it just
// before its end, and who reads it may be late, or wait for the database.
func (p *process) cutOff() {
	for _, pipe := range []*os.File{p.stdout, p.stderr, p.control} {
		_ = pipe.SetReadDeadline(time.Unix(1, 0)) // closed: nobody reads
	}
}

// childEnv is the environment of child processes: the worker's own, without what opens the scheduler's doors.
func childEnv() []string {
	env := slices.DeleteFunc(os.Environ(), func(entry string) bool {
		return strings.HasPrefix(entry, "SCHEDULER_DATABASE_URL=") || strings.HasPrefix(entry, "SCHEDULER_TOKEN=") ||
			strings.HasPrefix(entry, "TRACEPARENT=") || strings.HasPrefix(entry, "TRACESTATE=") || // the worker's own
			strings.HasPrefix(entry, "SCHEDULER_TOPIC=") || strings.HasPrefix(entry, "SCHEDULER_MESSAGE_ID=")
	})
	return append(env, "SCHEDULER_FD=3")
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

// groups are the process groups that run, so that a worker that ends can kill them. Safe for concurrent use.
type groups struct {
	mu     sync.Mutex
	pids   map[int]bool
	killed bool
}

// add enters a group; one that comes after kill is killed.
func (g *groups) add(pid int) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.pids == nil {
		g.pids = map[int]bool{}
	}
	g.pids[pid] = true
	if g.killed {
		killGroup(pid)
	}
}

func (g *groups) remove(pid int) {
	g.mu.Lock()
	defer g.mu.Unlock()
	delete(g.pids, pid)
}

func (g *groups) kill() {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.killed = true
	for pid := range g.pids {
		killGroup(pid)
	}
}

// memory is what the leaders of the groups hold, in bytes.
func (g *groups) memory() (sum int64) {
	g.mu.Lock()
	defer g.mu.Unlock()
	for pid := range g.pids {
		sum += resident(pid)
	}
	return sum
}
