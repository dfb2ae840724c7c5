package scheduler

import (
	"sync/atomic"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"
)

// Counts is what a Client did since it was opened, and what it holds now. Only what this process did: other processes have
// counts of their own.
type Counts struct {
	Groups map[string]Buckets // how many calls went in one statement, by verb: submit, complete, fail, snooze, settle

	Promotions uint64 // scheduled tasks that were made ready at their time
	Expired    uint64 // tasks that were cancelled because they had not started in time
	Rescues    uint64 // tasks that were taken from dead workers
	Fires      uint64 // tasks that were made of ticks

	Published    uint64 // messages, each in a transaction of its own
	PublishMade  uint64 // tasks that were made of them
	PublishAgain uint64 // messages that were found by their idempotency key
	Followers    int    // of topics
	MessageReads uint64 // round trips that read messages for them

	FireLag   Buckets // from the tick to its task, nanoseconds
	NotifyLag Buckets // from sending a notification to hearing it, nanoseconds

	Hearing      bool // Client.Hearing
	Watchers     int  // that follow a task: one who follows two counts twice
	WatchedTasks int
	WatchReads   uint64 // round trips that read watched tasks

	Polls  int    // of remote workers that wait for tasks
	Leased uint64 // tasks that remote workers have got

	Remote     []RemoteCounts // attempts that remote workers and endpoints ended through this process, in no order
	RemoteLost uint64         // attempts that they could not end, because the lease was lost

	Pools map[string]PoolCounts // by what they are for: hot, control, read, heartbeat, announce
}

// PoolCounts is a pool of connections.
type PoolCounts struct {
	InUse, Idle, Most int
	Acquires          uint64        // so far
	Waits             uint64        // acquires that found no connection idle
	Waited            time.Duration // in all acquires
	GivenUp           uint64        // acquires whose caller did not wait for the end
}

// counters is what only a counter remembers. Safe for concurrent use.
type counters struct {
	promotions, expired, rescues, fires, leased atomic.Uint64
	published, publishMade, publishedAgain      atomic.Uint64
	fireLag, notifyLag                          *Histogram
	echo                                        echo
	remote                                      remoteCounts
}

func newCounters() counters {
	return counters{fireLag: NewDurations(), notifyLag: NewHistogram(milliseconds(0.25, 0.5, 1, 2.5, 5, 10, 25, 50, 100, 250, 500, 1_000, 2_500, 5_000))}
}

// groupBounds are of sizes of group commits.
var groupBounds = []int64{1, 2, 5, 10, 20, 50, 100, 200, 500, 1000}

// Counts returns what happened so far. Cheap: the database is not asked.
func (c *Client) Counts() Counts {
	n := &c.counters
	counts := Counts{
		Groups: map[string]Buckets{"submit": c.submits.sizes.Read(), "complete": c.completions.sizes.Read(), "fail": c.failures.sizes.Read(),
			"snooze": c.snoozes.sizes.Read(), "settle": c.settlings.sizes.Read()},
		Promotions: n.promotions.Load(), Expired: n.expired.Load(), Rescues: n.rescues.Load(), Fires: n.fires.Load(),
		FireLag: n.fireLag.Read(), NotifyLag: n.notifyLag.Read(), Hearing: c.Hearing(),
		Pools: map[string]PoolCounts{"hot": countPool(c.hot), "control": countPool(c.pool), "read": countPool(c.reads),
			"heartbeat": countPool(c.vital), "announce": countPool(c.mouth)},
	}
	counts.Published, counts.PublishMade, counts.PublishAgain = n.published.Load(), n.publishMade.Load(), n.publishedAgain.Load()
	counts.Followers, counts.MessageReads = c.broadcasts.counts()
	counts.Watchers, counts.WatchedTasks, counts.WatchReads = c.watches.counts()
	counts.Polls, counts.Leased = c.dispatch.waiting(), n.leased.Load()
	counts.Remote, counts.RemoteLost = n.remote.read()
	return counts
}

func countPool(pool *pgxpool.Pool) PoolCounts {
	s := pool.Stat()
	return PoolCounts{InUse: int(s.AcquiredConns()), Idle: int(s.IdleConns()), Most: int(s.MaxConns()), Acquires: uint64(s.AcquireCount()),
		Waits: uint64(s.EmptyAcquireCount()), Waited: s.AcquireDuration(), GivenUp: uint64(s.CanceledAcquireCount())}
}

// echo measures how long notifications take, by those that this process sends and hears itself. The zero value waits for the
// first. Safe for concurrent use.
type echo struct{ sent atomic.Int64 } // nanoseconds of the clock; 0: none is on its way

// echoLate is when a notification that was sent is taken for lost.
const echoLate = 10 * time.Second

// call notes that a notification is sent now, unless another is on its way.
func (e *echo) call(now time.Time) {
	if sent := e.sent.Load(); sent == 0 || now.UnixNano()-sent > int64(echoLate) {
		e.sent.CompareAndSwap(sent, now.UnixNano())
	}
}

// hear returns how long the notification took that is heard now. ok: one was on its way.
func (e *echo) hear(now time.Time) (took time.Duration, ok bool) {
	sent := e.sent.Swap(0)
	took = time.Duration(now.UnixNano() - sent)
	return took, sent != 0 && took >= 0 && took <= echoLate
}
