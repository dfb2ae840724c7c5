package ui

import (
	"fmt"
	"html/template"
	"strings"
	"time"

	"github.com/pgscheduler/scheduler/scheduler"
)

// lane is an attempt on the timeline of its task: how long it was waited for, and how it went.
type lane struct {
	Label   string
	Outcome string
	Worker  string
	Waited  string
	Ran     string        // "": it does not run yet
	Due     string        // when it runs at the earliest; "": at once, or it ran
	Bar     template.HTML // drawing of both, on the scale of the whole timeline
}

const laneWidth = 1000 // of the drawing, which is stretched

// mostLanes is how many attempts are drawn, the newest.
const mostLanes = 30

// lanes draws the attempts of a task between its submit and now, or its end, and returns the scale that they are drawn on. A task
// that waits has one more, which did not begin.
func lanes(t scheduler.Task, attempts []scheduler.Attempt, now time.Time) ([]lane, scale) {
	end := now
	if t.FinishedAt != nil && t.State.Done() {
		end = *t.FinishedAt
	}
	free := t.CreatedAt // since when the task waited for the attempt
	if cut := len(attempts) - mostLanes; cut > 0 {
		if ended := attempts[cut-1].EndedAt; ended != nil {
			free = *ended
		}
		attempts = attempts[cut:]
	}
	last := end
	waits := !t.State.Done() && t.State != scheduler.Running
	if waits && t.RunAt.After(last) {
		last = t.RunAt
	}
	scale := scale{from: free, to: last, now: now, live: !t.State.Done()}
	var list []lane
	for _, a := range attempts {
		stop, ran := now, ""
		if a.EndedAt != nil {
			stop = *a.EndedAt
		}
		ran = lasted(max(0, stop.Sub(a.StartedAt)))
		l := lane{Label: fmt.Sprintf("Attempt %d", a.Attempt), Outcome: a.Outcome, Worker: text(a.Worker), Waited: lasted(max(0, a.StartedAt.Sub(free))), Ran: ran, Bar: scale.draw(free, a.StartedAt, stop, a.Outcome)}
		list, free = append(list, l), stop
	}
	if waits {
		due := ""
		if t.RunAt.After(now) {
			due = "due in " + lasted(t.RunAt.Sub(now))
		}
		list = append(list, lane{Label: "Next", Due: due, Outcome: string(t.State), Waited: lasted(max(0, now.Sub(free))), Bar: scale.draw(free, later(now, t.RunAt), time.Time{}, string(t.State))})
	}
	return list, scale
}

func later(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}

// scale is the span of time that a timeline shows.
type scale struct {
	from, to, now time.Time
	live          bool // now is marked
}

func (s scale) x(t time.Time) float64 {
	span := s.to.Sub(s.from)
	if span <= 0 {
		return 0
	}
	return min(1, max(0, float64(t.Sub(s.from))/float64(span))) * laneWidth
}

// draw draws one lane: a thin line while it was waited, a bar while it ran. A zero stop: it did not run.
func (s scale) draw(free, start, stop time.Time, outcome string) template.HTML {
	var b strings.Builder
	fmt.Fprintf(&b, `<svg class="lane" viewBox="0 0 %d 14" preserveAspectRatio="none" aria-hidden="true">`, laneWidth)
	x, y := s.x(free), s.x(start)
	fmt.Fprintf(&b, `<g>%s<rect class="hit" x="%.1[2]f" y="0" width="%.1[3]f" height="14"/><rect class="waited" x="%.1[2]f" y="6" width="%.1[3]f" height="2"/></g>`, between("waited", free, start), x, max(1, y-x))
	if !stop.IsZero() {
		z := s.x(stop)
		fmt.Fprintf(&b, `<rect class="%s" x="%.1f" y="1" width="%.1f" height="12">%s</rect>`, template.HTMLEscapeString(outcome), min(y, laneWidth-3), max(3, z-y), between("ran", start, stop))
	}
	if s.live {
		fmt.Fprintf(&b, `<rect class="now" x="%.1f" y="0" width="1.5" height="14"/>`, min(s.x(s.now), laneWidth-1.5))
	}
	b.WriteString("</svg>")
	return template.HTML(b.String()) // figures, and an outcome that is escaped
}

// between is the title of a part of a lane.
func between(what string, from, to time.Time) string {
	return fmt.Sprintf("<title>%s %s, %s to %s UTC</title>", what, lasted(max(0, to.Sub(from))), from.UTC().Format("15:04:05"), to.UTC().Format("15:04:05"))
}

// String is from when to when the scale is.
func (s scale) String() string {
	until := "15:04:05 UTC"
	if s.from.UTC().Format(time.DateOnly) != s.to.UTC().Format(time.DateOnly) {
		until = "2006-01-02 " + until
	}
	return s.from.UTC().Format("2006-01-02 15:04:05") + " to " + s.to.UTC().Format(until)
}
