package screen

import (
	"fmt"
	"time"
)

// Time shows an instant: relative to now on a terminal, RFC 3339 elsewhere. nil is shown as "-".
func (s *Screen) Time(t *time.Time) string {
	if t == nil {
		return "-"
	}
	if !s.Interactive() {
		return t.UTC().Format(time.RFC3339)
	}
	now := time.Now
	if s.Clock != nil {
		now = s.Clock
	}
	d := now().Sub(*t)
	if d < 0 {
		return "in " + Span(-d)
	}
	return Span(d) + " ago"
}

// Span shows a duration by its two greatest units: 230ms, 4.2s, 3m12s, 2h5m, 3d4h.
func Span(d time.Duration) string {
	const day = 24 * time.Hour
	switch {
	case d < 0:
		return "-" + Span(-d)
	case d < time.Second:
		return fmt.Sprintf("%dms", d.Milliseconds())
	case d < 10*time.Second:
		return fmt.Sprintf("%.1fs", d.Truncate(100*time.Millisecond).Seconds())
	case d < time.Minute:
		return fmt.Sprintf("%ds", d/time.Second)
	case d < time.Hour:
		return fmt.Sprintf("%dm%ds", d/time.Minute, d%time.Minute/time.Second)
	case d < day:
		return fmt.Sprintf("%dh%dm", d/time.Hour, d%time.Hour/time.Minute)
	default:
		return fmt.Sprintf("%dd%dh", d/day, d%day/time.Hour)
	}
}
