package ui

import (
	"context"
	"fmt"
	"net/url"
	"slices"
	"time"

	"github.com/pgscheduler/scheduler/scheduler"
)

// health is how things are: one sentence, and what else there is to say.
type health struct {
	finding
	Others []finding
}

// finding is something that a person should know.
type finding struct {
	Level    string // good, warn, bad
	Sentence string
	Detail   string
	Path     string // where to look
	rank     int    // higher first
}

const (
	waitsLong = time.Minute     // for a ready task
	mostAsked = 3               // queues whose oldest task is asked why it does not run
	farBehind = 5 * time.Minute // for a schedule
)

// health judges what was read. For the queues that wait longest it asks why.
func (u *UI) health(ctx context.Context, g glance) health {
	findings := slices.Concat(u.waiting(ctx, g.queues), silent(g.workers), broken(g.schedules))
	if len(findings) == 0 {
		return health{finding: finding{Level: "good", Sentence: "All is well.", Detail: calm(g)}}
	}
	slices.SortStableFunc(findings, func(a, b finding) int { return b.rank - a.rank })
	return health{findings[0], findings[1:]}
}

// calm says what goes on when all is well.
func calm(g glance) string {
	running, live := 0, 0
	for _, q := range g.queues {
		running += q.Running
	}
	for _, w := range g.workers {
		if w.Live {
			live++
		}
	}
	if live == 0 {
		return "No worker runs, and none is needed: nothing is ready."
	}
	noun := "workers are"
	if live == 1 {
		noun = "worker is"
	}
	return fmt.Sprintf("%s live, %d tasks run.", number(int64(live))+" "+noun, running)
}

// waiting finds queues whose tasks wait for longer than they should, the oldest first.
func (u *UI) waiting(ctx context.Context, queues []scheduler.QueueStatus) (found []finding) {
	queues = slices.Clone(queues)
	slices.SortStableFunc(queues, func(a, b scheduler.QueueStatus) int { return int(oldest(b)/time.Second) - int(oldest(a)/time.Second) })
	for i, q := range queues {
		age := oldest(q)
		if q.Ready == 0 || age < waitsLong && (q.Workers > 0 || age < 5*time.Second) {
			continue
		}
		f := finding{Level: "warn", rank: 10 + min(60, int(age/time.Minute)), Path: "/tasks?state=ready&queue=" + url.QueryEscape(string(q.Name)),
			Sentence: fmt.Sprintf("Queue %s: the oldest task has waited for %s.", q.Name, lasted(age))}
		switch {
		case q.PausedAt != nil:
			f.Detail, f.Path, f.rank = "The queue is paused since "+stamp(*q.PausedAt)+".", "/queues", 5
		case i < mostAsked:
			f.Detail = u.reason(ctx, q.Name)
		}
		if q.PausedAt == nil && q.Workers == 0 {
			f.Level, f.rank = "bad", 100+f.rank
		}
		found = append(found, f)
	}
	return found
}

func oldest(q scheduler.QueueStatus) time.Duration {
	if q.OldestReadyMS == nil {
		return 0
	}
	return time.Duration(*q.OldestReadyMS) * time.Millisecond
}

// reason says why the next task of a queue does not run; "" when it can't be told.
func (u *UI) reason(ctx context.Context, queue scheduler.Queue) string {
	id, err := u.client.OldestReady(ctx, queue)
	if err != nil {
		return ""
	}
	reasons, err := u.client.Explain(ctx, id)
	if err != nil || len(reasons) == 0 {
		return ""
	}
	return reasons[0].Reason
}

// silent finds workers that are not heard of any more.
func silent(workers []scheduler.Worker) (found []finding) {
	for _, w := range workers {
		if !w.Live {
			found = append(found, finding{Level: "warn", rank: 90, Path: "/workers",
				Sentence: fmt.Sprintf("Worker %s is silent since %s.", w.Name, stamp(w.SeenAt)), Detail: "Its tasks are about to be given back."})
		}
	}
	return found
}

// broken finds schedules that can't fire, or did not in time.
func broken(schedules []scheduler.Schedule) (found []finding) {
	for _, s := range schedules {
		switch {
		case s.Error != nil:
			found = append(found, finding{Level: "bad", rank: 80, Path: "/schedules", Sentence: fmt.Sprintf("Schedule %s can't fire.", s.Name), Detail: *s.Error})
		case s.PausedAt == nil && s.NextRunAt != nil && time.Since(*s.NextRunAt) > farBehind:
			found = append(found, finding{Level: "bad", rank: 85, Path: "/schedules", Detail: "Any worker or server fires schedules; is one running?",
				Sentence: fmt.Sprintf("Schedule %s should have fired %s ago.", s.Name, lasted(time.Since(*s.NextRunAt)))})
		}
	}
	return found
}

// wire is the JSON of it.
func (h health) wire() map[string]any {
	findings := []map[string]any{}
	for _, f := range append([]finding{h.finding}, h.Others...) {
		findings = append(findings, map[string]any{"level": f.Level, "sentence": f.Sentence, "detail": f.Detail, "link": f.Path})
	}
	return map[string]any{"level": h.Level, "sentence": h.Sentence, "findings": findings}
}
