package scheduler

import (
	"context"
	"errors"
)

const (
	pendingMessages = 200     // messages that wait for one follower; one who has more to take reads them by himself
	pendingBytes    = 2 << 20 // and bytes of them
)

// Follower follows a topic pattern. What it costs the database does not depend on how many follow: each message is read once
// for all followers of a client. Make it with Client.Follow; Close it. One goroutine may call Next at a time.
type Follower struct {
	client *Client
	group  *followers
	bell   chan struct{} // there is something for Next

	// of broadcasts.mu
	at      Position // all that matches before it was returned, or is in pending
	known   bool     // at was found to be a position of this database
	live    bool     // gets messages as they are handed out
	pending []*Message
	bytes   int // of their payloads
}

// Follow follows the messages of all topics that a pattern matches: from a position on, or with nil from now on, once this
// client has looked where that is. It returns *InvalidError for a bad pattern, otherwise the error of ctx, or that the client
// is closed.
func (c *Client) Follow(ctx context.Context, pattern string, after *Position) (*Follower, error) {
	if !ValidPattern(pattern) {
		return nil, invalid("pattern", patternRule)
	}
	h := &c.broadcasts
	f := &Follower{client: c, bell: make(chan struct{}, 1)}
	begun := h.join(f, pattern)
	select {
	case <-ctx.Done():
		f.Close()
		return nil, ctx.Err()
	case <-begun:
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.closed {
		return nil, errClosed
	}
	if after != nil {
		f.at = *after
	} else {
		f.at, f.live = h.at, true
	}
	return f, nil
}

// Close ends following.
func (f *Follower) Close() { f.client.broadcasts.leave(f) }

// Position is where to go on after all that Next has returned.
func (f *Follower) Position() Position {
	h := &f.client.broadcasts
	h.mu.Lock()
	defer h.mu.Unlock()
	if f.live && len(f.pending) == 0 {
		return furthest(f.at, h.at)
	}
	return f.at
}

// Next waits until there are messages and returns them, in the order that is the same for all. The error is that of ctx;
// ErrCursorExpired when messages are missing, after which it goes on with the oldest that is kept; that the client is closed; or
// the database's, after which Next may be called again.
func (f *Follower) Next(ctx context.Context) ([]*Message, error) {
	for {
		list, wait, err := f.take()
		if err == nil && list == nil && !wait {
			list, err = f.catchUp(ctx)
		}
		if list != nil || err != nil {
			return list, err
		}
		if !wait {
			continue
		}
		select {
		case <-ctx.Done():
			return nil, ctx.Err()
		case <-f.bell:
		}
	}
}

// take returns what is there, from memory. Without anything, wait says whether it will come by itself; else it has to be read.
func (f *Follower) take() (list []*Message, wait bool, err error) {
	h := &f.client.broadcasts
	h.mu.Lock()
	defer h.mu.Unlock()
	switch {
	case h.closed:
		return nil, false, errClosed
	case len(f.pending) > 0:
		list, f.pending, f.bytes = f.pending, nil, 0
	case !f.live && (f.at.before(h.from) || !f.known && h.at.before(f.at)):
		return nil, false, nil
	case !f.live:
		for _, m := range h.recent {
			if f.at.before(m.At) && f.group.pattern.matches(m.words) {
				list = append(list, m)
			}
		}
		f.live = true
	}
	if f.live {
		f.at = furthest(f.at, h.at)
	}
	return list, list == nil, nil
}

// catchUp reads a page that is not in memory any more.
func (f *Follower) catchUp(ctx context.Context) (list []*Message, err error) {
	h := &f.client.broadcasts
	select {
	case <-ctx.Done():
		return nil, ctx.Err()
	case h.catchingUp <- struct{}{}:
	}
	defer func() { <-h.catchingUp }()
	h.mu.Lock()
	at := f.at
	h.reads++
	h.mu.Unlock()
	page, next, _, err := f.client.readMessages(ctx, at)
	if err == nil || errors.Is(err, ErrCursorExpired) {
		h.mu.Lock()
		f.at, f.known = next, true
		h.mu.Unlock()
	}
	for _, m := range page {
		if f.group.pattern.matches(m.words) {
			list = append(list, m)
		}
	}
	return list, err
}

// push gives a live follower a message, and has one read by himself who does not take what he has. broadcasts.mu is held.
func (f *Follower) push(m *Message) {
	if !f.live || !f.at.before(m.At) {
		return
	}
	f.pending, f.bytes = append(f.pending, m), f.bytes+len(m.Payload)
	if len(f.pending) > pendingMessages || f.bytes > pendingBytes && len(f.pending) > 1 {
		first := f.pending[0].At
		f.at = Position{first.Tick, first.Message - 1}
		f.live, f.pending, f.bytes = false, nil, 0
	}
	f.ring()
}

func (f *Follower) ring() {
	select {
	case f.bell <- struct{}{}:
	default:
	}
}

func furthest(a, b Position) Position {
	if a.before(b) {
		return b
	}
	return a
}
