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
	Paused  string        // for how long it was not due, after an attempt before: backoff 12 s; "": it was due at once
	Waited  string        // since it was due; "": it never was
	Ran     string        // "": it does not run yet
	Due     string        // when it runs at the earliest; "": at once, or it ran
	Bar     template.HTML // drawing of both, on the scale of the whole timeline
}

const laneWidth = 1000 // of the drawing, which is stretched

// mostLanes is how many attempts are drawn, the newest.
const mostLanes = 30

// lanes draws the attempts of a task between its submit and now, or its end, and returns the scale that they are drawn on. A task
// that waits has one more, which did not begin. retried is when it was brought back after its end.
func lanes(t scheduler.Task, attempts []scheduler.Attempt, now time.Time, retried ...time.Time) ([]lane, scale) {
	end := now
	if t.FinishedAt != nil && t.State.Done() {
		end = *t.FinishedAt
	}
	free, before := t.CreatedAt, "" // since when the task waited for the attempt, and how the one before had ended
	if cut := len(attempts) - mostLanes; cut > 0 {
		if ended := attempts[cut-1].EndedAt; ended != nil {
			free = *ended
		}
		before, attempts = attempts[cut-1].Outcome, attempts[cut:]
	}
	last := end
	waits := !t.State.Done() && t.State != scheduler.Running
	if waits && t.RunAt.After(last) {
		last = t.RunAt
	}
	scale := scale{from: free, to: last, now: now, live: !t.State.Done(), retried: retried}
	var list []lane
	for i, a := range attempts {
		stop, due := now, time.Time{} // of an attempt before the last nobody knows any more when it was due
		if a.EndedAt != nil {
			stop = *a.EndedAt
		}
		if i == len(attempts)-1 && !waits && a.Attempt == t.Attempt {
			due = t.RunAt
		}
		l := lane{Label: fmt.Sprintf("Attempt %d", a.Attempt), Outcome: a.Outcome, Worker: text(a.Worker), Ran: lasted(max(0, stop.Sub(a.StartedAt)))}
		l.wait(scale, before, free, due, a.StartedAt, stop)
		list, free, before = append(list, l), stop, a.Outcome
	}
	if waits {
		l := lane{Label: "Next", Outcome: string(t.State)}
		if t.RunAt.After(now) {
			l.Due = "due in " + lasted(t.RunAt.Sub(now))
		}
		l.wait(scale, before, free, t.RunAt, later(now, t.RunAt), time.Time{})
		list = append(list, l)
	}
	return list, scale
}

// pauses are the words for how it was until an attempt was due, by how the one before had ended.
var pauses = map[string]string{"": "delay", "failed": "backoff", "snoozed": "snooze"}

// pause is how it was until an attempt was due, and when it was. A zero due: nobody knows.
func (s scale) pause(before string, free, due, start time.Time) (word string, until time.Time) {
	for _, at := range s.retried {
		switch {
		case !at.After(free) || at.After(start):
			continue
		case before == "" || before == "cancelled":
			return "cancelled", at
		}
		return "given up", at
	}
	if due.IsZero() && before != "" {
		due = start
	}
	if word = pauses[before]; word == "" || due.Sub(free) < time.Millisecond {
		return "", free
	}
	if due.After(start) {
		due = start
	}
	return word, due
}

// wait says and draws how long the attempt was not due, then waited until it began; at a zero stop it did not yet.
func (l *lane) wait(s scale, before string, free, due, start, stop time.Time) {
	word, until := s.pause(before, free, due, start)
	if word != "" {
		l.Paused = word + " " + lasted(until.Sub(free))
	}
	if began := s.before(start, stop); word == "" || began.After(until) {
		l.Waited = "waited " + lasted(max(0, began.Sub(until)))
	}
	l.Bar = s.draw(free, until, start, stop, l.Outcome)
}

// before is until when an attempt waited: until it began, or now.
func (s scale) before(start, stop time.Time) time.Time {
	if stop.IsZero() {
		return s.now
	}
	return start
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
	retried       []time.Time
}

func (s scale) x(t time.Time) float64 {
	span := s.to.Sub(s.from)
	if span <= 0 {
		return 0
	}
	return min(1, max(0, float64(t.Sub(s.from))/float64(span))) * laneWidth
}

// draw draws one lane: a thin line while it was not due or waited, a bar while it ran. A zero stop: it did not run.
func (s scale) draw(free, due, start, stop time.Time, outcome string) template.HTML {
	var b strings.Builder
	fmt.Fprintf(&b, `<svg class="lane" viewBox="0 0 %d 14" preserveAspectRatio="none" aria-hidden="true">`, laneWidth)
	thin := func(class, title string, from, to time.Time) {
		x, y := s.x(from), s.x(to)
		fmt.Fprintf(&b, `<g>%s<rect class="hit" x="%.1[2]f" y="0" width="%.1[3]f" height="14"/><rect class="%[4]s" x="%.1[2]f" y="6" width="%.1[3]f" height="2"/></g>`,
			between(title, from, to), x, max(1, y-x), class)
	}
	if due.After(free) {
		thin("paused", "not due for", free, due)
	}
	if start.After(due) || !due.After(free) {
		thin("waited", "waited", due, start)
	}
	if !stop.IsZero() {
		y, z := s.x(start), s.x(stop)
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
