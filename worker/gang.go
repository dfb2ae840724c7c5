package worker

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/pgscheduler/scheduler/scheduler"
)

// gang is a set of kinds that share slots: the handlers that run in goroutines are one, each command with long-lived children
// is another. Tasks are leased for a gang, so that none waits for slots while those of another gang are free.
type gang struct {
	kinds    []string
	slots    int
	lanes    *lanes
	children *Children // nil: goroutines
	running  int       // handlers; guarded by the worker's mu
}

// gangsOf shares the kinds of a registry out.
func gangsOf(r *Registry, config Config) (gangs []*gang, slots int, err error) {
	rest := r.Kinds()
	for _, c := range r.commands {
		gangs = append(gangs, &gang{kinds: c.kinds, slots: c.slots(), lanes: newLanes(config.Queues), children: c})
		rest = slices.DeleteFunc(rest, func(kind string) bool { return slices.Contains(c.kinds, kind) })
	}
	if len(rest) > 0 {
		gangs = append(gangs, &gang{kinds: rest, slots: config.Concurrency, lanes: newLanes(config.Queues)})
	}
	for _, g := range gangs {
		slots += g.slots
	}
	switch {
	case slots == 0:
		return nil, 0, errors.New("worker: the registry has no handlers")
	case slots > maxSlots:
		return nil, 0, fmt.Errorf("worker: %d slots in all are more than %d", slots, maxSlots)
	}
	return gangs, slots, nil
}

const maxSlots = 10000

// language of the handlers.
func (w *Worker) language() string {
	var list []string
	for _, g := range w.gangs {
		said := "go"
		if g.children != nil {
			said = g.children.language
		}
		if said != "" && !slices.Contains(list, said) {
			list = append(list, said)
		}
	}
	return strings.Join(list, ", ")
}

// want notes that the queue may have ready tasks. It reports whether the queue is one of ours.
func (w *Worker) want(queue scheduler.Queue) (ours bool) {
	for _, g := range w.gangs {
		ours = g.lanes.want(queue)
	}
	return ours
}

func (w *Worker) wantAll() {
	for _, g := range w.gangs {
		g.lanes.wantAll()
	}
}

func (w *Worker) pause(queues []scheduler.Queue) (resumed bool) {
	for _, g := range w.gangs {
		resumed = g.lanes.pause(queues)
	}
	return resumed
}

// allFree returns how many tasks may be taken in all.
func (w *Worker) allFree() (n int) {
	for _, g := range w.gangs {
		n += max(0, w.free(g))
	}
	return n
}

// memory is what this process and its children hold, in bytes.
func (w *Worker) memory() int64 {
	sum := memory() + w.groups.memory()
	for _, c := range w.registry.commands {
		sum += c.groups.memory()
	}
	return sum
}
