//go:build unix

package main

import (
	"net/url"
	"os"
	"strings"
	"testing"

	"github.com/pgscheduler/scheduler/internal/browser"
	"github.com/pgscheduler/scheduler/internal/example"
	"github.com/pgscheduler/scheduler/internal/pgtest"
)

func TestMain(m *testing.M) {
	code := pgtest.Run(m)
	browser.Stop()
	os.Exit(code)
}

const (
	status = `document.querySelector('[role=status]').textContent`
	value  = `document.querySelector('progress').value`
	lines  = `document.querySelector('pre').textContent.trim().split('\n').length`
	via    = `document.querySelector('#via').textContent`
)

// The bar and the lines move while the PHP worker runs; a page that is loaded again goes on; one that is opened after the end
// shows all of it.
func TestLiveOutput(t *testing.T) {
	e := example.Run(t, []string{"php"})
	e.AwaitPage()
	tab := browser.Open(t, e.Page+"/")
	tab.Fill(`input[name=rows]`, "40")
	tab.Fill(`input[name=ms]`, "100")
	tab.Click(`button`)
	tab.Await(status + ` === 'processing' && ` + value + ` > 0 && ` + value + ` < 100 && ` + lines + ` > 1`)
	tab.Await(via + ` === '(live)'`)
	seen := browser.Eval[string](tab, `'' + `+lines)
	tab.Await(lines + ` > ` + seen)
	page := browser.Eval[string](tab, `location.href`)
	tab.Go(page) // mid-way
	tab.Await(lines + ` > ` + seen)
	tab.Go(e.Page + "/") // closed: that stops nothing
	tab.Go(page)
	tab.Await(status + ` === 'completed' && ` + value + ` === 100 && ` + lines + ` === 40`)
	tab.Await(`document.querySelector('#result').textContent.startsWith('40 rows in /exports/')`)
	tab.Go(page) // all is over
	tab.Await(status + ` === 'completed' && ` + lines + ` === 40`)
}

// Where no stream comes through, the page polls the application.
func TestPolling(t *testing.T) {
	e := example.Run(t, []string{"php"})
	e.AwaitPage()
	tab := browser.Open(t, e.Page+"/")
	tab.Block("*://*:*/watch/*/events")
	tab.Fill(`input[name=rows]`, "30")
	tab.Fill(`input[name=ms]`, "300")
	tab.Click(`button`)
	tab.Await(via + ` === '(polled)' && ` + status + ` === 'processing' && ` + lines + ` > 1`)
	tab.Await(status + ` === 'completed' && ` + value + ` === 100 && ` + lines + ` === 30`)

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
