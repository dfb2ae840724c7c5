package worker

import (
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/pgscheduler/scheduler/scheduler"
)

// session is one life of the worker in the database: from registering to being declared dead or leaving. All its leases
// live and die together.
type session struct {
	id  scheduler.WorkerID
	ttl time.Duration

	mu      sync.Mutex
	running map[scheduler.TaskID]*attempt
	groups  map[int64]int // lease rows, with how many of their tasks have not ended
	ended   []int64       // lease rows to drop with the next heartbeat
	seen    time.Time     // when the last heartbeat that got through was sent
	command scheduler.Command
	lost    bool
	strays  bool // the answer to a lease was lost: there may be tasks that we hold without knowing
}

func newSession(ttl time.Duration) *session {
	return &session{id: scheduler.NewWorkerID(), ttl: ttl, command: scheduler.CommandRun, ended: []int64{},
		running: map[scheduler.TaskID]*attempt{}, groups: map[int64]int{}}
}

// deadline is when handlers must have been told to stop: before others may take the tasks.
func (s *session) deadline() time.Time {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.stopAt()
}

// stopAt is deadline; s.mu is held.
func (s *session) stopAt() time.Time { return s.seen.Add(s.ttl * 4 / 5) }

// mayLease reports whether the leases are alive and nobody told the worker to be quiet.
func (s *session) mayLease() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.may()
}

// may is mayLease; s.mu is held.
func (s *session) may() bool {
	return !s.lost && s.command == scheduler.CommandRun && time.Now().Before(s.stopAt())
}

// add enters attempts that were leased just now. The answer may have been so long on its way that they must not begin.
func (s *session) add(attempts []*attempt) {
	s.mu.Lock()
	defer s.mu.Unlock()
	late := s.lost || !time.Now().Before(s.stopAt())
	for _, a := range attempts {
		s.running[a.task.Task] = a
		s.groups[a.task.Group]++
		if late {
			a.cancel(scheduler.ErrLeaseLost)
		}
	}
}

// remove notes that the attempt has ended, in the database too.
func (s *session) remove(a *attempt) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.running[a.task.Task] == a {
		delete(s.running, a.task.Task)
	}
	s.groups[a.task.Group]--
	if s.groups[a.task.Group] == 0 {
		delete(s.groups, a.task.Group)
		s.ended = append(s.ended, a.task.Group)
	}
}

// cancelAll tells every running handler why it must stop.
func (s *session) cancelAll(cause error) (told int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, a := range s.running {
		if a.ctx.Err() == nil {
			a.cancel(cause)
			told++
		}
	}
	return told
}

// beat returns what the next heartbeat tells.
func (s *session) beat() scheduler.Beat {
	s.mu.Lock()
	defer s.mu.Unlock()
	return scheduler.Beat{Running: len(s.running), Held: s.held(), Ended: s.ended}
}

// obey takes in what a heartbeat brought back. resumed: tasks may be leased now and could not be before. early: it was asked to cancel
// an attempt that had not begun when it was sent, so that an earlier one of that task may be meant: the next heartbeat tells.
func (s *session) obey(sent time.Time, told scheduler.Beat, orders scheduler.Orders) (resumed, early bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	could := s.may()
	s.seen = sent
	s.ended = s.ended[len(told.Ended):]
	s.command = orders.Command
	for _, id := range orders.Cancelled {
		switch a := s.running[id]; {
		case a == nil: // it has ended, or its lease is on its way: then the next heartbeat brings this again
		case a.began.Before(sent):
			a.cancel(ErrCancelled)
		default:
			early = true
		}
	}
	return !could && s.may(), early
}

// held lists the lease rows with tasks that have not ended; never nil, which would be NULL. s.mu is held.
func (s *session) held() []int64 {
	return slices.AppendSeq([]int64{}, maps.Keys(s.groups))
}

// open lists the attempts that have not ended.
func (s *session) open() []scheduler.Lease {
	s.mu.Lock()
	defer s.mu.Unlock()
	var list []scheduler.Lease
	for _, a := range s.running {
		list = append(list, a.task.Lease)
	}
	return list
}

// count counts the attempts that have not ended as ended.
func (s *session) count(how Outcome) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, a := range s.running {
		a.counts.end(how)
	}
}

// doubt notes that the answer to a lease was lost.
func (s *session) doubt() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.strays = true
}

// unsure reports whether there may be tasks that we hold without knowing.
func (s *session) unsure() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.strays
}

func (s *session) lose() {
	s.mu.Lock()
	s.lost = true
	s.mu.Unlock()
	s.cancelAll(scheduler.ErrLeaseLost)
}
