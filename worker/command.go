package worker

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os/exec"
	"runtime"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/pgscheduler/scheduler/scheduler"
)

// Command is a command that serves tasks in long-lived child processes, by the protocol of docs/child.md.
type Command struct {
	// Argv is the command, as given, never through a shell.
	Argv []string

	// Procs is how many processes serve, 1 to 1,000. 0: 1.
	Procs int

	// MaxTasks is after how many tasks a process is replaced. 0: never. One process at a time is, and only while another is
	// ready, so that a process may get a few tasks more.
	MaxTasks int

	// MaxTime is how long a process serves, from when it is ready, before it is replaced, once its task has ended. 0: for ever.
	MaxTime time.Duration

	// MaxMemory is with how many bytes of resident memory, looked at after each task, a process is replaced. 0: no matter how
	// many. Only Linux tells; elsewhere HandleCommand refuses it.
	MaxMemory int64

	// ReadyWithin is how long a process may take until it is ready, then it is killed. 0: 30 s.
	ReadyWithin time.Duration

	// Logger gets what happens to the processes, and what they print while they run no task. nil: slog.Default().
	Logger *slog.Logger

	killAfter time.Duration // 0: killAfter
}

func (c *Command) fill() error {
	setDefault(&c.Procs, 1)
	setDefault(&c.ReadyWithin, 30*time.Second)
	setDefault(&c.killAfter, killAfter)
	if c.Logger == nil {
		c.Logger = slog.Default()
	}
	switch {
	case len(c.Argv) == 0:
		return errors.New("worker: Command.Argv is empty")
	case c.Procs < 1 || c.Procs > 1000:
		return errors.New("worker: Command.Procs is not 1 to 1000")
	case c.MaxTasks < 0:
		return errors.New("worker: Command.MaxTasks is negative")
	case c.MaxTime < 0:
		return errors.New("worker: Command.MaxTime is negative")
	case c.MaxMemory < 0:
		return errors.New("worker: Command.MaxMemory is negative")
	case c.MaxMemory > 0 && !knowsResident:
		return fmt.Errorf("worker: Command.MaxMemory: %s does not tell how much memory a process holds; only Linux does", runtime.GOOS)
	case c.ReadyWithin < 0:
		return errors.New("worker: Command.ReadyWithin is negative")
	case runtime.GOOS == "windows":
		return errors.New("worker: children need descriptor 3, which Windows does not pass on")
	}
	return nil
}

// Children are the processes of one Command. Safe for concurrent use.
type Children struct {
	command  Command
	path     string
	groups   groups
	kinds    []string // sorted; this and the next two are what the first process said, and all that come after it must
	slotsOf  int
	language string

	settled chan struct{} // closed when the first process is ready, or there will be none
	err     error         // why there is none; read after settled
	ending  chan struct{} // closed: no process is started any more
	keepers sync.WaitGroup

	mu        sync.Mutex
	posts     []*child      // the processes by number; nil: none runs at the moment
	wake      chan struct{} // the worker's; nil: it is not there yet
	replacing int           // number+1 of the process that is being replaced; 0: none is
	closing   bool
}

// HandleCommand starts the processes of a command and registers it as the handler of the kinds that they say they serve. It
// returns once the first of them is ready, with an error when the command can't be found, was not ready in time, ended three
// times before it was ready, serves a kind that has a handler already, or ctx ended before. Its slots are those of its
// processes, beside Config.Concurrency. A process that ends, or breaks the protocol, fails what it was running (code
// worker_crashed) and is started again, after 100 ms to 30 s. Worker.Run ends the processes; close them when it isn't called. The registry is for one Worker then.
func HandleCommand(ctx context.Context, r *Registry, command Command) (*Children, error) {
	if err := command.fill(); err != nil {
		return nil, err
	}
	path, err := exec.LookPath(command.Argv[0])
	if err != nil {
		return nil, err
	}
	c := &Children{command: command, path: path, posts: make([]*child, command.Procs), settled: make(chan struct{}), ending: make(chan struct{})}
	c.keepers.Go(func() { c.keep(0) }) // Close waits for it and ends it
	select {
	case <-c.settled:
		err = c.err
	case <-ctx.Done():
		err = context.Cause(ctx)
	}
	if err == nil {
		err = c.check(r)
	}
	if err != nil {
		c.kill()
		c.Close()
		return nil, err
	}
	for number := 1; number < command.Procs; number++ {
		c.keepers.Go(func() { c.keep(number) }) // as above
	}
	for _, kind := range c.kinds {
		r.add(kind, c.run)
	}
	r.commands = append(r.commands, c)
	return c, nil
}

// check refuses what the first process said when it does not go with the rest.
func (c *Children) check(r *Registry) error {
	for _, kind := range c.kinds {
		if r.handlers[kind] != nil {
			return fmt.Errorf("kind %q has a handler already", kind)
		}
	}
	if c.slots() > maxSlots {
		return fmt.Errorf("%d processes with %d slots each are more than %d", c.command.Procs, c.slotsOf, maxSlots)
	}
	return nil
}

// Kinds that the processes serve, sorted.
func (c *Children) Kinds() []string { return slices.Clone(c.kinds) }

func (c *Children) slots() int { return c.command.Procs * c.slotsOf }

// serve has a worker woken whenever a slot falls free.
func (c *Children) serve(wake chan struct{}) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.wake = wake
}

// awake tells the worker that there may be a slot. c.mu is held.
func (c *Children) awake() {
	if c.wake != nil {
		nudge(c.wake)
	}
}

// Close ends the processes and waits for that: each may finish what it runs, idle ones are killed after 10 s. It may be called
// more than once.
func (c *Children) Close() {
	c.drain()
	c.keepers.Wait()
}

// drain tells all processes to finish what they run, and to end.
func (c *Children) drain() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closing {
		return
	}
	c.closing = true
	close(c.ending)
	for _, k := range c.posts {
		if k != nil {
			k.drain()
		}
	}
}

// kill ends all processes at once.
func (c *Children) kill() { c.groups.kill() }

func (w *Worker) killChildren() {
	for _, c := range w.registry.commands {
		c.kill()
	}
}

// awaitChildren returns when all children have ended. Abort kills them.
func (w *Worker) awaitChildren() {
	ended := make(chan struct{})
	go func() { // ends with the children
		for _, c := range w.registry.commands {
			c.Close()
		}
		close(ended)
	}()
	select {
	case <-ended:
	case <-w.abort.Done():
		w.killChildren()
		<-ended
	}
}

// closeChildren is for a Run that ends before it has begun.
func (w *Worker) closeChildren() {
	w.killChildren()
	w.awaitChildren()
}

func isClosed(c <-chan struct{}) bool {
	select {
	case <-c:
		return true
	default:
		return false
	}
}

// readySaid is what a ready frame says, checked.
func readySaid(m message) (kinds []string, slots int, err error) {
	kinds = slices.Compact(slices.Sorted(slices.Values(m.Kinds)))
	slots = m.Slots
	setDefault(&slots, 1)
	switch {
	case m.V != 1:
		return nil, 0, fmt.Errorf("it speaks version %d of the protocol; this worker speaks 1", m.V)
	case len(kinds) == 0 || len(kinds) > 500:
		return nil, 0, fmt.Errorf("it serves %d kinds, and 1 to 500 are possible", len(kinds))
	case slots < 1 || slots > 1000:
		return nil, 0, fmt.Errorf("it has %d slots, and 1 to 1000 are possible", m.Slots)
	}
	for _, kind := range kinds {
		if !scheduler.ValidKind(kind) {
			return nil, 0, fmt.Errorf("%q cannot be a kind", scheduler.Truncate(kind, 200))
		}
	}
	return kinds, slots, nil
}

func list(kinds []string) string { return scheduler.Truncate(strings.Join(kinds, ", "), 300) }
