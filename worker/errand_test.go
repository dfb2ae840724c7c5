package worker

import (
	"log/slog"
	"slices"
	"testing"
)

// A task that a child was chosen for goes to it before the word to finish, or not at all: after that nothing more may come.
func TestNothingIsGivenToAChildAfterDrain(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name  string
		drain func(*Children, *child) // between the choice and the task
		want  bool
		sent  []string
	}{
		{"nothing", func(*Children, *child) {}, true, []string{"task"}},
		{"worn", func(pool *Children, k *child) { pool.wear(k, "it is old") }, false, []string{"drain"}},
		{"it said that it ends", func(_ *Children, k *child) { k.retire() }, false, []string{"drain"}},
		{"the worker drains", func(pool *Children, _ *child) { pool.drain() }, false, []string{"drain"}},
		{"another task does not end", func(_ *Children, k *child) { k.condemn(&errand{id: "hangs"}, "it hangs") }, false, nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			pool := &Children{command: Command{Logger: slog.New(slog.DiscardHandler)}, posts: make([]*child, 1), ending: make(chan struct{})}
			k := newChild(pool, 0)
			pool.posts[0], k.slots = k, 1
			if pool.choose("one") != k {
				t.Fatal("it is not chosen")
			}
			c.drain(pool, k)
			if got := k.begin(&errand{id: "one"}, order{Op: "task"}); got != c.want {
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
