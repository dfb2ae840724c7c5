package main

import (
	"context"
	"time"
)

// casualty is the worker that was killed.
type casualty struct {
	worker  *process
	at      time.Time // of the database
	held    []string  // packages that it was counting
	width   int       // of their longest name
	rescued map[[16]byte]bool
}

// rescued is a lost attempt, and the one that followed it.
type rescued struct {
	ID          [16]byte
	Package     string
	LostWorker  string
	LostAttempt int
	Worker      string
	Attempt     int
	After       float64 // seconds from the kill to the start
}

// kill ends the worker that runs most tasks with SIGKILL: it can't finish, hand back or say anything. It is worth waiting a
// little for one that has its hands full. nil: none has.
func (d *demo) kill(ctx context.Context, busy []running, now progress) (*casualty, error) {
	var most running
	for _, b := range busy {
		if len(b.Packages) > len(most.Packages) {
			most = b
		}
	}
	if late := 4*now.Completed >= 3*now.Tasks; len(most.Packages) < slots-1 && !late {
		return nil, nil
	}
	c := &casualty{rescued: map[[16]byte]bool{}}
	for _, w := range d.workers {
		if w.pid() == most.PID {
			c.worker = w
		}
	}
	if c.worker == nil {
		return nil, nil
	}
	c.worker.kill()
	if err := d.conn.QueryRow(ctx, `select clock_timestamp()`).Scan(&c.at); err != nil {
		return nil, err
	}
	if err := d.inherit(ctx, c, most.Worker); err != nil {
		return nil, err
	}
	d.screen.say("")
	d.screen.say("kill -9 %d: worker %s dies in the middle of %s", most.PID, most.Worker, plural(len(c.held), "task"))
	for _, name := range c.held {
		d.screen.say("  %s", name)
		c.width = max(c.width, len(name))
	}
	d.screen.say("Nobody is told. Once it has been silent for %s, whoever notices first gives its tasks back.", seconds(ttl))
	d.screen.say("")
	return c, nil
}

// inherit reads what the dead worker has left running, once the database has dealt with all that it had sent.
func (d *demo) inherit(ctx context.Context, c *casualty, name string) error {
	for connections := 1; connections > 0; {
		if err := d.conn.QueryRow(ctx, readConnections, applicationName(name)).Scan(&connections); err != nil {
			return err
		}
		if err := d.pause(ctx, time.Millisecond); err != nil {
			return err
		}
	}
	left, err := all[running](ctx, d.conn, readRunning, kindCount)
	for _, b := range left {
		if b.Worker == name {
			c.held = b.Packages
		}
	}
	return err
}

// showRescued tells which lost tasks have started again since it was called last.
func (d *demo) showRescued(ctx context.Context, c *casualty) error {
	list, err := all[rescued](ctx, d.conn, readRescued, c.at)
	for _, r := range list {
		if !c.rescued[r.ID] {
			c.rescued[r.ID] = true
			d.screen.say("  %-*s  attempt %d on %s was lost; attempt %d started on %s %s after the kill", c.width, r.Package, r.LostAttempt,
				r.LostWorker, r.Attempt, r.Worker, seconds(time.Duration(r.After*float64(time.Second))))
		}
	}
	return err
}
