package self

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"slices"
	"strings"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/pgscheduler/scheduler/internal/load"
	"github.com/pgscheduler/scheduler/scheduler"
	"github.com/pgscheduler/scheduler/worker"
)

const (
	liveTasks   = 10                     // that run, and that many follow
	liveFollow  = 100                    // who follow them while reports are timed
	liveReport  = 500 * time.Millisecond // between two reports of a task
	liveDialing = 64                     // connections made at a time
)

// live follows tasks by HTTP, each follower on a connection of its own, on a server that is a process of its own. Cases:
// report, how long it takes from a handler's report to a follower, 10 tasks reporting twice a second with 100 followers;
// few and many, what Tasks followers of 10 tasks, and of as many tasks, cost the server's memory and the database.
func (s *Stage) live(ctx context.Context, r *load.Run, emit load.Emit) error {
	load.Default(&r.Tasks, 10_000)
	load.Default(&r.Window, 10*time.Second)
	its, err := s.subject(ctx, r.Setup())
	if err != nil {
		return err
	}
	defer its.Close()
	reported, err := s.liveReports(ctx, r, its)
	if err != nil {
		return err
	}
	if err := emit(reported); err != nil {
		return err
	}
	for _, c := range []struct {
		name  string
		tasks int
	}{{"few", liveTasks}, {"many", r.Tasks}} {
		out, err := s.liveFollowers(ctx, r, its, c.name, c.tasks)
		if err != nil {
			return err
		}
		if err := emit(out); err != nil {
			return err
		}
	}
	return nil
}

// liveReports times reports on their way to followers.
func (s *Stage) liveReports(ctx context.Context, r *load.Run, its *subject) (out load.Result, err error) {
	out = load.Result{Workload: r.Name, Case: "report"}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	ids, began := make([]scheduler.TaskID, liveTasks), time.Now()
	for i := range ids {
		task, err := its.client.Submit(ctx, scheduler.NewTask{Kind: "bench.live", Queue: s.queue})
		if err != nil {
			return out, err
		}
		ids[i] = task.ID
	}
	stop, err := s.reporter(ctx, its, began)
	if err != nil {
		return out, err
	}
	server, address, err := s.startServer(ctx)
	if err != nil {
		return out, errors.Join(err, stop())
	}
	var mu sync.Mutex
	var took []time.Duration
	var over time.Time // zero: not all have come
	come := 0
	followers, life := errgroup.WithContext(ctx) // without one of them it would never be over
	for i := range liveFollow {
		followers.Go(func() error { // until over; Wait waits for it
			there := false
			return follow(life, address, ids[i%len(ids)], func(data []byte) bool {
				var task struct{ Progress *struct{ Current int64 } }
				reported := json.Unmarshal(data, &task) == nil && task.Progress != nil && task.Progress.Current > 0
				mu.Lock()
				defer mu.Unlock()
				if !there { // the first one is what was there when it came
					there = true
					if come++; come == liveFollow {
						over = time.Now().Add(r.Window)
					}
				} else if reported && !over.IsZero() {
					took = append(took, time.Since(began)-time.Duration(task.Progress.Current))
				}
				return over.IsZero() || time.Now().Before(over)
			})
		})
	}
	err = followers.Wait()
	_, stopped := server.stop(ctx)
	if err := errors.Join(err, stopped, stop()); err != nil {
		return out, err
	}
	out.Tasks = liveTasks
	out.Percentiles(took)
	return out, nil
}

// reporter runs a worker whose tasks report, until stop, when it was.
func (s *Stage) reporter(ctx context.Context, its *subject, began time.Time) (stop func() error, err error) {
	registry := worker.NewRegistry()
	worker.Handle(registry, "bench.live", func(ctx context.Context, task *worker.Task[struct{}]) (*struct{}, error) {
		tick := time.NewTicker(liveReport)
		defer tick.Stop()
		for {
			select {
			case <-ctx.Done():
				return nil, context.Cause(ctx)
			case <-tick.C:
				if err := task.Report(int64(time.Since(began)), 0, ""); err != nil {
					return nil, err
				}
			}
		}
	})
	w, err := worker.New(its.client, registry, worker.Config{Queues: []worker.Share{{Queue: s.queue}}, Concurrency: liveTasks, Name: "bench",
		DrainTimeout: time.Millisecond, Logger: s.config.Logger})
	if err != nil {
		return nil, err
	}
	life, end := context.WithCancel(ctx)
	ended := make(chan error, 1)
	go func() { ended <- w.Run(life) }() // ends with life; stop waits for it
	return func() error {
		end()
		w.Abort() // the tasks go on for ever
		if err := <-ended; !errors.Is(err, worker.ErrAborted) {
			return err
		}
		return nil
	}, nil
}

// liveFollowers has so many as Tasks follow n tasks that do not change, then changes each once, and measures until all have
// seen that.
func (s *Stage) liveFollowers(ctx context.Context, r *load.Run, its *subject, name string, n int) (out load.Result, err error) {
	out = load.Result{Workload: r.Name, Case: name}
	tasks := make([]scheduler.NewTask, n)
	for i := range tasks {
		tasks[i] = scheduler.NewTask{Kind: kind, Queue: s.queue, Delay: 24 * time.Hour}
	}
	stored, err := its.client.SubmitMany(ctx, tasks)
	if err != nil {
		return out, err
	}
	server, address, err := s.startServer(ctx)
	if err != nil {
		return out, err
	}
	seen, ended := load.NewTally(), load.NewTally()
	var followers errgroup.Group
	dialing := make(chan struct{}, liveDialing)
	life, cancel := context.WithCancel(ctx)
	defer cancel()
	before, err := server.ask(ctx)
	if err != nil {
		return out, err
	}
	for i := range r.Tasks {
		followers.Go(func() error { // until its task is cancelled; Wait waits for it
			dialing <- struct{}{}
			come := sync.OnceFunc(func() { <-dialing; seen.Add() })
			defer come()
			err := follow(life, address, stored[i%n].ID, func([]byte) bool { come(); return true })
			ended.Add()
			return err
		})
	}
	measure := func() error {
		stopWatch := r.Watch(name, int64(r.Tasks), seen.Count)
		defer stopWatch()
		if err := seen.Reach(ctx, int64(r.Tasks)); err != nil {
			return err
		}
		usage, err := r.Quiet(ctx, name)
		if err != nil {
			return err
		}
		out.PerTime(usage)
		now, err := server.ask(ctx)
		if err != nil {
			return err
		}
		out.RSS = load.Figure(float64(now.RSS) / 1e6)
		out.PerFollower = load.Figure(float64(now.RSS-before.RSS) / 1024 / float64(r.Tasks))
		began := time.Now()
		var cancels errgroup.Group
		cancels.SetLimit(liveDialing)
		for _, task := range stored {
			cancels.Go(func() error { _, err := its.client.Cancel(ctx, task.ID, ""); return err }) // Wait waits for it
		}
		if err := cancels.Wait(); err != nil {
			return err
		}
		if err := ended.Reach(ctx, int64(r.Tasks)); err != nil {
			return err
		}
		out.Rate(int64(r.Tasks), time.Since(began))
		return nil
	}
	if err = measure(); err != nil {
		cancel()
	}
	err = errors.Join(err, followers.Wait())
	_, stopped := server.stop(ctx)
	return out, errors.Join(err, stopped)
}

// startServer starts a process that serves the API, and returns its address.
func (s *Stage) startServer(ctx context.Context) (*process, string, error) {
	p, err := s.start(ctx, order{Serve: true})
	if err != nil {
		if p != nil {
			_, stopped := p.stop(ctx)
			err = errors.Join(err, stopped)
		}
		return nil, "", err
	}
	return p, p.address, nil
}

// follow reads the stream of a task and gives the data of each event about it to on, until that returns false or the stream
// ends. It reads what comes without net/http, of which 10,000 would need more than the server.
func follow(ctx context.Context, address string, id scheduler.TaskID, on func(data []byte) bool) error {
	conn, err := new(net.Dialer).DialContext(ctx, "tcp", address)
	if err != nil {
		return err
	}
	defer conn.Close()
	defer context.AfterFunc(ctx, func() { _ = conn.SetDeadline(time.Unix(1, 0)) })()
	if _, err := fmt.Fprintf(conn, "GET /v1/tasks/%s/events HTTP/1.1\r\nHost: %s\r\n\r\n", id, address); err != nil {
		return err
	}
	lines := bufio.NewReaderSize(conn, 1024)
	first, err := lines.ReadString('\n')
	if err != nil || !strings.Contains(first, " 200 ") {
		return errors.Join(fmt.Errorf("follow: %q", first), err)
	}
	event := ""
	for {
		line, err := lines.ReadSlice('\n')
		if errors.Is(err, bufio.ErrBufferFull) {
			whole := slices.Clone(line)
			var rest []byte
			if rest, err = lines.ReadBytes('\n'); err == nil {
				line = append(whole, rest...)
			}
		}
		if err != nil {
			return fmt.Errorf("follow: %w", err)
		}
		field, value, _ := strings.Cut(strings.TrimRight(string(line), "\r\n"), ": ")
		switch {
		case field == "event":
			event = value
		case field == "data" && event == "end":
			return nil
		case field == "data" && event == "task":
			if !on([]byte(value)) {
				return nil
			}
		}
	}
}
