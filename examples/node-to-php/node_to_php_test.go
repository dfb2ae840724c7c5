//go:build unix

package main

import (
	"bufio"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"os/exec"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/pgscheduler/scheduler/internal/example"
	"github.com/pgscheduler/scheduler/internal/pgtest"
)

func TestMain(m *testing.M) { pgtest.Main(m) }

var programs = []string{"node", "php", "php pdo_pgsql", "php pcntl"}

// shop is the example.
type shop struct {
	*example.Example
	t *testing.T
}

func open(t *testing.T, env ...string) *shop {
	t.Helper()
	e := example.Run(t, programs, env...)
	e.AwaitPage()
	return &shop{e, t}
}

// order is sent under a request id and becomes a task.
func (s *shop) order(requestID, body string) (id string) {
	s.t.Helper()
	status, answer := s.ask(http.MethodPost, "/orders", body, "X-Request-ID: "+requestID)
	if status != http.StatusAccepted {
		s.t.Fatalf("%s: %d %s", body, status, answer)
	}
	var placed struct{ ID, Status string }
	if err := json.Unmarshal([]byte(answer), &placed); err != nil || placed.Status != "/orders/"+placed.ID {
		s.t.Fatalf("%s: %s %v", body, answer, err)
	}
	return placed.ID
}

// ask sends the producer a request until it does not say to come back: its scheduler may be slow, on a machine that is busy.
func (s *shop) ask(method, path, body string, headers ...string) (status int, answer string) {
	s.t.Helper()
	s.Await("the producer is in business", func() bool {
		status, answer = s.Do(method, s.Page+path, body, headers...)
		return status != http.StatusServiceUnavailable
	})
	return status, answer
}

// state is what the producer says of an order.
func (s *shop) state(id string) string {
	s.t.Helper()
	_, answer := s.ask(http.MethodGet, "/orders/"+id, "")
	var order struct{ State string }
	if err := json.Unmarshal([]byte(answer), &order); err != nil {
		s.t.Fatalf("%s: %v", answer, err)
	}
	return order.State
}

// scheduler runs the command line, and returns what it printed.
func (s *shop) scheduler(args ...string) string {
	s.t.Helper()
	out, err := exec.CommandContext(s.t.Context(), "../../bin/scheduler", append([]string{"--database-url", s.Database}, args...)...).CombinedOutput()
	if err != nil {
		s.t.Fatalf("scheduler %q: %v\n%s", args, err, out)
	}
	return strings.TrimSpace(string(out))
}

// Consumers and their processes are killed all the while that 2,000 tasks run. Each has its effect, and has it once: the numbers
// of the invoices have no gap.
func TestKilledConsumers(t *testing.T) {
	const kills, pace = 15, 80 // so many tasks are done between two kills, or more
	s := open(t, "RATE=1000000")
	var ids []string
	more := func(n int) {
		first := len(ids)
		ids = append(ids, make([]string, n)...)
		var wg sync.WaitGroup
		var next atomic.Int64
		for range 8 {
			wg.Go(func() {
				for i := first + int(next.Add(1)) - 1; i < first+n && !t.Failed(); i = first + int(next.Add(1)) - 1 {
					ids[i] = s.post(i)
				}
			})
		}
		wg.Wait()
		if t.Failed() {
			t.FailNow()
		}
	}
	more(2000)

	done := func() int {
		return s.Number(`select count(*) from scheduler.tasks where state in ('completed', 'failed', 'cancelled')`)
	}
	s.killAtWork(more)
	for killed := range kills - 1 {
		s.Await(fmt.Sprintf("%d consumers are killed", killed+2), func() bool {
			n := done()
			if len(ids)-n < 5*pace { // they never run out of work
				more(5 * pace)
			}
			return n >= (killed+1)*pace && s.kill()
		})
	}
	orders := len(ids)
	for before := done(); before < orders; before = done() {
		s.Await("more tasks are done", func() bool { return done() > before })
	}
	crashes := s.Number(`select count(*) from scheduler.attempts where outcome = 'crashed' or error_code = 'worker_crashed'`)
	t.Logf("%d orders, %d consumers killed, %d attempts with them", orders, kills, crashes)
	if crashes == 0 {
		t.Error("no task was running on any of them")
	}
	for what, query := range map[string]string{
		"tasks completed":            `select count(*) from scheduler.tasks where state = 'completed'`,
		"invoices of these tasks":    `select count(*) from app.invoices i join scheduler.tasks t on t.id = i.task and i.cents = (t.payload->>'cents')::bigint`,
		"invoices":                   `select count(*) from app.invoices`,
		"the last number":            `select number from app.last_invoice`,
		"the greatest number":        `select max(number) from app.invoices`,
		"orders with an invoice":     `select count(distinct cents) from app.invoices where cents between 1 and (select count(*) from scheduler.tasks)`,
		"tasks that know its number": `select count(*) from app.invoices i join scheduler.tasks t on t.id = i.task and (t.result->>'invoice')::integer = i.number`,
	} {
		if n := s.Number(query); n != orders {
			t.Errorf("%s: %d, want %d", what, n, orders)
		}
	}
	if again := s.post(7); again != ids[7] { // long done
		t.Errorf("an order sent again became task %s, was %s", again, ids[7])
	}
}

// kill kills a process of a consumer, if there is one.
func (s *shop) kill() bool { return s.Kill("php consumer.php") != 0 }

// killAtWork does so while each process works on a task: another transaction holds the last number, for which they wait. Whether one
// that is killed at any time works just then is left to chance, and on a busy machine they mostly wait for tasks.
func (s *shop) killAtWork(more func(n int)) {
	s.t.Helper()
	tx, err := s.DB.Begin(s.t.Context())
	if err != nil {
		s.t.Fatal(err)
	}
	if _, err := tx.Exec(s.t.Context(), `select from app.last_invoice for update`); err != nil {
		s.t.Fatal(err)
	}
	more(10)                               // of those before, few may be left
	s.Await("all four work", func() bool { // or more, with the connections of some that are gone
		// s.DB is in the transaction, which would see again and again what it saw first.
		if _, err := tx.Exec(s.t.Context(), `select pg_stat_clear_snapshot()`); err != nil {
			s.t.Fatal(err)
		}
		return s.Number(`select count(*) from pg_stat_activity where datname = current_database() and wait_event_type = 'Lock' and query like '%last_invoice%'`) >= 4
	})
	s.Await("one is killed", s.kill)
	if err := tx.Rollback(s.t.Context()); err != nil {
		s.t.Fatal(err)
	}
}

// post places the order of a number, from any goroutine, "" after an error. When orders are not taken just now it comes back.
func (s *shop) post(i int) string {
	body := fmt.Sprintf(`{"customer":"Žofie %d","cents":%d}`, i, i+1)
	var placed struct{ ID, Error string }
	for tick := time.NewTicker(100 * time.Millisecond); s.t.Context().Err() == nil; <-tick.C {
		request, err := http.NewRequestWithContext(s.t.Context(), http.MethodPost, s.Page+"/orders", strings.NewReader(body))
		if err != nil {
			s.t.Error(err)
			break
		}
		request.Header.Set("X-Request-ID", fmt.Sprintf("request-%d", i))
		answer, err := example.Client.Do(request)
		if err != nil {
			s.t.Error(err)
			break
		}
		err = json.NewDecoder(answer.Body).Decode(&placed)
		answer.Body.Close()
		if answer.StatusCode == http.StatusServiceUnavailable {
			continue
		}
		if err != nil || answer.StatusCode != http.StatusAccepted {
			s.t.Errorf("order %d: %s %s %v", i, answer.Status, placed.Error, err)
		}
		break
	}
	return placed.ID
}

// Whatever becomes of a task, the producer and the command line say where it is and why.
func TestWhereIsItStuck(t *testing.T) {
	s := open(t)
	why := func(id, code, says string) {
		t.Helper()
		var said string
		s.Await(id+" is stuck by "+code, func() bool {
			said = s.scheduler("tasks", "why", id, "-o", "json")
			return strings.Contains(said, `"code":"`+code+`"`)
		})
		if !strings.Contains(said, says) {
			t.Errorf("tasks why: %s, want %q", said, says)
		}
	}
	over := func(id string) func() bool {
		return func() bool {
			state := s.state(id)
			return state == "completed" || state == "failed" || state == "cancelled"
		}
	}

	// A poison task takes its process down each time, and ends with the dead letters. Its siblings go on.
	poison := s.order("poison-1", `{"customer":"poison","cents":1}`)
	francs := s.order("francs-1", `{"customer":"Ann","cents":1,"currency":"CHF"}`)
	sibling := s.order("sibling-1", `{"customer":"Ben","cents":2}`)
	s.Await("the poison is between two attempts", func() bool { // for as long as somebody looks
		return s.Number(`with held as (update scheduler.tasks set run_at = now() + interval '1 hour' where id = $1 and state = 'scheduled' returning 1)
			select count(*) from held`, poison) == 1
	})
	why(poison, "retry_backoff", "worker_crashed")
	s.scheduler("tasks", "run", poison)
	s.Await("the sibling is done", over(sibling))
	why(sibling, "completed", "It completed")
	s.Await("the order in francs is done", over(francs))
	why(francs, "failed", "It gave up after 1 failed attempt: bad_currency")
	s.Await("the poison is done", over(poison))
	why(poison, "failed", "It gave up after 5 failed attempts: worker_crashed")
	if dead := s.scheduler("tasks", "list", "--state", "failed", "--queue", "invoices"); !strings.Contains(dead, poison) || !strings.Contains(dead, francs) || strings.Contains(dead, sibling) {
		t.Errorf("the dead letters are\n%s", dead)
	}

	// While another transaction holds the last number, all four processes wait for it; then what comes waits for them.
	tx, err := s.DB.Begin(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := tx.Exec(t.Context(), `select from app.last_invoice for update`); err != nil {
		t.Fatal(err)
	}
	var held []string
	for i := range 4 {
		held = append(held, s.order(fmt.Sprintf("request-held-%d", i), `{"customer":"Eve","cents":3}`))
	}
	for _, id := range held {
		why(id, "running", "It has run on ")
	}
	behind := s.order("behind-1", `{"customer":"Fay","cents":4}`)
	why(behind, "workers_busy", "All 4 slots that could run it are busy")
	if err := tx.Rollback(t.Context()); err != nil {
		t.Fatal(err)
	}
	s.Await("what waited is done", over(behind))

	// What is stale is cancelled instead of done.
	s.scheduler("queues", "pause", "invoices")
	until := time.Now().Add(time.Hour).UTC().Format(time.RFC3339Nano)
	order := fmt.Sprintf(`{"customer":"Gus","cents":5,"valid_until":%q}`, until)
	stale := s.order("request-stale", order)
	if again := s.order("request-stale", order); again != stale {
		t.Errorf("the same order sent again became task %s, was %s", again, stale)
	}
	paused := s.order("request-paused", `{"customer":"Hal","cents":6}`)
	why(paused, "queue_paused", "Queue invoices has been paused for ")
	if n := s.Number(`with late as (update scheduler.tasks set expires_at = now() where id = $1 and state = 'ready' returning 1) select count(*) from late`, stale); n != 1 {
		t.Errorf("%d orders were made to be late", n)
	}
	s.Await("it is stale", over(stale))
	why(stale, "cancelled", "not started by")
	s.scheduler("queues", "resume", "invoices")
	s.Await("the other goes on", over(paused))
	if n := s.Number(`select count(*) from app.invoices where task = $1`, stale); n != 0 {
		t.Error("a stale order got an invoice")
	}

	why(s.scheduler("submit", "invoice.write", "{}", "--queue", "invoices", "--in", "1h"), "not_due", "It is due in")
	why(s.scheduler("submit", "invoice.post", "{}", "--queue", "invoices"), "no_worker_for_kind", "they can run: invoice.write")
	why(s.scheduler("submit", "invoice.write", "{}", "--queue", "invoice"), "no_worker_for_queue", "No live worker takes from queue invoice")

	if status, said := s.ask(http.MethodGet, "/orders/"+poison, ""); status != 200 || !strings.Contains(said, `"why":["It gave up after 5 failed attempts`) || !strings.Contains(said, `"failures":5,"max_attempts":5`) {
		t.Errorf("the producer says %d %s", status, said)
	}
	s.refusals()
}

// refusals of the producer.
func (s *shop) refusals() {
	for _, c := range []struct {
		method, path, id, body string
		status                 int
	}{
		{"POST", "/orders", "sibling-1", `{"customer":"Ben","cents":3}`, 409},
		{"POST", "/orders", "", `{"customer":"Ben","cents":2}`, 400},
		{"POST", "/orders", "short", `{"customer":"Ben","cents":2}`, 400},
		{"POST", "/orders", "refused-1", `{"customer":`, 400},
		{"POST", "/orders", "refused-1", `null`, 422},
		{"POST", "/orders", "refused-1", `{"customer":"Ben","cents":0.5}`, 422},
		{"POST", "/orders", "refused-1", `{"customer":"Ben","cents":5,"valid_until":"tomorrow"}`, 422},
		{"POST", "/orders", "refused-1", `{"customer":"` + strings.Repeat("x", 70_000) + `","cents":5}`, 413},
		{"GET", "/orders/01a1fbef-233c-7042-95b8-43300d35ff2a", "refused-1", "", 404},
		{"GET", "/orders", "refused-1", "", 404},
	} {
		headers := []string{"Content-Type: application/json"}
		if c.id != "" {
			headers = append(headers, "X-Request-ID: "+c.id)
		}
		if status, answer := s.ask(c.method, c.path, c.body, headers...); status != c.status {
			s.t.Errorf("%s %s %.60s: %d %s, want %d", c.method, c.path, c.body, status, answer, c.status)
		}
	}
}

// produce starts another producer, and returns its URL.
func produce(t *testing.T, env ...string) (page string) {
	t.Helper()
	cmd := exec.Command("node", "server.js")
	cmd.Env = append(append(os.Environ(), "PORT=0"), env...)
	cmd.Stderr = t.Output()
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Signal(syscall.SIGTERM)
		if err := cmd.Wait(); err != nil {
			t.Errorf("the producer ended by SIGTERM with %v", err)
		}
	})
	line, err := bufio.NewReader(out).ReadString('\n')
	page, found := strings.CutPrefix(strings.TrimSuffix(line, "/orders\n"), "orders: ")
	if err != nil || !found {
		t.Fatalf("%q %v", line, err)
	}
	return page
}

// The producer takes only so many orders, and leaves a scheduler alone that does not answer.
func TestProducerInTrouble(t *testing.T) {
	s := open(t, "RATE=3")
	target, err := url.Parse(s.API)
	if err != nil {
		t.Fatal(err)
	}
	var sick atomic.Bool
	var asked atomic.Int64
	through := httputil.NewSingleHostReverseProxy(target)
	between := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		asked.Add(1)
		if sick.Load() {
			panic(http.ErrAbortHandler) // cuts the connection
		}
		through.ServeHTTP(w, r)
	}))
	defer between.Close()
	producer := produce(t, "RATE=1000000", "SCHEDULER_URL="+between.URL)
	place := func(page string, n int) (status int, after string) {
		request, err := http.NewRequestWithContext(t.Context(), http.MethodPost, page+"/orders", strings.NewReader(`{"customer":"Ida","cents":1}`))
		if err != nil {
			t.Error(err)
			return 0, ""
		}
		request.Header.Set("X-Request-ID", fmt.Sprintf("request-%d", n))
		response, err := example.Client.Do(request)
		if err != nil {
			t.Error(err)
			return 0, ""
		}
		defer response.Body.Close()
		return response.StatusCode, response.Header.Get("Retry-After")
	}

	s.Await("an order goes through the proxy", func() bool { status, _ := place(producer, 1); return status == 202 }) // on a machine that is busy not the first
	sick.Store(true)
	asked.Store(0)
	for i := range 10 {
		if status, after := place(producer, 2+i); status != 503 || after == "" {
			t.Fatalf("a sick scheduler: %d, Retry-After %q", status, after)
		}
	}
	if n := asked.Load(); n < 5 || n >= 20 { // each order would ask twice
		t.Errorf("a sick scheduler was asked %d times for 10 orders", n)
	}
	sick.Store(false)
	s.Await("the circuit closes", func() bool { status, _ := place(producer, 2); return status == 202 })

	var refused atomic.Int64
	n := 100
	s.Await("there are more orders than 3 a second", func() bool {
		var together sync.WaitGroup
		for range 8 { // one after the other they might be slower than that
			n++
			order := n
			together.Go(func() {
				switch status, after := place(s.Page, order); {
				case status == 429 && after == "1":
					refused.Add(1)
				case status != 202 && status != 503:
					t.Errorf("over the rate: %d, Retry-After %q", status, after)
				}
			})
		}
		together.Wait()
		return refused.Load() > 0 || t.Failed()
	})
	s.Await("the rate allows it", func() bool { status, _ := place(s.Page, 999); return status == 202 })
}
