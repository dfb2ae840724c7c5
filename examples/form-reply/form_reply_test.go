//go:build unix

package main

import (
	"encoding/json"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"

	"github.com/jackc/pgx/v5"

	"github.com/pgscheduler/scheduler/internal/browser"
	"github.com/pgscheduler/scheduler/internal/example"
	"github.com/pgscheduler/scheduler/internal/pgtest"
)

func TestMain(m *testing.M) {
	code := pgtest.Run(m)
	browser.Stop()
	os.Exit(code)
}

var programs = []string{"php", "php pdo_pgsql"}

// shop is the example, and its database.
type shop struct {
	*example.Example
	t  *testing.T
	db *pgx.Conn
}

func open(t *testing.T, env ...string) *shop {
	t.Helper()
	e := example.Run(t, programs, env...)
	e.AwaitPage()
	return &shop{e, t, e.Connect()}
}

// number is what a query of one number finds.
func (s *shop) number(query string, args ...any) (n int) {
	s.t.Helper()
	if err := s.db.QueryRow(s.t.Context(), query, args...).Scan(&n); err != nil {
		s.t.Fatal(err)
	}
	return n
}

// answer is what the front controller says.
type answer struct {
	status                         int
	ID, Poll, Events, State, Error string
	Done                           bool
	Message                        string
	Errors                         map[string]string
	Reply                          *struct{ Parcel string }
}

func decode(t *testing.T, status int, body string) answer {
	t.Helper()
	a := answer{status: status}
	if err := json.Unmarshal([]byte(body), &a); err != nil {
		t.Fatalf("%d %s: %v", status, body, err)
	}
	return a
}

func (s *shop) order(id, email, item, quantity string) answer {
	s.t.Helper()
	status, body := s.Post(s.Page+"/orders", url.Values{"id": {id}, "email": {email}, "item": {item}, "quantity": {quantity}})
	return decode(s.t, status, body)
}

// reply waits for the reply to an order, as a page without streams does.
func (s *shop) reply(id string) (a answer) {
	s.t.Helper()
	s.Await("the reply to "+id, func() bool {
		status, body := s.Do(http.MethodGet, s.Page+"/orders/"+id, "", "Prefer: wait=20")
		a = decode(s.t, status, body)
		return a.Done
	})
	return a
}

const (
	orders    = `select count(*) from app.orders`
	tasks     = `select count(*) from scheduler.tasks`
	shipments = `select count(*) from app.shipments`
	pieces    = `select pieces from app.stock where item = $1`
	shipped   = `select shipped from app.stock where item = $1`
)

// A form that a browser sends twice is one order; a stream tells the page when the reply is there.
func TestForm(t *testing.T) {
	s := open(t, "WORK_MS=300")
	tab := browser.Open(t, s.Page+"/")
	tab.Fill(`input[name=email]`, "ann")
	tab.Click(`button`)
	tab.Await(`document.querySelector('[data-for=email]').textContent === 'This is no e-mail address.'`)
	tab.Fill(`input[name=email]`, "ann@example.org")
	tab.Click(`button`)
	tab.Click(`button`)
	const status = `document.querySelector('[role=status]').textContent`
	tab.Await(`/^Parcel [0-9A-F]{8} is on its way/.test(` + status + `)`)
	if n, m := s.number(orders), s.number(shipments); n != 1 || m != 1 {
		t.Errorf("%d orders and %d shipments, want one", n, m)
	}

	tab.Go(s.Page + "/")
	tab.Block("*://*:*/watch/*/events") // no stream comes through
	tab.Fill(`input[name=email]`, "bob@example.org")
	tab.Click(`button`)
	tab.Await(`/^Parcel [0-9A-F]{8} is on its way/.test(` + status + `)`)
}

func TestOrders(t *testing.T) {
	s := open(t, "WORK_MS=50")

	for name, form := range map[string]url.Values{
		"nothing":     {},
		"all wrong":   {"email": {"ann@"}, "item": {"cow"}, "quantity": {"0"}},
		"too many":    {"email": {"ann@example.org"}, "item": {"clock"}, "quantity": {"101"}},
		"no number":   {"email": {"ann@example.org"}, "item": {"clock"}, "quantity": {"2e1"}},
		"arrays":      {"email[]": {"ann@example.org"}, "item[]": {"clock"}, "quantity[]": {"1"}},
		"no such id":  {"id": {"1"}, "email": {"ann@example.org"}, "item": {"clock"}, "quantity": {"1"}},
		"no UTF-8":    {"email": {"\xff@example.org"}, "item": {"clock"}, "quantity": {"1"}},
		"a line more": {"email": {"ann@example.org\nBcc: all@example.org"}, "item": {"clock"}, "quantity": {"1"}},
	} {
		status, body := s.Post(s.Page+"/orders", form)
		if a := decode(t, status, body); status != http.StatusUnprocessableEntity || len(a.Errors) == 0 {
			t.Errorf("%s: %d %s, want 422 with messages", name, status, body)
		}
	}
	if n := s.number(tasks); n != 0 {
		t.Errorf("forms that are refused made %d tasks", n)
	}

	// Sent ten times at once it is one order, one task, one effect.
	const twice = "0123456789abcdef0123456789abcdef"
	before := s.number(pieces, "clock")
	var wg sync.WaitGroup
	statuses := make([]int, 10)
	for i := range statuses {
		wg.Go(func() {
			response, err := http.PostForm(s.Page+"/orders", url.Values{"id": {twice}, "email": {"žofie@example.org"}, "item": {"clock"}, "quantity": {"2"}})
			if err == nil && response.Body.Close() == nil {
				statuses[i] = response.StatusCode
			}
		})
	}
	wg.Wait()
	if slices.ContainsFunc(statuses, func(status int) bool { return status != http.StatusAccepted }) {
		t.Errorf("sent ten times: %v, want 202 each", statuses)
	}
	first := s.reply(twice)
	if first.State != "completed" || first.Reply == nil || first.ID != twice {
		t.Fatalf("the reply is %+v", first)
	}
	if again := s.order(twice, "žofie@example.org", "clock", "2"); again.status != http.StatusAccepted || again.Poll != "/orders/"+twice {
		t.Errorf("sent after its end: %+v", again)
	}
	if again := s.reply(twice); again.Reply == nil || *again.Reply != *first.Reply {
		t.Errorf("the reply was %+v, now %+v", first, again)
	}
	if other := s.order(twice, "žofie@example.org", "clock", "3"); other.status != http.StatusConflict || other.Errors["id"] == "" {
		t.Errorf("the same id with another order: %+v, want 409", other)
	}
	if got := []int{s.number(orders), s.number(tasks), s.number(shipments), before - s.number(pieces, "clock"), s.number(shipped, "clock")}; !slices.Equal(got, []int{1, 1, 1, 2, 2}) {
		t.Errorf("orders, tasks, shipments, pieces ordered and shipped: %v", got)
	}

	// Found to be impossible after the task was submitted: neither row nor task.
	if a := s.order("", "ann@example.org", "horse", "4"); a.status != http.StatusConflict || a.Errors["quantity"] == "" {
		t.Errorf("more than there are: %+v, want 409", a)
	}
	if n, m := s.number(orders), s.number(tasks); n != 1 || m != 1 || s.number(pieces, "horse") != 3 {
		t.Errorf("a transaction that was rolled back left %d orders and %d tasks", n-1, m-1)
	}

	// A reply may be a refusal.
	a := s.order("", "ann@example.org", "unicorn", "1")
	if a.status != http.StatusAccepted {
		t.Fatalf("%+v", a)
	}
	if refused := s.reply(a.ID); refused.State != "failed" || refused.Error != "there are no unicorns" || refused.Reply != nil {
		t.Errorf("the reply is %+v", refused)
	}
	for _, path := range []string{"/orders/" + strings.Repeat("0", 32), "/orders/x", "/orders", "/x"} {
		if status, body := s.Get(s.Page + path); status != http.StatusNotFound {
			t.Errorf("%s: %d %s", path, status, body)
		}
	}
}

// Without its database the front controller says so, and nothing about it.
func TestNoDatabase(t *testing.T) {
	example.Need(t, programs...)
	cmd := exec.CommandContext(t.Context(), "php", "-d", "log_errors=0", "index.php")
	cmd.Env = append(os.Environ(), "DATABASE_URL=postgres://ann:secret@127.0.0.1:1/none?connect_timeout=5", "REQUEST_METHOD=GET", "REQUEST_URI=/orders/"+strings.Repeat("0", 32))
	out, err := cmd.Output()
	if a := decode(t, 0, string(out)); err != nil || a.Errors["id"] == "" || strings.Contains(string(out), "secret") {
		t.Errorf("%v: %s", err, out)
	}
}

// Consumers are killed, before an effect is committed and between that and its reply: each effect happens once.
func TestKilledConsumers(t *testing.T) {
	s := open(t, "WORK_MS=1000")
	ordered, pieces := 0, 0
	for _, kill := range []struct {
		step string
		done int // shipments by then
	}{{"packing", 0}, {"telling the post office", 1}} {
		s.Await("a consumer is killed at "+kill.step, func() bool { // an order may be a step ahead of who looks
			a := s.order("", "ann@example.org", "clock", "2")
			ordered, pieces = ordered+1, pieces+2
			var seen answer
			s.Await("order "+a.ID+" is "+kill.step, func() bool {
				_, body := s.Get(s.Page + a.Poll)
				seen = decode(t, 0, body)
				return seen.Message == kill.step || seen.Done
			})
			killed := s.killConsumers()
			done := s.number(`select count(*) from app.shipments where order_id = $1`, a.ID)
			reply := s.reply(a.ID)
			if reply.State != "completed" || reply.Reply == nil {
				t.Fatalf("the reply is %+v", reply)
			}
			if n := s.number(`select count(*) from app.shipments where order_id = $1 and parcel = $2`, a.ID, reply.Reply.Parcel); n != 1 {
				t.Errorf("%d shipments are what the reply says", n)
			}
			s.Await("two others", func() bool {
				now := s.consumers()
				return len(now) == 2 && !slices.ContainsFunc(now, func(pid int) bool { return slices.Contains(killed, pid) })
			})
			attempts := s.number(`select attempt from scheduler.tasks t join app.orders o on o.task = t.id where o.id = $1`, a.ID)
			return attempts == 2 && done == kill.done
		})
	}
	if n, m := s.number(shipments), s.number(shipped, "clock"); n != ordered || m != pieces {
		t.Errorf("%d shipments of %d pieces, want %d of %d", n, m, ordered, pieces)
	}
}

// killConsumers kills the PHP processes, once they are two.
func (s *shop) killConsumers() (killed []int) {
	s.Await("two consumers", func() bool { killed = s.consumers(); return len(killed) == 2 })
	for _, pid := range killed {
		if err := syscall.Kill(pid, syscall.SIGKILL); err != nil {
			s.t.Error(err)
		}
	}
	return killed
}

// consumers are the PHP processes, without the worker that keeps them.
func (s *shop) consumers() []int { return s.Processes("consumer.php", "!--cmd") }
