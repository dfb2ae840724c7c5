//go:build linux

package main

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/pgscheduler/scheduler/httpapi"
)

// With -o json who watches gets the whole task at each change, and the end of it last, through both doors.
func TestWatchAsJSON(t *testing.T) {
	t.Parallel()
	bothDoors(t, func(t *testing.T, url string, c cli) {
		path, letGo := stepper(t)
		startWorker(t, url, "--exec", "steps="+path)
		p := c.start("submit", "steps", "--watch", "-o", "json")
		p.Says(`"current":15,"total":22`)
		letGo("15")
		p.Says(`"current":22,"total":22`)
		letGo("22")
		if code := p.Exit(); code != exitOK || p.Stderr.String() != "" {
			t.Errorf("exit %d: %q", code, p.Stderr)
		}
		var last httpapi.Task
		for line := range strings.Lines(p.Stdout.String()) {
			var task httpapi.Task
			if err := json.Unmarshal([]byte(line), &task); err != nil || task.Kind != "steps" || task.Revision <= last.Revision || last.Done {
				t.Errorf("after revision %d: %v, %s", last.Revision, err, line)
			}
			last = task
		}
		if last.State != "completed" || string(last.Result) != `{"steps":22}` {
			t.Errorf("the last: %+v", last)
		}
		if again := c.ok("tasks", "watch", last.ID, "-o", "json"); strings.Count(again, "\n") > 1 || !strings.Contains(again, `"completed"`) {
			t.Errorf("of one that is done: %q", again)
		}
	})
}
