package worker_test

import (
	"context"
	"strings"
	"testing"

	"go.opentelemetry.io/otel"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"

	"github.com/pgscheduler/scheduler/scheduler"
	"github.com/pgscheduler/scheduler/worker"
)

const parent = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"

// A task belongs to the trace of whoever submitted it: submit, wait and run are its spans.
func TestSpans(t *testing.T) { // not parallel: it sets the provider of the process
	recorder := tracetest.NewSpanRecorder()
	provider := trace.NewTracerProvider(trace.WithSpanProcessor(recorder))
	otel.SetTracerProvider(provider)

	r := newRig(t)
	registry := worker.NewRegistry()
	seen := make(chan [2]string, 1)
	worker.Handle(registry, "k", func(ctx context.Context, task *worker.Task[none]) (none, error) {
		seen <- [2]string{task.TraceParent, scheduler.TraceParent(ctx)}
		return none{}, worker.Permanent(context.Canceled)
	})
	r.start(registry, worker.Config{})
	ctx, request := provider.Tracer("test").Start(t.Context(), "request")
	submitted, err := r.client.Submit(ctx, scheduler.NewTask{Kind: "k"})
	if err != nil {
		t.Fatal(err)
	}
	request.End()
	r.final(submitted.ID)
	spans := map[string]trace.ReadOnlySpan{}
	await(t, "the spans", func() bool {
		for _, s := range recorder.Ended() {
			spans[s.Name()] = s
		}
		return len(spans) == 4
	})
	submit, wait, run := spans["submit k"], spans["wait k"], spans["run k"]
	if submit.Parent().SpanID() != request.SpanContext().SpanID() || wait.Parent().SpanID() != submit.SpanContext().SpanID() ||
		run.Parent().SpanID() != submit.SpanContext().SpanID() || run.SpanContext().TraceID() != request.SpanContext().TraceID() {
		t.Errorf("parents: %v", spans)
	}
	if wait.EndTime().After(run.StartTime()) || run.Status().Code != codes.Error {
		t.Errorf("wait ends %s, run begins %s: %v", wait.EndTime(), run.StartTime(), run.Status())
	}
	told := receive(t, seen, "the handler")
	if told[0] != told[1] || !strings.Contains(told[0], run.SpanContext().SpanID().String()) {
		t.Errorf("the handler was told %v", told)
	}
}

// sameTrace reports whether a traceparent is of the trace of parent. The span may be another: a provider that was set once stays.
func sameTrace(got string) bool { return len(got) == len(parent) && got[:36] == parent[:36] }

// Without a span in the context, the traceparent travels as it is; a task without one has none.
func TestTraceParentTravels(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	registry := worker.NewRegistry()
	seen := make(chan string, 2)
	worker.Handle(registry, "k", func(_ context.Context, task *worker.Task[none]) (none, error) {
		seen <- task.TraceParent
		return none{}, nil
	})
	r.start(registry, worker.Config{})
	r.final(r.submit(scheduler.NewTask{Kind: "k", TraceParent: parent}))
	if got := receive(t, seen, "the handler"); !sameTrace(got) {
		t.Errorf("%q", got)
	}
	r.final(r.submit(scheduler.NewTask{Kind: "k"}))
	if got := receive(t, seen, "the handler"); got != "" {
		t.Errorf("%q", got)
	}
	if _, err := r.client.Submit(t.Context(), scheduler.NewTask{Kind: "k", TraceParent: "00-4bf9-1-1"}); err == nil || !strings.Contains(err.Error(), "trace_parent") {
		t.Errorf("%v", err)
	}
}

func TestExecGetsTheTrace(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.script(worker.Config{}, `printf '{"op":"result","result":"%s"}' "$TRACEPARENT" >&3`)
	if task := r.final(r.submit(scheduler.NewTask{Kind: "k", TraceParent: parent})); !sameTrace(strings.Trim(string(task.Result), `"`)) {
		t.Errorf("%s", task.Result)
	}
}
