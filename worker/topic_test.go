package worker_test

import (
	"context"
	"fmt"
	"testing"

	"github.com/pgscheduler/scheduler/scheduler"
	"github.com/pgscheduler/scheduler/worker"
)

// A handler knows the topic of the message that its task was made of, in Go and as a command; a submitted task has none.
func TestHandlersKnowTheTopic(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	registry := worker.NewRegistry()
	worker.Handle(registry, "go", func(_ context.Context, task *worker.Task[none]) (string, error) {
		return fmt.Sprintf("%s %d", task.Topic, task.MessageID), nil
	})
	if err := worker.HandleExec(registry, "command", []string{"sh", "-c", `echo "{\"op\":\"result\",\"result\":\"$SCHEDULER_TOPIC $SCHEDULER_MESSAGE_ID\"}" >&3`}); err != nil {
		t.Fatal(err)
	}
	r.start(registry, worker.Config{})
	for _, kind := range []string{"go", "command"} {
		if _, err := r.client.SetSubscription(t.Context(), scheduler.NewSubscription{Name: kind, Pattern: "order.#", Kind: kind}); err != nil {
			t.Fatal(err)
		}
	}
	p, err := r.client.Publish(t.Context(), scheduler.NewMessage{Topic: "order.created"})
	if err != nil || len(p.Tasks) != 2 {
		t.Fatalf("%+v, %v", p, err)
	}
	for _, task := range p.Tasks {
		if task := r.final(task.ID); string(task.Result) != fmt.Sprintf(`"order.created %d"`, p.ID) {
			t.Errorf("%s: %s %s", task.Kind, task.Result, text(task.Error))
		}
	}
	for kind, want := range map[string]string{"go": `" 0"`, "command": `" "`} {
		if task := r.final(r.submit(scheduler.NewTask{Kind: kind})); string(task.Result) != want {
			t.Errorf("%s, submitted: %s %s", kind, task.Result, text(task.Error))
		}
	}
}
