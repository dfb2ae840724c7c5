package httpapi

import (
	"bufio"
	"context"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"os/signal"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/pgscheduler/scheduler/internal/pgtest"
	"github.com/pgscheduler/scheduler/scheduler"
)

// serveNow makes this test binary a process that serves the API of the database it names until it is told to stop or killed, for those
// who have the token of serveToken, if there is one.
const (
	serveNow   = "HTTPAPI_TEST_SERVE"
	serveToken = "HTTPAPI_TEST_TOKEN"
)

func serveUntilKilled(db, token string) {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM)
	defer stop()
	client, err := scheduler.Open(ctx, scheduler.Config{DatabaseURL: db})
	if err != nil {
		panic(err)
	}
	handler, err := newServer(client, Config{Token: token})
	if err != nil {
		panic(err)
	}
	handler.patience = time.Minute // as that of newRig
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		panic(err)
	}
	fmt.Println("http://" + listener.Addr().String())
	_ = Serve(ctx, listener, handler, nil)
}

// process is a server of its own.
type process struct {
	*rig
	cmd *exec.Cmd
}

func (r *rig) process(env ...string) *process {
	r.t.Helper()
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(append(os.Environ(), serveNow+"="+r.db), env...)
	out, err := cmd.StdoutPipe()
	if err != nil {
		r.t.Fatal(err)
	}
	cmd.Stderr = os.Stderr
	if err := cmd.Start(); err != nil {
		r.t.Fatal(err)
	}
	p := &process{cmd: cmd}
	r.t.Cleanup(p.kill)
	url, err := bufio.NewReader(out).ReadString('\n')
	if err != nil {
		r.t.Fatal(err)
	}
	its := *r
	its.url = strings.TrimSpace(url)
	p.rig = &its
	return p
}

func (p *process) kill() {
	_ = p.cmd.Process.Kill() // it may be gone
	_ = p.cmd.Wait()
}

// A server that is killed loses nothing: leases live in the database, and the worker goes on with another.
func TestAServerIsKilled(t *testing.T) {
	t.Parallel()
	r := newRigOn(t, pgtest.DB(t), Config{})
	other := r.hand()
	here := func(p *process) *hand { return &hand{p.rig, other.id} }
	poll := func(h *hand, more string) chan error {
		ended := make(chan error, 1)
		go func() { // ends with the server; received below
			request, _ := http.NewRequestWithContext(t.Context(), "POST", h.url+"/v1/leases", strings.NewReader(`{"worker":{"id":"`+h.id+`"},"kinds":["k"]`+more+`}`))
			request.Header.Set("Prefer", "wait=60")
			response, err := http.DefaultClient.Do(request)
			if err == nil {
				response.Body.Close()
			}
			ended <- err
		}()
		return ended
	}
	waits := func(what string) {
		await(t, what, func() bool { // the keepalive has entered it, and its line is dry
			list, err := r.client.Workers(t.Context())
			return err == nil && len(list) == 1
		})
	}

	// while a poll waits
	first := r.process()
	ended := poll(here(first), "")
	waits("the poll waits")
	first.kill()
	if err := <-ended; err == nil {
		t.Fatal("the poll was answered")
	}
	task := r.submit(`{"kind":"k"}`)
	second := r.process()
	got := here(second).ask("", "Prefer", "wait=30")
	if len(got.Leases) != 1 || got.Leases[0].Task.ID != task.ID {
		t.Fatalf("%+v", got)
	}

	// with a lease out
	second.kill()
	third := r.process()
	h := here(third)
	if beat := h.beat(got.Leases[0].Lease); beat.ExpiresAt == nil || len(beat.Lost) != 0 {
		t.Errorf("%+v", beat)
	}
	h.say(got.Leases[0].Lease, "complete", "").want(200)

	// between the lease and its answer
	lock := r.connect()
	defer lock.Close(context.WithoutCancel(t.Context()))
	ended = poll(h, `,"held":[]`)
	await(t, "it listens", func() bool {
		return r.says(`select exists (select from pg_stat_activity where datname = current_database() and query like 'listen %scheduler_control%')`)
	})
	if _, err := lock.Exec(t.Context(), `begin; lock table scheduler.leases in exclusive mode`); err != nil {
		t.Fatal(err)
	}
	lost := r.submit(`{"kind":"k"}`)
	await(t, "the lease is under way", func() bool {
		return r.says(`select exists (select from pg_locks l where not l.granted and l.relation = 'scheduler.leases'::regclass)`)
	})
	third.kill()
	<-ended
	if _, err := lock.Exec(t.Context(), `rollback`); err != nil {
		t.Fatal(err)
	}
	fourth := r.process()
	h = here(fourth)
	await(t, "it is had again", func() bool {
		r.exec(`update scheduler.leases set leased_at = leased_at - interval '11 s'`)
		r.exec(`update scheduler.tasks set started_at = started_at - interval '11 s' where state = 'running'`)
		h.beat()
		got := h.ask(`,"held":[]`)
		if len(got.Leases) == 0 {
			return false
		}
		if got.Leases[0].Task.ID != lost.ID {
			t.Errorf("%+v", got)
		}
		h.say(got.Leases[0].Lease, "complete", "").want(200)
		return true
	})
}

// says returns the answer to a question in SQL.
func (r *rig) says(sql string) (yes bool) {
	r.t.Helper()
	conn := r.connect()
	defer conn.Close(context.WithoutCancel(r.t.Context()))
	if err := conn.QueryRow(r.t.Context(), sql).Scan(&yes); err != nil {
		r.t.Fatal(err)
	}
	return yes
}
