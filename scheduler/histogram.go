package scheduler

import (
	"slices"
	"sync/atomic"
	"time"
)

// Histogram counts values by how large they are. Observe costs two atomic additions. Make it with NewHistogram. Safe for
// concurrent use.
type Histogram struct {
	bounds []int64
	counts []atomic.Uint64
	sum    atomic.Int64
}

// NewHistogram returns a Histogram with a bucket for values up to each bound, bounds rising, and one for those above all.
func NewHistogram(bounds []int64) *Histogram {
	return &Histogram{bounds: bounds, counts: make([]atomic.Uint64, len(bounds)+1)}
}

// Observe counts a value.
func (h *Histogram) Observe(value int64) {
	i, _ := slices.BinarySearch(h.bounds, value)
	h.counts[i].Add(1)
	h.sum.Add(value)
}

// Buckets is what a Histogram has counted so far.
type Buckets struct {
	Bounds []int64  // rising; of others' too: never change them
	Counts []uint64 // of values up to the bound and above the one before; the last: above all
	Sum    int64    // of the values
}

// Read returns what was counted. While values come in, sum and counts may differ by some.
func (h *Histogram) Read() Buckets {
	b := Buckets{Bounds: h.bounds, Counts: make([]uint64, len(h.counts)), Sum: h.sum.Load()}
	for i := range h.counts {
		b.Counts[i] = h.counts[i].Load()
	}
	return b
}

// Add returns the sum of what two Histograms of the same bounds have counted.
func (b Buckets) Add(other Buckets) Buckets {
	sum := Buckets{Bounds: b.Bounds, Counts: slices.Clone(b.Counts), Sum: b.Sum + other.Sum}
	for i, n := range other.Counts {
		sum.Counts[i] += n
	}
	return sum
}

// NewDurations returns a Histogram of durations in nanoseconds, from a millisecond to an hour.
func NewDurations() *Histogram { return NewHistogram(durationBounds) }

var durationBounds = milliseconds(1, 2.5, 5, 10, 25, 50, 100, 250, 500, 1_000, 2_500, 5_000, 10_000, 30_000, 60_000, 300_000, 900_000, 3_600_000)

func milliseconds(list ...float64) []int64 {
	bounds := make([]int64, len(list))
	for i, ms := range list {
		bounds[i] = int64(ms * float64(time.Millisecond))
	}
	return bounds
}
