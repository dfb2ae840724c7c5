package scheduler

import "testing"

// A group holds so many calls and so many bytes, and at least one call.
func TestGroupsAreBounded(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ calls, size, most, want int }{
		{0, 0, 0, 0}, {1, groupBytes + 1, 0, 1}, {2, groupBytes, 0, 1}, {3, groupBytes / 2, 0, 2}, {groupMost + 1, 0, 0, groupMost},
		{5, 0, 1, 1}, {5, 0, 4, 4}, {1000, 2 * maxText, 0, groupBytes / (2 * maxText)},
	} {
		stack := string(make([]byte, c.size-c.size/2))
		g := group[failed, State]{size: failed.size, most: c.most}
		for range c.calls {
			g.waiting = append(g.waiting, call[failed, State]{in: failed{message: string(make([]byte, c.size/2)), stack: &stack}})
		}
		if n := g.next(); n != c.want {
			t.Errorf("%d calls of %d bytes, at most %d: %d go together, want %d", c.calls, c.size, c.most, n, c.want)
		}
	}
}
