package worker

import (
	"context"

	"go.opentelemetry.io/otel"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/trace"

	"github.com/pgscheduler/scheduler/scheduler"
)

// trace begins the spans of an attempt whose task belongs to a trace: one for its wait, which has ended, and one for its run,
// which endTrace ends. It returns the context for the handler. Without a trace nothing is made.
func (a *attempt) trace(ctx context.Context) context.Context {
	if a.task.TraceParent == "" {
		return ctx
	}
	tracer := otel.Tracer(scheduler.TracerName)
	ctx = scheduler.WithTraceParent(ctx, a.task.TraceParent)
	about := trace.WithAttributes(attribute.String("scheduler.task_id", a.task.Task.String()), attribute.String("scheduler.queue", string(a.task.Queue)),
		attribute.String("scheduler.kind", a.task.Kind), attribute.Int("scheduler.attempt", a.task.Attempt))
	_, wait := tracer.Start(ctx, "wait "+a.task.Kind, about, trace.WithTimestamp(a.worker.client.Local(a.task.RunAt)))
	wait.End()
	ctx, _ = tracer.Start(ctx, "run "+a.task.Kind, about, trace.WithSpanKind(trace.SpanKindConsumer))
	if parent := scheduler.TraceParent(ctx); parent != "" {
		a.task.TraceParent = parent
	}
	return ctx
}

// endTrace ends the span of the run.
func (a *attempt) endTrace(out outcome) {
	if a.task.TraceParent == "" {
		return
	}
	span := trace.SpanFromContext(a.ctx)
	if out.failure != nil && out.snooze == nil && !out.elsewhere {
		span.SetStatus(codes.Error, scheduler.Truncate(out.failure.Message, 500))
		span.SetAttributes(attribute.String("error.type", out.failure.Code))
	}
	span.End()
}
