package worker

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/pgscheduler/scheduler/scheduler"
)

const (
	journalEvery  = 250 * time.Millisecond // at most one write of a task's progress in so long
	journalGather = 25 * time.Millisecond  // at most one write of any in so long; what comes meanwhile goes together
	journalLines  = 4096                   // buffered; who logs more waits for the database
	journalBatch  = 1000                   // lines in one statement
	writeTimeout  = 10 * time.Second
)

// journal writes progress and log lines of all attempts in batches, off the handlers' way.
type journal struct {
	client *scheduler.Client
	logger *slog.Logger
	kick   chan struct{}

	writing sync.Mutex // one writer at a time, so that lines keep their order and older progress never overwrites newer

	mu       sync.Mutex
	room     chan struct{}     // closed and replaced when lines were taken
	attempts map[*attempt]bool // that have progress to write
	lines    []scheduler.Line
}

func newJournal(client *scheduler.Client, logger *slog.Logger) *journal {
	return &journal{client: client, logger: logger, kick: make(chan struct{}, 1), room: make(chan struct{}), attempts: map[*attempt]bool{}}
}

// run writes what comes in until ctx ends: at once when nothing was written lately.
func (j *journal) run(ctx context.Context) {
	due := time.NewTimer(journalEvery)
	defer due.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-j.kick:
		case <-due.C:
		}
		write, cancel := context.WithTimeout(ctx, writeTimeout)
		next, err := j.writeDue(write)
		cancel()
		pause := journalGather
		if err != nil && ctx.Err() == nil {
			j.logger.LogAttrs(ctx, slog.LevelWarn, "report", slog.Any("err", err))
			pause = journalEvery
		}
		if next > 0 {
			due.Reset(next)
		}
		select {
		case <-ctx.Done():
			return
		case <-time.After(pause):
		}
	}
}

// writeDue writes all lines, and the progress of attempts whose last write was long enough ago. It returns when the next of
// the others is due; 0: there is none.
func (j *journal) writeDue(ctx context.Context) (next time.Duration, err error) {
	j.writing.Lock()
	defer j.writing.Unlock()
	if err := j.sendLines(ctx, func(scheduler.Line) bool { return true }); err != nil {
		return 0, err
	}
	j.mu.Lock()
	var chosen []*attempt
	now := time.Now()
	for a := range j.attempts {
		if wait := journalEvery - now.Sub(a.writtenAt); wait > 0 {
			if next == 0 || wait < next {
				next = wait
			}
			continue
		}
		delete(j.attempts, a)
		a.writtenAt = now
		chosen = append(chosen, a)
	}
	j.mu.Unlock()
	return next, j.sendProgress(ctx, chosen)
}

func (j *journal) wake() {
	select {
	case j.kick <- struct{}{}:
	default:
	}
}

// dirty notes that the attempt has progress to write.
func (j *journal) dirty(a *attempt) {
	a.noted.Store(true)
	j.mu.Lock()
	j.attempts[a] = true
	j.mu.Unlock()
	j.wake()
}

// add buffers a line; while the buffer is full it waits, until the attempt's context ends.
func (j *journal) add(a *attempt, line scheduler.Line) {
	a.noted.Store(true)
	for {
		j.mu.Lock()
		if len(j.lines) < journalLines {
			j.lines = append(j.lines, line)
			j.mu.Unlock()
			j.wake()
			return
		}
		room := j.room
		j.mu.Unlock()
		select {
		case <-room:
		case <-a.ctx.Done():
			return
		}
	}
}

// flush returns when all that the attempt has reported and logged is written. Called before the attempt is settled. It
// writes what others have as well: whoever waits for it then finds nothing left to do.
func (j *journal) flush(ctx context.Context, a *attempt) error {
	if !a.noted.Load() || !j.has(a) {
		return nil
	}
	if err := j.write(ctx); err != nil {
		return err
	}
	p := j.withdraw(a)
	if p == nil {
		return nil
	}
	// Somebody had its row locked, for a moment as a rule: who waits for the task marks it so. Once it has ended it is too late.
	err := j.client.ReportLast(ctx, scheduler.Report{Lease: a.task.Lease, Progress: *p})
	if err != nil && !errors.Is(err, scheduler.ErrLeaseLost) { // which the outcome will be told as well
		a.putBack(*p)
		j.dirty(a)
		return err
	}
	return nil
}

// has reports whether something of the attempt is not written yet, once what is being written has been.
func (j *journal) has(a *attempt) bool {
	j.writing.Lock()
	defer j.writing.Unlock()
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.attempts[a] || slices.ContainsFunc(j.lines, func(l scheduler.Line) bool { return l.Lease == a.task.Lease })
}

// withdraw returns the progress that the attempt has reported and that is not written; nor will it be, nor is any older one
// of the attempt being written: the caller writes it, or newer.
func (j *journal) withdraw(a *attempt) *scheduler.Progress {
	j.writing.Lock()
	defer j.writing.Unlock()
	return a.takeProgress()
}

// writeLines writes the lines that the attempt has logged, and leaves its progress.
func (j *journal) writeLines(ctx context.Context, a *attempt) error {
	j.writing.Lock()
	defer j.writing.Unlock()
	return j.sendLines(ctx, func(l scheduler.Line) bool { return l.Lease == a.task.Lease })
}

// write writes everything.
func (j *journal) write(ctx context.Context) error {
	j.writing.Lock()
	defer j.writing.Unlock()
	if err := j.sendLines(ctx, func(scheduler.Line) bool { return true }); err != nil {
		return err
	}
	j.mu.Lock()
	chosen := slices.Collect(maps.Keys(j.attempts))
	clear(j.attempts)
	j.mu.Unlock()
	return j.sendProgress(ctx, chosen)
}

// sendLines writes lines in order. Those that the database refuses for what they hold are dropped, and that is an error.
func (j *journal) sendLines(ctx context.Context, mine func(scheduler.Line) bool) (refused error) {
	chosen := j.take(mine)
	for len(chosen) > 0 {
		n := batchOf(chosen)
		if err := j.client.Log(ctx, chosen[:n]); err != nil {
			if !scheduler.Refused(err) {
				j.mu.Lock()
				j.lines = append(chosen, j.lines...)
				j.mu.Unlock()
				j.wake()
				return err
			}
			refused = err
		}
		chosen = chosen[n:]
	}
	j.mu.Lock()
	j.makeRoom()
	j.mu.Unlock()
	return refused
}

// take takes lines out, those of each worker id together.
func (j *journal) take(mine func(scheduler.Line) bool) (chosen []scheduler.Line) {
	j.mu.Lock()
	defer j.mu.Unlock()
	var rest []scheduler.Line
	for _, line := range j.lines {
		if mine(line) {
			chosen = append(chosen, line)
		} else {
			rest = append(rest, line)
		}
	}
	j.lines = rest
	gather(chosen)
	return chosen
}

// gather puts the lines of each worker id together, those of each attempt in the order that they have. There are several after a
// lease was lost, as long as handlers of the life before are deaf to that, and their lines come in turns: a statement for each turn
// would take minutes.
func gather(lines []scheduler.Line) {
	if !slices.ContainsFunc(lines, func(l scheduler.Line) bool { return l.Worker != lines[0].Worker }) {
		return
	}
	slices.SortStableFunc(lines, func(a, b scheduler.Line) int { return bytes.Compare(a.Worker[:], b.Worker[:]) })
}

// batchOf returns how many of the lines, from the first on, go into one statement, which is about one worker id.
func batchOf(lines []scheduler.Line) int {
	most := min(len(lines), journalBatch)
	if n := slices.IndexFunc(lines[:most], func(l scheduler.Line) bool { return l.Worker != lines[0].Worker }); n > 0 {
		return n
	}
	return most
}

// makeRoom lets those go on who wait for room in the buffer. j.mu is held.
func (j *journal) makeRoom() {
	close(j.room)
	j.room = make(chan struct{})
}

// sendProgress writes what the attempts have reported, a session at a time: after a lease was lost there can be two.
func (j *journal) sendProgress(ctx context.Context, attempts []*attempt) error {
	sessions := map[*session][]*attempt{}
	for _, a := range attempts {
		sessions[a.session] = append(sessions[a.session], a)
	}
	var failed error
	for _, of := range sessions {
		failed = errors.Join(failed, j.sendSession(ctx, of))
	}
	return failed
}

func (j *journal) sendSession(ctx context.Context, attempts []*attempt) error {
	var reports []scheduler.Report
	byTask := map[scheduler.TaskID]*attempt{}
	for _, a := range attempts {
		if other := byTask[a.task.Task]; other != nil && other.task.Attempt > a.task.Attempt {
			continue // an attempt that has ended, beside the one that followed it
		}
		if p := a.takeProgress(); p != nil {
			reports = slices.DeleteFunc(reports, func(r scheduler.Report) bool { return r.Task == a.task.Task })
			reports = append(reports, scheduler.Report{Lease: a.task.Lease, Progress: *p})
			byTask[a.task.Task] = a
		}
	}
	if len(reports) == 0 {
		return nil
	}
	lost, again, err := j.client.Report(ctx, reports)
	if err != nil && !scheduler.Refused(err) {
		again = reports // what was written is written again
	}
	for _, lease := range lost {
		byTask[lease.Task].cancel(scheduler.ErrLeaseLost)
	}
	for _, r := range again {
		a := byTask[r.Task]
		a.putBack(r.Progress)
		j.dirty(a)
	}
	return err
}

// forget drops what is left of an attempt that has ended.
func (j *journal) forget(a *attempt) {
	if !a.noted.Load() {
		return
	}
	j.mu.Lock()
	defer j.mu.Unlock()
	delete(j.attempts, a)
	j.lines = slices.DeleteFunc(j.lines, func(l scheduler.Line) bool { return l.Lease == a.task.Lease })
	j.makeRoom()
}
