package main

import (
	"fmt"
	"maps"
	"math"
	"slices"
	"strconv"
	"strings"
	"text/tabwriter"

	"github.com/pgscheduler/scheduler/internal/load"
)

// metric is a figure of a result.
type metric struct {
	name string
	more bool // more of it is better
	of   func(load.Result) *float64
	solo bool // a ratio of it says nothing
}

// metrics in the order of the table; a row is written for each that a case has.
var metrics = []metric{
	{name: "tasks/s", more: true, of: func(r load.Result) *float64 {
		if r.Workload == "latency" || r.Workload == "bloat" && r.Case != "work" {
			return nil // a hundred, by design
		}
		return r.PerSecond
	}},
	{name: "MB/s", more: true, of: func(r load.Result) *float64 { return r.Megabytes }},
	{name: "p50 ms", of: func(r load.Result) *float64 { return r.P50 }},
	{name: "p95 ms", of: func(r load.Result) *float64 { return r.P95 }},
	{name: "p99 ms", of: func(r load.Result) *float64 { return r.P99 }},
	{name: "PostgreSQL CPU µs/task", of: func(r load.Result) *float64 { return r.ServerCPU }},
	{name: "client CPU µs/task", of: func(r load.Result) *float64 { return r.ClientCPU }},
	{name: "WAL bytes/task", of: func(r load.Result) *float64 { return r.WAL }},
	{name: "HOT updates %", more: true, of: func(r load.Result) *float64 { return r.HOT }, solo: true},
	{name: "transactions/s", of: func(r load.Result) *float64 { return r.TransactionsPerSecond }},
	{name: "PostgreSQL CPU %", of: func(r load.Result) *float64 { return r.ServerPercent }},
	{name: "client CPU %", of: func(r load.Result) *float64 { return r.ClientPercent }},
	{name: "WAL bytes/s", of: func(r load.Result) *float64 { return r.WALPerSecond }},
	{name: "last slice / first, %", more: true, of: lastOfFirst, solo: true},
	{name: "pages/lease", of: func(r load.Result) *float64 { return r.Buffers }},
	{name: "lease from the beginning, ms", of: func(r load.Result) *float64 { return r.WalkMS }},
	{name: "lease from the beginning, pages", of: func(r load.Result) *float64 { return r.WalkBuffers }},
	{name: "RSS MB", of: func(r load.Result) *float64 { return r.RSS }},
	{name: "KiB/follower", of: func(r load.Result) *float64 { return r.PerFollower }},
	{name: "peak RSS MB", of: func(r load.Result) *float64 { return r.PeakRSS }},
}

// lastOfFirst is what is left of the speed at the end.
func lastOfFirst(r load.Result) *float64 {
	if len(r.Slices) < 2 || r.Slices[0] == 0 {
		return nil
	}
	return load.Figure(100 * r.Slices[len(r.Slices)-1] / r.Slices[0])
}

// against are the contestants that ours is divided by.
var against = []string{"river", "graphile", "floor", "floor-wide"}

// row is a line of the table.
type row struct {
	Step    string             `json:"step"`
	Case    string             `json:"case,omitempty"`
	Metric  string             `json:"metric"`
	Better  string             `json:"better"`  // more, less
	Medians map[string]float64 `json:"medians"` // by contestant
	Ratios  map[string]float64 `json:"ratios"`  // ours by that contestant's: the median of the rounds' own ratios
}

// rows works out the table.
func rows(runs []outcome, steps []step) (table []row) {
	for _, s := range steps {
		for _, name := range cases(runs, s.name) {
			for _, m := range metrics {
				if r, ok := line(runs, s.name, name, m); ok {
					table = append(table, r)
				}
			}
		}
	}
	return table
}

// cases lists the cases of a step, in the order of their appearance.
func cases(runs []outcome, step string) (list []string) {
	for _, o := range runs {
		for _, r := range o.Results {
			if o.Step == step && !slices.Contains(list, r.Case) {
				list = append(list, r.Case)
			}
		}
	}
	return list
}

// line works out a row; ok: somebody has measured it.
func line(runs []outcome, step, name string, m metric) (out row, ok bool) {
	out = row{Step: step, Case: name, Metric: m.name, Better: "less", Medians: map[string]float64{}, Ratios: map[string]float64{}}
	if m.more {
		out.Better = "more"
	}
	for _, c := range contestantNames {
		if values := measured(runs, step, name, c, m); len(values) > 0 {
			out.Medians[c] = load.Round(median(slices.Collect(maps.Values(values))))
		}
	}
	for _, c := range against {
		ratios := over(measured(runs, step, name, "ours", m), measured(runs, step, name, c, m))
		if len(ratios) > 0 && !m.solo {
			out.Ratios[c] = load.Round(median(ratios))
		}
	}
	return out, len(out.Medians) > 0
}

// measured returns a figure of a contestant by round.
func measured(runs []outcome, step, name, contestant string, m metric) map[int]float64 {
	values := map[int]float64{}
	for _, o := range runs {
		if o.Step != step || o.Contestant != contestant {
			continue
		}
		for _, r := range o.Results {
			if v := m.of(r); r.Case == name && v != nil {
				values[o.Round] = *v
			}
		}
	}
	return values
}

// over divides round by round.
func over(top, bottom map[int]float64) (ratios []float64) {
	for round, v := range top {
		if its := bottom[round]; its != 0 {
			ratios = append(ratios, v/its)
		}
	}
	return ratios
}

// median is the middle one, or the mean of the two in the middle.
func median(list []float64) float64 {
	slices.Sort(list)
	n := len(list)
	if n%2 == 1 {
		return list[n/2]
	}
	return (list[n/2-1] + list[n/2]) / 2
}

// header of the table.
func header() []string {
	list := append([]string{"workload", "figure", "better"}, contestantNames...)
	for _, other := range against {
		list = append(list, "ours/"+other)
	}
	return list
}

// cells of a row.
func (r row) cells() []string {
	list := []string{strings.TrimSpace(r.Step + " " + r.Case), r.Metric, r.Better}
	for _, c := range contestantNames {
		list = append(list, number(r.Medians, c))
	}
	for _, c := range against {
		list = append(list, ratio(r.Ratios, c))
	}
	return list
}

// number shows a figure with as many digits as can be read.
func number(of map[string]float64, name string) string {
	v, ok := of[name]
	switch {
	case !ok:
		return "-"
	case v != 0 && math.Abs(v) < 1:
		return strconv.FormatFloat(v, 'g', 2, 64)
	case math.Abs(v) < 100:
		return strconv.FormatFloat(v, 'f', 1, 64)
	}
	return strconv.FormatFloat(v, 'f', 0, 64)
}

func ratio(of map[string]float64, name string) string {
	v, ok := of[name]
	if !ok {
		return "-"
	}
	return fmt.Sprintf("%.2f", v)
}

// text is the table for a terminal.
func (r report) text() string {
	var b strings.Builder
	t := tabwriter.NewWriter(&b, 0, 0, 2, ' ', 0)
	fmt.Fprintln(t, strings.ToUpper(strings.Join(header(), "\t"))) //nolint:errcheck // into memory
	for _, row := range r.Rows {
		fmt.Fprintln(t, strings.Join(row.cells(), "\t")) //nolint:errcheck // into memory
	}
	t.Flush() //nolint:errcheck // into memory
	if len(r.Goals) > 0 {
		fmt.Fprintln(&b)
		t = tabwriter.NewWriter(&b, 0, 0, 2, ' ', 0)
		for _, g := range r.Goals {
			fmt.Fprintln(t, strings.Join(g.cells(), "\t")) //nolint:errcheck // into memory
		}
		t.Flush() //nolint:errcheck // into memory
	}
	return b.String()
}
