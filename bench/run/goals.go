package main

import (
	"fmt"
	"maps"
	"slices"

	"github.com/pgscheduler/scheduler/internal/load"
)

// pick names a figure.
type pick struct{ step, name, metric, contestant string }

// goal bounds a figure of ours, or its ratio to another figure of the same round.
type goal struct {
	name    string
	top     pick
	bottom  *pick // nil: the figure itself
	atLeast bool  // else at most
	bound   float64
}

// goals are what the scheduler is meant to reach.
var goals = []goal{
	faster("drain", "work", "river", 2.6), faster("drain", "work", "graphile", 1.2), faster("drain", "work", "floor-wide", 0.85),
	faster("e2e", "cold", "river", 2.5), faster("e2e", "cold", "graphile", 1.2), faster("e2e", "cold", "floor-wide", 0.85),
	faster("e2e", "analyzed", "river", 2.5), faster("e2e", "analyzed", "graphile", 1.2), faster("e2e", "analyzed", "floor-wide", 0.85),
	faster("submit", "clients=32", "river", 5), faster("submit", "clients=32", "floor", 2),
	{name: "submit by HTTP, 32 clients, tasks/s, by River's own inserts", top: pick{"submit-http", "clients=32", "tasks/s", "ours"},
		bottom: &pick{"submit", "clients=32", "tasks/s", "river"}, atLeast: true, bound: 3},
	{name: "latency p50 by River's", top: pick{"latency", "", "p50 ms", "ours"}, bottom: &pick{"latency", "", "p50 ms", "river"}, bound: 0.7},
	{name: "latency p99 by River's", top: pick{"latency", "", "p99 ms", "ours"}, bottom: &pick{"latency", "", "p99 ms", "river"}, bound: 0.8},
	{name: "e2e, PostgreSQL CPU µs/task", top: pick{"e2e", "analyzed", "PostgreSQL CPU µs/task", "ours"}, bound: 33},
	{name: "e2e, WAL bytes/task", top: pick{"e2e", "analyzed", "WAL bytes/task", "ours"}, bound: 1100},
	{name: "idle, transactions/s", top: pick{"idle", "", "transactions/s", "ours"}, bound: 0.5},
	{name: "idle, client CPU by River's", top: pick{"idle", "", "client CPU %", "ours"}, bottom: &pick{"idle", "", "client CPU %", "river"}, bound: 0.1},
	{name: "bloat, last slice by first, %", top: pick{"bloat", "work", "last slice / first, %", "ours"}, atLeast: true, bound: 90},
	{name: "bloat, 100 slots, last slice by first, %", top: pick{"bloat, 100 slots", "work", "last slice / first, %", "ours"}, atLeast: true, bound: 90},
	{name: "bloat, latency p99 after by before", top: pick{"bloat", "after", "p99 ms", "ours"}, bottom: &pick{"bloat", "before", "p99 ms", "ours"}, bound: 2},
	{name: "backlog, lease p50 full by none", top: pick{"backlog", "full", "p50 ms", "ours"}, bottom: &pick{"backlog", "none", "p50 ms", "ours"}, bound: 1.3},
	{name: "backlog, pages/lease full by none", top: pick{"backlog", "full", "pages/lease", "ours"}, bottom: &pick{"backlog", "none", "pages/lease", "ours"}, bound: 1.3},
	{name: "scale, tasks/s of 8 processes by 2", top: pick{"scale", "processes=8", "tasks/s", "ours"},
		bottom: &pick{"scale", "processes=2", "tasks/s", "ours"}, atLeast: true, bound: 0.95},
	{name: "live, report to follower, p95 ms", top: pick{"live", "report", "p95 ms", "ours"}, bound: 300},
	{name: "live, KiB of a follower", top: pick{"live", "many", "KiB/follower", "ours"}, bound: 64},
	{name: "RSS with 1,000 slots, MB", top: pick{"memory", "busy", "RSS MB", "ours"}, bound: 60},
}

// faster is the goal to be so many times as fast as another.
func faster(step, name, other string, times float64) goal {
	return goal{name: fmt.Sprintf("%s %s, tasks/s by %s's", step, name, other), top: pick{step, name, "tasks/s", "ours"},
		bottom: &pick{step, name, "tasks/s", other}, atLeast: true, bound: times}
}

// verdict is a goal that was measured.
type verdict struct {
	Goal     string  `json:"goal"`
	AtLeast  bool    `json:"at_least"` // else at most
	Bound    float64 `json:"bound"`
	Measured float64 `json:"measured"` // median of the rounds
	Reached  bool    `json:"reached"`
}

// judge looks which goals were reached. Those of which something was not measured are left out.
func judge(runs []outcome) (list []verdict) {
	for _, g := range goals {
		values := slices.Collect(maps.Values(g.top.in(runs)))
		if g.bottom != nil {
			values = over(g.top.in(runs), g.bottom.in(runs))
		}
		if len(values) == 0 {
			continue
		}
		v := verdict{Goal: g.name, AtLeast: g.atLeast, Bound: g.bound, Measured: load.Round(median(values))}
		v.Reached = v.Measured <= v.Bound
		if g.atLeast {
			v.Reached = v.Measured >= v.Bound
		}
		list = append(list, v)
	}
	return list
}

// in finds the figure by round.
func (p pick) in(runs []outcome) map[int]float64 {
	i := slices.IndexFunc(metrics, func(m metric) bool { return m.name == p.metric })
	return measured(runs, p.step, p.name, p.contestant, metrics[i])
}

func (v verdict) cells() []string {
	sign, word := "≤", "missed"
	if v.AtLeast {
		sign = "≥"
	}
	if v.Reached {
		word = "reached"
	}
	return []string{v.Goal, fmt.Sprintf("%s %v", sign, v.Bound), fmt.Sprint(v.Measured), word}
}
