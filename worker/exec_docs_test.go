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

// The examples in docs/exec.md do what that page says.
func TestExamplesOfTheProtocol(t *testing.T) {
	t.Parallel()
	page, err := os.ReadFile("../docs/exec.md")
	if err != nil {
		t.Fatal(err)
	}
	interpreters := map[string]string{"sh": "sh", "php": "php", "js": "node", "python": "python3"}
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
			file := filepath.Join(t.TempDir(), "render."+language)
			if err := os.WriteFile(file, example[2], 0o600); err != nil {
				t.Fatal(err)
			}
			r := newRig(t)
			r.startExec(worker.Config{}, interpreter, file)
			good := r.submit(scheduler.NewTask{Kind: "k", Payload: map[string]int{"pages": 3}})
			bad := r.submit(scheduler.NewTask{Kind: "k", Payload: map[string]string{"page": "3"}})
			task := r.final(good)
			if task.State != scheduler.Completed || string(task.Result) != `{"pages": 3}` || number(task.ProgressCurrent) != 3 ||
				number(task.ProgressTotal) != 3 || text(task.ProgressMessage) != "page 3" {
				t.Errorf("%s, %s, progress %d of %d: %s", task.State, task.Result, number(task.ProgressCurrent), number(task.ProgressTotal), text(task.Error))
			}
			var want []string
			for page := range 3 {
				want = append(want, fmt.Sprintf("rendering page %d", page+1))
			}
			if diff := cmp.Diff(want, r.lines(good, "stdout")); diff != "" {
				t.Error(diff)
			}
			task = r.final(bad)
			if task.State != scheduler.Failed || text(task.ErrorCode) != "exit_65" || text(task.Error) != "exit status 65: payload without pages" {
				t.Errorf("%s, %s: %s", task.State, text(task.ErrorCode), text(task.Error))
			}
		})
	}
}
