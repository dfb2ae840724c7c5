package ui

import (
	"cmp"
	"fmt"
	"net/url"
	"slices"
	"time"

	"github.com/pgscheduler/scheduler/scheduler"
)

const (
	burstSpan   = 10 * time.Minute // that is looked at
	burstLeast  = 5                // failures in it, for the rate to mean something
	burstShare  = 0.2              // of the attempts of a kind that fail: from here on it is said
	mostBursts  = 3                // kinds that are named
	burstsReach = time.Hour        // how far back it is known since when they fail
)

// minutes are how the attempts of a kind ended, newest minute first.
type minutes []tally

// tally is how many attempts ended, how many of those failed, and how many tasks were given up by that.
type tally struct{ ended, failed, dead int64 }

func (t tally) share() float64 {
	if t.ended == 0 {
		return 0
	}
	return float64(t.failed) / float64(t.ended)
}

func (m minutes) sum() (t tally) {
	for _, minute := range m {
		t.ended, t.failed, t.dead = t.ended+minute.ended, t.failed+minute.failed, t.dead+minute.dead
	}
	return t
}

// bursts finds the kinds of which many attempts fail now, from the statistics of the last hour by minutes.
func bursts(hour []scheduler.Stat, now time.Time) (found []finding) {
	kinds := map[string]minutes{}
	for _, stat := range hour {
		i := int(now.Truncate(time.Minute).Sub(stat.At) / time.Minute)
		if i < 0 || i >= int(burstsReach/time.Minute) {
			continue
		}
		if kinds[stat.Kind] == nil {
			kinds[stat.Kind] = make(minutes, burstsReach/time.Minute)
		}
		t := &kinds[stat.Kind][i]
		bad := stat.Failed + stat.Dead + stat.Crashed
		t.ended, t.failed, t.dead = t.ended+stat.Completed+bad, t.failed+bad, t.dead+stat.Dead
	}
	for kind, its := range kinds {
		t, since := its[:burstSpan/time.Minute].sum(), its.since()
		if t.failed >= burstLeast && t.share() >= burstShare && since > 0 {
			found = append(found, t.finding(kind, since))
		}
	}
	slices.SortFunc(found, func(a, b finding) int { return cmp.Or(b.rank-a.rank, cmp.Compare(a.Sentence, b.Sentence)) })
	return found[:min(len(found), mostBursts)]
}

func (t tally) finding(kind string, since time.Duration) finding {
	f := finding{Level: "warn", rank: 60 + int(60*t.share()), Sentence: fmt.Sprintf("%s of %s has failed for %s.", portion(t.share()), kind, lasted(since)),
		Detail: fmt.Sprintf("In the last %s %s of %s attempts failed", lasted(burstSpan), number(t.failed), number(t.ended)),
		Path:   "/tasks?" + url.Values{"kind": {kind}, "state": {string(scheduler.Scheduled)}}.Encode()}
	if t.share() >= 0.5 {
		f.Level = "bad"
	}
	if t.dead > 0 {
		f.rank += 15
		f.Level, f.Path = "bad", "/tasks?"+url.Values{"kind": {kind}, "state": {string(scheduler.Failed)}}.Encode()
		f.Detail += "; " + plural(int(t.dead), "task") + " gave up"
	}
	f.Detail += "."
	return f
}

// since is for how long the share has been high: back over minutes in which it was at least half of what is said, with less than
// three good ones between them. 0: it was, and is over. Minutes in which nothing ended tell nothing.
func (m minutes) since() time.Duration {
	bad, good := 0, 0
	for i, minute := range m {
		switch {
		case minute.ended == 0:
		case minute.share() >= burstShare/2:
			bad, good = i+1, 0
		default:
			if good++; good == 3 {
				return time.Duration(bad) * time.Minute
			}
		}
	}
	return time.Duration(bad) * time.Minute
}

// portion spells a share.
func portion(share float64) string {
	for _, p := range []struct {
		least float64
		words string
	}{{1, "All"}, {0.9, "Nearly all"}, {0.6, "Most"}, {0.42, "Half"}, {0.29, "A third"}, {0.225, "A quarter"}} {
		if share >= p.least {
			return p.words
		}
	}
	return "A fifth"
}
