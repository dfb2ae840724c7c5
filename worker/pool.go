package worker

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"runtime"
	"slices"
	"time"

	"github.com/pgscheduler/scheduler/scheduler"
)

const (
	firstPause = 100 * time.Millisecond // before a process is started again; doubled each time until it has served a task
	mostPause  = 30 * time.Second
	firstTries = 3 // of the first process; later ones are tried for ever
)

// keep keeps a process running, of a number, until the children are closed.
func (c *Children) keep(number int) {
	// A child dies with the thread that started it (PR_SET_PDEATHSIG), so the thread must last as long as the child.
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	pause := firstPause
	for tries := 1; !isClosed(c.ending); tries++ {
		k := newChild(c, number)
		err := k.live()
		if err == nil { // as it was told
			pause = firstPause
			continue
		}
		if !isClosed(c.settled) && (tries == firstTries || errors.Is(err, errNotReady)) {
			c.err = err
			close(c.settled)
			return
		}
		if k.answered.Load() {
			pause = firstPause
		}
		if isClosed(c.ending) {
			return
		}
		wait := pause/2 + rand.N(pause/2)
		k.warn("child ended, it is started again", "err", err, "after", wait.Round(time.Millisecond))
		select {
		case <-c.ending:
			return
		case <-time.After(wait):
		}
		pause = min(2*pause, mostPause)
	}
}

// admit takes in what a process says first. The first of all decides what the others must say.
func (c *Children) admit(k *child, m message) error {
	kinds, slots, err := readySaid(m)
	if err != nil {
		return err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if !isClosed(c.settled) {
		c.kinds, c.slotsOf, c.language = kinds, slots, scheduler.CleanText(m.Language, 100)
		close(c.settled)
	}
	switch {
	case !slices.Equal(kinds, c.kinds):
		return fmt.Errorf("it serves %s, and this worker registered with %s", list(kinds), list(c.kinds))
	case slots != c.slotsOf:
		return fmt.Errorf("it has %d slots, and this worker registered with %d each", slots, c.slotsOf)
	}
	k.slots = slots
	close(k.serving)
	if c.replacing == k.number+1 {
		c.replacing = 0
	}
	c.replace() // one may have been worn while no other was ready
	c.awake()
	return nil
}

// free returns how many more tasks may be leased when so many are leased and not ended.
func (c *Children) free(leased int) (n int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, k := range c.posts {
		if k == nil {
			continue
		}
		leased -= k.taken // what is left is on its way to a process
		if k.available() {
			n += k.slots - k.taken
		}
	}
	return n - max(0, leased)
}

// choose takes a slot of the process that is the least busy for a task; begin follows. nil: none is free, or only of those that still
// have the task open from a lease that was lost: earlier is one of these then.
func (c *Children) choose(id string) (best *child, earlier *errand) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, k := range c.posts {
		if k == nil || !k.available() || k.taken >= k.slots {
			continue
		}
		if k.open[id] != nil {
			earlier = k.open[id]
			continue
		}
		if best == nil || best.worn != "" && k.worn == "" || (best.worn == "") == (k.worn == "") && k.taken < best.taken {
			best = k
		}
	}
	if best != nil {
		best.taken++
		best.given++
		best.coming++
	}
	return best, earlier
}

// release gives back the slot that a task had.
func (c *Children) release(e *errand) {
	k := e.child
	held := int64(0)
	if c.command.MaxMemory > 0 {
		held = resident(k.process.pid)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if k.open[e.id] == e {
		delete(k.open, e.id)
	}
	k.taken--
	switch {
	case c.command.MaxTasks > 0 && k.given >= c.command.MaxTasks:
		k.worn = fmt.Sprintf("it has served %d tasks", k.given)
	case c.command.MaxMemory > 0 && held > c.command.MaxMemory:
		k.worn = fmt.Sprintf("it holds %d MiB", held>>20)
	}
	c.replace()
	k.leaveIfIdle()
	c.awake()
}

// wear notes that a process is to be replaced.
func (c *Children) wear(k *child, why string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if k.worn == "" {
		k.worn = why
	}
	c.replace()
}

// replace has a worn process end, unless the only other ones are not ready. c.mu is held.
func (c *Children) replace() {
	if c.closing || c.replacing != 0 {
		return
	}
	for _, k := range c.posts {
		if k == nil || k.worn == "" || !k.available() {
			continue
		}
		others := len(c.posts) == 1 || slices.ContainsFunc(c.posts, func(o *child) bool { return o != nil && o != k && o.available() })
		if others {
			c.replacing = k.number + 1
			k.info("child is replaced", "reason", k.worn)
			k.drain()
		}
		return
	}
}
