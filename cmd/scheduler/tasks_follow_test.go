package main

import (
	"os"
	"strings"
	"testing"

	"github.com/pgscheduler/scheduler/internal/proc"
)

// What is made is shown once each, oldest first, through both doors.
func TestListFollow(t *testing.T) {
	t.Parallel()
	bothDoors(t, func(t *testing.T, url string, c cli) {
		execute(t, connect(t, url), "insert into scheduler.tasks (kind) select 'old' from generate_series(1, 5)")
		follow := c.start("tasks", "list", "--follow", "--limit", "2", "--queue", "default")
		proc.Await(t, "the old tasks are shown", func() bool { return strings.Count(follow.Stdout.String(), " old ") == 2 })
		c.ok("submit", "first")
		c.ok("submit", "elsewhere", "--queue", "other")
		c.ok("submit", "second")
		proc.Await(t, "the new tasks are shown", func() bool { return strings.Contains(follow.Stdout.String(), " second ") })
		follow.Signal(os.Interrupt)
		if code := follow.Exit(); code != 130 {
			t.Errorf("exit %d", code)
		}
		shown := follow.Stdout.String()
		first, second := strings.Index(shown, " first "), strings.Index(shown, " second ")
		if strings.Count(shown, "\n") != 5 || first < 0 || second < first {
			t.Errorf("shown:\n%s", shown)
		}
		for _, other := range [][]string{{"--all"}, {"--cursor", "x"}, {"--until", "2030-01-01T00:00:00Z"}} {
			c.fails(exitUsage, append([]string{"tasks", "list", "--follow"}, other...)...)
		}
	})
}
