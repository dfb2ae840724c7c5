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

// shownFindings is how many of the others are shown at once.
const shownFindings = 3

// Next are the others that matter most, Rest those behind them.
func (h health) Next() []finding { return h.Others[:min(len(h.Others), shownFindings)] }

// Rest are the findings that one has to ask for.
func (h health) Rest() []finding { return h.Others[min(len(h.Others), shownFindings):] }

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
	findings := slices.Concat(u.waiting(ctx, g.queues), bursts(g.hour, time.Now()), silent(g.workers), broken(g.schedules), refused(g.endpoints))
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
	runs := plural(running, "task") + " run"
	if running == 1 {
		runs += "s"
	}
	return fmt.Sprintf("%s live, %s.", number(int64(live))+" "+noun, runs)
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
			f.Path, f.rank = "/queues", 5
			f.Sentence = fmt.Sprintf("Queue %s has been paused for %s.", q.Name, lasted(time.Since(*q.PausedAt)))
			f.Detail = fmt.Sprintf("%s ready, the oldest for %s.", areTasks(q.Ready), lasted(age))
		case i < mostAsked:
			reason := u.reason(ctx, q.Name)
			f.Detail = reason.Reason
			if reason.Code == "no_worker_for_kind" || reason.Code == "workers_quiet" {
				f.Level, f.rank = "bad", 90+f.rank
			}
		}
		if q.PausedAt == nil && q.Workers == 0 {
			f.Level, f.rank = "bad", 100+f.rank
		}
		found = append(found, f)
	}
	return found
}

// areTasks says how many tasks are: 1 task is, 10 000+ tasks are.
func areTasks(n int) string {
	if n == 1 {
		return "1 task is"
	}
	return capped(n) + " tasks are"
}

func oldest(q scheduler.QueueStatus) time.Duration {
	if q.OldestReadyMS == nil {
		return 0
	}
	return time.Duration(*q.OldestReadyMS) * time.Millisecond
}

// reason says why the next task of a queue does not run; the zero one when it can't be told.
func (u *UI) reason(ctx context.Context, queue scheduler.Queue) scheduler.Reason {
	id, err := u.client.OldestReady(ctx, queue)
	if err != nil {
		return scheduler.Reason{}
	}
	reasons, err := u.client.Explain(ctx, id)
	if err != nil || len(reasons) == 0 {
		return scheduler.Reason{}
	}
	return reasons[0]
}

// silent finds workers that are not heard of any more.
func silent(workers []scheduler.Worker) (found []finding) {
	for _, w := range workers {
		if !w.Live {
			found = append(found, finding{Level: "warn", rank: 90, Path: "/workers",
				Sentence: fmt.Sprintf("Worker %s has been silent for %s.", w.Name, lasted(time.Since(w.SeenAt))), Detail: "Its tasks are about to be given back."})
		}
	}
	return found
}

// broken finds schedules that can't fire, or did not in time.
func broken(schedules []scheduler.Schedule) (found []finding) {
	for _, s := range schedules {
		switch {
		case s.Error != nil:
			found = append(found, finding{Level: "bad", rank: 80, Path: "/schedules", Sentence: fmt.Sprintf("Schedule %s can't fire.", s.Name), Detail: scheduler.Truncate(*s.Error, 200)})
		case s.PausedAt == nil && s.NextRunAt != nil && time.Since(*s.NextRunAt) > farBehind:
			found = append(found, finding{Level: "bad", rank: 85, Path: "/schedules", Detail: "Any worker or server fires schedules; is one running?",
				Sentence: fmt.Sprintf("Schedule %s should have fired %s ago.", s.Name, lasted(time.Since(*s.NextRunAt)))})
		}
	}
	return found
}

// refused finds endpoints whose breaker is not closed. Those on request are no surprise.
func refused(endpoints []scheduler.Endpoint) (found []finding) {
	for _, e := range endpoints {
		if e.PausedAt != nil || e.State == scheduler.BreakerClosed || e.OpenedAt == nil {
			continue
		}
		found = append(found, finding{Level: "bad", rank: 75, Path: "/endpoints", Detail: sentence(scheduler.Truncate(text(e.LastError), 200)),
			Sentence: fmt.Sprintf("Endpoint %s has failed for %s.", e.Name, lasted(time.Since(*e.OpenedAt)))})
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
