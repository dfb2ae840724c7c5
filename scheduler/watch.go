package scheduler

import (
	"cmp"
	"context"
	"maps"
	"slices"
	"sync"
	"time"
)

// ChannelWatch carries ids of watched tasks that changed. Only a hint: the tasks are read again from time to time.
const ChannelWatch = "scheduler_watch"

const (
	watchLines = 200      // newest lines of a task that are kept
	watchBytes = 32 << 10 // and bytes of them
)

// Snapshot is a watched task at one revision. It is shared: never change it.
type Snapshot struct {
	Task   Task
	mu     sync.Mutex
	frames map[any]any
}

// Frame returns what make makes of the task, made once a snapshot and key: what many are sent is encoded once. Safe for
// concurrent use.
func Frame[T any](s *Snapshot, key any, make func(Task) T) T {
	s.mu.Lock()
	defer s.mu.Unlock()
	frame, ok := s.frames[key].(T)
	if !ok {
		frame = make(s.Task)
		if s.frames == nil {
			s.frames = map[any]any{}
		}
		s.frames[key] = frame
	}
	return frame
}

// Change is what is new of a task since the Change before.
type Change struct {
	Snapshot *Snapshot // nil: the task is as it was
	Latest   *Snapshot // the task, whether it is as it was or not; nil only with an error
	Lines    []LogLine // further lines that handlers wrote, in order
	Missed   bool      // there were more lines before these than are kept; Client.Logs has them
}

// WatchFrom is what somebody who begins to follow a task knows of it.
type WatchFrom struct {
	Revision int64 // that was seen, by whichever client: no Snapshot comes while the task is still at it. 0: none
	Line     int64 // id of the last log line that was seen. 0: none, the newest ones come
	NoLines  bool  // log lines are not wanted
}

// Watcher follows tasks. What it costs the database depends on how many tasks are followed and how often they change, not on
// how many follow them: each change is read once for all Watchers of a client. Make it with Client.Watcher; Close it. Safe for
// concurrent use, but for Next, which one goroutine may call at a time.
type Watcher struct {
	client *Client
	bell   chan struct{} // there is something in news

	mu    sync.Mutex
	tasks map[TaskID]*follower
	news  []*follower // whose task has something new
}

// follower is a Watcher at one task.
type follower struct {
	watcher *Watcher
	task    *watched
	lines   bool
	fresh   int64     // the first read that it believes that the task is older than what was seen of it; 0: any
	from    WatchFrom // Next's
	begun   bool      // Next's: something was returned
	queued  bool      // of watcher.mu: is in news
	removed bool      // of watcher.mu
}

// Watcher returns a Watcher that follows nothing yet. Costs nothing until Add.
func (c *Client) Watcher() *Watcher {
	return &Watcher{client: c, bell: make(chan struct{}, 1), tasks: map[TaskID]*follower{}}
}

// Add follows a task from what is known of it. Adding a task that is followed begins anew. Never blocks.
func (w *Watcher) Add(id TaskID, from WatchFrom) {
	w.Remove(id)
	f := &follower{watcher: w, lines: !from.NoLines, from: from}
	w.client.watches.join(id, f)
	w.mu.Lock()
	w.tasks[id] = f
	w.mu.Unlock()
	f.task.add(f)
}

// Remove ends following a task, if it is followed.
func (w *Watcher) Remove(id TaskID) {
	w.mu.Lock()
	f := w.tasks[id]
	delete(w.tasks, id)
	if f != nil {
		f.removed = true
	}
	w.mu.Unlock()
	if f != nil {
		f.task.remove(f)
		w.client.watches.leave(f)
	}
}

// Close ends all.
func (w *Watcher) Close() {
	w.mu.Lock()
	ids := slices.Collect(maps.Keys(w.tasks))
	w.mu.Unlock()
	for _, id := range ids {
		w.Remove(id)
	}
}

// Next waits until there is something new of any task, and returns which; of several changes only the last, in full. For
// each task it returns once as soon as it was read, if need be with nothing. The error is ErrNotFound when there is no such
// task, or no more, which ends following it; otherwise that of ctx, or that the client is closed.
func (w *Watcher) Next(ctx context.Context) (TaskID, Change, error) {
	for {
		f := w.next()
		if f == nil {
			select {
			case <-ctx.Done():
				return TaskID{}, Change{}, ctx.Err()
			case <-w.bell:
			}
			continue
		}
		change, ok, err := f.task.since(&f.from, f.fresh, !f.begun)
		if !ok {
			continue
		}
		f.begun = true
		if err != nil {
			w.Remove(f.task.id)
		}
		return f.task.id, change, err
	}
}

// next takes the first of news.
func (w *Watcher) next() *follower {
	w.mu.Lock()
	defer w.mu.Unlock()
	for len(w.news) > 0 {
		f := w.news[0]
		w.news[0] = nil
		w.news = w.news[1:]
		f.queued = false
		if !f.removed {
			return f
		}
	}
	w.news = nil
	return nil
}

// tell has Next look at the task.
func (f *follower) tell() {
	w := f.watcher
	w.mu.Lock()
	defer w.mu.Unlock()
	if f.queued || f.removed {
		return
	}
	f.queued = true
	w.news = append(w.news, f)
	select {
	case w.bell <- struct{}{}:
	default:
	}
}

// watched is a task as all see it who follow it. Safe for concurrent use.
type watched struct {
	id TaskID

	// of watches.mu
	count     int       // of followers
	withLines int       // of those who want lines
	left      time.Time // since when there is none
	marked    bool      // its changes are told
	again     bool      // it has to be read once more, soon: lines that were on their way when it was marked are not told
	dirty     bool      // it has to be read
	begun     int64     // reads; only the rounds add to them

	mu        sync.Mutex
	followers map[*follower]struct{}
	err       error     // it is gone, or the client is
	snapshot  *Snapshot // nil: not read yet
	lines     []LogLine // the newest
	bytes     int       // of their messages
	last      int64     // id of the last line that was read
	lost      int64     // id of the last line that is not kept; 0: none
	lined     bool      // lines were read
	read      int64     // the last of the reads that have ended
	doubted   int64     // the last read that a follower waits for
}

func (t *watched) add(f *follower) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.followers[f] = struct{}{}
	t.doubted = max(t.doubted, f.fresh)
	f.tell()
}

func (t *watched) remove(f *follower) {
	t.mu.Lock()
	defer t.mu.Unlock()
	delete(t.followers, f)
}

// since returns what is new, and moves from. ok: there is something, or it is the first time. Somebody may have seen more of the task
// elsewhere than is known here by now, or a task that is known to be done may have been retried: then there is nothing before it was
// read anew.
func (t *watched) since(from *WatchFrom, fresh int64, first bool) (c Change, ok bool, err error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.err != nil {
		return Change{}, true, t.err
	}
	if t.snapshot == nil || !from.NoLines && !t.lined {
		return Change{}, false, nil
	}
	if t.read < fresh && (t.snapshot.Task.Revision < from.Revision || t.done()) {
		return Change{}, false, nil
	}
	c.Latest = t.snapshot
	if revision := t.snapshot.Task.Revision; revision != from.Revision {
		c.Snapshot, from.Revision = t.snapshot, revision
	}
	if !from.NoLines && t.last > from.Line {
		c.Missed = t.lost > from.Line
		at, _ := slices.BinarySearchFunc(t.lines, from.Line+1, func(l LogLine, id int64) int { return cmp.Compare(l.ID, id) })
		c.Lines, from.Line = slices.Clone(t.lines[at:]), t.last
	}
	return c, first || c.Snapshot != nil || len(c.Lines) > 0, nil
}

// update takes in what was read of the task. A nil snapshot: the task is gone. That it is done is taken in together with its last
// lines, and nobody who begins to follow is told before, since nobody asks for more then. revived: it was done, and is not any more.
func (t *watched) update(s *Snapshot, lines []LogLine, lined bool) (revived bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	awaited := t.read < t.doubted
	done, was := s != nil && s.Task.State.Done(), t.done()
	early := t.lined && len(lines) == watchLines && done
	if !early {
		t.read = t.begun
	}
	switch {
	case s == nil:
		t.err = ErrNotFound
	case early: // it is read again at once
	case t.snapshot == nil || s.Task.Revision != t.snapshot.Task.Revision:
		t.snapshot = s
	case len(lines) == 0 && (t.lined || !lined) && !awaited:
		return false // nothing new
	}
	if lined && !t.lined && len(lines) == watchLines {
		t.lost = lines[0].ID - 1
	}
	t.lined = t.lined || lined
	for _, line := range lines {
		if line.ID > t.last {
			t.lines, t.bytes, t.last = append(t.lines, line), t.bytes+len(line.Message), line.ID
		}
	}
	for len(t.lines) > watchLines || t.bytes > watchBytes && len(t.lines) > 1 {
		t.lost, t.bytes = t.lines[0].ID, t.bytes-len(t.lines[0].Message)
		t.lines = t.lines[1:]
	}
	t.wake()
	return was && !done
}

// end tells all followers that nothing more will come.
func (t *watched) end(err error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.err == nil {
		t.err = err
		t.wake()
	}
}

// wake tells all followers to look. t.mu is held.
func (t *watched) wake() {
	for f := range t.followers {
		f.tell()
	}
}

// done reports whether the task was done when it was last read. t.mu is held.
func (t *watched) done() bool { return t.snapshot != nil && t.snapshot.Task.State.Done() }

// stale reports whether somebody who begins to follow, and has seen a revision, may have to wait until the task was read anew.
func (t *watched) stale(revision int64) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.snapshot == nil || t.snapshot.Task.Revision < revision || t.done()
}

// waits reports whether the task was ready when it was last read, and where.
func (t *watched) waits() (queue Queue, ready bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.snapshot == nil || t.snapshot.Task.State != Ready {
		return "", false
	}
	return t.snapshot.Task.Queue, true
}

// seen is what was read of the task so far.
func (t *watched) seen() (revision int64, line *int64) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.snapshot != nil {
		revision = t.snapshot.Task.Revision
	}
	if t.lined {
		line = new(t.last)
	}
	return revision, line
}
