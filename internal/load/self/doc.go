// Package self puts the scheduler under load: what package load measures of every queue, and what only this one is asked.
//
//	Enter ──► Stage: a schema of its own, or a queue of its own among others' tasks
//	            ├── Run(workload): submit, drain, e2e, latency, idle, bloat, payload    (package load)
//	            │                  backlog, scale, memory, long                         (here)
//	            ├── Reset between workloads
//	            └── Leave: all that was made is gone
//
// Invariants. Only the public packages are used, as a stranger would. A database with tasks in it is refused unless
// Config.Among says otherwise, and then only tasks of the stage's own queue are ever touched. One stage a database at a time.
// What a killed one has left is removed by the next.
//
//	stage, err := self.Enter(ctx, self.Config{DatabaseURL: url})
//	if err != nil {
//		return err
//	}
//	defer stage.Leave(context.WithoutCancel(ctx))
//	err = stage.Run(ctx, "drain", load.Options{}, emit)
package self
