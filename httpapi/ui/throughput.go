package ui

import (
	"context"
	"time"

	"github.com/pgscheduler/scheduler/scheduler"
)

// day reads how much ended in the last 24 h, by quarters of an hour up to now, those in which nothing did included.
func (u *UI) day(ctx context.Context) (series, error) {
	filter := scheduler.StatsFilter{Day: true}
	stats, err := u.client.Stats(ctx, filter)
	if err != nil {
		return series{}, err
	}
	return newSeries(stats, filter, time.Now()), nil
}

// newSeries puts statistics into the steps of a filter's span, the last of which is the present one.
func newSeries(stats []scheduler.Stat, filter scheduler.StatsFilter, now time.Time) series {
	length, span := filter.Step()
	s := series{step: length, steps: make([]step, span/length)}
	first := now.UTC().Truncate(length).Add(length - span)
	for i := range s.steps {
		s.steps[i].At = first.Add(time.Duration(i) * length)
	}
	for _, stat := range stats {
		i := int(stat.At.Sub(first) / length)
		if i >= 0 && i < len(s.steps) && !stat.At.Before(first) {
			s.steps[i].Completed += stat.Completed
			s.steps[i].Failed += stat.Failed + stat.Dead + stat.Crashed
		}
	}
	return s
}

// sparks are the last hour of each queue.
func (u *UI) sparks(ctx context.Context) (map[scheduler.Queue]series, error) {
	stats, err := u.client.Stats(ctx, scheduler.StatsFilter{})
	by, drawn := map[scheduler.Queue][]scheduler.Stat{}, map[scheduler.Queue]series{}
	for _, stat := range stats {
		by[stat.Queue] = append(by[stat.Queue], stat)
	}
	for queue, its := range by {
		drawn[queue] = newSeries(its, scheduler.StatsFilter{}, time.Now())
	}
	return drawn, err
}
