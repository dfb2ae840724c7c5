//go:build unix

package crash

import (
	"fmt"
	"math/rand/v2"
	"os/exec"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/pgscheduler/scheduler/internal/pgtest"
	"github.com/pgscheduler/scheduler/internal/proc"
	"github.com/pgscheduler/scheduler/scheduler"
)

// The short lease of tests that cannot wait for the default one.
const heartbeat, ttl = 300 * time.Millisecond, time.Second

// 20,000 tasks and more, four worker processes, one of them killed whenever a twelfth is done: each task completes once, and leaves one
// effect.
func TestWorkersKilledUnderLoad(t *testing.T) {
	t.Parallel()
	const least, crew, slots, most = 20_000, 4, 20, 11
	l := openLedger(t, pgtest.DB(t))
	total := 0
	submit := func() {
		batch := make([]scheduler.NewTask, 1000)
		for i := range batch {
			batch[i] = scheduler.NewTask{Kind: "tx", MaxAttempts: 1, Payload: job{Milliseconds: rand.N(100)}}
		}
		total += len(l.submit(batch...))
	}
	for total < least {
		submit()
	}
	var workers []*process
	for n := range crew {
		workers = append(workers, start(t, orders{URL: l.url, Name: fmt.Sprintf("crew-%d", n), Concurrency: slots,
			Heartbeat: heartbeat, TTL: ttl, MaxCrashes: 1000}))
	}
	began := time.Now()
	for kills := range most {
		victim := kills % crew
		proc.Await(t, fmt.Sprintf("%d twelfths are done, and %s is at work", kills+1, workers[victim].orders.Name), func() bool {
			if l.effects() < (kills+1)*least/(most+1) {
				return false
			}
			if read[int](l, `select count(*) from scheduler.tasks where state = 'ready'`) == 0 {
				submit() // the others were through before it was there
			}
			return read[int](l, `select count(*) from scheduler.tasks t
				join scheduler.workers w on w.id = t.worker_id where w.name = $1 and t.state = 'running'`, workers[victim].orders.Name) > 0
		})
		workers[victim].Kill()
		workers[victim] = workers[victim].again()
	}
	proc.Await(t, "the last completion", func() bool {
		return read[int](l, `select count(*) from scheduler.tasks where state <> 'completed'`) == 0
	})
	t.Logf("%d tasks in %s; %d workers killed; attempts besides the completing ones: %s; most crashes of a task: %d", total,
		time.Since(began).Round(time.Second/10), most, l.outcomes(), read[int](l, `select max(crashes) from scheduler.tasks`))
	l.mustBalance()
}

// With all settings at their defaults, a killed worker's task starts again elsewhere; the documentation promises 20 s.
func TestKilledWorkersTaskStartsAgainByDefault(t *testing.T) {
	t.Parallel()
	l := openLedger(t, pgtest.DB(t))
	victim := start(t, orders{URL: l.url, Name: "victim"})
	id := l.submit(scheduler.NewTask{Kind: "wait"})[0]
	proc.Await(t, "the first attempt", func() bool {
		return read[string](l, `select state::text from scheduler.tasks where id = $1`, id) == "running"
	})
	start(t, orders{URL: l.url, Name: "heir"})
	proc.Await(t, "two workers", func() bool { return read[int](l, `select count(*) from scheduler.workers`) == 2 })
	victim.Kill()
	killed := time.Now()
	proc.Await(t, "the second attempt", func() bool { return read[int](l, `select attempt from scheduler.tasks where id = $1`, id) == 2 })
	took := time.Since(killed) // 15 s of silence, and a look at it
	t.Logf("the task started again %s after its worker was killed", took.Round(time.Millisecond))
}

// A task that kills each process that runs it is given up; the tasks beside it complete.
func TestPoisonTask(t *testing.T) {
	t.Parallel()
	l := openLedger(t, pgtest.DB(t))
	poison, err := l.client.Submit(t.Context(), scheduler.NewTask{Kind: "poison", MaxAttempts: 1, Priority: -1, Payload: job{Milliseconds: 50}})
	if err != nil {
		t.Fatal(err)
	}
	const neighbours = 200
	batch := make([]scheduler.NewTask, neighbours)
	for i := range batch {
		batch[i] = scheduler.NewTask{Kind: "tx", Payload: job{Milliseconds: 10}}
	}
	l.submit(batch...)
	p := start(t, orders{URL: l.url, Name: "supervised", Concurrency: 4})
	deaths := 0
	proc.Await(t, "the end of all", func() bool {
		if p.Ended() {
			deaths++
			l.silent()
			p = p.again()
		}
		return read[int](l, `select count(*) from scheduler.tasks where state not in ('completed', 'failed')`) == 0
	})
	task, err := l.client.Task(t.Context(), poison.ID)
	if err != nil {
		t.Fatal(err)
	}
	if task.State != scheduler.Failed || *task.ErrorCode != "worker_lost" || task.Crashes != 3 || task.Failures != 0 || deaths != 3 {
		t.Errorf("the poison is %s (%s), %d crashes, %d failures; %d processes died", task.State, *task.ErrorCode, task.Crashes, task.Failures, deaths)
	}
	attempts, err := l.client.Attempts(t.Context(), poison.ID)
	if err != nil || len(attempts) != 3 {
		t.Errorf("attempts %+v, %v", attempts, err)
	}
	for _, a := range attempts {
		if a.Outcome != "crashed" {
			t.Errorf("attempt %d %s", a.Attempt, a.Outcome)
		}
	}
	t.Logf("attempts besides the completing ones: %s", l.outcomes())
	l.mustBalance()
}

// The process that a killed worker had started for a task does not outlive it.
func TestCommandDiesWithItsWorker(t *testing.T) {
	t.Parallel()
	if runtime.GOOS != "linux" {
		t.Skip("only Linux tells a process of its parent's death")
	}
	l := openLedger(t, pgtest.DB(t))
	p := start(t, orders{URL: l.url, Name: "parent", Exec: []string{"sh", "-c", "echo $$; exec sleep 1000"}})
	id := l.submit(scheduler.NewTask{Kind: "exec"})[0]
	proc.Await(t, "the command's line", func() bool {
		return read[int](l, `select count(*) from scheduler.task_logs where task_id = $1`, id) == 1
	})
	pid := read[string](l, `select message from scheduler.task_logs where task_id = $1`, id)
	p.Signal(syscall.SIGKILL)
	proc.Await(t, "the death of "+pid, func() bool {
		state, err := exec.Command("ps", "-o", "stat=", "-p", pid).Output()
		return err != nil || strings.HasPrefix(string(state), "Z")
	})
}

// The long-lived children of a killed worker do not outlive it, and another worker's take over what they had open.
func TestChildrenDieWithTheirWorker(t *testing.T) {
	t.Parallel()
	if runtime.GOOS != "linux" {
		t.Skip("only Linux tells a process of its parent's death")
	}
	l := openLedger(t, pgtest.DB(t))
	cmd := []string{"sh", "-c", `trap "" TERM
		echo '{"op":"ready","v":1,"kinds":["child"]}' >&3
		while read -r line; do
			case $line in *'"attempt":1,'*) echo $$; exec sleep 1000;; '{"op":"task"'*)
				echo '{"op":"result","id":"'$(echo "$line" | sed 's/.*"task":{"id":"\([^"]*\)".*/\1/')'","result":"second"}' >&3;;
			esac
		done`}
	o := orders{URL: l.url, Name: "first", Cmd: cmd}
	p := start(t, o)
	id := l.submit(scheduler.NewTask{Kind: "child", Backoff: []time.Duration{0}})[0]
	lines := func() int { return read[int](l, `select count(*) from scheduler.task_logs where task_id = $1`, id) }
	proc.Await(t, "the child's line", func() bool { return lines() == 1 })
	pid := read[string](l, `select message from scheduler.task_logs where task_id = $1`, id)
	p.Signal(syscall.SIGKILL)
	proc.Await(t, "the death of "+pid, func() bool {
		state, err := exec.Command("ps", "-o", "stat=", "-p", pid).Output()
		return err != nil || strings.HasPrefix(string(state), "Z")
	})
	l.silent()
	o.Name = "second"
	start(t, o)
	proc.Await(t, "the result of the second", func() bool {
		return read[string](l, `select coalesce(result #>> '{}', '') from scheduler.tasks where id = $1`, id) == "second"
	})
}
