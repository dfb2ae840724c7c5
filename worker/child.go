package worker

import (
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync/atomic"
	"time"

	"github.com/pgscheduler/scheduler/scheduler"
)

const (
	maxFrame  = 16 << 20    // bytes of a line on descriptor 3; a child that writes a longer one is killed
	endingFor = time.Second // from when a child closes a pipe until it must have ended
	maxStray  = 1000        // log lines, between two tasks, of what a child prints or says and which belongs to no task
)

// errNotReady: a process did not say in time that it is ready.
var errNotReady = errors.New("it was not ready")

// child is one process that serves tasks, from its start to its end.
type child struct {
	pool     *Children
	number   int // from 0
	process  *process
	outbox   *outbox // frames on their way to stdin
	streams  [2]*stream
	answered atomic.Bool // it has ended a task

	broken  chan breach   // it broke the protocol: kill it
	hung    chan string   // it does not do what it was told: end it
	serving chan struct{} // closed when it is ready
	leaving chan struct{} // closed when it was told to end and runs nothing
	over    chan struct{} // closed when it has ended

	obituary string // how it ended; read after over

	// Guarded by the pool's mu.
	slots     int // 0: it is not ready
	taken     int // of its slots
	coming    int // tasks for which it was chosen and that are not sent yet
	given     int // tasks since its start
	open      map[string]*errand
	worn      string // why it is to be replaced; "": it is not
	draining  bool   // it was told to finish
	condemned bool   // it is being ended because of a task that did not
	last      string // line on stderr
	stray     int    // lines logged
}

// breach is what a child did that it must not.
type breach struct {
	err    error
	ending bool // or it is just about to end, which explains it
}

func newChild(c *Children, number int) *child {
	return &child{pool: c, number: number, outbox: newOutbox(), open: map[string]*errand{}, broken: make(chan breach, 1),
		hung: make(chan string, 1), serving: make(chan struct{}), leaving: make(chan struct{}), over: make(chan struct{})}
}

// live runs the process until it has ended, and returns why that was, nil when it was told to.
func (k *child) live() error {
	p, err := startProcess(k.pool.path, k.pool.command.Argv, childEnv(), &k.pool.groups)
	if err != nil {
		return err
	}
	k.process = p
	k.streams = [2]*stream{newStream(p.stdout, k.stdout), newStream(p.stderr, k.stderr)}
	for _, s := range k.streams {
		p.talking.Go(s.run)
	}
	p.talking.Go(k.listen)
	p.talking.Go(k.write)
	k.enter()
	end := k.attend()
	k.outbox.close()
	p.bury()
	return k.leave(k.verdict(end))
}

// departure is how a process ended.
type departure struct {
	waited error  // what Wait said; nil: exit status 0
	cause  error  // why it was killed at once; nil: it was not
	reason string // why it was told to end; "": it was not
}

// attend waits for the end of the process, and brings it about when that is due.
func (k *child) attend() departure {
	command, serving, leaving := k.pool.command, k.serving, k.leaving
	ready := time.NewTimer(command.ReadyWithin)
	defer ready.Stop()
	var old <-chan time.Time  // it has served for long
	var next <-chan time.Time // stronger means
	var reason string
	terminated := false
	for {
		select {
		case err := <-k.process.ended:
			return departure{waited: err, reason: reason}
		case <-ready.C:
			if !k.isReady() {
				return k.killed(fmt.Errorf("%w within %s", errNotReady, command.ReadyWithin))
			}
		case b := <-k.broken:
			if ended, err := k.endsItself(b); ended {
				return departure{waited: err, reason: reason}
			}
			return k.killed(b.err)
		case <-serving:
			served, stop := after(command.MaxTime)
			defer stop()
			serving, old = nil, served
		case <-old:
			k.pool.wear(k, "it has run for "+command.MaxTime.String())
		case <-leaving:
			leaving = nil
			k.outbox.close() // and with it stdin, once it is empty
			if !terminated {
				next = time.After(command.killAfter)
			}
		case why := <-k.hung:
			if !terminated { // else it is on its way out: that takes no longer for a second task that does not end
				reason, terminated, next = why, true, time.After(command.killAfter)
				terminateGroup(k.process.pid)
			}
		case <-next:
			if terminated {
				killGroup(k.process.pid)
				next = nil
				continue
			}
			terminated, next = true, time.After(command.killAfter)
			terminateGroup(k.process.pid)
		}
	}
}

func (k *child) killed(cause error) departure {
	killGroup(k.process.pid)
	return departure{waited: <-k.process.ended, cause: cause}
}

// after is time.After that can be stopped; of 0 it never comes.
func after(d time.Duration) (<-chan time.Time, func() bool) {
	if d == 0 {
		return nil, func() bool { return false }
	}
	t := time.NewTimer(d)
	return t.C, t.Stop
}

// endsItself gives a process that has closed a pipe the time to end, in parts: when this one was held up, and finds the time to
// be over and the process to have ended, both at once, only a part is over.
func (k *child) endsItself(b breach) (bool, error) {
	if !b.ending {
		return false, nil
	}
	const parts = 10
	part := time.NewTicker(endingFor / parts)
	defer part.Stop()
	for range parts {
		select {
		case err := <-k.process.ended:
			return true, err
		case <-part.C: // those that are missed are not made up for
		}
	}
	return false, nil
}

// verdict says how the process ended. All that it said is read.
func (k *child) verdict(d departure) error {
	k.pool.mu.Lock()
	defer k.pool.mu.Unlock()
	words := ""
	if k.last != "" {
		words = ": " + k.last
	}
	if d.cause != nil {
		return fmt.Errorf("%w%s", d.cause, words)
	}
	how := "exit status 0"
	if d.waited != nil {
		how = d.waited.Error()
	}
	if d.reason != "" {
		how = d.reason + ": " + how
	}
	if k.slots == 0 {
		how = "it ended before it was ready: " + how
	}
	return errors.New(how + words)
}

// enter takes its place among the children.
func (k *child) enter() {
	c := k.pool
	c.mu.Lock()
	defer c.mu.Unlock()
	c.posts[k.number] = k
	if c.closing {
		k.drain()
	}
}

// leave tells the tasks that are open that the process has ended.
func (k *child) leave(err error) error {
	c := k.pool
	c.mu.Lock()
	defer c.mu.Unlock()
	c.posts[k.number] = nil
	k.obituary = err.Error()
	close(k.over)
	if k.draining && !k.owes() {
		return nil
	}
	return err
}

// owes reports whether it has a task of which it has not said how it ended. The pool's mu is held.
func (k *child) owes() bool {
	for _, e := range k.open {
		if !e.answered {
			return true
		}
	}
	return false
}

// available reports whether it may be given tasks. The pool's mu is held.
func (k *child) available() bool { return k.slots > 0 && !k.draining && !k.condemned }

func (k *child) isReady() bool {
	k.pool.mu.Lock()
	defer k.pool.mu.Unlock()
	return k.slots > 0
}

// drain tells it to finish what it runs, and to end; what it was chosen for comes before. The pool's mu is held.
func (k *child) drain() {
	if !k.draining {
		k.draining = true
		k.sayDrain()
		k.leaveIfIdle()
	}
}

// sayDrain sends drain, after which nothing more may come, once nothing does. The pool's mu is held.
func (k *child) sayDrain() {
	if k.draining && k.coming == 0 {
		k.outbox.send(order{Op: "drain"})
	}
}

// leaveIfIdle has it end when it was told to and runs nothing any more. The pool's mu is held.
func (k *child) leaveIfIdle() {
	if k.draining && k.taken == 0 && !isClosed(k.leaving) {
		close(k.leaving)
	}
}

// condemn ends it because a task does not.
func (k *child) condemn(e *errand, why string) {
	k.pool.mu.Lock()
	if e.answered { // in time, and its answer waits for a checkpoint to be stored
		k.pool.mu.Unlock()
		return
	}
	k.condemned, e.blamed = true, true
	k.pool.mu.Unlock()
	k.warn("child does not end its task, SIGTERM", "task_id", e.id, "reason", why)
	select {
	case k.hung <- why:
	default: // it is on its way out
	}
}

// retire is for a child that says that it ends now: it gets no further task, and those that it has besides are no failures.
func (k *child) retire() {
	k.pool.mu.Lock()
	defer k.pool.mu.Unlock()
	k.condemned = true
	k.drain()
}

// breakOff has it killed for what it did, unless it ends just now and that explains it.
func (k *child) breakOff(b breach) {
	select {
	case k.broken <- b:
	default: // it is being killed
	}
}

// stdout takes in a line on standard output.
func (k *child) stdout(line string) { k.print("stdout", line) }

func (k *child) stderr(line string) {
	if strings.TrimSpace(line) != "" {
		k.pool.mu.Lock()
		k.last = scheduler.Truncate(line, 500)
		k.pool.mu.Unlock()
	}
	k.print("stderr", line)
}

// print counts a line to the task that is open, if it is the only one.
func (k *child) print(stream, line string) {
	k.pool.mu.Lock()
	var only *errand
	for _, e := range k.open {
		only = e
	}
	if len(k.open) > 1 {
		only = nil
	}
	k.pool.mu.Unlock()
	switch {
	case only != nil:
		only.attempt.log(stream, line)
	case strings.TrimSpace(line) != "":
		k.aside("child prints", "stream", stream, "line", scheduler.Truncate(line, 8<<10))
	}
}

// aside logs what belongs to no task, a limited number of times.
func (k *child) aside(message string, args ...any) {
	k.pool.mu.Lock()
	k.stray++
	n := k.stray
	k.pool.mu.Unlock()
	switch {
	case n < maxStray:
		k.info(message, args...)
	case n == maxStray:
		k.warn("child says too much: the rest is dropped until its next task")
	}
}

// catchUp takes in what it has printed so far.
func (k *child) catchUp() {
	for _, s := range k.streams {
		s.catchUp()
	}
}

func (k *child) info(message string, args ...any) { k.logger().Info(message, args...) }
func (k *child) warn(message string, args ...any) { k.logger().Warn(message, args...) }

func (k *child) logger() *slog.Logger {
	pid := 0
	if k.process != nil {
		pid = k.process.pid
	}
	return k.pool.command.Logger.With("child", k.number+1, "pid", pid, "command", scheduler.Truncate(strings.Join(k.pool.command.Argv, " "), 200))
}
