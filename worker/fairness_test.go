package worker_test

import (
	"context"
	"sync"
	"testing"

	"github.com/pgscheduler/scheduler/scheduler"
	"github.com/pgscheduler/scheduler/worker"
)

// Two workers share a backlog by their slots: neither takes a task that it has no slot for, so that all slots of both are busy
// as long as there is enough, down to the last tasks, and of a hundred tasks that take equally long each runs half.
func TestTwoWorkersShareABacklog(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	const tasks, slots = 100, 10
	var mu sync.Mutex
	ran := [2]int{} // by each worker
	var release [tasks/2/slots + 1]chan struct{}
	for round := range release {
		release[round] = make(chan struct{})
	}
	for i := range 2 {
		registry := worker.NewRegistry()
		worker.Handle(registry, "k", func(ctx context.Context, _ *worker.Task[none]) (none, error) {
			mu.Lock()
			round := min(ran[i]/slots, len(release)-1) // more than its half is none of these tasks
			ran[i]++
			mu.Unlock()
			select {
			case <-release[round]:
				return none{}, nil
			case <-ctx.Done():
				return none{}, ctx.Err()
			}
		})
		r.startOn(r.open(scheduler.Config{DatabaseURL: r.url}), registry, worker.Config{Concurrency: slots})
	}
	backlog := make([]scheduler.NewTask, tasks)
	for i := range backlog {
		backlog[i] = scheduler.NewTask{Kind: "k"}
	}
	if _, err := r.client.SubmitMany(t.Context(), backlog); err != nil {
		t.Fatal(err)
	}
	for round := range tasks / 2 / slots { // one round of all slots after the other
		await(t, "all slots of both are busy", func() bool {
			mu.Lock()
			defer mu.Unlock()
			return ran == [2]int{(round + 1) * slots, (round + 1) * slots}
		})
		close(release[round])
	}
	await(t, "all tasks are completed", func() bool {
		return read[int](r, `select count(*) from scheduler.tasks where state = 'completed' and attempt = 1`) == tasks
	})
	most := read[int](r, `select max(n) from (select count(*) as n from scheduler.tasks group by worker_id) s`)
	if most != tasks/2 {
		t.Errorf("one worker completed %d of %d tasks", most, tasks)
	}
}
