//go:build unix

package main

import (
	"fmt"
	"net/url"
	"strings"
	"syscall"
	"testing"

	"github.com/pgscheduler/scheduler/internal/browser"
	"github.com/pgscheduler/scheduler/internal/example"
	"github.com/pgscheduler/scheduler/internal/pgtest"
)

func TestMain(m *testing.M) { pgtest.Main(m, browser.Stop) }

const (
	status = `document.querySelector('[role=status]').textContent`
	value  = `document.querySelector('progress').value`
	lines  = `document.querySelector('pre').textContent.trim().split('\n').length`
	via    = `document.querySelector('#via').textContent`
)

// rig is the example, with one export that the test holds up: what a page shows midway stays until the page was looked at.
type rig struct {
	*example.Example
	t *testing.T
}

func open(t *testing.T) *rig {
	t.Helper()
	e := example.Run(t, []string{"php"})
	e.AwaitPage()
	return &rig{e, t}
}

// tell sends the worker a signal, once it and its child are there.
func (r *rig) tell(s syscall.Signal) {
	r.t.Helper()
	var workers []int
	r.Await("the worker is there", func() bool { workers = r.Processes("worker.php", "!--no-worker", "!sh -c"); return len(workers) == 2 })
	for _, pid := range workers {
		if err := syscall.Kill(pid, s); err != nil {
			r.t.Fatal(err)
		}
	}
}

// advance lets the worker go on for a while, until there are more lines, and stops it again.
func (r *rig) advance(least int) (rows int) {
	r.t.Helper()
	count := func() int { return r.Number(`select count(*) from scheduler.task_logs`) }
	r.tell(syscall.SIGCONT)
	r.Await("more lines", func() bool { return count() >= least })
	r.tell(syscall.SIGSTOP)
	return count()
}

// completed waits until a page shows the end and each line once: those of all rows, and of a row twice that another attempt wrote
// again, the worker having been stopped for so long that its lease was over.
func (r *rig) completed(tab *browser.Tab, rows int) {
	r.t.Helper()
	tab.Await(status + ` === 'completed' && ` + value + ` === 100`)
	written := r.Number(`select count(*) from scheduler.task_logs`)
	if written < rows {
		r.t.Errorf("%d lines of %d rows", written, rows)
	}
	tab.Await(fmt.Sprintf(`%s === %d`, lines, written))
}

// The bar and the lines move while the PHP worker runs; a page that is loaded again goes on; one that is opened after the end
// shows all of it.
func TestLiveOutput(t *testing.T) {
	r := open(t)
	tab := browser.Open(t, r.Page+"/")
	tab.Fill(`input[name=rows]`, "120") // more than the worker writes while it goes on thrice
	tab.Fill(`input[name=ms]`, "100")
	r.tell(syscall.SIGSTOP)
	tab.Click(`button`)
	tab.Await(via + ` === '(live)'`)
	seen := r.advance(3)
	tab.Await(fmt.Sprintf(`%s === 'processing' && %s > 0 && %s < 100 && %s >= %d`, status, value, value, lines, seen))
	seen = r.advance(seen + 1)
	tab.Await(fmt.Sprintf(`%s >= %d`, lines, seen))
	page := browser.Eval[string](tab, `location.href`)
	tab.Go(page) // mid-way
	tab.Await(fmt.Sprintf(`%s === 'processing' && %s >= %d`, status, lines, seen))
	seen = r.advance(seen + 1)
	tab.Await(fmt.Sprintf(`%s === '(live)' && %s === 'processing' && %s >= %d`, via, status, lines, seen))
	tab.Go(r.Page + "/") // closed: that stops nothing
	r.tell(syscall.SIGCONT)
	tab.Go(page)
	r.completed(tab, 120)
	tab.Await(`document.querySelector('#result').textContent.startsWith('120 rows in /exports/')`)
	tab.Go(page) // all is over
	r.completed(tab, 120)
}

// Where no stream comes through, the page polls the application.
func TestPolling(t *testing.T) {
	e := open(t)
	tab := browser.Open(t, e.Page+"/")
	tab.Block("*://*:*/watch/*/events")
	tab.Fill(`input[name=rows]`, "60")
	tab.Fill(`input[name=ms]`, "100")
	e.tell(syscall.SIGSTOP)
	tab.Click(`button`)
	tab.Await(via + ` === '(polled)'`)
	seen := e.advance(2)
	tab.Await(fmt.Sprintf(`%s === 'processing' && %s >= %d`, status, lines, seen))
	e.tell(syscall.SIGCONT)
	e.completed(tab, 60)

	if code, body := e.Get(e.Page + "/exports?id=01a1fbef-233c-7042-95b8-43300d35ff2a"); code != 404 {
		t.Errorf("an export that never was: %d %s", code, body)
	}
	form := url.Values{"rows": {"1"}, "ms": {"0"}, "form": {"twice"}}
	_, first := e.Post(e.Page+"/exports", form)
	_, second := e.Post(e.Page+"/exports", form)
	if id(t, first) != id(t, second) {
		t.Error("a form that is sent twice makes two exports")
	}
}

// id is the task of a page.
func id(t *testing.T, page string) string {
	t.Helper()
	_, rest, found := strings.Cut(page, `data-id="`)
	id, _, _ := strings.Cut(rest, `"`)
	if !found {
		t.Fatalf("no export in\n%s", page)
	}
	return id
}
