package worker

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"slices"

	"github.com/pgscheduler/scheduler/scheduler"
)

// handler runs one attempt and returns its result as JSON, nil for none.
type handler func(ctx context.Context, a *attempt) (json.RawMessage, error)

// Registry holds the handlers of a worker by kind. Fill it before New; it is not safe for concurrent use.
type Registry struct {
	handlers map[string]handler
	commands []*Children // of HandleCommand
}

// NewRegistry returns an empty Registry.
func NewRegistry() *Registry { return &Registry{handlers: map[string]handler{}} }

// Kinds lists what the registry can run, sorted.
func (r *Registry) Kinds() []string { return slices.Sorted(maps.Keys(r.handlers)) }

// add panics on a programmer's mistake: a bad kind, or two handlers for one.
func (r *Registry) add(kind string, h handler) {
	if !scheduler.ValidKind(kind) {
		panic(fmt.Sprintf("worker: %q cannot be a kind", kind))
	}
	if r.handlers[kind] != nil {
		panic(fmt.Sprintf("worker: kind %q has two handlers", kind))
	}
	r.handlers[kind] = h
}

// Handle registers the handler of a kind. The task's payload is decoded into Args by encoding/json; what the handler
// returns is stored as the task's result (nil and JSON null: none). An error fails the attempt, to be retried by the task's
// backoff, unless it is made by Permanent, RetryAfter or Snooze; a panic is an error with a stack. The context ends when the
// task is cancelled, times out, its lease is lost or the worker shuts down: return soon then. Handle panics when the kind is
// malformed or has a handler already.
func Handle[Args, Result any](r *Registry, kind string, run func(ctx context.Context, task *Task[Args]) (Result, error)) {
	r.add(kind, func(ctx context.Context, a *attempt) (json.RawMessage, error) {
		task := &Task[Args]{Info: a.info(), attempt: a}
		if err := json.Unmarshal(a.task.Payload, &task.Args); err != nil {
			return nil, &codedError{code: "bad_payload", message: "payload does not fit the handler: " + err.Error()}
		}
		result, err := run(ctx, task)
		if err != nil {
			return nil, err
		}
		raw, err := json.Marshal(result)
		if err != nil {
			return nil, Permanent(&codedError{code: "bad_result", message: "result cannot be stored: " + err.Error()})
		}
		return notNull(raw), nil
	})
}
