package worker

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"sync"

	"github.com/pgscheduler/scheduler/scheduler"
)

// order is a frame from the worker to a long-lived child.
type order struct {
	Op     string              `json:"op"` // task, cancel, saved, drain
	ID     string              `json:"id,omitempty"`
	Task   *scheduler.WireTask `json:"task,omitempty"`
	Reason string              `json:"reason,omitempty"` // of cancel
	Error  string              `json:"error,omitempty"`  // of saved: why it was not
}

// outbox holds frames until a child reads them. Safe for concurrent use.
type outbox struct {
	mu     sync.Mutex
	frames [][]byte
	size   int
	closed bool
	more   chan struct{}
}

// maxUnread is how many bytes a child may leave unread: many times what it needs for all its slots.
const maxUnread = 32 << 20

func newOutbox() *outbox { return &outbox{more: make(chan struct{}, 1)} }

// send adds a frame. It reports false when there is too much already.
func (o *outbox) send(frame order) bool {
	line, err := json.Marshal(frame) // escapes U+2028 and U+2029 too, at which some languages' readers end lines
	if err != nil {
		return false // not reached: what is in it came out of the database as JSON
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	switch {
	case o.closed:
		return true // nobody will miss it
	case o.size > maxUnread:
		return false
	}
	o.frames = append(o.frames, append(line, '\n'))
	o.size += len(line)
	nudge(o.more)
	return true
}

// close lets next return false once all frames are taken.
func (o *outbox) close() {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.closed = true
	nudge(o.more)
}

// next waits for a frame.
func (o *outbox) next() (frame []byte, ok bool) {
	for {
		o.mu.Lock()
		if len(o.frames) > 0 {
			frame, o.frames = o.frames[0], o.frames[1:]
			o.size -= len(frame) - 1
			o.mu.Unlock()
			return frame, true
		}
		closed := o.closed
		o.mu.Unlock()
		if closed {
			return nil, false
		}
		<-o.more
	}
}

// write writes frames to stdin until the outbox is closed and empty, or nobody reads.
func (k *child) write() {
	for {
		frame, ok := k.outbox.next()
		if !ok {
			_ = k.process.stdin.Close()
			return
		}
		if _, err := k.process.stdin.Write(frame); err != nil {
			k.hangsUp("it closed its standard input")
			return
		}
	}
}

// send gives the child a frame.
func (k *child) send(frame order) {
	if !k.outbox.send(frame) {
		k.breakOff(breach{err: errors.New("it does not read its standard input")})
	}
}

// hangsUp is for a pipe that the child has closed. One that was told to end may.
func (k *child) hangsUp(how string) {
	k.pool.mu.Lock()
	draining := k.draining
	k.pool.mu.Unlock()
	if !draining {
		k.breakOff(breach{err: errors.New(how), ending: true})
	}
}

// listen takes in what the child says on descriptor 3.
func (k *child) listen() {
	deaf := false // after a breach nothing counts any more
	breaks := func(err error) {
		if !deaf {
			deaf = true
			k.breakOff(breach{err: err})
		}
	}
	l := lines{limit: maxFrame, long: func() { breaks(fmt.Errorf("it wrote a line of more than %d MiB on descriptor 3", maxFrame>>20)) }}
	l.line = func(line string) {
		if deaf || strings.TrimSpace(line) == "" {
			return
		}
		if err := k.hear(line); err != nil {
			breaks(err)
		}
	}
	l.read(k.process.control)
	if !deaf {
		k.hangsUp("it closed descriptor 3")
	}
}

// hear takes in one line. It returns an error for what ends the child.
func (k *child) hear(line string) error {
	var m message
	err := json.Unmarshal([]byte(line), &m)
	var field *json.UnmarshalTypeError // the others were read
	if err != nil && (!errors.As(err, &field) || m.Op == "") || m.Op == "" {
		return fmt.Errorf("it wrote what is no frame on descriptor 3: %q", scheduler.Truncate(line, 200))
	}
	if m.Op == "ready" {
		return k.heardReady(m, err)
	}
	e, answered := k.errand(m)
	ends := m.Op == "result" || m.Op == "error" || m.Op == "snooze"
	switch {
	case answered && ends:
		k.aside("child says twice how a task ended, it is replaced", "task_id", m.ID, "op", m.Op)
		k.pool.wear(k, "it says twice how a task ended")
	case e == nil && ends:
		k.aside("child says how a task ended that it does not have, it is replaced", "task_id", scheduler.Truncate(m.ID, 100), "op", m.Op)
		k.pool.wear(k, "it says how a task ended that it does not have")
	case e == nil || answered:
		k.aside("child says", "line", scheduler.Truncate(line, 1000))
	case ends:
		if err != nil {
			m = message{Op: "error", Code: "bad_frame", Message: fmt.Sprintf("the child's %s makes no sense: %v", m.Op, err)}
		}
		if m.Ends {
			k.retire()
		}
		k.catchUp()
		k.answered.Store(true)
		e.tell(m)
	case err != nil:
		e.attempt.log("log", "descriptor 3: "+err.Error())
	default:
		e.hear(m, line)
	}
	return nil
}

func (k *child) heardReady(m message, err error) error {
	if err != nil {
		return fmt.Errorf("its ready frame makes no sense: %w", err)
	}
	if k.isReady() {
		k.aside("child says ready once more")
		return nil
	}
	if err := k.pool.admit(k, m); err != nil {
		return err
	}
	k.info("child ready", "language", scheduler.CleanText(m.Language, 100), "slots", max(1, m.Slots))
	return nil
}

// errand finds the open task that a frame is about, and notes its end. answered: it was said before how it ended.
func (k *child) errand(m message) (e *errand, answered bool) {
	k.pool.mu.Lock()
	defer k.pool.mu.Unlock()
	if e = k.open[m.ID]; e == nil {
		return nil, false
	}
	answered = e.answered
	if m.Op == "result" || m.Op == "error" || m.Op == "snooze" {
		e.answered = true
	}
	return e, answered
}
