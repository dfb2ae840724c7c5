package httpapi

import (
	"context"
	"errors"
	"fmt"

	"github.com/pgscheduler/scheduler/scheduler"
)

const mostTopics = 100 // topic patterns of one socket

// subscribeTopic follows a topic pattern, by a goroutine of its own.
func (t *conversation) subscribeTopic(ctx context.Context, request SocketRequest) *Problem {
	if request.Task != "" || request.Logs != nil {
		return invalid(Detail{Pointer: "/topic", Detail: "not together with task and logs"})
	}
	if !scheduler.ValidPattern(request.Topic) {
		return invalid(Detail{Pointer: "/topic", Detail: patternRule})
	}
	var after *scheduler.Position
	if request.After != "" {
		position, err := scheduler.ParsePosition(request.After)
		if err != nil {
			return invalid(Detail{Pointer: "/after", Detail: "the cursor of a message, or 0"})
		}
		after = &position
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	if problem := t.fits(request.ID); problem != nil {
		return problem
	}
	if len(t.byID)-len(t.byTask) == mostTopics {
		return invalid(Detail{Pointer: "/topic", Detail: fmt.Sprintf("at most %d at a time", mostTopics)})
	}
	following, cancel := context.WithCancel(ctx)
	t.byID[string(request.ID)] = &subscription{id: request.ID, stop: cancel}
	t.topics.Go(func() { // ends with following: with ctx, or when it is unsubscribed; socket waits for it
		defer cancel()
		t.writeTopic(ctx, following, request, after)
	})
	return nil
}

// writeTopic sends messages until following ends or the client does not take them. ctx is the socket's: a message that was begun when
// its context ends would be the socket's end.
func (t *conversation) writeTopic(ctx, following context.Context, request SocketRequest, after *scheduler.Position) {
	send := func(message SocketMessage) error {
		if following.Err() != nil {
			return following.Err()
		}
		message.ID = request.ID
		return t.send(ctx, message)
	}
	limited, cancel := t.server.limited(following, "")
	follower, err := t.server.client.Follow(limited, request.Topic, after)
	if err != nil && following.Err() == nil {
		t.fail(ctx, request, t.server.problem(limited, err))
	}
	cancel()
	if err != nil {
		return
	}
	defer follower.Close()
	at := follower.Position()
	err = send(SocketMessage{Op: "cursor", Cursor: at.String()})
	for err == nil {
		waiting, stop := context.WithTimeout(following, t.server.silence)
		list, failure := follower.Next(waiting)
		stop()
		switch {
		case failure == nil:
			for _, m := range list {
				at = m.At
				if err = send(SocketMessage{Op: "event", Event: "message", Cursor: at.String(), Data: m.Frame(messageFrame)}); err != nil {
					return
				}
			}
		case errors.Is(failure, scheduler.ErrCursorExpired):
			at = follower.Position()
			err = send(SocketMessage{Op: "event", Event: "cursor_expired", Cursor: at.String(), Data: expiredFrame(requestID(ctx))})
		case following.Err() != nil:
			return
		case !errors.Is(failure, context.DeadlineExceeded):
			t.fail(ctx, request, t.server.problem(ctx, failure))
			return
		case at != follower.Position():
			at = follower.Position()
			err = send(SocketMessage{Op: "cursor", Cursor: at.String()})
		}
	}
}

// fail ends a subscription with a problem.
func (t *conversation) fail(ctx context.Context, request SocketRequest, problem *Problem) {
	t.unsubscribe(request.ID)
	_ = t.send(ctx, SocketMessage{Op: "error", ID: request.ID, Problem: problem}) // the reader notices a broken socket
}
