package ui

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/pgscheduler/scheduler/scheduler"
)

// TestBursts: what fails now is said, with its share and since when; what fails rarely, failed before or hardly runs is not.
func TestBursts(t *testing.T) {
	t.Parallel()
	now := time.Date(2026, 11, 21, 9, 30, 20, 0, time.UTC)
	stat := func(ago int, kind string, completed, failed, dead int64) scheduler.Stat {
		return scheduler.Stat{At: now.Truncate(time.Minute).Add(-time.Duration(ago) * time.Minute), Queue: scheduler.Queue(fmt.Sprint("q", ago%2)), Kind: kind, Completed: completed, Failed: failed, Dead: dead}
	}
	hour := func(kind string, each func(ago int) (completed, failed, dead int64)) (list []scheduler.Stat) {
		for ago := range 60 {
			c, f, d := each(ago)
			list = append(list, stat(ago, kind, c, f, d))
		}
		return list
	}
	for name, c := range map[string]struct {
		stats []scheduler.Stat
		want  string // sentence, level; "": nothing
	}{
		"nothing ran":         {nil, ""},
		"all is well":         {hour("k", func(int) (int64, int64, int64) { return 40, 0, 0 }), ""},
		"one in ten":          {hour("k", func(int) (int64, int64, int64) { return 36, 4, 0 }), ""},
		"too few to tell":     {[]scheduler.Stat{stat(1, "k", 0, 4, 0)}, ""},
		"a third for 10 min":  {hour("k", func(ago int) (int64, int64, int64) { return 20, map[bool]int64{true: 10}[ago < 10], 0 }), "A third of k has failed for 10 min. warn"},
		"dead ones":           {hour("k", func(ago int) (int64, int64, int64) { return 30, 0, map[bool]int64{true: 10}[ago < 3] }), ""},
		"more dead ones":      {hour("k", func(ago int) (int64, int64, int64) { return 30, 0, map[bool]int64{true: 30}[ago < 5] }), "A third of k has failed for 5 min. bad"},
		"all, always":         {hour("k", func(int) (int64, int64, int64) { return 0, 3, 0 }), "All of k has failed for 1 h. bad"},
		"it is over":          {hour("k", func(ago int) (int64, int64, int64) { return 5, map[bool]int64{true: 30}[ago > 3 && ago < 9], 0 }), ""},
		"a good minute":       {hour("k", func(ago int) (int64, int64, int64) { return 5, map[bool]int64{true: 15}[ago != 4 && ago < 8], 0 }), "Most of k has failed for 8 min. bad"},
		"now and then":        {[]scheduler.Stat{stat(1, "k", 0, 3, 0), stat(8, "k", 0, 3, 0), stat(50, "k", 9, 0, 0)}, "All of k has failed for 9 min. bad"},
		"long ago":            {[]scheduler.Stat{stat(30, "k", 0, 90, 9)}, ""},
		"of a clock ahead":    {[]scheduler.Stat{stat(-3, "k", 0, 90, 9)}, ""},
		"a half, of two lots": {append(hour("other", func(int) (int64, int64, int64) { return 900, 0, 0 }), hour("k", func(ago int) (int64, int64, int64) { return 5, map[bool]int64{true: 5}[ago < 20], 0 })...), "Half of k has failed for 20 min. bad"},
	} {
		got := ""
		for _, f := range bursts(c.stats, now) {
			got += f.Sentence + " " + f.Level
		}
		if got != c.want {
			t.Errorf("%s: %q, want %q", name, got, c.want)
		}
	}
	var many []scheduler.Stat
	for i := range 9 {
		many = append(many, stat(0, fmt.Sprint("k", i), int64(i), 9, 0))
	}
	found := bursts(many, now)
	if len(found) != mostBursts || !strings.HasPrefix(found[0].Sentence, "All of k0") || found[0].Path != "/tasks?kind=k0&state=scheduled" || found[0].Detail != "In the last 10 min 9 of 9 attempts failed." {
		t.Errorf("%+v", found)
	}
}

// TestMistakes: the same error again and again is shown once.
func TestMistakes(t *testing.T) {
	t.Parallel()
	a, b, code, stack := "a", "b", "error", "main.go:1"
	got := mistakes([]scheduler.Attempt{{Attempt: 1, Error: &a, ErrorCode: &code, Stack: &stack}, {Attempt: 2, Error: &a, ErrorCode: &code}, {Attempt: 3, Outcome: "snoozed"},
		{Attempt: 4, Error: &b, ErrorCode: &code}, {Attempt: 5, Error: &a, ErrorCode: &code, Stack: &stack}, {Attempt: 6, Outcome: "completed"}})
	said := ""
	for _, m := range got {
		said += m.Label + ": " + m.Error + m.Stack + "; "
	}
	if said != "Attempt 5: amain.go:1; Attempt 4: b; Attempts 1 to 2: a; " {
		t.Error(said)
	}
}

func TestSentence(t *testing.T) {
	t.Parallel()
	for given, want := range map[string]string{"": "", "/since: a time": "Since: a time.", "there is none.": "There is none.", "überall": "Überall.", "/": ""} {
		if got := sentence(given); got != want {
			t.Errorf("%q: %q, want %q", given, got, want)
		}
	}
}
