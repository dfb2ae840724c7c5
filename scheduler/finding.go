package scheduler

import (
	"fmt"
	"strings"
	"time"
)

// Status is how a check ended.
type Status string

// The statuses.
const (
	OK   Status = "ok"
	Warn Status = "warn"
	Fail Status = "fail"
)

// Finding is what one check of a database found.
type Finding struct {
	Check  string `json:"check"` // stable
	Status Status `json:"status"`
	Detail string `json:"detail"` // in words, without a full stop
	Fix    string `json:"fix"`    // what to do; "": nothing, it is OK
}

// judged makes a finding: fail and warn win over ok, in this order.
func judged(check, detail string, fail, warn bool, fix string) Finding {
	switch {
	case fail:
		return Finding{check, Fail, detail, fix}
	case warn:
		return Finding{check, Warn, detail, fix}
	}
	return Finding{check, OK, detail, ""}
}

const (
	oldestServer = 14 // major version
	slowTrip     = time.Second
)

// RoundTripFinding judges what NotifyRoundTrip returned.
func RoundTripFinding(took time.Duration, err error) Finding {
	if err != nil {
		return Finding{"notifications", Fail, "a notification did not arrive: " + strings.Join(strings.Fields(err.Error()), " "),
			"connect past a pooler that works by transactions, or run workers and servers with --poll-only"}
	}
	return judged("notifications", "round trip in "+took.Round(10*time.Microsecond).String(), false, took > slowTrip,
		"tasks start late by this much; look at the load of the database")
}

// Findings judges a database's health, which was asked for and answered at these times by this machine's clock.
func (h Health) Findings(asked, answered time.Time) []Finding {
	return []Finding{h.server(), h.primary(), h.durability(), h.clock(asked, answered), h.workers(), h.leases(), h.dueWork(), h.snapshots(),
		h.notifyQueue(), h.deadRows()}
}

func (h Health) server() Finding {
	return judged("server", fmt.Sprintf("PostgreSQL %s, database %s, user %s", h.ServerVersion, h.Database, h.Username),
		h.ServerVersionNum < oldestServer*10000, false, fmt.Sprintf("use PostgreSQL %d or newer", oldestServer))
}

func (h Health) primary() Finding {
	detail := "it takes writes"
	if h.Standby {
		detail = "it is a standby, which takes no writes"
	}
	return judged("primary", detail, h.Standby, false, "connect to the primary, for example with target_session_attrs=read-write")
}

func (h Health) durability() Finding {
	return judged("durability", fmt.Sprintf("fsync %s, synchronous_commit %s", h.Fsync, h.SynchronousCommit), false,
		h.Fsync != "on" || h.SynchronousCommit == "off",
		"set fsync and synchronous_commit to on; without, tasks that were acknowledged may be lost in a crash")
}

// clock compares the clocks, as well as the time that the question took allows.
func (h Health) clock(asked, answered time.Time) Finding {
	trip := answered.Sub(asked)
	skew := h.Clock.Sub(asked.Add(trip / 2))
	return judged("clock", fmt.Sprintf("the database's clock differs from this machine's by %s, give or take %s", skew.Round(time.Millisecond), (trip/2).Round(time.Millisecond)),
		false, skew.Abs() > time.Second+trip/2, "only times for people are affected, since the database's clock alone counts; run NTP on both")
}

func (h Health) workers() Finding {
	detail := fmt.Sprintf("%d live", h.LiveWorkers)
	if h.DeadWorkers > 0 {
		detail += fmt.Sprintf(", %d silent and about to be rescued from", h.DeadWorkers)
	}
	return judged("workers", detail, false, h.LiveWorkers == 0, "scheduler worker --help")
}

func (h Health) leases() Finding {
	return judged("leases", fmt.Sprintf("%d running tasks without a live worker", h.StuckLeases), h.StuckLeases > 0 && h.LiveWorkers == 0, h.StuckLeases > 0,
		"any worker or server gives them back within seconds: start one, or look again")
}

func (h Health) dueWork() Finding {
	late := time.Duration(h.PromotionLateMS) * time.Millisecond
	detail := "nothing is overdue"
	if late > 0 {
		detail = "the most overdue task has waited " + span(late) + " since it was due"
	}
	return judged("due work", detail, late > time.Minute, late > 5*time.Second, "any worker or server promotes due tasks within seconds: start one")
}

func (h Health) snapshots() Finding {
	age := max(0, time.Duration(h.OldestSnapshotS*float64(time.Second))) // one that began since the question is younger than it
	return judged("snapshots", "the oldest open transaction is "+span(age)+" old", age > time.Hour, age > 5*time.Minute,
		"dead rows cannot be removed meanwhile; find it in pg_stat_activity, by xact_start")
}

func (h Health) notifyQueue() Finding {
	return judged("notify queue", fmt.Sprintf("%.1f%% full", 100*h.NotificationQueue), h.NotificationQueue > 0.5, h.NotificationQueue > 0.1,
		"a session that listens is stuck in a transaction; find it in pg_stat_activity")
}

func (h Health) deadRows() Finding {
	return judged("dead rows", fmt.Sprintf("%d in scheduler.tasks", h.DeadRows), false, h.DeadRows > 500_000,
		"vacuum scheduler.tasks; look for what keeps autovacuum from it, such as old snapshots")
}

// span is a duration for people, by the second when it is longer than one.
func span(d time.Duration) string {
	if d < time.Second {
		return fmt.Sprintf("%dms", d.Milliseconds())
	}
	return d.Round(time.Second).String()
}
