// Package sql holds the statements, one file each, as strings.
//
//	submit ─► lease ─► report* ─► complete | fail | snooze | release        (worker)
//	promote, expire, due ─► fire | plan, rescue                             (any process, nobody leads)
//	task, tasks*, attempts, logs, queues, workers, schedules, explain       (reading)
//
// Invariants: no SQL is put together in Go; a write by a worker names task, worker, attempt and state; every file is
// prepared against the migrated schema by a test in package scheduler.
//
//	rows, err := pool.Query(ctx, sql.Task, pgx.StrictNamedArgs{"id": id})
package sql

import _ "embed"

var (
	//go:embed attempts.sql
	Attempts string
	//go:embed bear.sql
	Bear string
	//go:embed cancel.sql
	Cancel string
	//go:embed clock.sql
	Clock string
	//go:embed complete.sql
	Complete string
	//go:embed complete_tx.sql
	CompleteTx string
	//go:embed delete.sql
	Delete string
	//go:embed deregister.sql
	Deregister string
	//go:embed doctor.sql
	Doctor string
	//go:embed due.sql
	Due string
	//go:embed expire.sql
	Expire string
	//go:embed explain.sql
	Explain string
	//go:embed fail.sql
	Fail string
	//go:embed fire.sql
	Fire string
	//go:embed heartbeat.sql
	Heartbeat string
	//go:embed lease.sql
	Lease string
	//go:embed lease_scout.sql
	LeaseScout string
	//go:embed lease_tail.sql
	LeaseTail string
	//go:embed log.sql
	Log string
	//go:embed logs.sql
	Logs string
	//go:embed notify.sql
	Notify string
	//go:embed pin.sql
	Pin string
	//go:embed plan.sql
	Plan string
	//go:embed promote.sql
	Promote string
	//go:embed queue_pause.sql
	QueuePause string
	//go:embed queue_resume.sql
	QueueResume string
	//go:embed queues.sql
	Queues string
	//go:embed ready.sql
	Ready string
	//go:embed reclaim.sql
	Reclaim string
	//go:embed register.sql
	Register string
	//go:embed release.sql
	Release string
	//go:embed report.sql
	Report string
	//go:embed report_tx.sql
	ReportTx string
	//go:embed rescue.sql
	Rescue string
	//go:embed rescue_next.sql
	RescueNext string
	//go:embed retry.sql
	Retry string
	//go:embed schedule_delete.sql
	ScheduleDelete string
	//go:embed schedule_pause.sql
	SchedulePause string
	//go:embed schedule_resume.sql
	ScheduleResume string
	//go:embed schedule_set.sql
	ScheduleSet string
	//go:embed schedules.sql
	Schedules string
	//go:embed schema_version.sql
	SchemaVersion string
	//go:embed settled.sql
	Settled string
	//go:embed snooze.sql
	Snooze string
	//go:embed submit.sql
	Submit string
	//go:embed submit_conflict.sql
	SubmitConflict string
	//go:embed submit_plain.sql
	SubmitPlain string
	//go:embed survey.sql
	Survey string
	//go:embed task.sql
	Task string
	//go:embed tasks.sql
	Tasks string
	//go:embed tasks_dead.sql
	TasksDead string
	//go:embed tasks_ready.sql
	TasksReady string
	//go:embed tasks_running.sql
	TasksRunning string
	//go:embed tasks_waiting.sql
	TasksWaiting string
	//go:embed trigger.sql
	Trigger string
	//go:embed watch_changed.sql
	WatchChanged string
	//go:embed watch_lines.sql
	WatchLines string
	//go:embed watch_mark.sql
	WatchMark string
	//go:embed watch_read.sql
	WatchRead string
	//go:embed worker_command.sql
	WorkerCommand string
	//go:embed workers.sql
	Workers string
)
