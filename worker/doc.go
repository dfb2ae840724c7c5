// Package worker runs user code: it leases tasks, calls their handlers, keeps the leases alive and writes how it went.
//
//	take ──lease──► run ──► handler ──► settle: complete, fail, snooze, release
//	  ▲              │ report, log (batched)
//	  │ wake         ▼
//	listen, poll   live: one heartbeat for all; cancels, pause, quiet, stop come back with it
//
// Invariants. A handler runs only while its lease is alive by this process's own clock; when heartbeats fail, its context
// is cancelled before the lease runs out. The cause of that cancellation tells why: ErrCancelled, ErrTimeout, ErrShutdown,
// or scheduler.ErrLeaseLost. An attempt that has ended is written until the database has taken it or refused it; it is
// never forgotten. Run returns when every goroutine it started has ended, except handlers that ignore their context.
//
//	registry := worker.NewRegistry()
//	worker.Handle(registry, "report.generate", func(ctx context.Context, task *worker.Task[Report]) (Summary, error) {
//		for i, page := range task.Args.Pages {
//			if err := task.Report(int64(i), int64(len(task.Args.Pages)), page.Title); err != nil {
//				return Summary{}, err
//			}
//		}
//		return Summary{Pages: len(task.Args.Pages)}, nil
//	})
//	w, err := worker.New(client, registry, worker.Config{Concurrency: 20})
//	if err != nil {
//		return err
//	}
//	return w.Run(ctx)
package worker
