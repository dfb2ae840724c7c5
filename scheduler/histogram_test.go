package scheduler

import (
	"slices"
	"testing"
	"time"
)

func TestHistogram(t *testing.T) {
	t.Parallel()
	h := NewHistogram([]int64{1, 10})
	for _, v := range []int64{-1, 0, 1, 2, 10, 11, 1000} {
		h.Observe(v)
	}
	if b := h.Read(); !slices.Equal(b.Counts, []uint64{3, 2, 2}) || b.Sum != 1023 {
		t.Errorf("%+v", b)
	}
}

// What waits for an echo longer than it can take hears none.
func TestEcho(t *testing.T) {
	t.Parallel()
	var e echo
	now := time.Now()
	if _, ok := e.hear(now); ok {
		t.Error("heard what nobody sent")
	}
	e.call(now)
	e.call(now.Add(time.Second))
	if took, ok := e.hear(now.Add(2 * time.Second)); !ok || took != 2*time.Second {
		t.Errorf("%s, %v", took, ok)
	}
	e.call(now)
	if _, ok := e.hear(now.Add(time.Minute)); ok {
		t.Error("heard what was lost")
	}
	e.call(now)
	e.call(now.Add(time.Minute)) // the first was lost
	if took, ok := e.hear(now.Add(time.Minute + time.Millisecond)); !ok || took != time.Millisecond {
		t.Errorf("%s, %v", took, ok)
	}
}
