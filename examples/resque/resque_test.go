//go:build unix

package main

import (
	"bufio"
	"encoding/json"
	"errors"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/pgscheduler/scheduler/internal/example"
	"github.com/pgscheduler/scheduler/internal/pgtest"
)

func TestMain(m *testing.M) { pgtest.Main(m) }

// farm is the example.
type farm struct {
	*example.Example
	t *testing.T
}

// worker is a daemon as the API lists it.
type worker struct {
	ID, Name, Command string
	Live              bool
	PID               int
}

// task is a job as the API shows it.
type task struct {
	State  string
	Worker *struct{ ID string }
	Error  *struct{ Message string }
	Start  time.Time `json:"started_at"`
}

func (f *farm) get(path string, into any) {
	f.t.Helper()
	status, body := f.Get(f.API + path)
	if err := json.Unmarshal([]byte(body), into); status != http.StatusOK || err != nil {
		f.t.Fatalf("GET %s: %d %s: %v", path, status, body, err)
	}
}

// workers are those that live, by the queues that they were started for.
func (f *farm) workers() map[string]worker {
	f.t.Helper()
	var page struct{ Items []worker }
	f.get("/v1/workers", &page)
	found := map[string]worker{}
	for _, w := range page.Items {
		if w.Live {
			found[w.Name[strings.LastIndex(w.Name, ":")+1:]] = w
		}
	}
	return found
}

// tell tells a worker to run, quiet or stop.
func (f *farm) tell(w worker, command string) {
	f.t.Helper()
	if status, body := f.Do(http.MethodPost, f.API+"/v1/workers/"+w.ID+"/"+command, ""); status != http.StatusAccepted {
		f.t.Errorf("%s %s: %d %s", command, w.Name, status, body)
	}
}

// script is one of the scripts of the example.
func (f *farm) script(words ...string) *exec.Cmd {
	cmd := exec.CommandContext(f.t.Context(), "php", words...)
	cmd.Env = append(os.Environ(), "SCHEDULER_URL="+f.API, "SCHEDULER_TOKEN=")
	cmd.Stderr = os.Stderr
	return cmd
}

// queue enqueues a job and returns its id.
func (f *farm) queue(words ...string) string {
	f.t.Helper()
	out, err := f.script(append([]string{"queue.php"}, words...)...).Output()
	if err != nil {
		f.t.Fatalf("queue.php: %v", err)
	}
	return strings.TrimSpace(string(out))
}

// follow follows a job to its end by check-status.php, and returns its exit code and the statuses that it saw, each of
// which it also tells to seen.
func (f *farm) follow(id string, seen func(status string)) (code int, statuses []string) {
	f.t.Helper()
	cmd := f.script("check-status.php", id)
	out, err := cmd.StdoutPipe()
	if err == nil {
		err = cmd.Start()
	}
	if err != nil {
		f.t.Fatal(err)
	}
	for lines := bufio.NewScanner(out); lines.Scan(); {
		statuses = append(statuses, lines.Text())
		seen(lines.Text())
	}
	var exit *exec.ExitError
	if err := cmd.Wait(); errors.As(err, &exit) {
		code = exit.ExitCode()
	} else if err != nil {
		f.t.Fatal(err)
	}
	return code, statuses
}

func (f *farm) task(id string) (found task) {
	f.t.Helper()
	f.get("/v1/tasks/"+id, &found)
	return found
}

// completed waits until jobs are.
func (f *farm) completed(ids ...string) {
	f.t.Helper()
	for _, id := range ids {
		f.Await("job "+id+" completes", func() bool { return f.task(id).State == "completed" })
	}
}

func (f *farm) lines(id string) (messages []string) {
	f.t.Helper()
	var page struct{ Items []struct{ Message string } }
	f.get("/v1/tasks/"+id+"/logs", &page)
	for _, line := range page.Items {
		messages = append(messages, line.Message)
	}
	return messages
}

// held has PHP know a job, before it reads anything else, that waits until there is a file, as long as whoever looks at it likes.
func held(t *testing.T, file string) (env string) {
	t.Helper()
	dir := t.TempDir()
	job := "<?php class Held_Job { public function perform() { while (!file_exists('" + file + "')) usleep(20_000); } }"
	for name, text := range map[string]string{"held.php": job, "held.ini": "auto_prepend_file = " + filepath.Join(dir, "held.php")} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return "PHP_INI_SCAN_DIR=:" + dir // besides its own
}

// Jobs are enqueued and followed by the scripts, workers of default, of a,b and of * are listed, quieted, woken and stopped by the API.
func TestResque(t *testing.T) {
	file := filepath.Join(t.TempDir(), "go")
	letGo := func() {
		if err := os.WriteFile(file, nil, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	f := &farm{example.Run(t, []string{"php", "php pcntl"}, held(t, file)), t}
	f.Await("three workers are listed", func() bool { return len(f.workers()) == 3 })
	all := f.workers()
	for _, queues := range []string{"default", "a,b", "*"} {
		if all[queues].ID == "" {
			t.Fatalf("no worker of %s: %v", queues, all)
		}
		f.tell(all[queues], "quiet")
	}
	if now := f.workers(); slices.ContainsFunc([]worker{now["default"], now["a,b"], now["*"]}, func(w worker) bool { return w.Command != "quiet" }) {
		t.Errorf("told quiet, they are listed as %v", now)
	}

	b, a, hello, first := f.queue("Hello_Job", "0", "b"), f.queue("Hello_Job", "0", "a"), f.queue("Hello_Job", "0"), f.queue("Held_Job")
	code, statuses := f.follow(first, func(status string) {
		switch status {
		case "1 waiting": // as long as no worker is woken
			f.tell(all["default"], "run")
			f.tell(all["a,b"], "run")
		case "2 running":
			letGo()
		}
	})
	if code != 0 || !slices.Equal(statuses, []string{"1 waiting", "2 running", "4 complete"}) {
		t.Errorf("first: %v, exit code %d", statuses, code)
	}
	if said := f.lines(hello); !slices.Equal(said, []string{"setUp", "Hello!", "tearDown"}) {
		t.Errorf("hello said %q", said)
	}
	f.completed(a, b)
	if first, second := f.task(a), f.task(b); first.Worker.ID != all["a,b"].ID || second.Worker.ID != all["a,b"].ID || !first.Start.Before(second.Start) {
		t.Errorf("a before b by one worker: %+v %+v", first, second)
	}
	failing := f.queue("Failing_Job")
	if code, statuses := f.follow(failing, func(string) {}); code != 1 || statuses[len(statuses)-1] != "3 failed" {
		t.Errorf("failing: %v, exit code %d", statuses, code)
	}
	if found := f.task(failing); found.Error == nil || found.Error.Message != "Unable to run this job!" {
		t.Errorf("failing: %+v", found)
	}

	if err := os.Remove(file); err != nil {
		t.Fatal(err)
	}
	last := f.queue("Held_Job", "0", "c") // for the worker of *, which is stopped meanwhile
	code, statuses = f.follow(last, func(status string) {
		switch status {
		case "1 waiting":
			f.tell(all["*"], "run")
		case "2 running":
			f.tell(all["*"], "stop")
			letGo()
		}
	})
	if found := f.task(last); code != 0 || found.Worker.ID != all["*"].ID {
		t.Errorf("the job of a worker that is stopped: %v, exit code %d, %+v", statuses, code, found)
	}
	f.Await("the worker of * has ended", func() bool { return f.workers()["*"].ID == "" && !f.runs(all["*"]) })
	if !f.runs(all["default"]) || !f.runs(all["a,b"]) {
		t.Error("other workers ended too")
	}
	f.completed(f.queue("Hello_Job", "0", "a"))
	if code, said := f.follow("nonsense", func(string) {}); code != 1 || !slices.Equal(said, []string{"there is no such job"}) {
		t.Errorf("the status of no job: %v, exit code %d", said, code)
	}
}

// runs tells whether the process of a worker is there.
func (f *farm) runs(w worker) bool { return slices.Contains(f.Processes("bin/resque"), w.PID) }
