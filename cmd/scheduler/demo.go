package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"time"

	"github.com/pgscheduler/scheduler/worker"
)

// demoSleep is the payload of demo.sleep.
type demoSleep struct {
	Seconds float64 `json:"seconds"` // 0: 5
	Fail    bool    `json:"fail"`    // at the end
}

const demoTick = 100 * time.Millisecond

// addDemo registers the kinds that let a newcomer try everything without code: demo.sleep reports progress ten times a
// second and obeys a cancel; demo.echo logs a line and returns its payload.
func addDemo(r *worker.Registry) {
	worker.Handle(r, "demo.sleep", func(ctx context.Context, task *worker.Task[demoSleep]) (map[string]float64, error) {
		seconds := task.Args.Seconds
		switch {
		case seconds == 0:
			seconds = 5
		case seconds < 0 || seconds > 86400:
			return nil, worker.Permanent(errors.New("seconds must be 0 to 86400"))
		}
		task.Log("sleeping for %g seconds", seconds)
		if err := sleepAloud(ctx, seconds, task.Report); err != nil {
			return nil, err
		}
		if task.Args.Fail {
			return nil, worker.Permanent(errors.New(`the payload said "fail": true`))
		}
		return map[string]float64{"slept": seconds}, nil
	})
	worker.Handle(r, "demo.echo", func(_ context.Context, task *worker.Task[json.RawMessage]) (json.RawMessage, error) {
		task.Log("echoing %d bytes", len(task.Args))
		return task.Args, nil
	})
}

func sleepAloud(ctx context.Context, seconds float64, report func(current, total int64, message string) error) error {
	began := time.Now()
	tick := time.NewTicker(demoTick)
	defer tick.Stop()
	total := int64(math.Ceil(seconds / demoTick.Seconds()))
	for {
		slept := time.Since(began).Seconds()
		done := min(total, int64(slept/demoTick.Seconds()))
		if err := report(done, total, fmt.Sprintf("slept %.1f of %g seconds", min(slept, seconds), seconds)); err != nil {
			return err
		}
		if slept >= seconds {
			return nil
		}
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-tick.C:
		}
	}
}
