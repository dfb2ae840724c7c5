package scheduler

import (
	"cmp"
	"context"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/pgscheduler/scheduler/sql"
)

const (
	watchGather = 10 * time.Millisecond  // changes that come so soon one after the other are read together
	watchBatch  = 200                    // tasks that one statement reads
	watchRenew  = 20 * time.Second       // how often marks are renewed, and revisions compared, while changes are told
	watchPoll   = 500 * time.Millisecond // how often revisions are compared while they are not
	watchLinger = 5 * time.Second        // a task that nobody watches any more is kept for so long, in case that somebody comes back
)

// watches are all tasks that somebody watches by this client: its rounds read what is dirty, and look at all from time to time.
type watches struct {
	rounds
	tasks map[TaskID]*watched
	look  bool // compare the revisions of all now
	reads int  // so far
}

func (h *watches) open(c *Client) {
	h.rounds = rounds{client: c, of: h, verb: "watch", channels: []string{ChannelWatch}, gather: watchGather, work: make(chan struct{}, 1)}
	h.tasks = map[TaskID]*watched{}
}

// join gives the follower its task, and has that read if it is not yet.
func (h *watches) join(id TaskID, f *follower) {
	h.mu.Lock()
	defer h.mu.Unlock()
	t := h.tasks[id]
	if t == nil {
		t = &watched{id: id, followers: map[*follower]struct{}{}, dirty: true}
		if h.closed {
			t.err = errClosed
		} else {
			h.tasks[id] = t
			h.wake()
		}
	}
	f.task = t
	t.count++
	if f.lines {
		if t.withLines++; t.withLines == 1 {
			t.dirty = true
			h.wake()
		}
	}
	if t.stale(f.from.Revision) {
		f.fresh, t.dirty = t.begun+1, true
		h.wake()
	}
	h.start(watchPoll)
}

func (h *watches) leave(f *follower) {
	h.mu.Lock()
	defer h.mu.Unlock()
	t := f.task
	t.count--
	if f.lines {
		t.withLines--
	}
	if t.count == 0 {
		t.left = time.Now()
	}
}

// counts returns how many follow, how many tasks, and how often these were read.
func (h *watches) counts() (followers, tasks int, reads uint64) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, t := range h.tasks {
		followers += t.count
	}
	return followers, len(h.tasks), uint64(h.reads)
}

func (h *watches) close() {
	h.stop()
	for _, t := range h.tasks {
		t.end(errClosed)
	}
}

// hear takes in a notification: the id of a task that changed, and "lines" when only lines were added.
func (h *watches) hear(channel, payload string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if channel == "" { // connected, or not any more: anything may have happened
		h.look = true
		for _, t := range h.tasks {
			t.dirty = t.dirty || t.withLines > 0 // which no revision tells
		}
		h.wake()
		return
	}
	text, _, _ := strings.Cut(payload, " ")
	id, err := ParseTaskID(text)
	if err != nil {
		return
	}
	if t := h.tasks[id]; t != nil {
		t.dirty = true
		h.wake()
	}
}

// wanted forgets tasks that nobody has watched for a while, and reports whether there are others. h.mu is held.
func (h *watches) wanted() bool {
	maps.DeleteFunc(h.tasks, func(_ TaskID, t *watched) bool { return t.count == 0 && time.Since(t.left) > watchLinger })
	return len(h.tasks) > 0
}

// round reads dirty tasks, after a look at all of them if that is due.
func (h *watches) round(ctx context.Context, timed bool) (next time.Duration, err error) {
	if err := h.refresh(ctx, timed, !h.client.ear.hears(ChannelWatch)); err != nil {
		return watchPoll, err
	}
	hearing := h.client.ear.hears(ChannelWatch)
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, t := range h.tasks {
		if !hearing || !t.marked || t.again {
			return watchPoll, nil
		}
	}
	return watchRenew, nil
}

// refresh reads dirty tasks, after a look at all of them if that is due. deaf: no changes are heard.
func (h *watches) refresh(ctx context.Context, look, deaf bool) error {
	h.mu.Lock()
	look = look || h.look
	h.look = false
	var all []*watched
	if look {
		for _, t := range h.tasks {
			if revision, _ := t.seen(); revision > 0 { // else it is about to be read
				all = append(all, t)
			}
			t.dirty, t.again = t.dirty || t.again || deaf && t.withLines > 0, false // no revision tells of lines
		}
	}
	h.mu.Unlock()
	for some := range slices.Chunk(all, watchBatch) {
		if err := h.compare(ctx, some); err != nil {
			h.mu.Lock()
			h.look = true
			h.mu.Unlock()
			return err
		}
	}
	for {
		some := h.takeDirty()
		if len(some) == 0 {
			return nil
		}
		if err := h.read(ctx, some); err != nil {
			h.mu.Lock()
			for _, t := range some {
				t.dirty = true
			}
			h.mu.Unlock()
			return err
		}
	}
}

// takeDirty returns some of the tasks that have to be read, which counts as done.
func (h *watches) takeDirty() (some []*watched) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, t := range h.tasks {
		if t.dirty && len(some) < watchBatch {
			t.dirty = false
			t.begun++
			some = append(some, t)
		}
	}
	return some
}

// compare renews marks and finds out which tasks changed without being told.
func (h *watches) compare(ctx context.Context, some []*watched) error {
	ids, revisions := make([]TaskID, len(some)), make([]int64, len(some))
	for i, t := range some {
		ids[i] = t.id
		revisions[i], _ = t.seen()
	}
	var batch pgx.Batch
	marked := h.mark(&batch, some)
	var changed []TaskID
	batch.Queue(sql.WatchChanged, pgx.StrictNamedArgs{"ids": ids, "revisions": revisions}).Query(func(rows pgx.Rows) (err error) {
		changed, err = pgx.CollectRows(rows, pgx.RowTo[TaskID])
		return err
	})
	if err := h.send(ctx, &batch); err != nil {
		return err
	}
	h.passedBy(marked())
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, id := range changed {
		if t := h.tasks[id]; t != nil {
			t.dirty = true
		}
	}
	return nil
}

// mark queues what has the changes of tasks told. marked is to be called once that is committed; it returns those that were not told before.
func (h *watches) mark(batch *pgx.Batch, some []*watched) (marked func() (fresh []*watched)) {
	ids := make([]TaskID, len(some))
	for i, t := range some {
		ids[i] = t.id
	}
	var locked []TaskID
	batch.Queue(sql.WatchMark, pgx.StrictNamedArgs{"ids": ids}).Query(func(rows pgx.Rows) (err error) {
		locked, err = pgx.CollectRows(rows, pgx.RowTo[TaskID])
		return err
	})
	return func() (fresh []*watched) {
		h.mu.Lock()
		defer h.mu.Unlock()
		for _, t := range some {
			was := t.marked
			t.marked = !slices.Contains(locked, t.id)
			if t.marked && !was {
				fresh = append(fresh, t)
				t.again = t.again || t.withLines > 0
			}
		}
		return fresh
	}
}

// passedBy announces once more the queues of tasks that are ready: a lease that came while they were being marked has passed them by.
func (h *watches) passedBy(marked []*watched) {
	queues := map[Queue]bool{}
	for _, t := range marked {
		if queue, ready := t.waits(); ready {
			queues[queue] = true
		}
	}
	for queue := range queues {
		h.client.announceReady(queue)
	}
}

// read reads tasks, marked first: what changes after that is told.
func (h *watches) read(ctx context.Context, some []*watched) error {
	var batch pgx.Batch
	var unmarked []*watched
	var ids, lined []TaskID
	var after []*int64
	h.mu.Lock()
	h.reads++
	for _, t := range some {
		ids = append(ids, t.id)
		if !t.marked {
			unmarked = append(unmarked, t)
		}
		if t.withLines > 0 {
			_, line := t.seen()
			lined, after = append(lined, t.id), append(after, line)
		}
	}
	h.mu.Unlock()
	marked := func() []*watched { return nil }
	if len(unmarked) > 0 {
		marked = h.mark(&batch, unmarked)
	}
	tasks, lines := map[TaskID]*Snapshot{}, map[TaskID][]LogLine{}
	batch.Queue(sql.WatchRead, pgx.StrictNamedArgs{"ids": ids}).Query(func(rows pgx.Rows) error {
		list, err := pgx.CollectRows(rows, pgx.RowToStructByName[Task])
		for _, task := range list {
			tasks[task.ID] = &Snapshot{Task: task}
		}
		return err
	})
	if len(lined) > 0 {
		batch.Queue(sql.WatchLines, pgx.StrictNamedArgs{"ids": lined, "after": after, "limit": watchLines}).Query(func(rows pgx.Rows) error {
			list, err := pgx.CollectRows(rows, pgx.RowToStructByName[watchedLine])
			for _, l := range list {
				lines[l.TaskID] = append(lines[l.TaskID], l.LogLine)
			}
			return err
		})
	}
	if err := h.send(ctx, &batch); err != nil {
		return err
	}
	fresh := marked()
	for _, t := range some {
		revived := t.update(tasks[t.id], lines[t.id], slices.Contains(lined, t.id))
		switch {
		case tasks[t.id] == nil:
			h.forget(t)
		case revived, len(lines[t.id]) == watchLines: // there may be more
			h.again(t, revived)
		}
	}
	h.passedBy(fresh)
	return nil
}

// watchedLine is a line and its task.
type watchedLine struct {
	TaskID TaskID `db:"task_id"`
	LogLine
}

func (h *watches) forget(t *watched) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.tasks[t.id] == t {
		delete(h.tasks, t.id)
	}
}

// again has a task read once more, and marked before if it was done until now: such are not.
func (h *watches) again(t *watched, revived bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	t.dirty, t.marked = true, t.marked && !revived
	h.wake()
}

// send runs a batch in one transaction: what it reads is read after what it marks.
func (h *watches) send(ctx context.Context, batch *pgx.Batch) error {
	ctx, cancel := context.WithTimeout(ctx, cmp.Or(h.client.config.bear, readTimeout))
	defer cancel()
	return h.client.pool.SendBatch(ctx, batch).Close()
}
