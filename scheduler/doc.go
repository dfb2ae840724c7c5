// Package scheduler is what a task is and may become, and every round trip to the database: submit, lease, finish, report,
// cancel, retry, schedules, rescue, topics. It runs no user code; package worker does.
//
//	          submit                lease               complete
//	(new) ─┬─► ready ◄───────────┐ ─────► running ─┬──────────────► completed
//	       │     ▲   release     │          │      ├─ fail (gave up) ► failed ──┐
//	       │     │ promote       └──────────┤      └─ cancel ────────► cancelled┤
//	       └─► scheduled ◄── fail, snooze ──┘                                   │
//	             ready ◄───────────────────────── retry ────────────────────────┘
//
// Invariants. A state changes by one guarded statement in folder sql; the database refuses every edge that is not in
// Edges. Each write by a worker names task, worker, attempt and state, and changes nothing once the lease is lost
// (ErrLeaseLost). Nobody leads: whatever is due is a row, and whoever comes first takes it with FOR UPDATE SKIP LOCKED.
// The clock is the database's. Notifications are hints; the tables are the truth. Locks are taken in the order workers,
// tasks by id, side rows.
//
//	client, err := scheduler.Open(ctx, scheduler.Config{DatabaseURL: "postgres://localhost/app"})
//	if err != nil {
//		return err
//	}
//	defer client.Close()
//	task, err := client.Submit(ctx, scheduler.NewTask{
//		Kind:    "report.generate",
//		Payload: map[string]any{"report_id": 42},
//	})
package scheduler
