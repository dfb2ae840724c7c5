package scheduler

import (
	"context"
	"slices"

	"go.opentelemetry.io/otel"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/propagation"
	"go.opentelemetry.io/otel/trace"
)

// TracerName is whose spans ours are. They go to the TracerProvider that the program has set (otel.SetTracerProvider), and
// nowhere while it has set none.
const TracerName = "github.com/pgscheduler/scheduler"

// traceHeader is the name of the header, and of the key in a carrier.
const traceHeader = "traceparent"

// TraceParent returns the W3C traceparent of the span in ctx; "": there is none.
func TraceParent(ctx context.Context) string {
	if !trace.SpanContextFromContext(ctx).IsValid() {
		return ""
	}
	carrier := propagation.MapCarrier{}
	propagation.TraceContext{}.Inject(ctx, carrier)
	return carrier[traceHeader]
}

// WithTraceParent returns ctx with the span that a W3C traceparent names as the parent of those to come, or ctx as it is when
// that is none.
func WithTraceParent(ctx context.Context, parent string) context.Context {
	if parent == "" {
		return ctx
	}
	return propagation.TraceContext{}.Extract(ctx, propagation.MapCarrier{traceHeader: parent})
}

// ValidTraceParent reports whether a text is a W3C traceparent.
func ValidTraceParent(parent string) bool {
	return trace.SpanContextFromContext(WithTraceParent(context.Background(), parent)).IsValid()
}

// traced makes tasks part of the trace in ctx, unless they name another: with a span for their submit, to be ended by end.
// Without a trace in ctx nothing is made.
func traced(ctx context.Context, tasks []NewTask) (list []NewTask, end func(error)) {
	if !trace.SpanContextFromContext(ctx).IsValid() || len(tasks) == 0 {
		return tasks, func(error) {}
	}
	ctx, span := otel.Tracer(TracerName).Start(ctx, "submit "+tasks[0].Kind, trace.WithSpanKind(trace.SpanKindProducer),
		trace.WithAttributes(attribute.String("scheduler.kind", tasks[0].Kind), attribute.Int("scheduler.tasks", len(tasks))))
	parent := TraceParent(ctx)
	list = slices.Clone(tasks)
	for i := range list {
		if list[i].TraceParent == "" {
			list[i].TraceParent = parent
		}
	}
	return list, func(err error) {
		if err != nil {
			span.SetStatus(codes.Error, err.Error())
		}
		span.End()
	}
}
