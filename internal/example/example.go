//go:build unix

package example

import (
	"context"
	"errors"
	"io"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/pgscheduler/scheduler/internal/pgtest"
	"github.com/pgscheduler/scheduler/internal/proc"
)

// Client makes a connection for each request: one that was idle might be closed by the server, Node's after 5 s, just when a request
// is on its way that cannot be repeated.
var Client = &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}

// Example is an example that runs.
type Example struct {
	API      string // URL of the scheduler's API, without a slash at the end
	Page     string // URL of the example's own pages
	Database string // URL of its database
	DB       *pgx.Conn
	t        testing.TB
	make     *proc.Process
}

// Run starts the example in the test's folder and waits until its API and, if it has some, its pages answer. It ends with the
// test. env is NAME=value for its processes; programs are what it needs besides, as proc.Need knows them.
func Run(t testing.TB, programs []string, env ...string) *Example {
	t.Helper()
	proc.Need(t, programs...)
	api, page := proc.FreePort(t), proc.FreePort(t)
	e := &Example{t: t, API: "http://127.0.0.1:" + api, Page: "http://127.0.0.1:" + page, Database: pgtest.DB(t)}
	e.DB = connect(t, e.Database)
	cmd := exec.Command("make", "--no-print-directory", "run")
	cmd.Env = append(os.Environ(), "API_PORT="+api, "PORT="+page, "SCHEDULER_DATABASE_URL="+e.Database, "SCHEDULER_TOKEN=", "MAKEFLAGS=")
	cmd.Env = append(cmd.Env, env...)
	cmd.WaitDelay = 30 * time.Second // of make's end until all that it started is done
	e.make = proc.Start(t, cmd)
	t.Cleanup(e.stop)
	e.Await("the API answers", func() bool {
		if e.make.Ended() {
			t.Fatal("make run ended")
		}
		return e.answers(e.API + "/readyz")
	})
	return e
}

// AwaitPage waits until the example's pages answer.
func (e *Example) AwaitPage() {
	e.t.Helper()
	e.Await("the pages answer", func() bool { return e.answers(e.Page + "/") })
}

// stop ends make as Ctrl-C would, and what is left of it by force.
func (e *Example) stop() {
	pid := e.make.Cmd.Process.Pid
	started := proc.Descendants(pid)
	_ = syscall.Kill(-pid, syscall.SIGINT) // it may have ended
	if _, err := e.make.Wait(); err != nil {
		e.t.Error(err)
	}
	for _, pid := range started {
		_ = syscall.Kill(pid, syscall.SIGKILL) // as a rule it is gone
	}
}

// Await waits until the condition holds.
func (e *Example) Await(what string, holds func() bool) {
	e.t.Helper()
	proc.Await(e.t, what, holds)
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

// Processes are the example's, as proc.Descendants lists them.
func (e *Example) Processes(words ...string) []int {
	return proc.Descendants(e.make.Cmd.Process.Pid, words...)
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
	response, err := Client.Do(request)
	return e.read(response, err)
}

// Get returns the status and body of a page; a request that fails ends the test.
func (e *Example) Get(url string) (status int, body string) {
	e.t.Helper()
	answer, err := Client.Get(url)
	return e.read(answer, err)
}

// Post sends a form.
func (e *Example) Post(url string, form url.Values) (status int, body string) {
	e.t.Helper()
	answer, err := Client.PostForm(url, form)
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
	answer, err := Client.Do(request)
	if err != nil {
		return false
	}
	return errors.Join(answer.Body.Close()) == nil && answer.StatusCode == http.StatusOK
}
