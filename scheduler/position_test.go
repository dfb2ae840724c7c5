package scheduler

import (
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgtype"
)

// A lease from the beginning may be slow for reasons of its own: a busy machine, a slow disk. What lies before the position,
// a rescued task or one of higher priority, must be found soon all the same, and scouts take a twentieth of the time.
func TestScoutsComeInTime(t *testing.T) {
	t.Parallel()
	now := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	w := newWay("q", []string{"k"})
	end := position{RunAt: pgtype.Timestamptz{Time: now, Valid: true}, ID: NewTaskID()}
	for _, c := range []struct{ took, first, next time.Duration }{ // -1: none; leases look from the beginning
		{time.Millisecond, -1, -1},
		{6 * time.Millisecond, -1, -1},
		{21 * time.Millisecond, 399 * time.Millisecond, 399 * time.Millisecond},
		{100 * time.Millisecond, time.Second, 1900 * time.Millisecond},
		{10 * time.Second, time.Second, 10 * time.Second},
	} {
		p := positions{trip: time.Millisecond}
		if p.leased(w, beginning, end, 1, now, c.took) {
			t.Errorf("%s: lost, with a task", c.took)
		}
		check := func(what string, now time.Time, want time.Duration) {
			wait, ok := p.sendScout(w, now)
			if ok != (want >= 0) || ok && wait != want {
				t.Errorf("%s scout after %s: %s, %v, want %s", what, c.took, wait, ok, want)
			}
			from := end
			if want < 0 {
				from = beginning
			}
			if got := p.from(w); got != from {
				t.Errorf("%s: a lease looks from %+v, want %+v", c.took, got, from)
			}
			if _, again := p.sendScout(w, now); again {
				t.Errorf("%s: two at a time", c.took)
			}
		}
		check("first", now, c.first)
		if c.first < 0 {
			continue
		}
		if p.scouted(w, nil, now, c.took) {
			t.Errorf("%s: nothing was found, and is to be leased", c.took)
		}
		check("next", now, c.next)
		before := position{RunAt: pgtype.Timestamptz{Time: now.Add(-time.Hour), Valid: true}, ID: NewTaskID()}
		if !p.scouted(w, []position{before}, now, c.took) || p.from(w) != before {
			t.Errorf("%s: a lease looks from %+v, want what was found at %+v", c.took, p.from(w), before)
		}
	}
}

// A slow way to the database is not a long walk.
func TestTripsAreNoWalks(t *testing.T) {
	t.Parallel()
	p := positions{trip: 80 * time.Millisecond}
	w, now := newWay("q", []string{"k"}), time.Now()
	for _, took := range []time.Duration{79 * time.Millisecond, 81 * time.Millisecond, 83 * time.Millisecond} {
		if p.leased(w, beginning, beginning, 0, now, took) || p.from(w) != beginning {
			t.Errorf("%s is a long walk", took)
		}
	}
	if !p.leased(w, beginning, beginning, 0, now, 90*time.Millisecond) {
		t.Error("90 ms is none")
	}
}
