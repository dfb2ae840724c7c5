package scheduler_test

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/sony/gobreaker/v2"

	"github.com/pgscheduler/scheduler/scheduler"
)

func (r *rig) endpoint(e scheduler.NewEndpoint) scheduler.Endpoint {
	r.t.Helper()
	if e.Name == "" {
		e.Name = "shop"
	}
	if e.URL == "" {
		e.URL = "https://example.com/tasks"
	}
	if e.Kinds == nil {
		e.Kinds = []string{"k"}
	}
	stored, _, err := r.client.SetEndpoint(r.ctx, e)
	must(r.t, err)
	return stored
}

// turn takes one at endpoint shop.
func (r *rig) turn(d scheduler.Deliveries) scheduler.Turn {
	r.t.Helper()
	d.Endpoint = "shop"
	turn, err := r.client.TakeTurn(r.ctx, d)
	must(r.t, err)
	return turn
}

func TestEndpointIsStoredAndShownWithoutItsSecret(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	ctx := scheduler.WithActor(r.ctx, "ann@shop")
	want := scheduler.NewEndpoint{Name: "büro"}
	if _, _, err := r.client.SetEndpoint(ctx, want); !errors.Is(err, scheduler.ErrInvalid) {
		t.Fatal(err)
	}
	want = scheduler.NewEndpoint{Name: "shop", URL: "https://xn--bro-hoa.example/täsks?a=1", Kinds: []string{"a", "b"}}
	stored, secret, err := r.client.SetEndpoint(ctx, want)
	must(t, err)
	if _, err := scheduler.SecretKey(secret); err != nil {
		t.Errorf("%q: %v", secret, err)
	}
	if stored.Concurrency != 10 || stored.Rate != nil || stored.TimeoutMS != 30000 || stored.CompleteWithinMS != 900000 || stored.BreakerFailures != 5 ||
		stored.BreakerPauseMS != 30000 || stored.State != scheduler.BreakerClosed || !cmp.Equal(stored.Queues, []scheduler.Queue{"default"}) {
		t.Errorf("defaults: %+v", stored)
	}
	want.Rate, want.Concurrency = 2.5, 3
	again, none, err := r.client.SetEndpoint(ctx, want)
	must(t, err)
	if none != "" || *again.Rate != 2.5 || again.Concurrency != 3 || !again.CreatedAt.Equal(stored.CreatedAt) {
		t.Errorf("%q, %+v", none, again)
	}
	secrets, err := r.client.EndpointSecrets(r.ctx)
	must(t, err)
	if !cmp.Equal(secrets, map[string]scheduler.EndpointSecret{"shop": {Secrets: []string{secret}, UpdatedAt: again.UpdatedAt}}) {
		t.Error("the secret did not stay")
	}
	must(t, r.client.PauseEndpoint(ctx, "shop"))
	if found, err := r.client.Endpoint(r.ctx, "shop"); err != nil || found.PausedAt == nil {
		t.Errorf("%+v, %v", found, err)
	}
	must(t, r.client.ResumeEndpoint(ctx, "shop"))
	must(t, r.client.DeleteEndpoint(ctx, "shop"))
	for what, err := range map[string]error{"pause": r.client.PauseEndpoint(ctx, "shop"), "resume": r.client.ResumeEndpoint(ctx, "shop"),
		"delete": r.client.DeleteEndpoint(ctx, "shop"), "read": second(r.client.Endpoint(ctx, "shop")), "name": r.client.DeleteEndpoint(ctx, "a\x00b"),
		"turn": second(r.client.TakeTurn(ctx, scheduler.Deliveries{Endpoint: "shop", Worker: scheduler.NewWorkerID(), More: 1}))} {
		if !errors.Is(err, scheduler.ErrNotFound) {
			t.Errorf("%s: %v", what, err)
		}
	}
	got := column[string](r, `select actor || ' ' || verb || ' ' || target from scheduler.audit order by id`)
	if diff := cmp.Diff([]string{"ann@shop set_endpoint shop", "ann@shop set_endpoint shop", "ann@shop pause_endpoint shop", "ann@shop resume_endpoint shop", "ann@shop delete_endpoint shop"}, got); diff != "" {
		t.Error(diff)
	}
	if n := read[int](r, `select count(*) from scheduler.audit where detail::text like '%whsec%'`); n != 0 {
		t.Error("the audit knows secrets")
	}
}

func TestEndpointBounds(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	good := scheduler.NewEndpoint{Name: "shop", URL: "https://example.com/", Kinds: []string{"k"}}
	for field, change := range map[string]func(*scheduler.NewEndpoint){
		"name":               func(e *scheduler.NewEndpoint) { e.Name = "-x" },
		"url":                func(e *scheduler.NewEndpoint) { e.URL = "ftp://example.com/" },
		"url ":               func(e *scheduler.NewEndpoint) { e.URL = "https://user:secret@example.com/" },
		"url        ":        func(e *scheduler.NewEndpoint) { e.URL = "https://example.com:99999/" },
		"url         ":       func(e *scheduler.NewEndpoint) { e.URL = "https://example.com:0/" },
		"url  ":              func(e *scheduler.NewEndpoint) { e.URL = "https:///path" },
		"url   ":             func(e *scheduler.NewEndpoint) { e.URL = "https://example.com/#x" },
		"url    ":            func(e *scheduler.NewEndpoint) { e.URL = "http:example.com" },
		"url     ":           func(e *scheduler.NewEndpoint) { e.URL = "http://a/" + strings.Repeat("x", 2048) },
		"url      ":          func(e *scheduler.NewEndpoint) { e.URL = "http://a/\x00" },
		"secrets":            func(e *scheduler.NewEndpoint) { e.Secrets = []string{} },
		"secrets.0":          func(e *scheduler.NewEndpoint) { e.Secrets = []string{"whsec_c2hvcnQ="} },
		"secrets.0 ":         func(e *scheduler.NewEndpoint) { e.Secrets = []string{"MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"} },
		"queues":             func(e *scheduler.NewEndpoint) { e.Queues = []scheduler.Queue{"a", "a"} },
		"queues ":            func(e *scheduler.NewEndpoint) { e.Queues = []scheduler.Queue{"a b"} },
		"kinds":              func(e *scheduler.NewEndpoint) { e.Kinds = nil },
		"kinds ":             func(e *scheduler.NewEndpoint) { e.Kinds = []string{"*"} },
		"concurrency":        func(e *scheduler.NewEndpoint) { e.Concurrency = 1001 },
		"concurrency ":       func(e *scheduler.NewEndpoint) { e.Concurrency = -1 },
		"rate":               func(e *scheduler.NewEndpoint) { e.Rate = -1 },
		"rate ":              func(e *scheduler.NewEndpoint) { e.Rate = 1e9 },
		"timeout_ms":         func(e *scheduler.NewEndpoint) { e.Timeout = time.Millisecond },
		"complete_within_ms": func(e *scheduler.NewEndpoint) { e.CompleteWithin = 1 << 62 },
		"breaker_failures":   func(e *scheduler.NewEndpoint) { e.BreakerFailures = 1 << 40 },
		"breaker_pause_ms":   func(e *scheduler.NewEndpoint) { e.BreakerPause = -1 },
	} {
		e := good
		change(&e)
		_, _, err := r.client.SetEndpoint(r.ctx, e)
		var bad *scheduler.InvalidError
		if !errors.As(err, &bad) || len(bad.Fields) != 1 || bad.Fields[0].Field != strings.TrimSpace(field) {
			t.Errorf("%s: %v", field, err)
		} else if strings.Contains(err.Error(), "whsec_c2") || strings.Contains(err.Error(), "secret@") {
			t.Errorf("shows what is secret: %v", err)
		}
	}
}

// However many workers ask at the same time, they are never granted more than the concurrency; those of the dead come back.
func TestTurnsHoldTheConcurrency(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.client = r.patient()
	r.endpoint(scheduler.NewEndpoint{Concurrency: 7})
	var workers []scheduler.WorkerID
	for range 6 {
		workers = append(workers, r.worker())
	}
	for round := range 5 {
		var mu sync.Mutex
		total, granted := 0, map[scheduler.WorkerID]int{}
		var asking sync.WaitGroup
		for _, w := range workers {
			asking.Go(func() {
				turn, err := r.client.TakeTurn(r.ctx, scheduler.Deliveries{Endpoint: "shop", Worker: w, More: 2 + round})
				if err != nil {
					t.Error(err)
				}
				mu.Lock()
				defer mu.Unlock()
				total += turn.Granted
				granted[w] = turn.Granted
				if turn.Granted == 0 && turn.RetryMS == 0 {
					t.Error("it is not said when to ask again")
				}
			})
		}
		asking.Wait()
		if total != 7 {
			t.Fatalf("granted %d: %v", total, granted)
		}
		if e, err := r.client.Endpoint(r.ctx, "shop"); err != nil || e.InFlight != 7 || e.Processes != 6 {
			t.Errorf("%d in flight, %d processes, %v", e.InFlight, e.Processes, err)
		}
		for _, w := range workers { // half of what one has ends, then all
			r.turn(scheduler.Deliveries{Worker: w, Busy: granted[w] / 2})
			r.turn(scheduler.Deliveries{Worker: w})
		}
	}
	if turn := r.turn(scheduler.Deliveries{Worker: workers[0], More: 9}); turn.Granted != 7 {
		t.Fatalf("%+v", turn)
	}
	if turn := r.turn(scheduler.Deliveries{Worker: workers[1], More: 9}); turn.Granted != 0 {
		t.Fatalf("%+v", turn)
	}
	r.kill(workers[0])
	r.rescue()
	if turn := r.turn(scheduler.Deliveries{Worker: workers[1], More: 9}); turn.Granted != 7 {
		t.Errorf("the slots of the dead are lost: %+v", turn)
	}
	if n := read[int](r, `select count(*) from scheduler.endpoint_slots where worker_id = $1`, workers[0]); n != 0 {
		t.Error("its row stays")
	}
}

func TestTurnsHoldTheRate(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	a, b := r.worker(), r.worker()
	r.endpoint(scheduler.NewEndpoint{Rate: 0.001, Concurrency: 1000})
	ask := func(w scheduler.WorkerID, unused int, want int) scheduler.Turn {
		t.Helper()
		turn := r.turn(scheduler.Deliveries{Worker: w, More: 50, Unused: unused})
		if turn.Granted != want {
			t.Errorf("%+v, want %d", turn, want)
		}
		return turn
	}
	age := func(interval string) {
		r.exec(`update scheduler.endpoints set tokens_at = tokens_at - $1::interval`, interval)
	}
	ask(a, 0, 1)
	if turn := ask(b, 0, 0); turn.RetryMS < 900_000 || turn.RetryMS > 1_000_000 {
		t.Errorf("%+v", turn)
	}
	ask(a, 1, 1) // it had no task for it
	age("1000 s")
	ask(b, 0, 1)
	age("1 hour") // does not pile up
	ask(b, 0, 1)
	ask(a, 0, 0)
	r.endpoint(scheduler.NewEndpoint{Rate: 100, Concurrency: 1000})
	age("1 hour")
	if turn := r.turn(scheduler.Deliveries{Worker: a, More: 50}); turn.Granted != 10 { // a tenth of a second at once
		t.Errorf("%+v", turn)
	}
}

// The breaker does what that of gobreaker does, whatever comes, except that here the next task, not the clock, makes it half open.
func TestBreakerDoesAsTheLibraryDoes(t *testing.T) {
	t.Parallel()
	const pause, failures = time.Hour, 3
	for seed := range uint64(6) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			t.Parallel()
			r := newRig(t)
			r.endpoint(scheduler.NewEndpoint{Concurrency: 1000, BreakerFailures: failures, BreakerPause: pause})
			type step struct {
				do      string // begin, succeed, fail, wait
				which   int    // of those under way
				allowed bool
				closed  bool // afterwards
			}
			var steps []step
			synctest.Test(t, func(*testing.T) { // what the library does, in its own time
				random := rand.New(rand.NewPCG(seed, 1))
				b := gobreaker.NewTwoStepCircuitBreaker[struct{}](gobreaker.Settings{MaxRequests: 1, Timeout: pause,
					ReadyToTrip: func(c gobreaker.Counts) bool { return c.ConsecutiveFailures >= failures }})
				var under []func(error)
				for range 120 {
					s := step{do: []string{"begin", "begin", "fail", "fail", "succeed", "wait"}[random.IntN(6)]}
					switch {
					case s.do == "begin":
						done, err := b.Allow()
						if s.allowed = err == nil; s.allowed {
							under = append(under, done)
						}
					case s.do == "wait":
						<-time.After(pause + time.Second)
					case len(under) == 0:
						continue
					default:
						s.which = random.IntN(len(under))
						var err error
						if s.do == "fail" {
							err = errors.New("failed")
						}
						under[s.which](err)
						under = append(under[:s.which], under[s.which+1:]...)
					}
					s.closed = b.State() == gobreaker.StateClosed
					steps = append(steps, s)
				}
			})
			type delivery struct {
				worker     scheduler.WorkerID
				generation int64
			}
			var under []delivery
			opened := 0
			for i, s := range steps {
				switch s.do {
				case "begin":
					w := r.worker()
					turn := r.turn(scheduler.Deliveries{Worker: w, More: 1})
					if turn.Granted == 1 != s.allowed {
						t.Fatalf("step %d: %+v, the library: %v", i, turn, s.allowed)
					}
					if s.allowed {
						under = append(under, delivery{w, turn.Generation})
					}
				case "wait":
					r.exec(`update scheduler.endpoints set probe_at = probe_at - interval '1 h 1 s'`)
				default:
					d := under[s.which]
					told := scheduler.Deliveries{Worker: d.worker, Generation: d.generation, Succeeded: s.do == "succeed"}
					if s.do == "fail" {
						told.Failures, told.LastError = 1, "refused"
					}
					r.turn(told)
					under = append(under[:s.which], under[s.which+1:]...)
				}
				e, err := r.client.Endpoint(r.ctx, "shop")
				must(t, err)
				if (e.State == scheduler.BreakerClosed) != s.closed || (e.OpenedAt == nil) != s.closed || (e.ProbeAt == nil) != s.closed {
					t.Fatalf("step %d, %s: %+v, the library: closed %v", i, s.do, e, s.closed)
				}
				if !s.closed {
					opened++
				}
			}
			if opened == 0 {
				t.Error("it never opened")
			}
		})
	}
}

// One probe at a time; one that came to nothing is begun by whoever comes next.
func TestProbeThatComesToNothing(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.endpoint(scheduler.NewEndpoint{BreakerFailures: 1, BreakerPause: time.Hour, Concurrency: 5})
	a, b := r.worker(), r.worker()
	open := func() {
		t.Helper()
		turn := r.turn(scheduler.Deliveries{Worker: a, More: 1})
		if turn = r.turn(scheduler.Deliveries{Worker: a, Generation: turn.Generation, Failures: 1, LastError: "no\x00"}); turn.State != scheduler.BreakerOpen {
			t.Fatalf("%+v", turn)
		}
	}
	open()
	if turn := r.turn(scheduler.Deliveries{Worker: b, More: 3}); turn.Granted != 0 || turn.Retry() < 30*time.Minute {
		t.Errorf("%+v", turn)
	}
	must(t, r.client.ResumeEndpoint(r.ctx, "shop"))
	if turn := r.turn(scheduler.Deliveries{Worker: a, More: 3}); turn.Granted != 1 || turn.State != scheduler.BreakerHalfOpen {
		t.Errorf("%+v", turn)
	}
	if turn := r.turn(scheduler.Deliveries{Worker: b, More: 3}); turn.Granted != 0 || turn.RetryMS == 0 {
		t.Errorf("two probes: %+v", turn)
	}
	if turn := r.turn(scheduler.Deliveries{Worker: a, Unused: 1}); turn.State != scheduler.BreakerOpen {
		t.Errorf("%+v", turn)
	}
	if turn := r.turn(scheduler.Deliveries{Worker: b, More: 3}); turn.Granted != 1 {
		t.Errorf("%+v", turn)
	}
	r.kill(b)
	r.rescue()
	turn := r.turn(scheduler.Deliveries{Worker: a, More: 3})
	if turn.Granted != 1 {
		t.Errorf("after the death of its worker: %+v", turn)
	}
	if turn = r.turn(scheduler.Deliveries{Worker: a, Generation: turn.Generation, Succeeded: true, More: 3}); turn.Granted != 3 || turn.State != scheduler.BreakerClosed {
		t.Errorf("%+v", turn)
	}
	open()
	if e := r.endpoint(scheduler.NewEndpoint{BreakerFailures: 1, URL: "https://example.com/mended"}); e.State != scheduler.BreakerClosed || e.Failures != 0 || e.ProbeAt != nil {
		t.Errorf("another url: %+v", e)
	}
}

// A probe that did not begin, or ended without telling anything, does not keep the breaker half open, though its worker has older
// deliveries under way.
func TestProbeThatComesToNothingBesideOthers(t *testing.T) {
	t.Parallel()
	for name, told := range map[string]scheduler.Deliveries{"unused": {Busy: 3, Unused: 1}, "undecided": {Busy: 3, Undecided: true}} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := newRig(t)
			r.endpoint(scheduler.NewEndpoint{BreakerFailures: 1, Concurrency: 5})
			a, b := r.worker(), r.worker()
			turn := r.turn(scheduler.Deliveries{Worker: a, More: 4})
			r.turn(scheduler.Deliveries{Worker: a, Busy: 3, Generation: turn.Generation, Failures: 1, LastError: "no"})
			must(t, r.client.ResumeEndpoint(r.ctx, "shop"))
			if turn = r.turn(scheduler.Deliveries{Worker: a, Busy: 3, More: 1}); turn.Granted != 1 || turn.State != scheduler.BreakerHalfOpen {
				t.Fatalf("%+v", turn)
			}
			if other := r.turn(scheduler.Deliveries{Worker: a, Busy: 4, Undecided: true, Generation: turn.Generation - 1}); other.State != scheduler.BreakerHalfOpen {
				t.Errorf("an older one: %+v", other)
			}
			told.Worker, told.Generation = a, turn.Generation
			if turn = r.turn(told); turn.State != scheduler.BreakerOpen {
				t.Errorf("%+v", turn)
			}
			if turn = r.turn(scheduler.Deliveries{Worker: b, More: 3}); turn.Granted != 1 {
				t.Errorf("%+v", turn)
			}
		})
	}
}

// A probe that is due and cannot begin, for the slots or the rate, is not asked for all the time.
func TestProbeThatMustWait(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	due := func(e scheduler.NewEndpoint) {
		t.Helper()
		e.BreakerFailures = 1
		r.endpoint(e)
		r.exec(`update scheduler.endpoints set state = 'open', opened_at = now(), probe_at = now() - interval '1 s', tokens = 0, tokens_at = now()`)
	}
	a, b := r.worker(), r.worker()
	due(scheduler.NewEndpoint{Concurrency: 1})
	r.turn(scheduler.Deliveries{Worker: a, Busy: 1})
	if turn := r.turn(scheduler.Deliveries{Worker: b, More: 3}); turn.Granted != 0 || turn.RetryMS < 100 {
		t.Errorf("without a slot: %+v", turn)
	}
	due(scheduler.NewEndpoint{Concurrency: 10, Rate: 0.01})
	if turn := r.turn(scheduler.Deliveries{Worker: b, More: 3}); turn.Granted != 0 || turn.RetryMS < 50_000 {
		t.Errorf("without a token: %+v", turn)
	}
}
