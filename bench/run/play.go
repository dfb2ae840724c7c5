package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
	"time"

	"github.com/pgscheduler/scheduler/internal/load"
)

// outcome is one run of one contestant.
type outcome struct {
	Round      int           `json:"round"` // from 1
	Step       string        `json:"step"`
	Contestant string        `json:"contestant"`
	Flags      []string      `json:"flags"`
	Results    []load.Result `json:"results"`
	Error      string        `json:"error,omitempty"`
}

// play runs everything, round by round, workload by workload, contestant by contestant, until ctx ends. A run that fails is
// noted, and the others go on.
func play(ctx context.Context, db *server, rounds int, steps []step, ready []contestant) (done []outcome) {
	var total int
	for _, s := range steps {
		for _, c := range ready {
			if s.has(c.Name) {
				total += rounds
			}
		}
	}
	for round := 1; round <= rounds; round++ {
		for _, s := range steps {
			for _, c := range ready {
				if !s.has(c.Name) || ctx.Err() != nil {
					continue
				}
				began := time.Now()
				o := outcome{Round: round, Step: s.name, Contestant: c.Name, Flags: append([]string{s.workload}, s.flags...)}
				var err error
				if o.Results, err = once(ctx, db, s, c); err != nil {
					o.Error = err.Error()
				}
				done = append(done, o)
				fmt.Fprintf(os.Stderr, "%d of %d  round %d  %-16s  %-10s  %4.0f s  %s\n", len(done), total, round, s.name, c.Name, time.Since(began).Seconds(), brief(o))
			}
		}
	}
	return done
}

// once runs a contestant on a fresh database.
func once(ctx context.Context, db *server, s step, c contestant) (results []load.Result, err error) {
	ctx, cancel := context.WithTimeout(ctx, s.limit)
	defer cancel()
	if err := db.settle(ctx); err != nil {
		return nil, err
	}
	url, drop, err := db.database(ctx, "bench_"+strings.ReplaceAll(c.Name, "-", "_"))
	if err != nil {
		return nil, err
	}
	defer drop()
	args := append(append([]string{}, c.command[1:]...), s.workload, "--database-url", url)
	args = append(append(args, s.flags...), "-o", "json")
	cmd := exec.CommandContext(ctx, c.command[0], args...)
	cmd.Env = append(os.Environ(), c.env...)
	cmd.Cancel = func() error { return cmd.Process.Signal(os.Interrupt) }
	cmd.WaitDelay = 20 * time.Second
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	err = cmd.Run()
	if err != nil {
		text := strings.TrimSpace(stderr.String())
		err = fmt.Errorf("%w: %s", err, text[max(0, len(text)-500):])
	}
	for lines := json.NewDecoder(&stdout); ; {
		var r load.Result
		switch decodeErr := lines.Decode(&r); {
		case errors.Is(decodeErr, io.EOF):
			if len(results) == 0 && err == nil {
				err = errors.New("it has measured nothing")
			}
			return results, err
		case decodeErr != nil:
			return results, errors.Join(err, decodeErr)
		}
		results = append(results, r)
	}
}

// brief is a run in a few words.
func brief(o outcome) string {
	if o.Error != "" {
		return "failed: " + o.Error
	}
	var parts []string
	for _, r := range o.Results {
		switch {
		case r.PerSecond != nil:
			parts = append(parts, fmt.Sprintf("%s %.0f/s", r.Case, *r.PerSecond))
		case r.P50 != nil:
			parts = append(parts, fmt.Sprintf("%s %.1f ms", r.Case, *r.P50))
		}
	}
	return strings.Join(parts, "  ")
}
