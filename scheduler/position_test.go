package scheduler

import (
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgtype"
)

// A lease from the beginning may be slow for reasons of its own: a busy machine, a slow disk. What lies before the position,
// a rescued task or one of higher priority, must be found soon all the same.
func TestSlowLeaseDoesNotHideWhatComesBack(t *testing.T) {
	t.Parallel()
	now := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	end := position{RunAt: pgtype.Timestamptz{Time: now, Valid: true}, ID: NewTaskID()}
	for _, c := range []struct {
		took, back time.Duration // the lease took so long; the next look at the beginning comes after so long
	}{
		{time.Millisecond, 0},
		{5 * time.Millisecond, 0},
		{20 * time.Millisecond, 380 * time.Millisecond},
		{100 * time.Millisecond, time.Second},
		{10 * time.Second, time.Second},
	} {
		var p positions
		p.note("q", beginning, end, 1, now, c.took)
		if got := p.from("q", now.Add(c.back)); got != beginning {
			t.Errorf("%s after a lease of %s: from %+v, want the beginning", c.back, c.took, got)
		}
		if c.back == 0 {
			continue
		}
		if got := p.from("q", now.Add(c.back-1)); got != end {
			t.Errorf("just before %s after a lease of %s: from %+v, want where it ended", c.back, c.took, got)
		}
	}
}
