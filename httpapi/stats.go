package httpapi

import (
	"context"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"github.com/pgscheduler/scheduler/scheduler"
)

// Stat is how attempts of one queue and kind ended within one step of time.
type Stat struct {
	At        time.Time `json:"at" doc:"The beginning of the step."`
	Queue     string    `json:"queue"`
	Kind      string    `json:"kind"`
	Completed int64     `json:"completed"`
	Failed    int64     `json:"failed" doc:"And are tried again."`
	Dead      int64     `json:"dead" doc:"And were given up."`
	Cancelled int64     `json:"cancelled" doc:"On request, while they ran."`
	Crashed   int64     `json:"crashed" doc:"Their worker was lost."`
	RunMS     int64     `json:"run_ms" doc:"Of all but the crashed, summed."`
	WaitMS    int64     `json:"wait_ms" doc:"From when they were due to their start, summed."`
}

// NewStat returns the wire form of a step.
func NewStat(t scheduler.Stat) Stat {
	return Stat{At: t.At.UTC(), Queue: string(t.Queue), Kind: t.Kind, Completed: t.Completed, Failed: t.Failed, Dead: t.Dead,
		Cancelled: t.Cancelled, Crashed: t.Crashed, RunMS: t.RunMS, WaitMS: t.WaitMS}
}

// Stats are the steps, oldest first; those in which nothing ended are left out.
type Stats struct {
	StepMS int64  `json:"step_ms"`
	SpanMS int64  `json:"span_ms" doc:"How far back they go."`
	Items  []Stat `json:"items" nullable:"false"`
}

type statsInput struct {
	Queue  queueName `query:"queue"`
	Kind   kindName  `query:"kind"`
	Window string    `query:"window" enum:"hour,day" default:"hour" doc:"hour: the last hour by minutes. day: the last 24 hours by quarters of an hour."`
}

func (s *server) registerStats(api huma.API) {
	handle(s, api, operation{Operation: huma.Operation{OperationID: "get-stats", Method: "GET", Path: "/v1/stats", Tags: []string{"stats"},
		Summary: "How attempts ended, by queue, kind and time", Description: "Processes add their counts every 5 seconds; one that is killed takes those of a few seconds with it."},
		codes: []Code{CodeValidationFailed}}, s.stats)
}

func (s *server) stats(ctx context.Context, in *statsInput) (*output[Stats], error) {
	filter := scheduler.StatsFilter{Queue: scheduler.Queue(in.Queue), Kind: string(in.Kind), Day: in.Window == "day"}
	list, err := s.client.Stats(ctx, filter)
	if err != nil {
		return nil, err
	}
	step, span := filter.Step()
	out := Stats{StepMS: step.Milliseconds(), SpanMS: span.Milliseconds(), Items: make([]Stat, len(list))}
	for i, t := range list {
		out.Items[i] = NewStat(t)
	}
	return &output[Stats]{out}, nil
}
