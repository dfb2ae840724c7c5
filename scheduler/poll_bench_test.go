package scheduler_test

import (
	"sync"
	"testing"
	"time"

	"github.com/pgscheduler/scheduler/scheduler"
)

// What a process asks of the database while a thousand remote workers wait, each polling anew every 30 s.
func BenchmarkWaitingPolls(b *testing.B) {
	r := newRig(b)
	const n, span = 1000, 60 * time.Second
	done := make(chan struct{})
	var workers sync.WaitGroup
	for range n {
		workers.Go(func() { // ends with done
			p := poll(scheduler.NewWorkerID(), 30*time.Second)
			p.Stop = done
			for {
				select {
				case <-done:
					return
				default:
				}
				if _, err := r.client.Poll(r.ctx, p); err != nil {
					b.Error(err)
					return
				}
			}
		})
	}
	ctx := r.ctx
	go func() { _ = r.client.Maintain(ctx) }() // ends with the benchmark
	go func() {                                // ends with the benchmark
		_ = r.client.Listen(ctx, []string{scheduler.ChannelDue}, func(string, string) {})
	}()
	await(b, "all wait", func() bool { return r.client.Counts().Polls == n })
	transactions := func() int64 {
		return read[int64](r, `select xact_commit from (select pg_stat_clear_snapshot()) c, pg_stat_database where datname = current_database()`)
	}
	<-time.After(15 * time.Second) // after which the server has counted what came before
	began, before := time.Now(), transactions()
	<-time.After(span)
	b.ReportMetric(float64(transactions()-before-1)/time.Since(began).Seconds(), "transactions/s")
	close(done)
	workers.Wait()
}
