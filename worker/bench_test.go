package worker

import (
	"sync"
	"testing"
)

// What it costs to have a task run by goroutines that are kept.
func BenchmarkCrew(b *testing.B) {
	b.ReportAllocs()
	const n = 500
	batch := attempts(0, n)
	var ended sync.WaitGroup
	c := crew{run: func(*attempt) { ended.Done() }}
	defer c.close()
	for b.Loop() {
		ended.Add(n)
		c.start(batch)
		ended.Wait()
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*n), "ns/task")
}
