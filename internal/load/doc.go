// Package load puts work on a queue and measures what it costs, in the same way for every queue.
//
//	Bench.Run(workload) ──► Open: a Subject ──► insert, submit, work ──► Result, one a case
//	                          gauge: PostgreSQL's CPU, our CPU, WAL, HOT updates, steal ──┘
//
// Package self makes the scheduler a Subject and has the workloads that only it can do; contestants of the benchmark in
// folder bench are Subjects too. Invariants: a clock stops when storage shows every task completed, not when handlers were
// called; what a figure cannot be had for is left out and said in Result.Notes; each run is bounded in time.
//
//	bench := load.Bench{DatabaseURL: url, Open: open}
//	err := bench.Run(ctx, "drain", load.Options{Tasks: 100_000}, func(r load.Result) error {
//		return json.NewEncoder(os.Stdout).Encode(r)
//	})
package load
