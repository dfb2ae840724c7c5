package main

import (
	"slices"
	"time"
)

// step is one workload with its settings, run by each contestant that can.
type step struct {
	name        string // in the table; a workload may be run in two ways
	workload    string
	flags       []string
	by          []string // contestants; nil: all
	limit       time.Duration
	quick, full []string // flags instead
}

var (
	own   = []string{"ours"}
	peers = []string{"ours", "river", "graphile", "pgboss"}
)

// steps are all that is run, in this order.
var steps = []step{
	{name: "submit", workload: "submit", flags: []string{"--seconds", "5", "--clients", "1,8,32,128"},
		quick: []string{"--seconds", "1", "--clients", "1,8"}, by: []string{"ours", "river", "graphile", "pgboss", "floor", "floor-wide"}},
	{name: "submit-http", workload: "submit-http", flags: []string{"--seconds", "5", "--clients", "1,8,32,128"},
		quick: []string{"--seconds", "1", "--clients", "1,8"}, by: own},
	{name: "drain", workload: "drain", flags: []string{"--tasks", "100000"}, quick: []string{"--tasks", "3000"}},
	{name: "e2e", workload: "e2e", flags: []string{"--seconds", "20"}, quick: []string{"--seconds", "1"}},
	{name: "latency", workload: "latency", flags: []string{"--seconds", "10"}, quick: []string{"--seconds", "1"}},
	{name: "idle", workload: "idle", flags: []string{"--seconds", "30"}, quick: []string{"--seconds", "1"}, by: peers},
	{name: "bloat", workload: "bloat", flags: []string{"--tasks", "500000", "--concurrency", "2000", "--seconds", "30"},
		quick: []string{"--tasks", "3000", "--seconds", "1"}, by: []string{"ours", "river", "graphile"}},
	{name: "bloat, 100 slots", workload: "bloat", flags: []string{"--tasks", "150000", "--concurrency", "100", "--seconds", "30"},
		quick: []string{"--tasks", "3000", "--concurrency", "50", "--seconds", "1"}, by: []string{"ours", "river", "graphile"}},
	{name: "backlog", workload: "backlog", flags: []string{"--tasks", "1000000"}, full: []string{"--tasks", "5000000"},
		quick: []string{"--tasks", "10000"}, by: own, limit: 40 * time.Minute},
	{name: "scale", workload: "scale", flags: []string{"--tasks", "100000"}, quick: []string{"--tasks", "3000"}, by: own},
	{name: "payload", workload: "payload", flags: []string{"--tasks", "20000"}, quick: []string{"--tasks", "500"}, by: own},
	{name: "memory", workload: "memory", flags: []string{"--tasks", "20000"}, quick: []string{"--tasks", "2000"}, by: own},
	{name: "live", workload: "live", flags: []string{"--tasks", "10000", "--seconds", "10"}, quick: []string{"--tasks", "50", "--seconds", "1"}, by: own},
	{name: "long", workload: "long", flags: []string{"--tasks", "10000", "--seconds", "60"}, quick: []string{"--tasks", "500", "--seconds", "1"}, by: own},
}

// limit of a run that has none of its own.
const limit = 10 * time.Minute

// names lists the workloads.
func names() (list []string) {
	for _, s := range steps {
		if !slices.Contains(list, s.workload) {
			list = append(list, s.workload)
		}
	}
	return list
}

// plan chooses the steps and their flags.
func plan(o options) (chosen []step) {
	for _, s := range steps {
		if !slices.Contains(o.workloads, s.workload) {
			continue
		}
		switch {
		case o.quick:
			s.flags = s.quick
		case o.full && s.full != nil:
			s.flags = s.full
		}
		if s.limit == 0 {
			s.limit = limit
		}
		chosen = append(chosen, s)
	}
	return chosen
}

// has reports whether the contestant takes part.
func (s step) has(contestant string) bool { return s.by == nil || slices.Contains(s.by, contestant) }
