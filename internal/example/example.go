//go:build unix

package example

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/pgscheduler/scheduler/internal/pgtest"
)

// patience bounds every wait; nothing takes so long unless it never happens.
const patience = 2 * time.Minute

// Example is an example that runs.
type Example struct {
	API      string // URL of the scheduler's API, without a slash at the end
	Page     string // URL of the example's own pages
	Database string // URL of its database
	t        testing.TB
	cmd      *exec.Cmd
	output   *output
}

// packages are what Debian calls the package of a program, or of an extension of PHP, that is not called like it.
var packages = map[string]string{"php": "php-cli", "php pdo_pgsql": "php-pgsql", "php pcntl": "php-cli", "node": "nodejs"}

// Run starts the example in the test's folder and waits until its API and, if it has some, its pages answer. It ends with the
// test. env is NAME=value for its processes; programs are what it needs besides, "php pdo_pgsql" being an extension of PHP.
func Run(t testing.TB, programs []string, env ...string) *Example {
	t.Helper()
	Need(t, programs...)
	api, page := FreePort(t), FreePort(t)
	e := &Example{t: t, API: "http://127.0.0.1:" + api, Page: "http://127.0.0.1:" + page, Database: pgtest.DB(t), output: &output{}}
	e.cmd = exec.Command("make", "--no-print-directory", "run")
	e.cmd.Env = append(os.Environ(), "API_PORT="+api, "PORT="+page, "SCHEDULER_DATABASE_URL="+e.Database, "SCHEDULER_TOKEN=", "MAKEFLAGS=")
	e.cmd.Env = append(e.cmd.Env, env...)
	e.cmd.Stdout, e.cmd.Stderr = e.output, e.output
	e.cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true} // so that all of it can be found and ended
	if err := e.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	ended := make(chan struct{})
	go func() { // ends with make, which stop ends
		defer close(ended)
		_ = e.cmd.Wait()
	}()
	t.Cleanup(func() { e.stop(ended) })
	e.Await("the API answers", func() bool {
		select {
		case <-ended:
			t.Fatalf("make run ended:\n%s", e.output)
		default:
		}
		return e.answers(e.API + "/readyz")
	})
	return e
}

// Need skips the test when one of the programs is missing; with CI=true that is a failure.
func Need(t testing.TB, programs ...string) {
	t.Helper()
	for _, program := range programs {
		if there(program) {
			continue
		}
		pack := program
		if packages[program] != "" {
			pack = packages[program]
		}
		if message := fmt.Sprintf("there is no %s; on Debian: apt-get install %s", program, pack); os.Getenv("CI") == "true" {
			t.Fatal(message)
		} else {
			t.Skip(message)
		}
	}
}

func there(program string) bool {
	if extension, found := strings.CutPrefix(program, "php "); found {
		modules, err := exec.Command("php", "-m").Output()
		return err == nil && bytes.Contains(modules, []byte("\n"+extension+"\n"))
	}
	_, err := exec.LookPath(program)
	return err == nil
}

// AwaitPage waits until the example's pages answer.
func (e *Example) AwaitPage() {
	e.t.Helper()
	e.Await("the pages answer", func() bool { return e.answers(e.Page + "/") })
}

// stop ends make as Ctrl-C would, and what is left of it by force.
func (e *Example) stop(ended <-chan struct{}) {
	started := e.Processes()
	_ = syscall.Kill(-e.cmd.Process.Pid, syscall.SIGINT)
	select {
	case <-ended:
	case <-time.After(patience):
		e.t.Errorf("make run did not end:\n%s", e.output)
	}
	for _, pid := range append(started, e.cmd.Process.Pid) {
		_ = syscall.Kill(pid, syscall.SIGKILL) // as a rule it is gone
	}
	<-ended
	if e.t.Failed() {
		e.t.Logf("make run:\n%s", e.output)
	}
}

// Await waits until the condition holds.
func (e *Example) Await(what string, holds func() bool) {
	e.t.Helper()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	late := time.After(patience)
	for !holds() {
		select {
		case <-tick.C:
		case <-late:
			e.t.Fatalf("waited in vain: %s; make run:\n%s", what, e.output)
		}
	}
}

// Kill sends SIGKILL to one process of the example whose command line holds all of the words, and reports its id; 0: there is
// none.
func (e *Example) Kill(words ...string) int {
	for _, pid := range e.Processes(words...) {
		if syscall.Kill(pid, syscall.SIGKILL) == nil {
			return pid
		}
	}
	return 0
}

// Processes lists the processes under this one whose command line holds all of the words, and none of those that stand behind a "!".
// As long as a program that was started has not begun, its command line is that of the one that starts it. The youngest are looked
// at first: those that end soon are among them, and a look at all takes long on a busy machine. Linux only; elsewhere there are none.
func (e *Example) Processes(words ...string) (pids []int) {
	parents, lines := map[int]int{}, map[int]string{}
	for _, pid := range pidsDown() {
		dir := filepath.Join("/proc", strconv.Itoa(pid))
		stat, err := os.ReadFile(filepath.Join(dir, "stat"))
		if err != nil {
			continue // it has ended
		}
		fields := strings.Fields(string(stat[bytes.LastIndexByte(stat, ')')+1:])) // state, parent, …
		parents[pid], _ = strconv.Atoi(fields[1])
		line, _ := os.ReadFile(filepath.Join(dir, "cmdline"))
		lines[pid] = string(bytes.ReplaceAll(line, []byte{0}, []byte{' '}))
	}
	for pid, line := range lines {
		if matches(line, words) && descends(pid, e.cmd.Process.Pid, parents) {
			pids = append(pids, pid)
		}
	}
	return pids
}

// pidsDown are all processes, from the highest id.
func pidsDown() (pids []int) {
	proc, err := os.Open("/proc")
	if err != nil {
		return nil
	}
	defer proc.Close()
	names, _ := proc.Readdirnames(-1)
	for _, name := range names {
		if pid, err := strconv.Atoi(name); err == nil {
			pids = append(pids, pid)
		}
	}
	slices.SortFunc(pids, func(a, b int) int { return b - a })
	return pids
}

func matches(line string, words []string) bool {
	for _, word := range words {
		if without, not := strings.CutPrefix(word, "!"); strings.Contains(line, without) == not {
			return false
		}
	}
	return true
}

func descends(pid, from int, parents map[int]int) bool {
	for ; pid > 1; pid = parents[pid] {
		if pid == from {
			return true
		}
	}
	return false
}

// Do sends a request with a body of JSON, "" being none; headers are "Name: value".
func (e *Example) Do(method, url, body string, headers ...string) (status int, answer string) {
	e.t.Helper()
	request, err := http.NewRequestWithContext(context.WithoutCancel(e.t.Context()), method, url, strings.NewReader(body))
	if err != nil {
		e.t.Fatal(err)
	}
	for _, header := range headers {
		name, value, _ := strings.Cut(header, ": ")
		request.Header.Set(name, value)
	}
	response, err := http.DefaultClient.Do(request)
	return e.read(response, err)
}

// Get returns the status and body of a page; a request that fails ends the test.
func (e *Example) Get(url string) (status int, body string) {
	e.t.Helper()
	answer, err := http.Get(url)
	return e.read(answer, err)
}

// Post sends a form.
func (e *Example) Post(url string, form url.Values) (status int, body string) {
	e.t.Helper()
	answer, err := http.PostForm(url, form)
	return e.read(answer, err)
}

func (e *Example) read(answer *http.Response, err error) (int, string) {
	e.t.Helper()
	if err != nil {
		e.t.Fatal(err)
	}
	defer answer.Body.Close()
	body, err := io.ReadAll(answer.Body)
	if err != nil {
		e.t.Fatal(err)
	}
	return answer.StatusCode, string(body)
}

func (e *Example) answers(url string) bool {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(e.t.Context()), 5*time.Second)
	defer cancel()
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		e.t.Fatal(err)
	}
	answer, err := http.DefaultClient.Do(request)
	if err != nil {
		return false
	}
	return errors.Join(answer.Body.Close()) == nil && answer.StatusCode == http.StatusOK
}

// output keeps what the processes write.
type output struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (o *output) Write(b []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.text.Write(b)
}

// String is the end of it.
func (o *output) String() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	text := o.text.String()
	return text[max(0, len(text)-10_000):]
}
