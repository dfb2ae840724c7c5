package self

import (
	"context"
	"errors"

	"github.com/pgscheduler/scheduler/internal/load"
)

// Workloads lists what Run knows, in a sensible order.
var Workloads = []string{"submit", "submit-http", "drain", "e2e", "latency", "idle", "bloat", "backlog", "scale", "payload", "memory", "long", "live"}

// Run carries out a workload, whose results are emitted case by case. Call Reset before the next one.
func (s *Stage) Run(ctx context.Context, workload string, o load.Options, emit load.Emit) error {
	b := load.Bench{DatabaseURL: s.config.DatabaseURL, Schema: "scheduler", Open: s.Open, Progress: s.config.Progress}
	switch workload {
	case "submit-http":
		if s.config.HTTP == nil {
			return errors.New("submit-http: there is no server")
		}
		b.Open = s.openHTTP
		return b.RunAs(ctx, workload, "submit", o, emit)
	case "backlog":
		return b.RunWith(ctx, workload, s.backlog, o, emit)
	case "scale":
		return b.RunWith(ctx, workload, s.scale, o, emit)
	case "memory":
		return b.RunWith(ctx, workload, s.memory, o, emit)
	case "long":
		return b.RunWith(ctx, workload, s.long, o, emit)
	case "live":
		return b.RunWith(ctx, workload, s.live, o, emit)
	case "e2e":
		return b.Run(ctx, workload, o, func(r load.Result) error {
			if r.Case == "cold" && !s.made {
				r.Note("not quite cold: the schema was there before, with its statistics")
			}
			return emit(r)
		})
	}
	return b.Run(ctx, workload, o, emit)
}

// openHTTP opens the scheduler as a subject whose tasks are submitted by HTTP.
func (s *Stage) openHTTP(ctx context.Context, setup load.Setup) (load.Subject, error) {
	its, err := s.subject(ctx, setup)
	if err != nil {
		return nil, err
	}
	submit, stop, err := s.config.HTTP(ctx, its.client)
	if err != nil {
		its.Close()
		return nil, err
	}
	its.submit, its.ending = submit, append(its.ending, stop)
	return its, nil
}
