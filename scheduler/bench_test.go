package scheduler

import (
	"context"
	"encoding/json"
	"testing"
	"time"
)

// What a submit costs before the database is asked.
func BenchmarkPrepare(b *testing.B) {
	b.ReportAllocs()
	tasks := []NewTask{{Kind: "invoice.render", Payload: json.RawMessage(`{"invoice": 4711, "customer": "Ada", "lines": [1, 2, 3], "note": "caf\u00e9"}`)}}
	for b.Loop() {
		if _, err := prepare(tasks); err != nil {
			b.Fatal(err)
		}
	}
}

// What a call in a group of many costs without the database.
func BenchmarkGroup(b *testing.B) {
	b.ReportAllocs()
	g := group[int, int]{size: func(int) int { return 1 }, run: func(_ context.Context, in []int) ([]answer[int], error) { return make([]answer[int], len(in)), nil }}
	b.RunParallel(func(p *testing.PB) {
		for p.Next() {
			if _, err := g.do(b.Context(), 1); err != nil {
				b.Fatal(err)
			}
		}
	})
}

// What the arguments of a completion of 500 tasks cost, by task.
func BenchmarkCompleteArgs(b *testing.B) {
	b.ReportAllocs()
	const n = 500
	in, lane := make([]completion, n), make([]int, n)
	for i := range in {
		in[i], lane[i] = newCompletion(Lease{Task: NewTaskID(), Queue: "q", Attempt: 1}, nil), i
	}
	for i := 0; b.Loop(); i += n {
		completeArgs(in, lane)
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*n), "ns/task")
}

// What one row of a lease costs after it was scanned.
func BenchmarkLeasedRow(b *testing.B) {
	b.ReportAllocs()
	row := leasedRow{Kind: "k", Payload: []byte(`{}`), Attempt: 1, MaxAttempts: 10}
	row.RunAt.Time, row.CreatedAt.Time = time.Now(), time.Now()
	var sum int
	for b.Loop() {
		sum += row.task(WorkerID{}, "q").Attempt
	}
	_ = sum
}
