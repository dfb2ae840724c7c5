package load

import (
	"math"
	"slices"
	"strconv"
	"time"
)

// Result is one case of a workload, measured. Figures that were not measured are nil.
type Result struct {
	Workload  string   `json:"workload"`
	Case      string   `json:"case,omitempty"`
	Tasks     int64    `json:"tasks"`
	Seconds   float64  `json:"seconds"`
	PerSecond *float64 `json:"per_second,omitempty"` // tasks

	// Milliseconds of a call: the submit, from before the submit to the start of the handler (latency), the lease (backlog).
	P50 *float64 `json:"p50_ms,omitempty"`
	P95 *float64 `json:"p95_ms,omitempty"`
	P99 *float64 `json:"p99_ms,omitempty"`

	ServerCPU *float64 `json:"server_cpu_us_per_task,omitempty"` // of all PostgreSQL's processes
	ClientCPU *float64 `json:"client_cpu_us_per_task,omitempty"` // of the processes that submit and work
	WAL       *float64 `json:"wal_bytes_per_task,omitempty"`
	HOT       *float64 `json:"hot_percent,omitempty"`   // of all updates; a lease never is, a completion may be: 50 is the most
	Steal     *float64 `json:"steal_percent,omitempty"` // of the machine's CPU time, taken by its host

	// Load by time instead of by task: idle and long.
	TransactionsPerSecond *float64 `json:"transactions_per_second,omitempty"`
	ServerPercent         *float64 `json:"server_cpu_percent,omitempty"` // of one core
	ClientPercent         *float64 `json:"client_cpu_percent,omitempty"` // of one core
	WALPerSecond          *float64 `json:"wal_bytes_per_second,omitempty"`

	Slices      []float64 `json:"slices_per_second,omitempty"` // tasks/s of successive equal parts: bloat
	Buffers     *float64  `json:"buffers_per_lease,omitempty"` // pages of 8 kB touched by leases as a worker takes them: backlog
	WalkMS      *float64  `json:"walk_ms,omitempty"`           // PostgreSQL's time for one lease from the beginning of the queue: backlog
	WalkBuffers *float64  `json:"walk_buffers,omitempty"`      // pages that it touches
	RSS         *float64  `json:"rss_mb,omitempty"`            // of a worker process, 10^6 bytes: memory
	PeakRSS     *float64  `json:"peak_rss_mb,omitempty"`
	PerFollower *float64  `json:"kib_per_follower,omitempty"`     // of a server's memory: live
	Megabytes   *float64  `json:"megabytes_per_second,omitempty"` // of payload: payload

	Notes []string `json:"notes,omitempty"` // what could not be measured, what was odd
}

// Rate sets how many tasks took how long.
func (r *Result) Rate(tasks int64, took time.Duration) {
	r.Tasks, r.Seconds = tasks, Round(took.Seconds())
	if took > 0 {
		r.PerSecond = Figure(float64(tasks) / took.Seconds())
	}
}

// Percentiles sets P50, P95 and P99 by the nearest rank. It sorts took; none leaves them nil.
func (r *Result) Percentiles(took []time.Duration) {
	if len(took) == 0 {
		return
	}
	slices.Sort(took)
	at := func(percent int) *float64 {
		rank := (len(took)*percent + 99) / 100
		return Figure(float64(took[max(rank, 1)-1]) / float64(time.Millisecond))
	}
	r.P50, r.P95, r.P99 = at(50), at(95), at(99)
}

// Note adds a sentence, once.
func (r *Result) Note(note string) {
	if note != "" && !slices.Contains(r.Notes, note) {
		r.Notes = append(r.Notes, note)
	}
}

// Figure is a measured value, rounded to what can be believed.
func Figure(v float64) *float64 {
	v = Round(v)
	return &v
}

// Round keeps four significant digits. What is no number becomes 0.
func Round(v float64) float64 {
	if math.IsInf(v, 0) || math.IsNaN(v) {
		return 0
	}
	short, _ := strconv.ParseFloat(strconv.FormatFloat(v, 'g', 4, 64), 64) // what was formatted parses
	return short
}
