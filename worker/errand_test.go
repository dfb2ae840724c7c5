package worker

import (
	"context"
	"errors"
	"log/slog"
	"slices"
	"testing"
)

// oneChild is a pool of one process that is ready and was never started.
func oneChild(slots int) (*Children, *child) {
	pool := &Children{command: Command{Logger: slog.New(slog.DiscardHandler)}, posts: make([]*child, 1), ending: make(chan struct{})}
	k := newChild(pool, 0)
	pool.posts[0], k.slots = k, slots
	return pool, k
}

// A task that a child was chosen for goes to it before the word to finish, or not at all: after that nothing more may come.
func TestNothingIsGivenToAChildAfterDrain(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name string
		then func(*Children, *child, context.CancelFunc) // between the choice and the task
		want bool
		sent []string
	}{
		{"nothing", func(*Children, *child, context.CancelFunc) {}, true, []string{"task"}},
		{"worn", func(pool *Children, k *child, _ context.CancelFunc) { pool.wear(k, "it is old") }, true, []string{"task", "drain"}},
		{"the worker drains", func(pool *Children, _ *child, _ context.CancelFunc) { pool.drain() }, true, []string{"task", "drain"}},
		{"it said that it ends", func(_ *Children, k *child, _ context.CancelFunc) { k.retire() }, false, []string{"drain"}},
		{"another task does not end", func(_ *Children, k *child, _ context.CancelFunc) { k.condemn(&errand{id: "hangs"}, "it hangs") }, false, nil},
		{"it has ended", func(_ *Children, k *child, _ context.CancelFunc) { close(k.over) }, false, nil},
		{"the lease is lost", func(_ *Children, _ *child, lose context.CancelFunc) { lose() }, false, nil},
		{"it has the task from before", func(_ *Children, k *child, _ context.CancelFunc) { k.open["one"] = &errand{id: "one"} }, false, nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			pool, k := oneChild(2)
			if chosen, _ := pool.choose("one"); chosen != k {
				t.Fatal("it is not chosen")
			}
			c.then(pool, k, cancel)
			if got := k.begin(ctx, &errand{id: "one"}, order{Op: "task"}); got != c.want {
				t.Errorf("begins: %t", got)
			}
			k.outbox.close()
			var sent []string
			for frame, ok := k.outbox.next(); ok; frame, ok = k.outbox.next() {
				sent = append(sent, string(frame))
			}
			for i, op := range c.sent {
				c.sent[i] = `{"op":"` + op + `"}` + "\n"
			}
			if !slices.Equal(sent, c.sent) {
				t.Errorf("it was sent %q", sent)
			}
		})
	}
}

// A task whose attempt before has not ended in its child, as when the lease was lost, waits for that when there is no other child.
func TestTaskWaitsForItsEarlierAttempt(t *testing.T) {
	t.Parallel()
	pool, k := oneChild(2)
	earlier := &errand{id: "one", child: k, done: make(chan struct{})}
	if pool.find(t.Context(), "one") != k || !k.begin(t.Context(), earlier, order{Op: "task"}) {
		t.Fatal("it does not begin")
	}
	lost, lose := context.WithCancel(t.Context())
	lose()
	if pool.find(lost, "one") != nil {
		t.Error("it is found for a task whose own lease is lost")
	}
	found := make(chan *child)
	go func() { found <- pool.find(t.Context(), "one") }()
	if other := pool.find(t.Context(), "two"); other != k {
		t.Error("another task waits, too")
	}
	pool.release(earlier)
	close(earlier.done)
	if <-found != k {
		t.Error("nobody is found")
	}
}

// What a child that was told to end leaves unsaid is a crash; that the worker is not done with what it said is none.
func TestDrainedChildLeaves(t *testing.T) {
	t.Parallel()
	for _, answered := range []bool{false, true} {
		pool, k := oneChild(1)
		k.open["one"] = &errand{id: "one", answered: answered}
		pool.drain()
		if err := k.leave(errors.New("exit status 0")); (err == nil) != answered {
			t.Errorf("it said how its task ended: %t; %v", answered, err)
		}
	}
}

// A child that has answered in time is not blamed, though the answer waits for a checkpoint to be stored.
func TestChildThatHasAnsweredIsNotBlamed(t *testing.T) {
	t.Parallel()
	_, k := oneChild(1)
	if k.condemn(&errand{id: "one", answered: true}, "it hangs"); k.condemned || len(k.hung) > 0 {
		t.Error("it is ended")
	}
}
