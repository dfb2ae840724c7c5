package scheduler

import (
	"context"
	"errors"
	"time"

	"github.com/jackc/pgx/v5"
)

const (
	recentTicks    = 100     // that are read at first, for those who come back from another process
	recentMessages = 1000    // newest messages that are kept in memory, for those who come back
	recentBytes    = 4 << 20 // and bytes of them
	catchUps       = 2       // followers who read by themselves at the same time
)

// broadcasts hands messages to those who follow topics by this client: its rounds read each message once for all of them.
type broadcasts struct {
	rounds
	groups     map[string]*followers // by pattern
	count      int                   // of followers
	left       time.Time             // since when there is none
	at         Position              // all before was handed out
	from       Position              // recent has all from there to at
	recent     []*Message
	bytes      int           // of their payloads
	begun      chan struct{} // closed once at is known, or the client is closed
	catchingUp chan struct{} // holds one for each who reads by himself
	reads      uint64        // so far
}

// followers are those of one pattern.
type followers struct {
	text    string
	pattern pattern
	members map[*Follower]struct{}
}

func (h *broadcasts) open(c *Client) {
	h.rounds = rounds{client: c, of: h, verb: "follow topics", channels: []string{ChannelMessage}, gather: watchGather, work: make(chan struct{}, 1)}
	h.groups, h.catchingUp = map[string]*followers{}, make(chan struct{}, catchUps)
}

// join adds a follower, and returns what to wait for until messages are handed out.
func (h *broadcasts) join(f *Follower, text string) (begun chan struct{}) {
	h.mu.Lock()
	defer h.mu.Unlock()
	f.group = h.groups[text]
	if f.group == nil {
		f.group = &followers{text: text, pattern: newPattern(text), members: map[*Follower]struct{}{}}
		h.groups[text] = f.group
	}
	f.group.members[f] = struct{}{}
	h.count++
	if !h.running {
		h.begun, h.recent, h.bytes = make(chan struct{}), nil, 0
		if h.closed {
			close(h.begun)
		}
		h.start(0)
	}
	return h.begun
}

func (h *broadcasts) leave(f *Follower) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if _, ok := f.group.members[f]; !ok {
		return
	}
	delete(f.group.members, f)
	if len(f.group.members) == 0 {
		delete(h.groups, f.group.text)
	}
	if h.count--; h.count == 0 {
		h.left = time.Now()
	}
}

// counts returns how many follow, and how many round trips read messages.
func (h *broadcasts) counts() (followers int, reads uint64) {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.count, h.reads
}

func (h *broadcasts) close() {
	h.stop()
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.begun != nil && !h.isBegun() {
		close(h.begun)
	}
	for _, group := range h.groups {
		for f := range group.members {
			f.ring()
		}
	}
}

func (h *broadcasts) isBegun() bool {
	select {
	case <-h.begun:
		return true
	default:
		return false
	}
}

func (h *broadcasts) hear(string, string) { h.wake() }

func (h *broadcasts) wanted() bool { return h.count > 0 || time.Since(h.left) < watchLinger }

func (h *broadcasts) round(ctx context.Context, _ bool) (next time.Duration, err error) {
	if err := h.handOut(ctx); err != nil || !h.client.ear.hears(ChannelMessage) {
		return watchPoll, err
	}
	return watchRenew, nil
}

// handOut gives all messages that are there a place in the order, and hands out those that are new.
func (h *broadcasts) handOut(ctx context.Context) error {
	c := h.client
	if err := c.tickMessages(ctx); err != nil {
		return err
	}
	h.mu.Lock()
	at, begun := h.at, h.isBegun()
	h.mu.Unlock()
	if !begun {
		var bounds messageBounds
		var batch pgx.Batch
		queueBounds(&batch, &bounds)
		if err := c.reads.SendBatch(ctx, &batch).Close(); err != nil {
			return err
		}
		at = Position{Tick: max(bounds.Oldest, bounds.Newest-recentTicks) + 1}
		h.jump(at)
	}
	for end := false; !end; {
		page, next, last, err := c.readMessages(ctx, at)
		switch {
		case errors.Is(err, ErrCursorExpired): // this process was away for very long
			h.jump(next)
		case err != nil:
			return err
		default:
			h.hand(page, next)
		}
		at, end = next, last
	}
	if !begun {
		close(h.begun)
	}
	return nil
}

// jump goes to a position that does not follow from what was handed out. Those who follow have to find out by themselves.
func (h *broadcasts) jump(to Position) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, group := range h.groups {
		for f := range group.members {
			if f.live {
				f.live, f.at = false, furthest(f.at, h.at)
				f.ring()
			}
		}
	}
	h.at, h.from, h.recent, h.bytes = to, to, nil, 0
}

// hand gives a page to those who follow.
func (h *broadcasts) hand(page []*Message, next Position) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.reads++
	for _, m := range page {
		h.recent, h.bytes = append(h.recent, m), h.bytes+len(m.Payload)
		for len(h.recent) > recentMessages || h.bytes > recentBytes {
			h.from, h.bytes = h.recent[0].At, h.bytes-len(h.recent[0].Payload)
			h.recent[0] = nil
			h.recent = h.recent[1:]
		}
		for _, group := range h.groups {
			if group.pattern.matches(m.words) {
				for f := range group.members {
					f.push(m)
				}
			}
		}
	}
	h.at = next
}
