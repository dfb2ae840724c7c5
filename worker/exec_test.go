//go:build unix

package worker_test

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/pgscheduler/scheduler/scheduler"
	"github.com/pgscheduler/scheduler/worker"
)

// startExec runs a worker whose kind "k" is the command.
func (r *rig) startExec(config worker.Config, argv ...string) *running {
	r.t.Helper()
	registry := worker.NewRegistry()
	if err := worker.HandleExec(registry, "k", argv); err != nil {
		r.t.Fatal(err)
	}
	return r.start(registry, config)
}

// script runs a worker whose kind "k" is a script of sh.
func (r *rig) script(config worker.Config, text string) *running {
	r.t.Helper()
	return r.startExec(config, "sh", "-c", text)
}

// dead reports whether no process of the id runs (a zombie that nobody has waited for does not).
func dead(t *testing.T, pid string) bool {
	t.Helper()
	state, err := exec.Command("ps", "-o", "stat=", "-p", strings.TrimSpace(pid)).Output()
	return err != nil || strings.HasPrefix(strings.TrimSpace(string(state)), "Z")
}

func TestExecTakesArgvAsItIs(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	args := []string{"$HOME", "; echo no", "`id`", "$(id)", "| cat", "> /dev/null", "*", "~", "a  b", "'", `"`, `\n`, "", "-e"}
	r.startExec(worker.Config{}, append([]string{"printf", `<%s>\n`}, args...)...)
	id := r.submit(scheduler.NewTask{Kind: "k"})
	if task := r.final(id); task.State != scheduler.Completed || task.Result != nil {
		t.Fatalf("%s, result %s: %s", task.State, task.Result, text(task.Error))
	}
	var want []string
	for _, a := range args {
		want = append(want, "<"+a+">")
	}
	if diff := cmp.Diff(want, r.lines(id, "stdout")); diff != "" {
		t.Error(diff)
	}
}

func TestExecGetsThePayloadOnStdin(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.script(worker.Config{}, `printf '{"op":"result","result":' >&3; cat >&3; echo '}' >&3`)
	payload := map[string]any{"text": strings.Repeat("x", 200_000), "n": 1.5}
	task := r.final(r.submit(scheduler.NewTask{Kind: "k", Payload: payload}))
	var got map[string]any
	if err := json.Unmarshal(task.Result, &got); err != nil {
		t.Fatalf("%s: %v: %s", task.State, err, text(task.Error))
	}
	if diff := cmp.Diff(payload, got); diff != "" {
		t.Error(diff)
	}
}

// What a process can say on descriptor 3, and how it can end.
func TestExecOutcomes(t *testing.T) {
	t.Parallel()
	type want struct {
		state    scheduler.State
		failures int
		code     string
		message  string
		result   string
	}
	for _, c := range []struct {
		name, script string
		want         want
	}{
		{"silent", `exit 0`, want{scheduler.Completed, 0, "", "", ""}},
		{"result", `echo '{"op":"result","result":{"a":[1,2]}}' >&3`, want{scheduler.Completed, 0, "", "", `{"a": [1, 2]}`}},
		{"the last result counts", `echo '{"op":"result","result":1}' >&3; echo '{"op":"result","result":2}' >&3`, want{scheduler.Completed, 0, "", "", "2"}},
		{"result without a newline", `printf '{"op":"result","result":"x"}' >&3`, want{scheduler.Completed, 0, "", "", `"x"`}},
		{"null result", `echo '{"op":"result","result":null}' >&3`, want{scheduler.Completed, 0, "", "", ""}},
		{"result too large", `printf '{"op":"result","result":"' >&3; head -c 300000 /dev/zero | tr '\0' x >&3; echo '"}' >&3`,
			want{scheduler.Failed, 1, "bad_result", "result cannot be stored: larger than 262144 bytes", ""}},
		{"result, then failure", `echo '{"op":"result","result":1}' >&3; exit 1`, want{scheduler.Scheduled, 1, "exit_1", "exit status 1", ""}},
		{"exit 1", `echo first >&2; echo ' ' >&2; echo 'the reason' >&2; echo >&2; exit 1`, want{scheduler.Scheduled, 1, "exit_1", "exit status 1: the reason", ""}},
		{"usage", `exit 64`, want{scheduler.Failed, 1, "exit_64", "exit status 64", ""}},
		{"data", `echo bad >&2; exit 65`, want{scheduler.Failed, 1, "exit_65", "exit status 65: bad", ""}},
		{"input", `exit 66`, want{scheduler.Failed, 1, "exit_66", "exit status 66", ""}},
		{"configuration", `exit 78`, want{scheduler.Failed, 1, "exit_78", "exit status 78", ""}},
		{"temporary", `exit 75`, want{scheduler.Scheduled, 1, "exit_75", "exit status 75", ""}},
		{"255", `exit 255`, want{scheduler.Scheduled, 1, "exit_255", "exit status 255", ""}},
		{"killed", `echo why >&2; kill -9 $$`, want{scheduler.Scheduled, 1, "signal", "signal: killed: why", ""}},
		{"error with exit 0", `echo '{"op":"error","message":"no such page","code":"not_found"}' >&3`, want{scheduler.Scheduled, 1, "not_found", "no such page", ""}},
		{"error with exit 1", `echo '{"op":"error","message":"no such page"}' >&3; exit 1`, want{scheduler.Scheduled, 1, "error", "no such page", ""}},
		{"error with exit 65", `echo '{"op":"error","message":"no such page"}' >&3; exit 65`, want{scheduler.Failed, 1, "error", "no such page", ""}},
		{"permanent error", `echo '{"op":"error","message":"never","permanent":true}' >&3`, want{scheduler.Failed, 1, "error", "never", ""}},
		{"error without a message", `echo '{"op":"error"}' >&3`, want{scheduler.Scheduled, 1, "error", "the command reported an error without a message", ""}},
		{"retry after", `echo '{"op":"error","message":"busy","retry_after_ms":3600000}' >&3; exit 75`, want{scheduler.Scheduled, 1, "error", "busy", ""}},
		{"retry after ages", `echo '{"op":"error","message":"busy","retry_after_ms":9000000000000000000}' >&3`, want{scheduler.Scheduled, 1, "error", "busy", ""}},
		{"snooze", `echo '{"op":"snooze","delay_ms":3600000}' >&3`, want{scheduler.Scheduled, 0, "", "", ""}},
		{"snooze for ages", `echo '{"op":"snooze","delay_ms":9000000000000000000}' >&3`, want{scheduler.Scheduled, 0, "", "", ""}},
		{"snooze, then failure", `echo '{"op":"snooze","delay_ms":3600000}' >&3; exit 2`, want{scheduler.Scheduled, 1, "exit_2", "exit status 2", ""}},
		{"descriptor 3 closed early", `exec 3>&-; echo still here`, want{scheduler.Completed, 0, "", "", ""}},
		{"stdin closed early", `exec 0<&-; echo still here`, want{scheduler.Completed, 0, "", "", ""}},
		{"all closed early", `exec 0<&- 1>&- 2>&- 3>&-; sleep 0.1`, want{scheduler.Completed, 0, "", "", ""}},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			r := newRig(t)
			r.script(worker.Config{}, c.script)
			id := r.submit(scheduler.NewTask{Kind: "k", Backoff: []time.Duration{time.Hour}, Payload: strings.Repeat("p", 200_000)}) // read by none of them
			r.reach(id, c.want.state)
			task := r.task(id)
			got := want{task.State, task.Failures, text(task.ErrorCode), text(task.Error), string(task.Result)}
			if got != c.want {
				t.Errorf("got %+v\nwant %+v", got, c.want)
			}
			if task.State == scheduler.Scheduled && task.RunAt.Before(task.CreatedAt.Add(50*time.Minute)) {
				t.Errorf("it runs again at %s", task.RunAt)
			}
		})
	}
}

func TestExecReportsAndLogs(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.script(worker.Config{}, `
		echo to stdout
		echo to stderr >&2
		echo '{"op":"log","message":"to the log"}' >&3
		echo '{"op":"progress","current":3,"total":9,"message":"page 3","data":{"file":"x"}}' >&"$SCHEDULER_FD"
		echo '{"op":"progress","current":4,"total":9,"data":"\u0000"}' >&3
		echo '  ' >&3
		echo 'not json' >&3
		echo '{"op":"progress","current":"four"}' >&3
		echo '{"op":"dance"}' >&3
		echo '[1,2]' >&3
		printf 'last, without newline'`)
	id := r.submit(scheduler.NewTask{Kind: "k"})
	task := r.final(id)
	if task.State != scheduler.Completed || number(task.ProgressCurrent) != 3 || number(task.ProgressTotal) != 9 ||
		text(task.ProgressMessage) != "page 3" || string(task.ProgressData) != `{"file": "x"}` {
		t.Errorf("%s, progress %d of %d, %q, %s", task.State, number(task.ProgressCurrent), number(task.ProgressTotal), text(task.ProgressMessage), task.ProgressData)
	}
	if diff := cmp.Diff([]string{"to stdout", "last, without newline"}, r.lines(id, "stdout")); diff != "" {
		t.Error(diff)
	}
	if diff := cmp.Diff([]string{"to stderr"}, r.lines(id, "stderr")); diff != "" {
		t.Error(diff)
	}
	lines := r.lines(id, "log")
	for i, want := range []string{"to the log", "cannot be stored", "not a JSON line", "current", "unknown op", "not a JSON line"} {
		if i >= len(lines) || !strings.Contains(lines[i], want) {
			t.Errorf("line %d of the log does not say %q: %q", i, want, lines)
		}
	}
	if len(lines) != 6 {
		t.Errorf("%d lines: %q", len(lines), lines)
	}
}

func TestExecSurvivesGarbage(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.script(worker.Config{}, `
		head -c 10485760 /dev/zero | tr '\0' x; echo
		head -c 10485760 /dev/zero | tr '\0' y >&3; echo >&3
		head -c 200000 /dev/urandom; head -c 200000 /dev/urandom >&2; head -c 200000 /dev/urandom >&3
		head -c 100000 /dev/zero; echo; echo >&3
		echo '{"op":"result","result":"alive"}' >&3`)
	id := r.submit(scheduler.NewTask{Kind: "k"})
	task := r.final(id)
	if task.State != scheduler.Completed || string(task.Result) != `"alive"` {
		t.Errorf("%s, result %s: %s", task.State, task.Result, text(task.Error))
	}
	out, said := r.lines(id, "stdout"), r.lines(id, "log")
	if len(out) == 0 || len(out[0]) > 8<<10 || !strings.HasPrefix(out[0], "xxxx") {
		t.Errorf("a line of 10 MB became %d bytes", len(out[0]))
	}
	if len(said) == 0 || len(said[0]) > 8<<10 || !strings.HasPrefix(said[0], "descriptor 3: not a JSON line") {
		t.Errorf("a line of 10 MB on descriptor 3 became %q", said[:min(1, len(said))])
	}
}

func TestExecFloodOfLinesIsCut(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.script(worker.Config{}, `i=0; while [ $i -lt 12000 ]; do echo $i; i=$((i+1)); done`)
	id := r.submit(scheduler.NewTask{Kind: "k"})
	if task := r.final(id); task.State != scheduler.Completed {
		t.Errorf("%s: %s", task.State, text(task.Error))
	}
	if lines := r.lines(id, "stdout"); len(lines) != 10_001 || !strings.Contains(lines[10_000], "dropped") {
		t.Errorf("%d lines", len(lines))
	}
}

func TestExecEnvironment(t *testing.T) { // not parallel: it sets the environment
	const secret = "none of a child's business"
	t.Setenv("SCHEDULER_DATABASE_URL", secret)
	t.Setenv("SCHEDULER_TOKEN", secret)
	t.Setenv("SCHEDULER_FD", "17")
	t.Setenv("APP_SETTING", "kept")
	r := newRig(t)
	r.startExec(worker.Config{Queues: []worker.Share{{Queue: "mail"}}}, "env")
	id := r.submit(scheduler.NewTask{Kind: "k", Queue: "mail"})
	r.final(id)
	lines := r.lines(id, "stdout")
	for _, want := range []string{"APP_SETTING=kept", "SCHEDULER_FD=3", "SCHEDULER_TASK_ID=" + id.String(), "SCHEDULER_QUEUE=mail", "SCHEDULER_KIND=k", "SCHEDULER_ATTEMPT=1"} {
		if !slices.Contains(lines, want) {
			t.Errorf("%s is missing", want)
		}
	}
	for _, line := range lines {
		if strings.Contains(line, secret) || line == "SCHEDULER_FD=17" {
			t.Errorf("the child was given %s", line)
		}
	}
}

// A child and a grandchild that both ignore SIGTERM.
const stubborn = `trap '' TERM; sh -c 'trap "" TERM; echo $$; while :; do sleep 1; done' & echo $$; while :; do sleep 1; done`

func TestExecTimeoutKillsTheWholeGroup(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.script(worker.Config{}, stubborn)
	id := r.submit(scheduler.NewTask{Kind: "k", MaxAttempts: 1, Timeout: begin})
	task := r.final(id)
	if task.State != scheduler.Failed || text(task.ErrorCode) != "timeout" || !strings.Contains(text(task.Error), "signal: killed") {
		t.Errorf("%s, %s: %s", task.State, text(task.ErrorCode), text(task.Error))
	}
	pids := r.lines(id, "stdout")
	if len(pids) != 2 {
		t.Fatalf("pids %q", pids)
	}
	for _, pid := range pids {
		await(t, "the death of "+pid, func() bool { return dead(t, pid) })
	}
}

func TestExecCancelTerminatesTheWholeGroup(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.script(worker.Config{Heartbeat: 200 * time.Millisecond, TTL: patience}, `trap 'echo cleaned up; exit 3' TERM; sleep 1000 & echo $!; wait`)
	id := r.submit(scheduler.NewTask{Kind: "k"})
	await(t, "the child's line", func() bool { return len(r.lines(id, "stdout")) == 1 })
	if _, err := r.client.Cancel(t.Context(), id, "enough"); err != nil {
		t.Fatal(err)
	}
	task, lines := r.final(id), r.lines(id, "stdout")
	if task.State != scheduler.Cancelled || text(task.Error) != "enough" {
		t.Errorf("%s: %s", task.State, text(task.Error))
	}
	if len(lines) != 2 || lines[1] != "cleaned up" {
		t.Errorf("lines %q", lines)
	}
	await(t, "the grandchild's death", func() bool { return dead(t, lines[0]) })
}

// A child that ended well although it was told to stop has done its work.
func TestExecThatEndsWellInSpiteOfATimeout(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.script(worker.Config{}, `trap 'echo "{\"op\":\"result\",\"result\":\"in time\"}" >&3; exit 0' TERM; while :; do sleep 0.05; done`)
	task := r.final(r.submit(scheduler.NewTask{Kind: "k", Timeout: begin, MaxAttempts: 1}))
	if task.State != scheduler.Completed || string(task.Result) != `"in time"` {
		t.Errorf("%s, %s: %s", task.State, task.Result, text(task.Error))
	}
}

// What a child leaves behind is killed, also when it sits on the payload that nobody reads.
func TestExecLeavesNothingBehind(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.script(worker.Config{}, `sleep 1000 <&0 & echo $!; exit 0`)
	id := r.submit(scheduler.NewTask{Kind: "k", Payload: strings.Repeat("p", 200_000)})
	if task := r.final(id); task.State != scheduler.Completed {
		t.Errorf("%s: %s", task.State, text(task.Error))
	}
	lines := r.lines(id, "stdout")
	if len(lines) != 1 {
		t.Fatalf("lines %q", lines)
	}
	await(t, "the grandchild's death", func() bool { return dead(t, lines[0]) })
}

// A daemon that left the group and keeps the pipes open holds the task up for a while, and not for ever.
func TestExecThatLeavesADaemonWithItsPipes(t *testing.T) {
	t.Parallel()
	if _, err := exec.LookPath("setsid"); err != nil {
		t.Skip("no setsid here")
	}
	r := newRig(t)
	r.script(worker.Config{}, `setsid sh -c 'echo $$; exec sleep 1000' & while [ $(ps -o pgid= -p $!) = $$ ]; do sleep 0.01; done; echo '{"op":"result","result":1}' >&3`)
	id := r.submit(scheduler.NewTask{Kind: "k"})
	task, lines := r.final(id), r.lines(id, "stdout")
	if len(lines) == 1 {
		_ = exec.Command("kill", "-9", lines[0]).Run()
	}
	if task.State != scheduler.Completed || string(task.Result) != "1" || len(lines) != 1 {
		t.Errorf("%s, %s, lines %q: %s", task.State, task.Result, lines, text(task.Error))
	}
}

func TestExecIsHandedBackAtShutdown(t *testing.T) {
	t.Parallel()
	for name, end := range map[string]func(*running) error{
		"drain timeout": func(x *running) error { return x.stop() },
		"abort":         func(x *running) error { x.Abort(); return x.wait() },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := newRig(t)
			x := r.script(worker.Config{DrainTimeout: -1}, stubborn)
			id := r.submit(scheduler.NewTask{Kind: "k", MaxAttempts: 1})
			await(t, "both pids", func() bool { return len(r.lines(id, "stdout")) == 2 })
			pids := r.lines(id, "stdout")
			_ = end(x)
			// The group had 5 s from its SIGTERM on; Run does not leave it alone for so long.
			soon, cancel := context.WithTimeout(t.Context(), 2*time.Second)
			defer cancel()
			for _, pid := range pids {
				for !dead(t, pid) && pause(soon, 5*time.Millisecond) == nil {
				}
				if !dead(t, pid) {
					t.Errorf("process %s outlived Run", pid)
				}
			}
			if task, attempts := r.task(id), r.attempts(id); task.State != scheduler.Ready || task.Failures != 0 || len(attempts) != 1 || attempts[0].Outcome != "released" {
				t.Errorf("%s with %d failures, attempts %+v", task.State, task.Failures, attempts)
			}
		})
	}
}

func TestExecRefusesCommandsThatCannotBe(t *testing.T) {
	t.Parallel()
	for _, argv := range [][]string{nil, {"no-such-command-anywhere"}, {"/nowhere/at/all"}, {t.TempDir()}} {
		if err := worker.HandleExec(worker.NewRegistry(), "k", argv); err == nil {
			t.Errorf("%q was accepted", argv)
		}
	}
}

// The command was there when it was registered.
func TestExecOfACommandThatVanished(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	path := filepath.Join(t.TempDir(), "command")
	if err := os.WriteFile(path, []byte("#!/bin/sh\nexit 0\n"), 0o755); err != nil {
		t.Fatal(err)
	}
	registry := worker.NewRegistry()
	if err := worker.HandleExec(registry, "k", []string{path}); err != nil {
		t.Fatal(err)
	}
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	r.start(registry, worker.Config{})
	id := r.submit(scheduler.NewTask{Kind: "k", MaxAttempts: 1})
	if task := r.final(id); task.State != scheduler.Failed || text(task.ErrorCode) != "exec" || !strings.Contains(text(task.Error), path) {
		t.Errorf("%s, %s: %s", task.State, text(task.ErrorCode), text(task.Error))
	}
}

func TestExecLeaksNoDescriptors(t *testing.T) { // not parallel: it counts the descriptors of the process
	count := descriptors(t)
	r := newRig(t)
	r.script(worker.Config{Concurrency: 8}, `[ $SCHEDULER_ATTEMPT = 1 ] && exit 1; echo out; echo err >&2; echo '{"op":"log","message":"m"}' >&3; exit 0`)
	round := func() {
		var ids []scheduler.TaskID
		for range 40 {
			ids = append(ids, r.submit(scheduler.NewTask{Kind: "k", Backoff: []time.Duration{0}}))
		}
		for _, id := range ids {
			if task := r.final(id); task.State != scheduler.Completed || task.Attempt != 2 {
				t.Fatalf("%s at attempt %d: %s", task.State, task.Attempt, text(task.Error))
			}
		}
	}
	round()
	before := count()
	for range 3 {
		round()
	}
	await(t, fmt.Sprintf("%d descriptors", before), func() bool { return count() <= before })
}

// descriptors counts those of this process but for sockets: connections to the database are opened and closed all the while.
func descriptors(t *testing.T) func() int {
	t.Helper()
	const folder = "/proc/self/fd"
	if _, err := os.Stat(folder); err != nil {
		t.Skip("no " + folder + " here")
	}
	return func() (n int) {
		list, err := os.ReadDir(folder)
		if err != nil {
			t.Fatal(err)
		}
		for _, entry := range list {
			if what, err := os.Readlink(filepath.Join(folder, entry.Name())); err == nil && !strings.HasPrefix(what, "socket:") {
				n++
			}
		}
		return n
	}
}

// A worker with both kinds of handlers; the two do not mix up their tasks.
func TestExecBesideHandlersInGo(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	registry := worker.NewRegistry()
	worker.Handle(registry, "go", func(_ context.Context, task *worker.Task[string]) (string, error) { return "go " + task.Args, nil })
	if err := worker.HandleExec(registry, "exec", []string{"sh", "-c", `printf '{"op":"result","result":"exec %s"}' $(tr -d '"') >&3`}); err != nil {
		t.Fatal(err)
	}
	r.start(registry, worker.Config{})
	for i := range 20 {
		kind := []string{"go", "exec"}[i%2]
		task := r.final(r.submit(scheduler.NewTask{Kind: kind, Payload: fmt.Sprint(i)}))
		if want := fmt.Sprintf(`"%s %d"`, kind, i); string(task.Result) != want {
			t.Errorf("result %s, want %s (%s)", task.Result, want, text(task.Error))
		}
	}
}
