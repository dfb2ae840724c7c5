package worker_test

import (
	"context"
	"errors"
	"fmt"
	"testing"

	"github.com/pgscheduler/scheduler/scheduler"
	"github.com/pgscheduler/scheduler/worker"
)

// An attempt goes on from where the one before it got to.
func TestCheckpointIsFoundByTheNextAttempt(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	registry := worker.NewRegistry()
	worker.Handle(registry, "k", func(ctx context.Context, task *worker.Task[none]) (string, error) {
		if task.Attempt == 1 {
			if err := task.SaveCheckpoint(ctx, map[string]int{"page": 3}); err != nil {
				return "", worker.Permanent(err)
			}
			return "", worker.RetryAfter(0, errors.New("not yet"))
		}
		return fmt.Sprintf("attempt %d from %s", task.Attempt, task.Checkpoint), nil
	})
	r.start(registry, worker.Config{})
	if task := r.final(r.submit(scheduler.NewTask{Kind: "k"})); string(task.Result) != `"attempt 2 from {\"page\": 3}"` {
		t.Errorf("%s: %s %s", task.State, task.Result, text(task.Error))
	}
}
