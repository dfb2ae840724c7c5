package main

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/spf13/cobra"

	"github.com/pgscheduler/scheduler/cmd/scheduler/door"
	"github.com/pgscheduler/scheduler/httpapi"
	"github.com/pgscheduler/scheduler/scheduler"
)

const (
	statsEvery  = time.Second
	statsWindow = 10 // samples over which a change is measured
	statsCounts = 5  // samples between two looks at what ended, which is counted each 5 s
)

func (a *app) statsCommand() *cobra.Command {
	var watch bool
	cmd := &cobra.Command{
		Use:   "stats",
		Short: "Show how much waits and runs",
		Long: `Show what waits and runs in each queue, how long the oldest ready task has been due, how many tasks complete and attempts
fail in a second (DONE and FAIL, over the minute that runs and the one before it, as counted each 5 s), and how busy the
workers are. With --watch again each second, in place on a terminal and as a line of JSON elsewhere, together with how fast
what is ready, scheduled or running becomes more or less, over the last 10 s.`,
		Example: `  scheduler stats
  scheduler stats --watch
  scheduler stats --watch -o json | jq .slots`,
		Args: takes(0, 0),
		RunE: func(cmd *cobra.Command, _ []string) error {
			return a.withDoor(cmd, func(ctx context.Context, d door.Door) error {
				if watch {
					return a.watchStats(ctx, d)
				}
				s, err := takeStats(ctx, d)
				if err != nil {
					return doing(err, "read the queues and workers")
				}
				ended, err := patient(ctx, func() ([]httpapi.Stat, error) { return d.Minutes(ctx) })
				if err != nil {
					return doing(err, "read the statistics")
				}
				s.rates(ended)
				return a.showStats(s)
			})
		},
	}
	cmd.Flags().BoolVar(&watch, "watch", false, "go on, each second")
	return cmd
}

// stats is what is shown at one time.
type stats struct {
	At      time.Time    `json:"at"` // by this machine's clock
	Workers int          `json:"workers"`
	Slots   int          `json:"slots"`
	Running int          `json:"running"`
	Queues  []queueStats `json:"queues"` // those with the most to do first
}

type queueStats struct {
	httpapi.Queue
	Change    *float64 `json:"change_per_second"` // of ready, scheduled and running; nil: not known
	Completed float64  `json:"completed_per_second"`
	Failing   float64  `json:"failed_per_second"` // attempts, also those that are tried again
}

func (q queueStats) open() int { return q.Ready + q.Scheduled + q.Running }

// capped reports whether a count goes no further, so that no change can be told.
func (q queueStats) capped() bool { return max(q.Ready, q.Scheduled, q.Running) >= scheduler.CountCap }

func takeStats(ctx context.Context, d door.Door) (stats, error) {
	queues, err := patient(ctx, func() ([]httpapi.Queue, error) { return d.Queues(ctx) })
	if err != nil {
		return stats{}, err
	}
	workers, err := patient(ctx, func() ([]httpapi.Worker, error) { return d.Workers(ctx) })
	if err != nil {
		return stats{}, err
	}
	s := stats{At: time.Now().UTC(), Queues: []queueStats{}}
	for _, w := range workers {
		if w.Live {
			s.Workers, s.Slots = s.Workers+1, s.Slots+w.Slots
		}
	}
	for _, q := range queues {
		s.Running += q.Running
		s.Queues = append(s.Queues, queueStats{Queue: q})
	}
	slices.SortStableFunc(s.Queues, func(a, b queueStats) int { return cmp.Compare(b.open(), a.open()) })
	return s, nil
}

// since fills in how fast the queues changed since an earlier time.
func (s *stats) since(earlier stats) {
	before := map[string]queueStats{}
	for _, q := range earlier.Queues {
		before[q.Name] = q
	}
	for i := range s.Queues {
		q := &s.Queues[i]
		if old := before[q.Name]; !q.capped() && !old.capped() {
			change := float64(q.open()-old.open()) / s.At.Sub(earlier.At).Seconds()
			q.Change = &change
		}
	}
}

// rates fills in how fast tasks complete and attempts fail, over the minute that runs and the one before it.
func (s *stats) rates(ended []httpapi.Stat) {
	from := s.At.Truncate(time.Minute).Add(-time.Minute)
	span := s.At.Sub(from).Seconds()
	at := map[string]*queueStats{}
	for i := range s.Queues {
		at[s.Queues[i].Name] = &s.Queues[i]
	}
	for _, e := range ended {
		if q := at[e.Queue]; q != nil && !e.At.Before(from) {
			q.Completed += float64(e.Completed) / span
			q.Failing += float64(e.Failed+e.Dead+e.Crashed) / span
		}
	}
}

func (a *app) watchStats(ctx context.Context, d door.Door) error {
	tick := time.NewTicker(statsEvery)
	defer tick.Stop()
	var samples []stats
	var ended []httpapi.Stat
	for n := 0; ; n++ {
		s, err := takeStats(ctx, d)
		if err == nil && n%statsCounts == 0 {
			ended, err = patient(ctx, func() ([]httpapi.Stat, error) { return d.Minutes(ctx) })
		}
		switch {
		case ctx.Err() != nil:
			return context.Cause(ctx)
		case err != nil:
			return doing(err, "read the queues and workers")
		}
		s.rates(ended)
		if len(samples) > 0 {
			s.since(samples[0])
		}
		samples = append(samples, s)
		samples = samples[max(0, len(samples)-statsWindow):]
		if a.screen.Interactive() && !a.screen.JSON {
			err = a.screen.Redraw(func() error { return a.showStats(s) })
		} else {
			err = a.screen.PrintJSON(s)
		}
		if err != nil {
			return err
		}
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-tick.C:
		}
	}
}

func (a *app) showStats(s stats) error {
	if a.screen.JSON {
		return a.screen.PrintJSON(s)
	}
	if err := a.screen.Printf("%s, %d of %d slots busy", some(s.Workers, "worker"), s.Running, s.Slots); err != nil {
		return err
	}
	table := a.screen.Table("QUEUE", "READY", "SCHEDULED", "RUNNING", "FAILED", "OLDEST", "DONE", "FAIL", "WORKERS", "SLOTS", "CHANGE")
	most := a.screen.Rows() - 4 // the line above, the header, one line of rest, the cursor
	for i, q := range s.Queues {
		if most > 0 && i == most && len(s.Queues) > most+1 {
			table.Row(fmt.Sprintf("… and %d more", len(s.Queues)-most))
			break
		}
		table.Row(q.Name, count(q.Ready), count(q.Scheduled), count(q.Running), count(q.Failed), milli(q.OldestReadyMS),
			rate(q.Completed), rate(q.Failing), fmt.Sprint(q.Workers), fmt.Sprint(q.Slots), q.change())
	}
	return table.Flush()
}

func (q queueStats) change() string {
	switch {
	case q.Paused:
		return "paused"
	case q.Change == nil:
		return ""
	}
	return fmt.Sprintf("%+.1f/s", *q.Change)
}

func rate(perSecond float64) string {
	switch {
	case perSecond == 0:
		return ""
	case perSecond < 0.005:
		return "<0.01/s"
	case perSecond < 0.1:
		return fmt.Sprintf("%.2f/s", perSecond)
	}
	return fmt.Sprintf("%.1f/s", perSecond)
}
