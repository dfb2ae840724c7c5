//go:build unix

package worker_test

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/pgscheduler/scheduler/internal/proc"
	"github.com/pgscheduler/scheduler/scheduler"
	"github.com/pgscheduler/scheduler/worker"
)

// The examples in docs/child.md do what that page says.
func TestExamplesOfChildren(t *testing.T) {
	t.Parallel()
	page, err := os.ReadFile("../docs/child.md")
	if err != nil {
		t.Fatal(err)
	}
	interpreters := map[string]string{"sh": "sh", "php": "php", "js": "node", "python": "python3"}
	stream := map[string]string{"sh": "stdout", "php": "stdout", "js": "log", "python": "stdout"}
	examples := regexp.MustCompile("(?ms)^```(\\w+)\n(.*?)^```$").FindAllSubmatch(page, -1)
	if len(examples) != len(interpreters) {
		t.Fatalf("%d examples, want %d", len(examples), len(interpreters))
	}
	for _, example := range examples {
		language := string(example[1])
		t.Run(language, func(t *testing.T) {
			t.Parallel()
			interpreter := interpreters[language]
			proc.Need(t, interpreter)
			file := filepath.Join(t.TempDir(), "worker."+language)
			if err := os.WriteFile(file, example[2], 0o600); err != nil {
				t.Fatal(err)
			}
			r := newRig(t)
			registry := worker.NewRegistry()
			children, err := worker.HandleCommand(t.Context(), registry, worker.Command{Argv: []string{interpreter, file}, Procs: 2, Logger: r.logs.logger()})
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(children.Close)
			x := r.start(registry, worker.Config{})
			submit := func(payload any) scheduler.TaskID {
				return r.submit(scheduler.NewTask{Kind: "report.render", Payload: payload})
			}
			var good []scheduler.TaskID
			for range 5 {
				good = append(good, submit(map[string]int{"pages": 3}))
			}
			bad := submit(map[string]string{"page": "3"})
			var want []string
			for page := range 3 {
				want = append(want, fmt.Sprintf("rendering page %d", page+1))
			}
			for _, id := range good {
				task := r.final(id)
				if task.State != scheduler.Completed || string(task.Result) != `{"pages": 3}` || number(task.ProgressCurrent) != 3 ||
					number(task.ProgressTotal) != 3 || text(task.ProgressMessage) != "page 3" {
					t.Errorf("%s, %s, progress %d of %d: %s", task.State, task.Result, number(task.ProgressCurrent), number(task.ProgressTotal), text(task.Error))
				}
				if diff := cmp.Diff(want, r.lines(id, stream[language])); diff != "" {
					t.Error(diff)
				}
			}
			if task := r.final(bad); task.State != scheduler.Failed || task.Attempt != 1 || text(task.Error) != "payload without pages" {
				t.Errorf("%s, %s: %s", task.State, text(task.ErrorCode), text(task.Error))
			}
			if pages := read[string](r, `select string_agg(distinct checkpoint ->> 'page', ' ') from scheduler.tasks where result is not null`); pages != "3" {
				t.Errorf("checkpoints %q", pages)
			}
			if err := x.stop(); err != nil { // and they drain
				t.Error(err)
			}
			if alive := childrenOf(t, r); len(alive) > 0 {
				t.Errorf("children %q are left", alive)
			}
		})
	}
}
